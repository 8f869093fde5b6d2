"""Traffic between two clusters comes back by itself, in seconds, whatever happens to the network.

Each scenario is played twice: in `make test`, where it must come back, and alone on the machine in `make figures`,
where it must be as quick as docs/reliability.md says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from isthmus import lab
from tests.cluster.networking import failures, traffic
from tests.cluster.networking.traffic import PATIENCE, Flow, back
from tests.cluster.support import Cluster, eventually
from tests.processes import Process, agent, mains, processes

Pair = tuple[Cluster, Cluster]
Scenario = Callable[[Pair, Sequence[Flow]], float]
"""Does some harm and returns the seconds from the end of its cause until all traffic flows again."""
BACK = 5.0
"""Seconds after the cause is gone within which traffic must flow again."""
CUTS = [int(seconds) for seconds in os.environ.get("ISTHMUS_TEST_CUTS", "30").split(",")]
"""Seconds for which the tunnel is cut; 600 is for docs/reliability.md."""


def _await_another(role: str, cluster: str, gone: Process) -> None:
    """Wait until the kubelet has started a process again."""
    eventually(
        lambda: [one for one in mains(role, cluster) if one.node == gone.node and one.pid != gone.pid],
        within=PATIENCE,
        every=0.05,
        what=f"another {role} of {cluster}",
    )


def kill_a_gateway(cluster: str, pair: Pair, flows: Sequence[Flow]) -> float:
    (gateway,) = mains("gateway", cluster)
    gateway.kill()
    _await_another("gateway", cluster, gateway)
    return back(flows, time.time(), f"gateway of {cluster} killed, from its start")


def _followed(rome: Cluster) -> bool:
    """Whether rome, which has the client, was seen to follow what milan announces."""
    place = ("-n", "liqo-tenant-milan")
    objects = [
        *rome.items("gatewayclients.networking.liqo.io", *place),
        *rome.items("publickeies.networking.liqo.io", *place),
    ]
    return len(objects) == 2 and all(
        "isthmus.liqo.io/followed" in one["metadata"].get("annotations", {}) for one in objects
    )


def make_the_servers_service_anew(pair: Pair, flows: Sequence[Flow]) -> float:
    """It gets another port, which the client follows without a restart."""
    rome, milan = pair
    eventually(lambda: _followed(rome), within=PATIENCE, what="the announcements of milan in rome")
    place = ("service", "-n", "liqo-tenant-rome", "gw-rome")
    before = milan.get(*place)
    pids = [one.pid for one in mains("gateway", "rome")]
    milan.kubectl("delete", *place, "--wait=false")

    def has_a_port() -> bool:
        found = milan.get(*place)
        return (
            found is not None
            and found["metadata"]["uid"] != before["metadata"]["uid"]
            and bool(found["spec"]["ports"][0].get("nodePort"))
        )

    eventually(has_a_port, within=PATIENCE, every=0.1, what="the Service of milan's gateway, made anew")
    since = time.time()
    port = milan.get(*place)["spec"]["ports"][0]["nodePort"]

    def is_followed() -> bool:
        (client,) = rome.items("gatewayclients.networking.liqo.io", "-n", "liqo-tenant-milan")
        return bool(client["spec"]["endpoint"]["port"] == port)

    eventually(is_followed, within=PATIENCE, every=0.1, what=f"rome's GatewayClient with port {port}")
    seconds = back(flows, since, "server's Service made anew, from its new port")
    assert [one.pid for one in mains("gateway", "rome")] == pids, "the client went on without a restart"
    return seconds


def rotate_keys(cluster: str, pair: Pair, flows: Sequence[Flow]) -> float:
    rome, milan = pair
    here, there = (rome, milan) if cluster == "rome" else (milan, rome)
    eventually(lambda: _followed(rome), within=PATIENCE, what="the announcements of milan in rome")
    (gateway,) = mains("gateway", cluster)
    secret = ("secret", "-n", f"liqo-tenant-{there.name}", f"gw-{there.name}")
    before = here.get(*secret)["data"]["publicKey"]
    here.kubectl("delete", *secret)
    eventually(
        lambda: [one for one in mains("gateway", cluster) if one.pid != gateway.pid],
        within=PATIENCE,
        every=0.05,
        what="the gateway with new keys",
    )
    seconds = back(flows, time.time(), f"keys of {cluster} rotated, from the new gateway's start")
    after = here.get(*secret)["data"]["publicKey"]
    (known,) = there.items("publickeies.networking.liqo.io", "-n", f"liqo-tenant-{here.name}")
    assert known["spec"]["publicKey"] == after != before
    return seconds


def delete_the_account(cluster: str, pair: Pair, flows: Sequence[Flow]) -> float:
    """The ServiceAccount of a gateway, whose token is refused from then on."""
    rome, milan = pair
    here, there = (rome, milan) if cluster == "rome" else (milan, rome)
    (gateway,) = mains("gateway", cluster)
    here.kubectl("delete", "serviceaccount", "-n", f"liqo-tenant-{there.name}", there.name)
    eventually(
        lambda: [one for one in mains("gateway", cluster) if one.pid != gateway.pid],
        within=PATIENCE,
        every=0.05,
        what="the gateway with a token of the new account",
    )
    return back(flows, time.time(), f"account of {cluster}'s gateway deleted, from the new gateway's start")


def cut_the_tunnel(seconds: float, pair: Pair, flows: Sequence[Flow]) -> float:
    with failures.cut("rome", "milan"):
        # Time is what is tested here: the cut lasts as long as it says.
        time.sleep(seconds)
    return back(flows, time.time(), f"tunnel cut for {seconds} s")


def kill_every_agent(pair: Pair, flows: Sequence[Flow]) -> float:
    nodes = {worker.name: one.name for one in lab.clusters()[:2] for worker in one.workers}
    killed = [agent(node) for node in nodes]
    since = time.time()
    for one in killed:
        one.kill()
    for one in killed:
        _await_another("node", nodes[one.node], one)
    return back(flows, since, "agents of all nodes killed")


def flush_our_tables(pair: Pair, flows: Sequence[Flow]) -> float:
    for process in mains("node") + mains("gateway"):
        tables = [line.split()[1:3] for line in process.run("nft", "list", "tables").splitlines()]
        ours = [words for words in tables if words[1].startswith("isthmus")]
        assert ours, f"the {process.role} of {process.node} has no table"
        for words in ours:
            process.run("nft", "delete", "table", *words)
    return back(flows, time.time(), "tables of all nodes and gateways deleted")


def delete_our_routes_and_rules(pair: Pair, flows: Sequence[Flow]) -> float:
    for process in mains("node") + mains("gateway"):
        for line in process.run("ip", "rule", "list").splitlines():
            priority, rest = line.split(":", 1)
            if "6091" in rest:
                process.run("ip", "rule", "delete", "priority", priority)
        process.run("ip", "route", "flush", "proto", "191", "table", "all")
    return back(flows, time.time(), "routes and rules of all nodes and gateways deleted")


def reboot_a_node(where: str, pair: Pair, flows: Sequence[Flow]) -> float:
    (gateway,) = mains("gateway", "milan")
    workers = [worker.name for worker in lab.clusters()[1].workers]
    node = gateway.node if where == "the gateway's" else next(one for one in workers if one != gateway.node)
    # Its own pods get other addresses, as in any cluster, and those of a node that rebooted before have got them.
    others = [flow for flow in traffic.flowing(flows) if node not in (flow.source, flow.target)]
    assert others
    gone = {process.pid for process in processes() if process.node == node}
    lab.reboot_node(node)

    def started() -> bool:
        """The node's programs run again, those of ours among them."""
        roles = {
            one.role for one in mains("node") + mains("gateway") if one.node == node and one.pid not in gone
        }
        return roles >= ({"node", "gateway"} if node == gateway.node else {"node"})

    eventually(started, within=120, every=0.1, what=f"our processes on {node}")
    return back(others, time.time(), f"node with {where} gateway rebooted")


SCENARIOS: dict[str, Scenario] = {
    "gateway of rome killed": partial(kill_a_gateway, "rome"),
    "gateway of milan killed": partial(kill_a_gateway, "milan"),
    "server's Service made anew": make_the_servers_service_anew,
    "keys of rome rotated": partial(rotate_keys, "rome"),
    "keys of milan rotated": partial(rotate_keys, "milan"),
    "account of milan's gateway deleted": partial(delete_the_account, "milan"),
    "tunnel cut for a second": partial(cut_the_tunnel, 1),
    "agents killed": kill_every_agent,
    "tables flushed": flush_our_tables,
    "routes and rules deleted": delete_our_routes_and_rules,
}
# Last of all: the pods of a node that rebooted have other addresses, so their traffic is not seen again.
REBOOTS: dict[str, Scenario] = {
    f"node with {where} gateway rebooted": partial(reboot_a_node, where)
    for where in ("the gateway's", "another")
}
LIMITS = {"agents killed": 0.0}
"""Seconds where it is not BACK: an agent's end must not be felt at all."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_traffic_comes_back(joined: Pair, flows: list[Flow], name: str) -> None:
    SCENARIOS[name](joined, flows)


@pytest.mark.endurance
@pytest.mark.parametrize("name", REBOOTS)
def test_traffic_comes_back_after_a_reboot(joined: Pair, flows: list[Flow], name: str) -> None:
    REBOOTS[name](joined, flows)


@pytest.mark.figures
@pytest.mark.parametrize(
    "seconds",
    [pytest.param(one, marks=pytest.mark.timeout(one + 300, func_only=True)) for one in CUTS],
)
def test_traffic_is_back_in_seconds_after_a_long_cut(joined: Pair, flows: list[Flow], seconds: int) -> None:
    assert cut_the_tunnel(seconds, joined, flows) < BACK


@pytest.mark.figures
@pytest.mark.parametrize("name", SCENARIOS | REBOOTS)
def test_traffic_is_back_in_seconds(joined: Pair, flows: list[Flow], name: str) -> None:
    seconds = (SCENARIOS | REBOOTS)[name](joined, flows)
    assert seconds <= LIMITS.get(name, BACK)

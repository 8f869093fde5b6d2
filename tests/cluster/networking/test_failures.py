"""Traffic between two clusters comes back by itself, in seconds, whatever happens to the network."""

from __future__ import annotations

import os
import time

import pytest

from isthmus import lab
from tests.cluster.networking import failures
from tests.cluster.networking.traffic import PATIENCE, Flow, back
from tests.cluster.support import Cluster, eventually
from tests.processes import agent, mains, processes

BACK = 5.0
"""Seconds after the cause is gone within which traffic must flow again."""
CUTS = [int(seconds) for seconds in os.environ.get("ISTHMUS_TEST_CUTS", "1,30").split(",")]
"""Seconds for which the tunnel is cut; 600 is for docs/reliability.md."""


@pytest.mark.parametrize("cluster", ["rome", "milan"])
def test_a_gateway_is_killed(flows: list[Flow], cluster: str) -> None:
    (gateway,) = mains("gateway", cluster)
    gateway.kill()
    eventually(
        lambda: [one for one in mains("gateway", cluster) if one.pid != gateway.pid],
        within=PATIENCE,
        every=0.05,
        what="the gateway, started again by the kubelet",
    )
    assert back(flows, time.time(), f"gateway of {cluster} killed, from its start") < BACK


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


def test_the_servers_service_is_made_anew_with_another_port(
    flows: list[Flow], joined: tuple[Cluster, Cluster]
) -> None:
    rome, milan = joined
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

    eventually(is_followed, within=BACK, every=0.1, what=f"rome's GatewayClient with port {port}")
    assert back(flows, since, "server's Service made anew, from its new port") < BACK
    assert [one.pid for one in mains("gateway", "rome")] == pids, "the client went on without a restart"


@pytest.mark.parametrize("cluster", ["rome", "milan"])
def test_keys_are_rotated(flows: list[Flow], joined: tuple[Cluster, Cluster], cluster: str) -> None:
    rome, milan = joined
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
    assert back(flows, time.time(), f"keys of {cluster} rotated, from the new gateway's start") < BACK
    after = here.get(*secret)["data"]["publicKey"]
    (known,) = there.items("publickeies.networking.liqo.io", "-n", f"liqo-tenant-{here.name}")
    assert known["spec"]["publicKey"] == after != before


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(
            seconds,
            marks=[
                pytest.mark.timeout(seconds + 300, func_only=True),
                *([pytest.mark.endurance] if seconds > 1 else []),
            ],
        )
        for seconds in CUTS
    ],
)
def test_the_tunnel_is_cut(flows: list[Flow], seconds: int) -> None:
    with failures.cut("rome", "milan"):
        # Time is what is tested here: the cut lasts as long as it says.
        time.sleep(seconds)
    assert back(flows, time.time(), f"tunnel cut for {seconds} s") < BACK


def test_an_agent_is_killed(flows: list[Flow]) -> None:
    for node in [worker.name for cluster in lab.clusters()[:2] for worker in cluster.workers]:
        killed = agent(node)
        since = time.time()
        killed.kill()
        eventually(
            lambda node=node, killed=killed: [
                one for one in mains("node") if one.node == node and one.pid != killed.pid
            ],
            within=PATIENCE,
            every=0.1,
            what=f"the agent of {node}, started again by the kubelet",
        )
        assert back(flows, since, f"agent of {node} killed") == 0.0, "an agent's end must not be felt at all"


def test_our_tables_are_flushed(flows: list[Flow]) -> None:
    for process in mains("node") + mains("gateway"):
        ours = [
            line.split()[1:3]
            for line in process.run("nft", "list", "tables").splitlines()
            if "isthmus" in line
        ]
        for family, name in ours:
            process.run("nft", "delete", "table", family, name)
        assert back(flows, time.time(), f"tables of a {process.role} deleted") < BACK


def test_our_routes_and_rules_are_deleted(flows: list[Flow]) -> None:
    for process in mains("node") + mains("gateway"):
        for line in process.run("ip", "rule", "list").splitlines():
            priority, rest = line.split(":", 1)
            if "6091" in rest:
                process.run("ip", "rule", "delete", "priority", priority)
        process.run("ip", "route", "flush", "proto", "191", "table", "all")
        assert back(flows, time.time(), f"routes and rules of a {process.role} deleted") < BACK


@pytest.mark.endurance
@pytest.mark.parametrize("where", ["the gateway's", "another"])
def test_a_node_reboots(flows: list[Flow], where: str) -> None:
    (gateway,) = mains("gateway", "milan")
    workers = [worker.name for worker in lab.clusters()[1].workers]
    node = gateway.node if where == "the gateway's" else next(one for one in workers if one != gateway.node)
    # Its own pods get other addresses, as in any cluster, and those of a node that rebooted before have got them.
    others = [flow for flow in flows if node not in (flow.source, flow.target) and flow.probe.flowing()]
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
    assert back(others, time.time(), f"node with {where} gateway rebooted") < BACK

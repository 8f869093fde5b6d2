"""Traffic between two clusters comes back by itself, in seconds, whatever happens to the network."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from isthmus import lab
from tests.cluster.networking import failures, traffic
from tests.cluster.support import Cluster, eventually

BACK = 5.0
"""Seconds after the cause is gone within which traffic must flow again."""
PATIENCE = 60.0


@pytest.fixture
def flows(joined: tuple[Cluster, Cluster], shared: str) -> list[traffic.Probe]:
    """Traffic from each node of each cluster to a pod of the other."""
    rome, milan = joined
    real = [worker.name for worker in lab.clusters()[0].workers]
    echoes = traffic.run_pods(
        rome,
        shared,
        traffic.pod("home", traffic.ECHO, **traffic.on_node(real[0])),
        traffic.pod("abroad", traffic.ECHO, **traffic.on_node("milan")),
    )
    back = failures.seen_from(milan, "rome", echoes["home"])
    found = [
        traffic.start(rome, shared, f"probe-{node}", echoes["abroad"], **traffic.on_node(node))
        for node in real
    ]
    return [*found, traffic.start(rome, shared, "probe-milan", back, **traffic.on_node("milan"))]


def _back(flows: list[traffic.Probe], since: float) -> float:
    return max(flow.seconds_until_back(since, PATIENCE) for flow in flows)


def _restarted(role: Callable[[], list[failures.Process]], before: failures.Process) -> Callable[[], bool]:
    return lambda: any(one.pid != before.pid for one in role())


@pytest.mark.parametrize("cluster", ["rome", "milan"])
def test_a_gateway_is_killed(flows: list[traffic.Probe], cluster: str) -> None:
    (gateway,) = failures.gateways(cluster)
    gateway.kill()
    eventually(
        lambda: [one for one in failures.gateways(cluster) if one.pid != gateway.pid],
        within=PATIENCE,
        every=0.05,
        what="the gateway, started again by the kubelet",
    )
    assert _back(flows, time.time()) < BACK


@pytest.mark.parametrize("seconds", [1, 30])
def test_the_tunnel_is_cut(flows: list[traffic.Probe], seconds: int) -> None:
    with failures.cut("rome", "milan"):
        # Time is what is tested here: the cut lasts as long as it says.
        time.sleep(seconds)
    assert _back(flows, time.time()) < BACK


def test_an_agent_is_killed(flows: list[traffic.Probe]) -> None:
    for node in [worker.name for cluster in lab.clusters()[:2] for worker in cluster.workers]:
        killed = failures.agent(node)
        since = time.time()
        killed.kill()
        eventually(
            lambda node=node, killed=killed: [
                one for one in failures.processes("node") if one.node == node and one.pid != killed.pid
            ],
            within=PATIENCE,
            every=0.1,
            what=f"the agent of {node}, started again by the kubelet",
        )
        assert _back(flows, since) == 0.0, "an agent's end must not be felt at all"


def test_our_tables_are_flushed(flows: list[traffic.Probe]) -> None:
    for process in [*failures.processes("node"), *failures.processes("gateway")]:
        ours = [
            line.split()[1:3]
            for line in process.run("nft", "list", "tables").splitlines()
            if "isthmus" in line
        ]
        for family, name in ours:
            process.run("nft", "delete", "table", family, name)
        since = time.time()
        assert _back(flows, since) < BACK


def test_our_routes_and_rules_are_deleted(flows: list[traffic.Probe]) -> None:
    for process in [*failures.processes("node"), *failures.processes("gateway")]:
        for line in process.run("ip", "rule", "list").splitlines():
            priority, rest = line.split(":", 1)
            if "6091" in rest:
                process.run("ip", "rule", "delete", "priority", priority)
        process.run("ip", "route", "flush", "proto", "191", "table", "all")
        since = time.time()
        assert _back(flows, since) < BACK


@pytest.mark.parametrize("where", ["the gateway's", "another"])
def test_a_node_reboots(flows: list[traffic.Probe], joined: tuple[Cluster, Cluster], where: str) -> None:
    rome, _ = joined
    (gateway,) = failures.gateways("milan")
    workers = [worker.name for worker in lab.clusters()[1].workers]
    node = gateway.node if where == "the gateway's" else next(one for one in workers if one != gateway.node)
    lab.reboot_node(node)
    _, milan = joined
    tenant = "liqo-tenant-rome"

    def recovered() -> bool:
        pods = milan.items("pods", "-n", tenant) + milan.items("pods", "-n", "liqo")
        return all(
            condition["status"] == "True"
            for pod in pods
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready"
        )

    eventually(recovered, within=120, what=f"our pods of {node} Ready again")
    assert _back(flows, time.time()) < BACK

"""The state is kept: what is broken is repaired at the kernel's own notice, and liveness goes through the tunnel."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from isthmus.api.routing import FirewallConfiguration, RouteConfiguration
from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.keeper import Keeper
from isthmus.network.dataplane.netlink import Wakeups
from isthmus.network.dataplane.state import State
from isthmus.network.dataplane.user import with_user_state
from isthmus.network.gateway.connection import Reporter
from isthmus.network.gateway.liveness import Liveness
from isthmus.network.gateway.pinger import Pinger
from isthmus.network.gateway.plan import tunnel_addresses
from isthmus.network.node.plan import plan_node
from tests.network.netns.joined import joined, node_facts
from tests.network.netns.support import Cluster, Namespace

PATIENCE = 20.0


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> float:
    """Wait for a condition; how long it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "it did not happen"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


async def test_harm_is_repaired_at_the_kernels_notice_and_nothing_else_wakes(
    pair: tuple[Cluster, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = pair[0].node
    looks = 0
    plane = DataPlane(node.commands)
    apply = plane.apply

    async def count(state: State) -> list[str]:
        nonlocal looks
        looks += 1
        return await apply(state)

    async def plan() -> State:
        return plan_node(node_facts())

    monkeypatch.setattr(plane, "apply", count)
    keeper = Keeper(plane, plan)
    # The sockets are to be of the node's namespace; here one process looks after it from outside.
    opened = Wakeups.open
    monkeypatch.setattr(Wakeups, "open", lambda self: _open_in(node, opened, self))
    monkeypatch.setattr("isthmus.network.dataplane.keeper.device_indexes", lambda: _indexes(node))
    task = asyncio.create_task(keeper.run())
    await asyncio.wait_for(keeper.applied.wait(), PATIENCE)
    # Our own changes wake us once more; from then on it is quiet.
    quiet = -1
    while quiet != looks:
        quiet = looks
        await asyncio.sleep(0.5)
    node.run("ip", "link", "add", "other", "type", "veth", "peer", "name", "other2")
    node.run("ip", "route", "add", "198.51.100.0/24", "dev", "to-pod")
    node.run("nft", "add", "table", "ip", "somebody")
    await asyncio.sleep(0.2)
    assert looks == quiet, "what is not ours does not wake us"
    for harm, healed in (
        (("nft", "flush", "ruleset"), lambda: "sources" in node.run("nft", "list", "ruleset")),
        (("ip", "rule", "del", "priority", "500"), lambda: "500:" in node.run("ip", "rule")),
        (
            ("ip", "route", "flush", "table", "6091"),
            lambda: bool(node.run("ip", "route", "show", "table", "6091")),
        ),
        (
            ("ip", "link", "del", "isthmus0"),
            lambda: "isthmus0" in node.run("ip", "route", "show", "table", "6091"),
        ),
    ):
        node.run(*harm)
        await until(healed)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "isthmus0" in node.run("ip", "link"), "ending leaves the data path in place"


def _open_in(node: Namespace, opened: Callable[[Wakeups], None], wakeups: Wakeups) -> None:
    with node.entered():
        opened(wakeups)


def _indexes(node: Namespace) -> frozenset[int]:
    links = json.loads(node.run("ip", "-j", "link"))
    return frozenset(link["ifindex"] for link in links if link["ifname"] == "isthmus0")


async def test_liveness_through_the_tunnel_and_its_loss(pair: tuple[Cluster, Cluster]) -> None:
    async with joined(pair) as (rome, milan):
        written: dict[str, list[str]] = {"rome": [], "milan": []}
        pingers = {}
        for side, peer, mode in ((rome, "milan", "client"), (milan, "rome", "server")):
            name = side.cluster.name

            async def write(value: str, latency: float | None, name: str = name) -> None:
                written[name].append(value)

            addresses = tunnel_addresses(mode)
            now = asyncio.get_running_loop().time()
            pingers[name] = Pinger(
                Liveness(peer, addresses[1], interval=0.1, threshold=5, now=now),
                Reporter(10.0),
                write,
                addresses=addresses,
                interval=0.1,
                make_socket=lambda gateway=side.cluster.gateway: gateway.socket(
                    socket.AF_INET, socket.SOCK_DGRAM
                ),
            )
        tasks = [asyncio.create_task(pinger.run()) for pinger in pingers.values()]
        await until(lambda: all(pinger.alive for pinger in pingers.values()))
        assert (pingers["rome"].liveness.latency or 9) < 0.1
        rome.cluster.node.run("ip", "link", "set", "wan", "down")
        await until(lambda: not any(pinger.alive for pinger in pingers.values()))
        rome.cluster.node.run("ip", "link", "set", "wan", "up")
        await until(lambda: all(pinger.alive for pinger in pingers.values()))
        await until(lambda: written["rome"] == ["Connecting", "Connected", "Error", "Connected"])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _chain(name: str, kind: str, hook: str, priority: int, **rules: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "hook": hook,
        "priority": priority,
        "policy": "accept",
        "rules": rules,
    }


async def test_what_users_write_is_accepted_by_the_kernel_and_removed_again(
    pair: tuple[Cluster, Cluster],
) -> None:
    node = pair[0].node
    match = [
        {"op": "eq", "ip": {"position": "dst", "value": "10.1.0.0/16"}},
        {"op": "neq", "dev": {"position": "in", "value": "eth9"}},
    ]
    port = [{"op": "eq", "port": {"position": "dst", "value": "80"}}, {"op": "eq", "proto": {"value": "udp"}}]
    before = [
        {"natType": "dnat", "to": "10.2.0.0/16", "match": match},
        {"natType": "dnat", "to": "10.2.0.1", "match": port},
    ]
    after = [{"natType": "masquerade", "match": match}, {"natType": "snat", "to": "10.2.0.1", "match": port}]
    actions = ("accept", "drop", "reject", "ctmark", "metamarkfromctmark")
    passing: list[dict[str, Any]] = [
        *({"action": action, "value": "5", "match": [*match, *port]} for action in actions),
        {"action": "tcpmssclamp", "value": "0", "match": match},
    ]
    chains = [
        _chain("nat-pre", "nat", "prerouting", -100, natRules=before),
        _chain("nat.post", "nat", "postrouting", 100, natRules=after),
        _chain("filter", "filter", "forward", 0, filterRules=passing),
        _chain("raw", "filter", "output", -300, filterRules=[{"action": "notrack", "match": port}]),
    ]
    firewalls = [
        msgspec.convert(
            {
                "metadata": {"name": family, "namespace": "ns"},
                "spec": {"table": {"name": "t", "family": family, "chains": chains}},
            },
            FirewallConfiguration,
        )
        for family in ("IPV4", "INET")
    ]
    rule = {
        "dst": "10.9.0.0/16",
        "fwmark": 7,
        "routes": [{"dst": "10.9.0.0/16", "dev": "to-pod", "scope": "link"}],
    }
    route = msgspec.convert(
        {"metadata": {"name": "r", "namespace": "ns"}, "spec": {"table": {"name": "t", "rules": [rule]}}},
        RouteConfiguration,
    )
    plane = DataPlane(node.commands)
    state = with_user_state(plan_node(node_facts()), [route], firewalls)
    assert state.refused == ()
    await plane.apply(state)
    assert await plane.apply(state) == [], "the kernel shows what was asked for"
    assert node.run("nft", "list", "tables").count("isthmus_user") == 2
    assert "10.9.0.0/16 dev to-pod" in node.run("ip", "route", "show", "table", "all")
    await plane.apply(plan_node(node_facts()))
    assert "isthmus_user" not in node.run("nft", "list", "tables")
    assert "10.9.0.0/16" not in node.run("ip", "route", "show", "table", "all") + node.run("ip", "rule")

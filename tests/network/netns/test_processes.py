"""Both roles on both sides, fed by API objects alone: from nothing to a connected tunnel, and back to nothing."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.gateway.run import Gateway
from isthmus.network.gateway.settings import Settings as GatewaySettings
from isthmus.network.node.run import Agent
from isthmus.network.node.settings import Settings as NodeSettings
from isthmus.network.process import Health
from isthmus.network.wireguard import parse_dump
from tests.apiserver import ApiServer, connected
from tests.network.netns.joined import (
    EXTERNAL,
    GATEWAY_OVERLAY,
    NODE_OVERLAY,
    PODS,
    SEEN_EXTERNAL,
    SEEN_POD,
    SEEN_PODS,
)
from tests.network.netns.support import GATEWAY, NODE_INSIDE, POD, PORT, WAN, Cluster, bound
from tests.network.netns.test_keeping import until
from tests.network.netns.test_path import call, listen


class Side:
    """One cluster's objects, keys and processes."""

    def __init__(self, cluster: Cluster, peer: str, mode: str, folder: Path) -> None:
        self.cluster, self.peer, self.mode, self.folder = cluster, peer, mode, folder
        self.namespace = f"liqo-tenant-{peer}"
        self.api = ApiServer()
        self.health = Health()
        folder.mkdir()
        self.make_keys()
        meta = {"name": peer, "namespace": self.namespace, "labels": {"liqo.io/remote-cluster-id": peer}}
        ranges = {"cidr": {"pod": [PODS], "external": [EXTERNAL]}}
        seen = {"cidr": {"pod": [SEEN_PODS], "external": [SEEN_EXTERNAL]}}
        interface = {"gateway": {"ip": GATEWAY_OVERLAY}, "node": {"name": "isthmus0"}}
        self.api.create(
            "configurations",
            {"metadata": meta, "spec": {"local": ranges, "remote": ranges}, "status": {"remote": seen}},
        )
        fabric = {
            "gatewayIP": GATEWAY,
            "interface": interface,
            "mtu": 1340,
            "remoteCIDRs": [SEEN_PODS, SEEN_EXTERNAL],
        }
        self.api.create("internalfabrics", {"metadata": meta, "spec": fabric})
        self.api.create(
            "internalnodes",
            {"metadata": {"name": "n1"}, "spec": {"interface": {"node": {"ip": NODE_OVERLAY}}}},
        )
        addresses = [{"type": "InternalIP", "address": NODE_INSIDE}]
        self.api.create(
            "nodes",
            {
                "metadata": {"name": "n1"},
                "spec": {"podCIDRs": ["10.244.1.0/24"]},
                "status": {"addresses": addresses},
            },
        )

    def make_keys(self) -> None:
        """New keys, in the files that the Secret is mounted as."""
        private = self.cluster.gateway.run("wg", "genkey").strip()
        self.public = self.cluster.gateway.run("wg", "pubkey", text=private).strip()
        (self.folder / "privateKey").write_bytes(base64.b64decode(private))
        (self.folder / "publicKey").write_bytes(base64.b64decode(self.public))

    def uids(self) -> tuple[str, str]:
        """Those of the node's and the gateway's object, of which their link-layer addresses are made."""
        found = (
            self.api.get("internalnodes", "", "n1"),
            self.api.get("internalfabrics", self.namespace, self.peer),
        )
        node, gateway = (one["metadata"]["uid"] for one in found if one is not None)
        return node, gateway

    @property
    def connection(self) -> str:
        found = self.api.get("connections", self.namespace, f"gw-{self.peer}") or {}
        value: str = (found.get("status") or {}).get("value", "")
        return value

    def settings(self) -> GatewaySettings:
        return GatewaySettings(
            mode=self.mode, name=self.peer, namespace=self.namespace, peer=self.peer, cluster_id=self.cluster.name,
            mtu=1340, port=PORT, uid="", fabric=self.peer, ping_interval=0.2, pod_ip=GATEWAY, node_name="n1",
            addresses=[WAN["milan"]] if self.mode == "client" else [],
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        """Both roles of this cluster, until the end of the block."""
        node, gateway = self.cluster.node, self.cluster.gateway
        async with connected(self.api) as client:
            agent = Agent(
                client,
                NodeSettings(node_name="n1", node_ip=NODE_INSIDE),
                DataPlane(node.commands),
                node.commands,
            )
            one = Gateway(client, self.settings(), gateway.commands, str(self.folder))
            one._pinger._make_socket = lambda: gateway.socket(socket.AF_INET, socket.SOCK_DGRAM)
            tasks = [asyncio.create_task(agent.run(Health())), asyncio.create_task(one.run(self.health))]
            try:
                yield one
            finally:
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert [r for r in results if not isinstance(r, asyncio.CancelledError)] == []


def publish(side: Side, other: Side) -> None:
    """Tell `side` the key of `other`, as the exchange does."""
    meta: dict[str, Any] = {
        "name": side.peer,
        "namespace": side.namespace,
        "labels": {"liqo.io/remote-cluster-id": side.peer},
    }
    if side.api.get("publickeies", side.namespace, side.peer) is None:
        side.api.create("publickeies", {"metadata": meta, "spec": {"publicKey": other.public}})
    else:
        side.api.merge("publickeies", side.namespace, side.peer, {"spec": {"publicKey": other.public}})


def _shaken(side: Side, key: str) -> bool:
    """Whether a session with the peer of that key was made by the device that is there now."""
    device = parse_dump(side.cluster.gateway.run("sh", "-c", "wg show liqo-tunnel dump || true"))
    return device is not None and any(peer.public_key == key and peer.handshake for peer in device.peers)


async def test_objects_alone_join_two_clusters(pair: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    rome = Side(pair[0], "milan", "client", tmp_path / "rome")
    milan = Side(pair[1], "rome", "server", tmp_path / "milan")
    both = (rome, milan)
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(side.running()) for side in both]
        for side in both:
            await side.api.until(lambda side=side: side.connection == "Connecting")
        publish(rome, milan)
        publish(milan, rome)
        for side in both:
            await side.api.until(lambda side=side: side.connection == "Connected")
            assert side.health.ready
        assert gateways[0].metrics()["isthmus_tunnel_userspace"] == 1.0
        async with await listen(milan.cluster.pod, POD), await listen(rome.cluster.pod, POD):
            assert await call(rome.cluster.pod, SEEN_POD, b"there") == SEEN_POD
            assert await call(milan.cluster.pod, SEEN_POD, b"and back") == SEEN_POD
            # Rome's keys are rotated: the files first, then what milan knows of them.
            rome.make_keys()
            publish(milan, rome)
            gateways[0].keeper.wake()
            await until(lambda: _shaken(milan, rome.public))
            assert await call(rome.cluster.pod, SEEN_POD, b"rotated") == SEEN_POD
            # The server's userspace device dies: made anew, and the client does not insist on the old session.
            child = gateways[1]._tunnel._child
            assert child is not None
            child.kill()
            await child.wait()
            gateways[1].keeper.wake()  # as the kernel's own notice would, in the gateway's namespace
            assert await until(lambda: _shaken(milan, rome.public)) < 10
            assert await call(rome.cluster.pod, SEEN_POD, b"still") == SEEN_POD
        await _users_objects_have_conditions(rome)
        rome.api.delete("internalnodes", "", "n1")
        await until(lambda: "isthmus0" not in rome.cluster.node.run("ip", "link"))
        assert "isthmus" not in rome.cluster.node.run("nft", "list", "ruleset")
    assert "isthmus0" in milan.cluster.node.run("ip", "link"), "an agent that ends leaves the data path"
    assert "isthmus0" not in rome.cluster.node.run("ip", "link")


async def test_a_client_follows_its_server_without_a_restart(
    pair: tuple[Cluster, Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rome = Side(pair[0], "milan", "client", tmp_path / "rome")
    milan = Side(pair[1], "rome", "server", tmp_path / "milan")
    told = rome.settings()
    monkeypatch.setattr(rome, "settings", lambda: replace(told, addresses=[], port=0))
    meta = {
        "name": rome.peer,
        "namespace": rome.namespace,
        "labels": {"liqo.io/remote-cluster-id": rome.peer},
    }
    endpoint = {"addresses": [WAN["milan"]], "port": PORT + 1, "protocol": "UDP"}
    rome.api.create("gatewayclients", {"metadata": meta, "spec": {"endpoint": endpoint}})
    publish(rome, milan)
    publish(milan, rome)
    async with rome.running(), milan.running():
        for side in (rome, milan):
            await side.api.until(lambda side=side: side.connection == "Connecting")
        moved = {"spec": {"endpoint": {"port": PORT}}}
        rome.api.merge("gatewayclients", rome.namespace, rome.peer, moved)
        for side in (rome, milan):
            await side.api.until(lambda side=side: side.connection == "Connected", timeout=bound(5))


async def _users_objects_have_conditions(side: Side) -> None:
    """A good and two bad ones, for the gateway and for the nodes: each host says how it went, once."""
    chain = {"name": "c", "type": "filter", "hook": "forward", "priority": 0, "policy": "accept"}
    rule = {"action": "accept", "match": [{"op": "eq", "ip": {"position": "dst", "value": "10.1.0.0/16"}}]}
    good = chain | {"rules": {"filterRules": [rule]}}
    # The second is a range the other way round, which only the kernel's side finds out.
    backwards = {"op": "eq", "ip": {"position": "dst", "value": "10.1.0.9-10.1.0.1"}}
    refused = chain | {"rules": {"filterRules": [rule | {"match": [backwards]}]}}
    found = {}
    for host, category in ((side.peer, "gateway"), ("n1", "fabric")):
        for name, one in (("good", good), ("malformed", chain | {"hook": "nowhere"}), ("refused", refused)):
            meta = {
                "name": f"{category}-{name}",
                "namespace": side.namespace,
                "labels": {"networking.liqo.io/firewall-category": category},
            }
            spec = {"table": {"name": "t", "family": "IPV4", "chains": [one]}}
            side.api.create("firewallconfigurations", {"metadata": meta, "spec": spec})
            found[f"{category}-{name}"] = (host, "Applied" if name == "good" else "Error")
    for name, wanted in found.items():
        await side.api.until(lambda name=name, wanted=wanted: _conditions(side, name) == [wanted])
    assert all(len(_conditions(side, name)) == 1 for name in found)


def _conditions(side: Side, name: str) -> list[tuple[str, str]]:
    value = side.api.get("firewallconfigurations", side.namespace, name) or {}
    conditions = (value.get("status") or {}).get("conditions", [])
    return [(one["host"], one["type"]) for one in conditions if one["status"] == "True"]

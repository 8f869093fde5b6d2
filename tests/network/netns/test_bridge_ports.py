"""What a node sends to a gateway behind its bridge passes the bridge by: the overlay's packets, and nothing else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.bridge_ports import look_for_ports
from isthmus.network.dataplane.state import State
from isthmus.network.node.plan import plan_node
from tests.network.netns.joined import SEEN_POD, node_facts
from tests.network.netns.support import GATEWAY, NODE_INSIDE, Namespace, run

UDP = 17
PATIENCE = 10.0


class Bridged:
    """A node whose pods are behind a bridge that checks the way back, and a gateway's pod."""

    def __init__(self) -> None:
        self.node = Namespace(f"nx-{os.getpid()}-bridged-node")
        self.gateway = Namespace(f"nx-{os.getpid()}-bridged-gw")
        self.node.run("ip", "link", "add", "cni0", "type", "bridge")
        self.node.run("ip", "addr", "add", f"{NODE_INSIDE}/24", "dev", "cni0")
        self.node.run("ip", "link", "set", "cni0", "up")
        self.node.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
        self.plug("first")

    def plug(self, port: str) -> None:
        """Give the gateway its device, behind that port of the bridge."""
        run("ip", "-n", self.node.name, "link", "add", port, "type", "veth", "peer", "name", "eth0",
            "netns", self.gateway.name)  # fmt: skip
        self.node.run("ip", "link", "set", port, "master", "cni0", "up")
        self.gateway.run("ip", "addr", "add", f"{GATEWAY}/24", "dev", "eth0")
        self.gateway.run("ip", "link", "set", "eth0", "up")

    def greet(self) -> None:
        """Exchange a packet, as a kubelet's probe does."""
        self.node.run("busybox", "ping", "-c", "1", "-W", "2", GATEWAY)

    def sends(self) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """Sources and destinations of the overlay's packets at the bridge and at the gateway, of one sent there."""
        bridge, gateway = self.node.capture("cni0"), self.gateway.capture("eth0")
        try:
            with self.node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"hello", (SEEN_POD, 9))
            deadline = time.monotonic() + PATIENCE
            while not (arrived := gateway.seen(UDP)):
                assert time.monotonic() < deadline, "nothing arrived at the gateway"
                time.sleep(0.01)
            return bridge.seen(UDP), arrived
        finally:
            bridge.close()
            gateway.close()

    def close(self) -> None:
        self.node.close()
        self.gateway.close()


@pytest.fixture
def bridged() -> Iterator[Bridged]:
    made = Bridged()
    try:
        yield made
    finally:
        made.close()


async def planned(bridged: Bridged) -> State:
    return plan_node(replace(node_facts(), ports=await look_for_ports(bridged.node.commands, {GATEWAY})))


async def test_the_overlay_passes_the_bridge_by_and_finds_it_again(bridged: Bridged) -> None:
    plane = DataPlane(bridged.node.commands)
    await plane.apply(await planned(bridged))
    at_bridge, at_gateway = bridged.sends()
    assert at_bridge == at_gateway, "a gateway nobody has heard of yet is reached by the bridge"

    bridged.greet()
    await plane.apply(await planned(bridged))
    at_bridge, at_gateway = bridged.sends()
    assert not at_bridge
    assert {there for _, there in at_gateway} == {GATEWAY}
    bridged.greet()
    assert await plane.apply(await planned(bridged)) == [], "what is in place is left alone"

    bridged.node.run("ip", "link", "del", "first")
    bridged.plug("second")
    assert len(bridged.sends()[1]) == 1, (
        "with the device, its route is gone: the bridge has the packets again"
    )
    bridged.greet()
    await plane.apply(await planned(bridged))
    assert not bridged.sends()[0]

    await plane.remove()
    assert "second" not in bridged.node.run("ip", "neigh", "show", "nud", "permanent")
    assert bridged.node.run("ip", "-j", "rule").count("6094") == 0
    bridged.greet()

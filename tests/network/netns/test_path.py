"""Two clusters whose pods have the very same address reach each other, and packets look as `hops` says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct

import pytest

from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.node.plan import plan_node
from tests.network.netns.joined import MAPPED, NODE_OVERLAY, SEEN_POD, joined, node_facts
from tests.network.netns.support import GATEWAY, NODE_INSIDE, POD, Cluster, Namespace
from tests.network.netns.test_keeping import until

UDP, TCP = socket.IPPROTO_UDP, socket.IPPROTO_TCP


async def listen(namespace: Namespace, address: str, port: int = 8080) -> asyncio.Server:
    """A server that says from where it was reached, then echoes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("peername")[0].encode() + b"\n")
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    one = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((address, port))
    return await asyncio.start_server(serve, sock=one)


async def call(namespace: Namespace, address: str, payload: bytes, port: int = 8080) -> str:
    """Send a payload, expect it back; the address the server saw us under."""
    one = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setblocking(False)
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().sock_connect(one, (address, port))
        reader, writer = await asyncio.open_connection(sock=one)
        seen = (await reader.readline()).decode().strip()
        writer.write(payload)
        assert await reader.readexactly(len(payload)) == payload
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return seen


def ping(namespace: Namespace, address: str, size: int) -> None:
    """One ICMP echo that must come back within 3 s."""
    namespace.run("busybox", "ping", "-c", "1", "-W", "10", "-s", str(size), address)


async def datagram(here: Namespace, there: Namespace, size: int) -> None:
    """One UDP datagram from a pod to the other and back."""
    server = there.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((POD, 9000))
    client = here.socket(socket.AF_INET, socket.SOCK_DGRAM)
    loop = asyncio.get_running_loop()
    for one in (server, client):
        one.setblocking(False)
    client.connect((SEEN_POD, 9000))
    try:
        async with asyncio.timeout(20):
            await loop.sock_sendall(client, b"x" * size)
            data, sender = await loop.sock_recvfrom(server, 65536)
            assert sender[0] == SEEN_POD
            await loop.sock_sendto(server, data, sender)
            assert await loop.sock_recv(client, 65536) == b"x" * size
    finally:
        server.close()
        client.close()


@pytest.mark.parametrize("direction", ["out", "in"])
async def test_pods_reach_each_other_and_see_the_remapped_address(
    pair: tuple[Cluster, Cluster], direction: str
) -> None:
    async with joined(pair) as sides:
        here, there = sides if direction == "out" else sides[::-1]
        async with await listen(there.cluster.pod, POD):
            assert await call(here.cluster.pod, SEEN_POD, b"a" * 200_000) == SEEN_POD
        for size in (64, 1312, 8000):
            await asyncio.to_thread(ping, here.cluster.pod, SEEN_POD, size)
            await datagram(here.cluster.pod, there.cluster.pod, size)


async def test_packets_carry_at_each_hop_what_is_promised(pair: tuple[Cluster, Cluster]) -> None:
    async with joined(pair) as (rome, milan), await listen(milan.cluster.pod, POD):
        await call(rome.cluster.pod, SEEN_POD, b"warm")
        places = {
            "node out": (rome.cluster.node, "isthmus0"),
            "underlay": (rome.cluster.node, "to-gw"),
            "tunnel": (rome.cluster.gateway, "liqo-tunnel"),
            "remote node": (milan.cluster.node, "isthmus0"),
            "pod": (milan.cluster.pod, "eth0"),
        }
        captures = {name: space.capture(device) for name, (space, device) in places.items()}
        await call(rome.cluster.pod, SEEN_POD, b"hello")
        tcp = {name: capture.seen(TCP) for name, capture in captures.items() if name != "underlay"}
        outer = captures["underlay"].seen(UDP)
        for capture in captures.values():
            capture.close()
    assert tcp["node out"] == {(POD, SEEN_POD), (SEEN_POD, POD)}
    assert (NODE_INSIDE, GATEWAY) in outer
    assert (GATEWAY, NODE_INSIDE) in outer
    assert tcp["tunnel"] == {(POD, POD)}, "the wire carries real addresses"
    assert tcp["remote node"] == {(SEEN_POD, POD), (POD, SEEN_POD)}
    assert tcp["pod"] == {(SEEN_POD, POD), (POD, SEEN_POD)}


async def test_a_node_reaches_a_remote_pod_as_the_unknown_source(pair: tuple[Cluster, Cluster]) -> None:
    async with joined(pair) as (rome, milan), await listen(milan.cluster.pod, POD):
        tunnel = rome.cluster.gateway.capture("liqo-tunnel")
        overlay = rome.cluster.node.capture("isthmus0")
        assert await call(rome.cluster.node, SEEN_POD, b"x") == "10.72.0.0"
        assert tunnel.seen(TCP) == {("10.70.0.0", POD), (POD, "10.70.0.0")}
        assert overlay.seen(TCP) == {(NODE_OVERLAY, SEEN_POD), (SEEN_POD, NODE_OVERLAY)}
        tunnel.close()
        overlay.close()


async def test_a_mapped_host_is_reached_through_its_address_abroad(pair: tuple[Cluster, Cluster]) -> None:
    async with joined(pair) as (rome, milan):
        milan.cluster.node.run("ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
        async with await listen(milan.cluster.node, "192.0.2.7"):
            seen_from_rome = MAPPED.replace("10.70.", "10.72.")
            await call(rome.cluster.pod, seen_from_rome, b"hello")


async def test_what_is_no_address_of_the_peer_does_not_come_through(pair: tuple[Cluster, Cluster]) -> None:
    async with joined(pair) as (rome, milan):
        capture = milan.cluster.node.capture("isthmus0")
        # Rome turns hostile: its own translation would give these packets an address of its own.
        rome.cluster.gateway.run("nft", "flush", "ruleset")
        await asyncio.to_thread(ping, rome.cluster.gateway, "169.254.18.1", 64)
        forged = rome.cluster.gateway.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for source, payload in (("203.0.113.9", b"forged"), (POD, b"honest")):
            header = struct.pack(
                "!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 1, 0, 64, UDP, 0,
                socket.inet_aton(source), socket.inet_aton(POD),
            )  # fmt: skip
            packet = header + struct.pack("!HHHH", 5, 6, 8 + len(payload), 0) + payload
            rome.cluster.gateway.run("ip", "rule", "add", "priority", "10", "to", POD, "lookup", "6092")
            forged.sendto(packet, (POD, 0))
            rome.cluster.gateway.run("ip", "rule", "del", "priority", "10")
        forged.close()
        await rome.gateway.apply(rome.gateway_state)
        await asyncio.to_thread(ping, rome.cluster.pod, SEEN_POD, 64)
        assert capture.seen(UDP) == {(SEEN_POD, POD)}, "only the honest one"
        capture.close()


async def test_a_second_look_changes_nothing_and_removal_leaves_nothing(
    pair: tuple[Cluster, Cluster],
) -> None:
    def snapshot(namespace: Namespace) -> list[str]:
        commands = (
            ("ip", "-o", "link"), ("ip", "-o", "-4", "addr"), ("ip", "-4", "route", "show", "table", "all"),
            ("ip", "rule"), ("ip", "neigh", "show", "nud", "permanent"), ("nft", "list", "ruleset"),
            ("sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter"),
        )  # fmt: skip
        return [line for command in commands for line in namespace.run(*command).splitlines()]

    rome, _ = pair
    rome.node.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    before = set(snapshot(rome.node)), set(snapshot(rome.gateway))
    async with joined(pair) as (side, _):
        assert await side.node.apply(side.node_state) == []
        assert await side.gateway.apply(side.gateway_state) == []
        await side.node.remove()
        await side.gateway.remove()
        after = set(snapshot(rome.node)), set(snapshot(rome.gateway))
    assert after[0] ^ before[0] == set()
    assert after[1] ^ before[1] == set()


async def test_what_someone_else_broke_is_repaired(pair: tuple[Cluster, Cluster]) -> None:
    node = pair[0].node
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=0")

    def present() -> list[str]:
        commands = (
            ("nft", "-s", "list", "table", "ip", "isthmus"), ("ip", "route", "show", "table", "6091"), ("ip", "rule"),
            ("ip", "neigh", "show", "dev", "isthmus0"), ("ip", "-4", "-br", "addr", "show", "dev", "isthmus0"),
        )  # fmt: skip
        (link,) = json.loads(node.run("ip", "-j", "link", "show", "dev", "isthmus0"))
        # The alias notes what is to be put back at the end, and must survive whatever else is lost.
        return [*(node.run(*command) for command in commands), link["ifalias"]]

    plane, state = DataPlane(node.commands), plan_node(node_facts())
    await plane.apply(state)
    before = present()
    for harm in (
        ("nft", "flush", "ruleset"),
        ("nft", "flush", "chain", "ip", "isthmus", "sources"),
        ("ip", "link", "del", "isthmus0"),
        ("ip", "link", "set", "isthmus0", "down"),
        ("ip", "rule", "del", "priority", "500"),
        ("ip", "route", "flush", "table", "6091"),
        ("ip", "neigh", "del", "10.80.0.2", "dev", "isthmus0"),
    ):
        node.run(*harm)
        assert await plane.apply(state), harm
        assert present() == before, harm


async def test_a_packet_of_the_overlay_that_comes_by_the_tunnel_is_dropped(
    pair: tuple[Cluster, Cluster],
) -> None:
    async with joined(pair) as (rome, milan):
        # Rome turns hostile: a packet of its own in a packet of the overlay, to milan's gateway itself.
        rome.cluster.gateway.run("nft", "flush", "ruleset")
        rome.cluster.gateway.run(
            "ip", "rule", "add", "priority", "10", "to", "169.254.18.1", "lookup", "main"
        )
        counted = ("nft", "list", "chain", "ip", "isthmus", "liveness")
        assert "counter packets 0" in milan.cluster.gateway.run(*counted)
        hostile = rome.cluster.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM)
        hostile.sendto(b"\x08" + bytes(60), ("169.254.18.1", 6091))
        hostile.close()
        await until(lambda: "counter packets 1" in milan.cluster.gateway.run(*counted), 5.0)

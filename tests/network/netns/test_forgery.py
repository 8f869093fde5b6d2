"""A pod at home puts packets of its own into the overlay's: the gateway takes none, and tells nobody how it would."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack, closing

import pytest

from isthmus.network.dataplane import hops, overlay
from tests.network.netns.joined import GATEWAY_OVERLAY, GATEWAY_UID, NODE_OVERLAY, SEEN_POD, joined
from tests.network.netns.support import GATEWAY, NODE_INSIDE, POD, Capture, Cluster, Namespace
from tests.network.netns.test_keeping import until

UDP = socket.IPPROTO_UDP
IPV4, ARP = 0x0800, 0x0806
OTHER_POD = "10.244.7.7"
"""A pod that the forger is not."""
EVERYBODY = "ff:ff:ff:ff:ff:ff"
FORMER = "0a:00:0a:50:00:02"
"""What a forger makes up from the overlay address alone."""


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _vxlan(mac: str, kind: int, payload: bytes) -> bytes:
    header = struct.pack("!II", 0x08000000, hops.OVERLAY_ID << 8)
    return header + _octets(mac) + b"\x0a\x00\x00\x00\x00\x01" + struct.pack("!H", kind) + payload


def _datagram(source: str, destination: str) -> bytes:
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        34,
        1,
        0,
        64,
        UDP,
        0,
        socket.inet_aton(source),
        socket.inet_aton(destination),
    )
    words = struct.unpack("!10H", head)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    check = ~(total + (total >> 16)) & 0xFFFF
    return (
        head[:10] + struct.pack("!H", check) + head[12:] + struct.pack("!HHHH", 7777, 7777, 14, 0) + b"forged"
    )


def _question(address: str) -> bytes:
    """Who has that address? Tell the forger."""
    asker = b"\x0a\x00\x00\x00\x00\x01" + socket.inet_aton(SEEN_POD)
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + asker + bytes(6) + socket.inet_aton(address)


def _send(pod: Namespace, to: str, packet: bytes) -> None:
    with pod.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(packet, (to, hops.OVERLAY_PORT))


def _forged(capture: Capture) -> bool:
    return any(source == OTHER_POD for source, _ in capture.seen(UDP))


async def test_a_gateway_takes_only_packets_that_are_addressed_as_nobody_but_nodes_can(
    pair: tuple[Cluster, Cluster],
) -> None:
    async with joined(pair) as (rome, _), AsyncExitStack() as stack:
        pod = rome.cluster.pod
        space = rome.cluster.gateway
        tunnel, inside = (
            stack.enter_context(closing(space.capture(name))) for name in (hops.TUNNEL, hops.OVERLAY)
        )
        for mac in (EVERYBODY, FORMER, "01:00:5e:00:00:01"):
            _send(pod, GATEWAY, _vxlan(mac, IPV4, _datagram(OTHER_POD, SEEN_POD)))
        # They reached the device, and went no further.
        await until(lambda: _forged(inside), 5.0)
        await asyncio.sleep(0.2)
        assert not _forged(tunnel)
        # The test could see one that went through.
        known = overlay.mac(GATEWAY_OVERLAY, GATEWAY_UID)
        _send(pod, GATEWAY, _vxlan(known, IPV4, _datagram(OTHER_POD, SEEN_POD)))
        await until(lambda: _forged(tunnel), 5.0)


@pytest.mark.parametrize("target", ["gateway", "node"])
async def test_nobody_who_asks_is_told_the_link_layer_address(
    pair: tuple[Cluster, Cluster], target: str
) -> None:
    async with joined(pair) as (rome, _):
        # Addresses that the kernel would answer for: where it would take a packet to itself.
        space, outer, address = (
            (rome.cluster.gateway, GATEWAY, hops.CLIENT_ADDRESS)
            if target == "gateway"
            else (rome.cluster.node, NODE_INSIDE, NODE_OVERLAY)
        )
        with closing(rome.cluster.pod.capture("eth0")) as answers:
            _send(rome.cluster.pod, outer, _vxlan(EVERYBODY, ARP, _question(address)))
            await asyncio.sleep(0.5)
            assert (outer, POD) not in answers.seen(UDP)
            # With ARP on the same question is answered, so the test could see it.
            space.run("ip", "link", "set", hops.OVERLAY, "arp", "on")
            _send(rome.cluster.pod, outer, _vxlan(EVERYBODY, ARP, _question(address)))
            await until(lambda: (outer, POD) in answers.seen(UDP), 5.0)
        assert "inet6" not in space.run("ip", "addr", "show", "dev", hops.OVERLAY)

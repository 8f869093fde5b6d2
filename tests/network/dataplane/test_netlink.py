"""Which of the kernel's many notifications wake us: those about our devices, routes, rules and tables."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import Any

import pytest

from isthmus.network.dataplane import netlink
from isthmus.network.dataplane.netlink import Wakeups, concerns_routes, concerns_tables

OURS, THEIRS = 7, 8


def message(kind: int, body: bytes = b"") -> bytes:
    """One message of netlink, padded as the kernel does."""
    data = netlink.HEADER.pack(netlink.HEADER.size + len(body), kind, 0, 0, 0) + body
    return data + bytes(-len(data) % 4)


def about_device(kind: int, index: int) -> bytes:
    return message(kind, struct.pack("=BBHi", 0, 0, 0, index) + bytes(8))


def about_route(kind: int, protocol: int) -> bytes:
    return message(kind, bytes([2, 24, 0, 0, 254, protocol, 0, 1]) + bytes(4))


@pytest.mark.parametrize(
    ("data", "wakes"),
    [
        (about_device(netlink.NEW_LINK, OURS), True),
        (about_device(netlink.DELETED_LINK, OURS), True),
        (about_device(netlink.DELETED_ADDRESS, OURS), True),
        (about_device(netlink.DELETED_NEIGHBOUR, OURS), True),
        (about_device(netlink.NEW_LINK, THEIRS), False),
        (about_device(28, OURS), False),
        (about_route(netlink.DELETED_ROUTE, 191), True),
        (about_route(netlink.DELETED_ROUTE, 2), False),
        (about_route(netlink.DELETED_RULE, 0), True),
        (about_device(netlink.NEW_LINK, THEIRS) + about_route(netlink.NEW_ROUTE, 191), True),
        (about_device(netlink.NEW_LINK, THEIRS) * 3, False),
        (netlink.HEADER.pack(4, 0, 0, 0, 0) + bytes(64), False),
        (b"", False),
        (b"\x00" * 7, False),
    ],
)
def test_of_devices_routes_and_rules_ours_wake(data: bytes, wakes: bool) -> None:
    assert concerns_routes(data, {OURS}) is wakes


@pytest.mark.parametrize(
    ("data", "wakes"),
    [
        (message(0xA00 | 0, b"isthmus\0"), True),
        (message(0xA00 | 6, b"isthmus_user_1\0"), True),
        (message(0xA00 | 12, b"isthmus_lead\0"), False),
        (message(0xA00 | 14, b"isthmus_lead\0"), False),
        (message(0xA00 | 12, b"isthmus_lead\0") + message(0xA00 | 6, b"isthmus\0"), True),
        (message(0xA00 | 12, b"isthmus\0") + message(0xA00 | 6, b"kube-proxy\0"), False),
        (message(0xA00 | 0, b"kube-proxy\0"), False),
        (netlink.HEADER.pack(4, 0, 0, 0, 0) + b"isthmus\0", True),
    ],
)
def test_of_tables_ours_wake_and_not_by_the_elements_of_a_set(data: bytes, wakes: bool) -> None:
    assert concerns_tables(data) is wakes


class Kernel:
    """The sockets that are opened, and the kernel's ends of them."""

    def __init__(self) -> None:
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        self.ends: dict[int, socket.socket] = {}
        self.groups: list[int] = []
        self.overflows = 0

    def open(self, family: int, kind: int, protocol: int) -> Any:
        assert family == socket.AF_NETLINK
        ours, self.ends[protocol] = self._pairs.pop()
        ours.setblocking(False)
        kernel = self

        class Opened:
            fileno, close = ours.fileno, ours.close

            def bind(self, address: tuple[int, int]) -> None:
                kernel.groups.append(address[1])

            def recv(self, size: int) -> bytes:
                data = ours.recv(size)
                if kernel.overflows:
                    kernel.overflows -= 1
                    raise OSError(errno.ENOBUFS, "No buffer space available")
                return data

        return Opened()


async def test_it_is_heard_until_it_is_closed_and_what_was_lost_wakes_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel, woken = Kernel(), asyncio.Queue[None]()

    async def wakes() -> None:
        async with asyncio.timeout(5):
            await woken.get()

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", kernel.open)
        wakeups = Wakeups(lambda: woken.put_nowait(None), lambda: {OURS})
        wakeups.open()
    routes, tables = kernel.ends[socket.NETLINK_ROUTE], kernel.ends[netlink.NETLINK_NETFILTER]
    assert kernel.groups == [netlink.ROUTE_GROUPS, netlink.NFTABLES_GROUP]
    routes.send(about_device(netlink.NEW_LINK, THEIRS))
    tables.send(message(0xA00, b"kube-proxy\0"))
    routes.send(about_device(netlink.NEW_LINK, OURS))
    await wakes()
    tables.send(message(0xA00, b"isthmus\0"))
    await wakes()
    kernel.overflows = 1
    routes.send(about_device(netlink.NEW_LINK, THEIRS))
    await wakes()
    assert woken.empty()
    wakeups.close()
    with pytest.raises(OSError, match="Connection refused"):
        routes.send(b"x")
    for end in kernel.ends.values():
        end.close()

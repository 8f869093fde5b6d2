"""A socket that says when the kernel changed something that may be ours. It only wakes; nothing is read from it.

Owned by `keeper`. Of the many notifications of a busy node all are dropped here that cannot be about our devices,
routes, rules or tables; a queue that overflowed wakes as well, since what was lost may have been about us.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Set

from isthmus.network.dataplane.hops import PROTOCOL, TABLE

NETLINK_NETFILTER = 12
ROUTE_GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80
"""Links, neighbours, IPv4 addresses, IPv4 routes, IPv4 rules."""
NFTABLES_GROUP = 1 << (7 - 1)
NEW_LINK, DELETED_LINK, NEW_ADDRESS, DELETED_ADDRESS = 16, 17, 20, 21
NEW_ROUTE, DELETED_ROUTE, DELETED_NEIGHBOUR, NEW_RULE, DELETED_RULE = 24, 25, 29, 32, 33
BY_INDEX = {NEW_LINK, DELETED_LINK, NEW_ADDRESS, DELETED_ADDRESS, DELETED_NEIGHBOUR}
SET_ELEMENTS = {12, 14}
"""nftables' messages of new and deleted elements; those of a rule's own set cannot change without the rule."""
HEADER = struct.Struct("=IHHII")
BUFFER = 65536


def concerns_routes(data: bytes, indexes: Set[int]) -> bool:
    """Whether a datagram of rtnetlink has a message about a device of `indexes`, a route of ours, or any rule."""
    offset = 0
    while offset + HEADER.size + 8 <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, offset)
        body = offset + HEADER.size
        if kind in BY_INDEX and struct.unpack_from("=i", data, body + 4)[0] in indexes:
            return True
        if kind in (NEW_ROUTE, DELETED_ROUTE) and data[body + 5] == PROTOCOL:
            return True
        if kind in (NEW_RULE, DELETED_RULE):
            return True
        if length < HEADER.size:
            return False
        offset += (length + 3) & ~3
    return False


def concerns_tables(data: bytes) -> bool:
    """Whether a datagram of nftables names a table of ours, other than in the elements of a set that has a timeout."""
    if TABLE.encode() not in data:
        return False
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return True
        if kind & 0xFF not in SET_ELEMENTS and TABLE.encode() in data[offset : offset + length]:
            return True
        offset += (length + 3) & ~3
    return False


class Wakeups:
    """Calls `wake` on every notification that may be about us, from `open` to `close`."""

    def __init__(self, wake: Callable[[], None], devices: Callable[[], Set[int]]) -> None:
        self._wake = wake
        self._devices = devices
        self._sockets: list[socket.socket] = []

    def open(self) -> None:
        """Listen in this thread's network namespace. Raises OSError where netlink is not allowed."""
        loop = asyncio.get_running_loop()
        for protocol, groups in (
            (socket.NETLINK_ROUTE, ROUTE_GROUPS),
            (NETLINK_NETFILTER, NFTABLES_GROUP),
        ):
            one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
            self._sockets.append(one)
            one.bind((0, groups))
            loop.add_reader(one, self._read, one, protocol)

    def close(self) -> None:
        """Stop listening."""
        for one in self._sockets:
            asyncio.get_running_loop().remove_reader(one)
            one.close()
        self._sockets.clear()

    def _read(self, one: socket.socket, protocol: int) -> None:
        indexes = self._devices() if protocol == socket.NETLINK_ROUTE else frozenset()
        while True:
            try:
                data = one.recv(BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._wake()
                continue
            if concerns_tables(data) if protocol == NETLINK_NETFILTER else concerns_routes(data, indexes):
                self._wake()

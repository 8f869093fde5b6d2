"""Sockets that are played: the kernel's notifications, and the two ends of a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from isthmus.network.dataplane import keeper

WAKES: list[Callable[[], None]] = []
"""How to wake those that listen, the latest last."""


class Heard:
    """In place of `Wakeups`: the kernel tells what a test has it tell."""

    def __init__(self, wake: Callable[[], None], devices: object) -> None:
        self._wake = wake

    def open(self) -> None:
        WAKES.append(self._wake)

    def close(self) -> None:
        WAKES.remove(self._wake)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have keepers hear what a test tells, and nothing of this machine's own kernel."""
    monkeypatch.setattr(keeper, "Wakeups", Heard)


class Wire:
    """Two ends of a tunnel; while it is `cut` nothing passes, while `absent` an end has no address."""

    def __init__(self) -> None:
        self.cut = self.absent = False
        self.lag = 0.0
        """Seconds that a datagram takes."""
        self.opened: dict[str, socket.socket] = {}
        self.sent = 0

    def end(self) -> Any:
        wire = self
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        theirs.setblocking(False)

        class End:
            fileno, setblocking = ours.fileno, ours.setblocking

            def bind(self, address: tuple[str, int]) -> None:
                if wire.absent:
                    raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
                self.address = address
                wire.opened[address[0]] = theirs

            def sendto(self, data: bytes, address: tuple[str, int]) -> None:
                wire.sent += 1
                if wire.cut:
                    raise OSError(errno.ENOKEY, "Required key not available")
                if (other := wire.opened.get(address[0])) is not None:
                    whole = self.address[0].encode().ljust(16) + data
                    asyncio.get_running_loop().call_later(wire.lag, _send, other, whole)

            def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
                data = ours.recv(size + 16)
                return data[16:], (data[:16].decode().strip(), 12345)

            def close(self) -> None:
                if wire.opened.get(getattr(self, "address", ("",))[0]) is theirs:
                    del wire.opened[self.address[0]]
                ours.close()
                theirs.close()

        return End()


def _send(end: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # Closed on the way.
        end.send(data)

"""The asyncio side of liveness: one UDP socket on our end of the tunnel, a ping every interval, the Connection.

Owns the socket and two loops while `run` lasts. A socket that fails is made anew; an API server that is gone delays
only the status, never the pings, which also keep the mapping of a NAT before the client open.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from isthmus.kube.errors import KubeError
from isthmus.network.dataplane.hops import PING_PORT
from isthmus.network.gateway.connection import Reporter
from isthmus.network.gateway.liveness import CONNECTED, LONGEST, Liveness

logger = logging.getLogger(__name__)

Write = Callable[[str, float | None], Awaitable[None]]
"""Writes state and latency (seconds); raises KubeError."""


class Pinger:
    """Liveness of one tunnel; `changed` is called whenever the state changes."""

    def __init__(
        self,
        liveness: Liveness,
        reporter: Reporter,
        write: Write,
        *,
        addresses: tuple[str, str],
        interval: float,
        changed: Callable[[], None] = lambda: None,
        make_socket: Callable[[], socket.socket] | None = None,
    ) -> None:
        self.liveness = liveness
        self._reporter = reporter
        self._write = write
        self._own, self._peer = addresses
        self._interval = interval
        self._changed = changed
        self._make_socket = make_socket or _udp
        self._news = asyncio.Event()
        self._nudged = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether answers come."""
        return self.liveness.value == CONNECTED

    @property
    def silence(self) -> float:
        """Seconds since the last answer."""
        return self.liveness.silence(asyncio.get_running_loop().time())

    def nudge(self) -> None:
        """Ping at once."""
        self._nudged.set()

    async def run(self) -> None:
        """Ping, answer and report until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ping())
            group.create_task(self._report())

    async def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            one = self._make_socket()
            try:
                one.setblocking(False)
                one.bind((self._own, PING_PORT))
                loop.add_reader(one, self._read, one)
                while True:
                    self._send(one)
                    await self._pause()
                    self._check()
            except OSError as error:
                logger.debug("liveness on %s: %s", self._own, error)
                await asyncio.sleep(self._interval)
                self._check()
            finally:
                loop.remove_reader(one)
                one.close()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval):
                await self._nudged.wait()
        except TimeoutError:
            return
        self._nudged.clear()

    def _send(self, one: socket.socket) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        data = self.liveness.ping(asyncio.get_running_loop().time(), stamp)
        try:
            one.sendto(data, (self._peer, PING_PORT))
        except OSError as error:
            # No key or no endpoint yet, or no route: that is what a ping is to find out.
            logger.debug("no ping to %s: %s", self._peer, error)

    def _read(self, one: socket.socket) -> None:
        before = self.liveness.value
        while True:
            try:
                data, address = one.recvfrom(LONGEST + 1)
            except OSError:
                break
            answer = self.liveness.receive(data, address[0], asyncio.get_running_loop().time())
            if answer is not None:
                try:
                    one.sendto(answer, address)
                except OSError as error:
                    logger.debug("no answer to %s: %s", address[0], error)
        self._tell(before)

    def _check(self) -> None:
        before = self.liveness.value
        self.liveness.check(asyncio.get_running_loop().time())
        self._tell(before)

    def _tell(self, before: str) -> None:
        if self.liveness.value != before:
            logger.info("the tunnel is %s", self.liveness.value)
            self._changed()
            self._news.set()

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        failed = False
        while True:
            value, latency = self.liveness.value, self.liveness.latency
            if self._reporter.due(value, latency, loop.time()):
                try:
                    await self._write(value, latency)
                    self._reporter.written(value, latency, loop.time())
                    failed = False
                except KubeError as error:
                    if not failed:
                        logger.warning("the Connection cannot be written, trying again: %s", error)
                    failed = True
            try:
                async with asyncio.timeout(self._interval):
                    await self._news.wait()
                self._news.clear()
            except TimeoutError:
                continue


def _udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

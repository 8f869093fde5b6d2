"""Where a client's server is: names resolved, and resolved again, since addresses change under a name.

Owns one loop while `run` lasts. While the tunnel does not work it asks every 5 s (for 10 minutes, then as often as
otherwise: every 5 minutes) and goes on to the next address in turn. A name that cannot be resolved keeps the last.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from isthmus.api.cidr import parse_address

logger = logging.getLogger(__name__)

SOON, URGENT_FOR, RARELY = 5.0, 600.0, 300.0
PATIENCE = 3
"""Looks at one address that does not answer, before the next one has its turn."""


def is_address(text: str) -> bool:
    """Whether it is an IPv4 address rather than a name."""
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


class Endpoint:
    """The server's endpoint as `address:port` in `current`, "" until it is known; `addresses` may be told later."""

    def __init__(
        self, addresses: list[str], port: int, *, alive: Callable[[], bool], changed: Callable[[], None]
    ) -> None:
        self._addresses = addresses
        self._port = port
        self._alive = alive
        self._changed = changed
        self._turn = 0
        self._pointed = asyncio.Event()
        self.current = ""

    def point(self, addresses: list[str], port: int) -> None:
        """Look for the server elsewhere from now on; at once where that differs."""
        if (addresses, port) != (self._addresses, self._port):
            self._addresses, self._port, self._turn = addresses, port, 0
            self._pointed.set()

    async def run(self) -> None:
        """Keep `current` true until cancelled."""
        loop = asyncio.get_running_loop()
        waiting_since = loop.time()
        looks = 0
        while True:
            if self._alive():
                waiting_since, looks = loop.time(), 0
            else:
                looks += 1
                if looks > PATIENCE and len(self._addresses) > 1:
                    self._turn, looks = self._turn + 1, 1
            await self._look()
            urgent = not self._alive() and loop.time() - waiting_since < URGENT_FOR
            if await self._sleep(SOON if urgent else RARELY):
                waiting_since, looks = loop.time(), 0

    async def _sleep(self, seconds: float) -> bool:
        """Wait, but no longer than until the server is looked for elsewhere; whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self._pointed.wait()
        except TimeoutError:
            return False
        self._pointed.clear()
        return True

    async def _look(self) -> None:
        if not self._addresses:
            return  # Not told yet.
        name = self._addresses[self._turn % len(self._addresses)]
        address = name if is_address(name) else await self._resolve(name)
        if self._pointed.is_set():
            return  # Told otherwise while the name was resolved.
        endpoint = f"{address}:{self._port}" if address else self.current
        if endpoint != self.current:
            logger.info("the server is at %s%s", endpoint, "" if address == name else f" ({name})")
            self.current = endpoint
            self._changed()

    async def _resolve(self, name: str) -> str:
        try:
            async with asyncio.timeout(SOON):
                found = await asyncio.get_running_loop().getaddrinfo(
                    name, self._port, family=socket.AF_INET, type=socket.SOCK_DGRAM
                )
        except (OSError, TimeoutError) as error:
            logger.warning(
                "%s cannot be resolved, trying again: %s", name[:253], error or "no answer in time"
            )
            return ""
        addresses = sorted({str(entry[4][0]) for entry in found})
        # One that is in use and still announced stays: a name with several addresses lists them in any order.
        used = self.current.rpartition(":")[0]
        return used if used in addresses else addresses[0]

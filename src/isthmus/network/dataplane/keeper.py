"""Keeping a host in its desired state for months: at every wake-up, and every 30 s whatever happens.

A `Keeper` owns the netlink sockets and one loop while `run` lasts. Ending it leaves the data path in place: traffic
must not stop because an agent is restarted. What cannot be applied is logged once and tried again with a growing,
bounded delay.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from isthmus.kube.retry import backoff, jitter
from isthmus.network.dataplane.apply import DEVICES, DataPlane
from isthmus.network.dataplane.commands import CommandError
from isthmus.network.dataplane.netlink import Wakeups
from isthmus.network.dataplane.state import State

logger = logging.getLogger(__name__)

RESYNC = 30.0
"""Seconds between looks at what is there when nothing wakes us."""
SETTLE = 0.02
"""Seconds that wake-ups are collected: they come in bursts."""

Plan = Callable[[], Awaitable[State]]


class Keeper:
    """Applies what `plan` returns, again and again; `after` is called when everything is in place."""

    def __init__(
        self, plane: DataPlane, plan: Plan, after: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._plane = plane
        self._plan = plan
        self._after = after
        self._awake = asyncio.Event()
        self._failures = 0
        self._look = True
        self._last: State | None = None
        self._refused: tuple[str, ...] = ()
        self._indexes: frozenset[int] = frozenset()
        self.applied = asyncio.Event()
        """Set once the desired state was in place."""
        self.faults: tuple[str, ...] = ()
        """What does not work at present, in words."""

    def wake(self) -> None:
        """Look soon at what is there; never waits."""
        self._look = True
        self._awake.set()

    def replan(self) -> None:
        """Plan again soon, and look only where the plan is another: most changes of objects change nothing here."""
        self._awake.set()

    async def run(self) -> None:
        """Keep the state until cancelled."""
        wakeups = Wakeups(self.wake, lambda: self._indexes)
        try:
            try:
                wakeups.open()
            except OSError as error:
                logger.warning(
                    "the kernel's notifications cannot be heard, looking every %.0f s: %s", RESYNC, error
                )
            while True:
                self._awake.clear()
                delay = await self._once()
                try:
                    async with asyncio.timeout(delay):
                        await self._awake.wait()
                except TimeoutError:
                    self._look = True
                    continue
                await asyncio.sleep(SETTLE)
        finally:
            wakeups.close()

    async def _once(self) -> float:
        """Apply once; seconds until the next look."""
        try:
            state = await self._plan()
            if not self._look and state == self._last:
                return RESYNC
            self._look, self._last = False, None
            self._report(state)
            changed = await self._plane.apply(state)
            self._indexes = device_indexes()
            if self._after is not None:
                await self._after()
            self._last = state
        except (CommandError, OSError, ValueError) as error:
            self._look = True
            self.faults = (str(error),)
            self._failures += 1
            if self._failures == 1:
                logger.error("applying the data path failed, retrying: %s", error)
            return min(RESYNC, backoff(self._failures, first=0.5, longest=RESYNC, random=jitter()))
        if changed:
            logger.info(
                "changed: %s%s", "; ".join(changed[:8]), f" and {len(changed) - 8} more" * (len(changed) > 8)
            )
        if self._failures:
            logger.info("the data path is as it should be again")
        self._failures, self.faults = 0, state.refused
        self.applied.set()
        return RESYNC

    def _report(self, state: State) -> None:
        if state.refused != self._refused:
            for line in state.refused:
                logger.warning("left out: %s", line)
            self._refused = state.refused


def device_indexes() -> frozenset[int]:
    """The kernel's numbers of our devices that exist."""
    found = set()
    for name in DEVICES:
        try:
            found.add(socket.if_nametoindex(name))
        except OSError:
            continue
    return frozenset(found)

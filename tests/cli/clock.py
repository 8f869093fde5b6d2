"""Time for commands that wait: it passes while they pause between two looks, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Clock:
    """Stands for the modules `time` and `asyncio` in what waits. Requests take no time, pauses take only this one."""

    def __init__(self) -> None:
        self._now = 0.0
        self._ends: list[float] = []

    def monotonic(self) -> float:
        """Seconds that were waited so far."""
        return self._now

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """End the block with a TimeoutError in the first pause that is longer than what is left."""
        end = self._now + seconds
        self._ends.append(end)
        try:
            yield
        finally:
            self._ends.remove(end)

    async def sleep(self, seconds: float) -> None:
        """Pause; whoever acts meanwhile does so first."""
        await asyncio.sleep(0.001)
        self._now = min(self._now + seconds, *self._ends)
        if self._now in self._ends:
            raise TimeoutError

"""Virtual time for a whole test: what waits on its loop waits no real time, and all its clocks agree.

A module says `pytestmark = VIRTUAL_TIME` and has `from tests.apiserver.clock import VIRTUAL_TIME, clock` (a fixture,
in its conftest.py or itself). Sleeps, timeouts and timers of the loop then jump (looptime), as soon as nothing but
time can bring the test on: requests to servers in memory are done first. `time.monotonic` and `time.time`, which
ages and deadlines in objects are reckoned by, go with the loop; so do the timestamps of an `ApiServer`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

START = 1000.0
"""The loop's time when a test begins: not 0, which some code may take for never."""
VIRTUAL_TIME = [pytest.mark.looptime(start=START), pytest.mark.usefixtures("clock")]


class Clock:
    """The time of the running test; outside of its loop the real one."""

    def __init__(self) -> None:
        self._monotonic, self._time = time.monotonic, time.time
        self._begun = time.time()

    def monotonic(self) -> float:
        """Seconds as the loop counts them."""
        elapsed = self._elapsed()
        return self._monotonic() if elapsed is None else START + elapsed

    def time(self) -> float:
        """Seconds since 1970: the real ones at the beginning, then as many later as the loop has counted."""
        elapsed = self._elapsed()
        return self._time() if elapsed is None else self._begun + elapsed

    def _elapsed(self) -> float | None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        return loop.time() - START if getattr(loop, "looptime_on", False) else None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have the clocks go with the loop."""
    clock = Clock()
    real: list[tuple[str, Callable[[], float]]] = [("monotonic", clock.monotonic), ("time", clock.time)]
    for name, function in real:
        monkeypatch.setattr(time, name, function)
    return clock


async def eventually(holds: Callable[[], Awaitable[bool]], timeout: float = 10.0) -> None:
    """Wait for what no API server tells of: in virtual time looking again and again costs nothing."""
    async with asyncio.timeout(timeout):
        while not await holds():  # noqa: ASYNC110 -- there is no event for it
            await asyncio.sleep(0.1)

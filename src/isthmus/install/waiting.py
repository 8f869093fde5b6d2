"""Waiting for the cluster to get somewhere, never without a bound.

Polls, quickly at first. An API server that cannot be reached meanwhile is waited for too: installing must survive
its restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from isthmus.install.progress import Step
from isthmus.kube.errors import ServerError, TooManyRequests, TransportError

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0


class Deadline:
    """The moment to give up, by the clock of the running event loop; `seconds` is what was allowed in all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = asyncio.get_running_loop().time() + seconds

    def left(self) -> float:
        """Seconds until then, never below zero."""
        return max(0.0, self._end - asyncio.get_running_loop().time())

    def within(self, seconds: float) -> Deadline:
        """The same moment, or one `seconds` from now where that is earlier."""
        return Deadline(min(seconds, self.left()))


async def wait_until(missing: Callable[[], Awaitable[str]], deadline: Deadline, step: Step) -> bool:
    """Call `missing` until it answers "": nothing is missing any more. False where time ran out before.

    What it answers meanwhile is shown as the step's detail. The last look is never cut short, so that even
    without any time left a cluster that has everything is found to have it.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            answer = await missing()
        except (TransportError, ServerError, TooManyRequests) as error:
            answer = str(error)
        if not answer:
            return True
        step.update(answer)
        if deadline.left() <= 0:
            return False
        await asyncio.sleep(min(pause, deadline.left()))
        pause = min(pause * 1.3, LONGEST_PAUSE)

"""Waiting for a cluster to get somewhere, with a bound.

Polls, because the least-privilege peering user may not watch (wire.md 7), quickly at first so that a peering
that takes half a second is not rounded up. A cluster that cannot be reached meanwhile is waited for too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from isthmus.cli.errors import CommandError
from isthmus.cli.progress import Step, format_seconds
from isthmus.kube.errors import ServerError, TooManyRequests, TransportError

T = TypeVar("T")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0


class Deadline:
    """The moment a command gives up, set when it starts; `seconds` is what the user allowed in all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then, never below zero."""
        return max(0.0, self._end - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """The same moment, or one `seconds` from now where that is earlier."""
        return Deadline(min(seconds, self.left()))


async def wait_for(
    read: Callable[[], Awaitable[T | None]], deadline: Deadline, step: Step, missing: str, mend: str = ""
) -> T:
    """Call `read` until it gives something; what it raises ends the waiting.

    Raises CommandError saying that `missing` did not come about in time, with the last detail of the step.
    """
    pause = FIRST_PAUSE
    try:
        async with asyncio.timeout(deadline.left()):
            while True:
                try:
                    found = await read()
                except (TransportError, ServerError, TooManyRequests) as error:
                    step.update(str(error))
                    found = None
                if found is not None and found is not False:
                    return found
                await asyncio.sleep(pause)
                pause = min(pause * 1.3, LONGEST_PAUSE)
    except TimeoutError:
        last = f" ({step.detail})" if step.detail else ""
        raise CommandError(
            f"{missing} within {format_seconds(deadline.seconds)}{last}", mend or "see --timeout"
        ) from None

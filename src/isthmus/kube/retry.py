"""Whether a failed request is sent again, and when: pure decisions, no clock and no I/O of their own.

Back-off is exponential with full jitter in the upper half, so that many clients of a server that comes back do
not arrive at once, and none returns at once.
"""

from __future__ import annotations

import os

from isthmus.kube.errors import ApiError, ServerError, TooManyRequests, TransportError

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
LONGEST_RETRY_AFTER = 300.0
"""Seconds a server's Retry-After is obeyed at most: what a remote cluster says must not stop us for good."""


def jitter() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


def backoff(attempt: int, *, first: float, longest: float, factor: float = 2.0, random: float) -> float:
    """Seconds to wait after the failed attempt number `attempt` (0 is the first); `random` in [0, 1)."""
    ceiling = min(longest, first * factor ** min(attempt, 64))
    return ceiling * (0.5 + random / 2)


def bounded_retry_after(error: BaseException) -> float | None:
    """The seconds the server asked to wait, bounded; None where it asked for nothing."""
    if isinstance(error, ApiError) and error.retry_after is not None:
        return min(max(error.retry_after, 0.0), LONGEST_RETRY_AFTER)
    return None


def plan_retry(error: Exception, attempt: int, *, idempotent: bool, random: float) -> float | None:
    """Seconds after which the request is sent again, None where the error is the answer.

    A request that surely was not acted on (no connection, or 429) may always be repeated; one whose fate is
    not known, and a 5xx, only when repeating it does no harm (`idempotent`).
    """
    delay = backoff(attempt, first=FIRST_DELAY, longest=LONGEST_DELAY, random=random)
    if isinstance(error, TooManyRequests):
        asked = bounded_retry_after(error)
        return delay if asked is None else asked + delay * 0.1
    if isinstance(error, ServerError):
        if not idempotent or error.code in (501, 505):
            return None
        return max(delay, bounded_retry_after(error) or 0.0)
    if type(error) is TransportError and (idempotent or not error.sent):
        return delay
    return None

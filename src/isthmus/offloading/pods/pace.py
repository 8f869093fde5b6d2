"""Spreads a burst of new pods over seconds, so that what crosses to the provider does not come all at once.

A new pod costs about 15 kB between the clusters within its first second (its ShadowPod, token and binding), and as
much again while it starts. A hundred at once would want more than 3 Mbit/s of a link that may be a Raspberry Pi's.
Each gets a turn, in the order of asking. Memory only, owned by one virtual node: it decides when, never whether, and
after a restart the pods that still have no ShadowPod ask anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RATE = 12.0
"""Turns a second where few wait; a provider's node of two cores starts about six pods a second."""
SPREAD = 15.0
"""Seconds: from `RATE` times this many waiting ones on, turns come faster the more there are: fleets have the link."""
SLACK = 0.4
"""Seconds for which turns that nobody took may be taken later: a handful of pods does not wait at all."""
FORGOTTEN = 60.0
"""Seconds after which a turn that was not taken no longer counts its pod among those that wait."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Pace:
    """The turns of one virtual node's pods; `clock` gives seconds that only grow, the event loop's by default."""

    def __init__(
        self, clock: Callable[[], float] = _loop_time, *, rate: float = RATE, spread: float = SPREAD
    ) -> None:
        self._clock = clock
        self._rate, self._spread = rate, spread
        self._next = 0.0
        self._turns: dict[str, float] = {}
        """When it is the turn of those that wait, by uid, the earliest first."""

    def wait(self, uid: str) -> float:
        """Seconds until a pod's turn, after which it asks again; 0 when it is its turn, which it has then had."""
        now = self._clock()
        turn = self._turns.get(uid)
        if turn is None:
            self._forget(now)
            turn = max(self._next, now - SLACK)
            self._next = turn + min(1 / self._rate, self._spread / (len(self._turns) + 1))
        if turn > now:
            self._turns[uid] = turn
            return turn - now
        self._turns.pop(uid, None)
        return 0.0

    def _forget(self, now: float) -> None:
        while self._turns:
            uid, turn = next(iter(self._turns.items()))
            if turn > now - FORGOTTEN:
                return
            del self._turns[uid]

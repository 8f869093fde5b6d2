"""Spreading a burst of new pods over a few seconds, so that what crosses to the provider never comes all at once.

Each new pod costs some 50 kB between the clusters, half of it within its first second: a hundred at once would
want more than 5 Mbit/s of a link that may be a Raspberry Pi's. A provider's kubelets start about as many pods a second
as are let through here. The more wait, the faster it goes: none waits much longer than `SPREAD`. Memory only, owned by
one virtual node; it decides when, never whether.
"""

from __future__ import annotations

import time
from collections.abc import Callable

RATE = 7.0
"""Pods a second where few wait."""
SPREAD = 15.0
"""Seconds over which what waits is spread."""
SLACK = 0.3
"""Seconds for which turns that nobody took may be taken later."""
LONGEST = 2.0
"""Seconds after which a pod asks again at the latest: it may have become faster."""
FORGOTTEN = 60.0
"""Seconds after which a pod that did not ask again no longer counts."""


class Pace:
    """The turns of one virtual node's new pods; `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free = clock()
        self._waiting: dict[str, float] = {}
        self._most = 0
        """How many waited at once since nobody did."""

    def wait(self, uid: str) -> float:
        """Seconds after which the pod is to ask again; 0 when it is its turn now, which it then has had."""
        now = self._clock()
        if now >= self._free:
            self._waiting.pop(uid, None)
            # Unused turns hardly add up: a burst after a pause is one all the same.
            self._free = max(self._free, now - SLACK) + self._step()
            if not self._waiting:
                self._most = 0
            return 0.0
        self._waiting[uid] = now
        self._most = max(self._most, len(self._waiting))
        if len(self._waiting) % 100 == 0:
            self._waiting = {one: asked for one, asked in self._waiting.items() if now - asked < FORGOTTEN}
        rank = next(number for number, one in enumerate(self._waiting) if one == uid)
        return min(self._free - now + rank * self._step(), LONGEST)

    def _step(self) -> float:
        return min(1 / RATE, SPREAD / max(1, self._most))

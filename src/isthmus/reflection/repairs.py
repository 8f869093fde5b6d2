"""Not fighting: a repair that somebody at the provider keeps undoing is made ever more slowly.

Without it two controllers that disagree about one field would rewrite it as fast as the API server lets them.
Memory only, of as many entries as there were repairs lately.
"""

from __future__ import annotations

from msgspec import Struct

from isthmus.kube.objects import Key

FREE = 3
"""Repairs of one version of an object that are made at once."""
LONGEST = 120.0
"""Seconds between repairs at the slowest."""


class _Repaired(Struct):
    version: str
    count: int
    next: float


class Repairs:
    """When each object may be repaired again."""

    def __init__(self) -> None:
        self._repaired: dict[Key, _Repaired] = {}

    def pause(self, key: Key, version: str, now: float) -> float:
        """Seconds to wait before this version of an original is written once more, 0 for none."""
        entry = self._repaired.get(key)
        if entry is None or entry.version != version:
            return 0.0
        return max(0.0, entry.next - now)

    def note(self, key: Key, version: str, now: float) -> None:
        """A copy is being changed; the pause doubles from a second on and is forgiven after a quiet time."""
        entry = self._repaired.get(key)
        if entry is None or entry.version != version or now > entry.next + LONGEST:
            self._repaired[key] = _Repaired(version, 1, now)
            return
        entry.count += 1
        if entry.count > FREE:
            entry.next = now + min(LONGEST, 2.0 ** min(entry.count - FREE - 1, 7))
        else:
            entry.next = now

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._repaired.pop(key, None)

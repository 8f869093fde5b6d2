"""A bounded memory of decisions that are good for a while."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Expiring(Generic[K, V]):
    """Values by key, each for `seconds`; beyond `size` the oldest goes first."""

    def __init__(self, seconds: float, size: int = 1024) -> None:
        self._seconds = seconds
        self._size = size
        self._values: dict[K, tuple[float, V]] = {}

    def get(self, key: K, now: float) -> V | None:
        """The value, None where there is none or it is too old."""
        found = self._values.get(key)
        if found is None:
            return None
        if found[0] <= now:
            del self._values[key]
            return None
        return found[1]

    def put(self, key: K, value: V, now: float) -> None:
        """Remember a value from now on."""
        self._values.pop(key, None)
        while len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = (now + self._seconds, value)

"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Object

T = TypeVar("T", bound=Object)

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Reads the present, writes the difference. Returns None, or the seconds after which to be called again.
An exception is logged and the key tried again with exponential, jittered back-off (5 ms to 30 s; a
TooManyRequests or ApiError with retry_after waits that long; Conflict is retried soon without a log)."""


class Controller:
    """A de-duplicating rate-limited queue of keys, informers that feed it and workers that drain it."""

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 1) -> None:
        raise NotImplementedError

    def watch(self, informer: Informer[T], keys: Callable[[T], Iterable[Key]] | None = None) -> None:
        """Feed the queue from an informer: the object's own key, or what `keys` maps it to; on a change
        both the old and the new object are mapped."""
        raise NotImplementedError

    def enqueue(self, key: Key, after: float = 0.0) -> None:
        """Add a key by hand, after a delay in seconds; never waits."""
        raise NotImplementedError

    async def run(self) -> None:
        """Wait for the watched informers to be synced, then reconcile until cancelled. Removes its
        handlers from the informers when it ends; work under way is cancelled."""
        raise NotImplementedError

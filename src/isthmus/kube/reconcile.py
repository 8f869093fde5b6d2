"""The one shape of every controller: informers feed a queue of keys, workers reconcile one key at a time.

Level-triggered: a key says only that something about it may have changed. A `Controller` owns its workers while
`run` lasts and starts them when its informers have their first full list; where one of them may not be read yet
(403, 404) this controller waits and no other. What `reconcile` raises is logged and tried again with bounded,
jittered back-off; other keys go on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from isthmus.kube.errors import Conflict, KubeError
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Object
from isthmus.kube.queue import Queue
from isthmus.kube.retry import backoff, bounded_retry_after, jitter

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Reads the present, writes the difference. Returns None, or the seconds after which to be called again.
An exception is logged and the key tried again with exponential, jittered back-off (5 ms to 30 s; a
TooManyRequests or ApiError with retry_after waits that long; Conflict is retried soon without a log)."""

QUIET_CONFLICTS = 8
"""Conflicts in a row that are taken for ordinary races with other writers."""


def plan_requeue(error: Exception, earlier: int, random: float) -> float:
    """Seconds until a key that failed is tried again, after `earlier` failures in a row."""
    asked = bounded_retry_after(error)
    if asked is not None:
        return asked + random * 0.1 * asked
    longest = 1.0 if isinstance(error, Conflict) and earlier < QUIET_CONFLICTS else 30.0
    return backoff(earlier, first=0.005, longest=longest, random=random)


class Controller:
    """A de-duplicating rate-limited queue of keys, informers that feed it and workers that drain it."""

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 1) -> None:
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._queue = Queue()
        self._sources: list[tuple[Informer[Any], Callable[[Any], Iterable[Key]] | None]] = []
        self._removers: list[Callable[[], None]] = []
        self._running = False

    def watch(self, informer: Informer[T], keys: Callable[[T], Iterable[Key]] | None = None) -> None:
        """Feed the queue from an informer: the object's own key, or what `keys` maps it to; on a change
        both the old and the new object are mapped."""
        self._sources.append((informer, keys))
        if self._running:
            self._attach(informer, keys)

    def enqueue(self, key: Key, after: float = 0.0) -> None:
        """Add a key by hand, after a delay in seconds; never waits."""
        self._queue.add(key, after)

    async def run(self) -> None:
        """Wait for the watched informers to be synced, then reconcile until cancelled. Removes its
        handlers from the informers when it ends; work under way is cancelled."""
        self._running = True
        for informer, keys in self._sources:
            self._attach(informer, keys)
        try:
            for informer, _ in self._sources:
                await informer.synced.wait()
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name} {number}")
        finally:
            self._running = False
            for remove in self._removers:
                remove()
            self._removers.clear()
            self._queue.close()

    def _attach(self, informer: Informer[Any], keys: Callable[[Any], Iterable[Key]] | None) -> None:
        queue = self._queue

        def feed(old: Object | None, new: Object | None) -> None:
            for value in (old, new):
                if value is None:
                    continue
                for key in (value.key,) if keys is None else keys(value):
                    queue.add(key)

        self._removers.append(informer.add_handler(feed))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._handle(key)
            finally:
                self._queue.done(key)

    async def _handle(self, key: Key) -> None:
        try:
            after = await self._reconcile(key)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something inside was cancelled, not we.
            self._retry(key, KubeError("the work was cancelled from within"))
        except Exception as error:
            self._retry(key, error)
        else:
            self._queue.forget(key)
            if after is not None:
                self._queue.add(key, after)

    def _retry(self, key: Key, error: Exception) -> None:
        earlier = self._queue.failed(key)
        delay = plan_requeue(error, earlier, jitter())
        self._queue.add(key, delay)
        if isinstance(error, Conflict) and earlier < QUIET_CONFLICTS:
            return
        logger.warning(
            "reconciling failed: controller=%s, key=%s, failures=%d, again_in=%.2fs, error=%s: %s",
            self.name,
            key,
            earlier + 1,
            delay,
            type(error).__name__,
            error,
            # A fault of ours is worth its traceback, once in a row; what a server says is not.
            exc_info=error if earlier == 0 and not isinstance(error, KubeError | TimeoutError) else None,
        )

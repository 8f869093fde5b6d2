"""Long-running tasks by name, kept alive: one for each peer, virtual node or whatever else comes and goes.

Each name has a supervisor that runs the task, restarts it with bounded back-off when it fails and gives way when
another is asked for under that name: never do two of one name run at a time. `close` stops all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from msgspec import Struct

from isthmus.kube.errors import KubeError
from isthmus.kube.retry import backoff, jitter

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
STABLE_AFTER = 60.0
"""Seconds after which a task that fails is taken to have worked, so that its restart is prompt again."""

Start = Callable[[], Coroutine[Any, Any, None]]


class _Entry(Struct):
    fingerprint: str
    supervisor: asyncio.Task[None]


class TaskSet:
    """Long-running tasks by name, each owned by whoever calls `ensure` (a replicator a peer, a virtual node...).

    A task that fails is logged and started again with bounded back-off; one that returns is forgotten, so that
    the next `ensure` starts it anew.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def ensure(self, name: str, fingerprint: str, start: Start) -> bool:
        """Run `start()` under `name`; when it already runs with another fingerprint, cancel it, wait for
        its end and start anew. True where something was (re)started."""
        entry = self._entries.get(name)
        if entry is not None and entry.fingerprint == fingerprint:
            return False
        self._drop(name)
        supervisor = asyncio.create_task(self._supervise(name, start, self._ending_as(name)), name=name)
        self._entries[name] = _Entry(fingerprint, supervisor)
        return True

    async def stop(self, name: str) -> None:
        """Cancel the task and wait for its end; harmless where there is none."""
        self._drop(name)
        ending = self._ending_as(name) - {asyncio.current_task()}
        if ending:
            await asyncio.wait(ending)

    def names(self) -> Iterable[str]:
        """The names that are running or waiting to be restarted."""
        return list(self._entries)

    async def close(self) -> None:
        """Stop all."""
        for name in list(self._entries):
            self._drop(name)
        ending = self._ending - {asyncio.current_task()}
        while ending:
            await asyncio.wait(ending)
            ending = self._ending - {asyncio.current_task()}

    def _drop(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._ending.add(entry.supervisor)
            entry.supervisor.add_done_callback(self._ending.discard)
            entry.supervisor.cancel()

    def _ending_as(self, name: str) -> set[asyncio.Task[None]]:
        """Every task of that name that was cancelled and has not ended."""
        return {task for task in self._ending if task.get_name() == name}

    async def _supervise(self, name: str, start: Start, previous: set[asyncio.Task[None]]) -> None:
        try:
            if previous:
                await asyncio.wait(previous)
            await self._keep_running(name, start)
        finally:
            entry = self._entries.get(name)
            if entry is not None and entry.supervisor is asyncio.current_task():
                del self._entries[name]

    async def _keep_running(self, name: str, start: Start) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            begun = loop.time()
            try:
                await start()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                error: BaseException = KubeError("it was cancelled from within")
            except Exception as failure:
                error = failure
            else:
                return
            failures = 0 if loop.time() - begun > STABLE_AFTER else failures
            pause = backoff(failures, first=0.5, longest=LONGEST_PAUSE, random=jitter())
            logger.warning(
                "a task failed and is started again: task=%s, again_in=%.1fs, error=%s: %s",
                name,
                pause,
                type(error).__name__,
                error,
                exc_info=error if failures == 0 and not isinstance(error, KubeError) else None,
            )
            failures += 1
            await asyncio.sleep(pause)

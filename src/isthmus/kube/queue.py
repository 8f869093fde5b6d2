"""A queue of keys: each at most once, none worked on twice at a time, delayed or backed off where asked.

The meaning is client-go's: a key added while it is being worked on comes again afterwards; of two delays for a
key the earlier wins. Nothing here waits but `get`; `add` may be called from any handler. Delays are timers of the
event loop, ended by `close`.
"""

from __future__ import annotations

import asyncio
from collections import deque

from isthmus.kube.objects import Key


class Queue:
    """See the module's text. To be used within one running event loop."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()
        self._working: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._wakeups: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key, after: float = 0.0) -> None:
        """Add a key, after a delay in seconds."""
        if after > 0:
            self._delay(key, after)
            return
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._wake()

    async def get(self) -> Key:
        """The next key, to be given back with `done`."""
        while not self._ready:
            future = asyncio.get_running_loop().create_future()
            self._wakeups.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake()  # This wake-up was for a key that another worker must take now.
                raise
            finally:
                if future in self._wakeups:
                    self._wakeups.remove(future)
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """End the work on a key; one added meanwhile is ready now."""
        self._working.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._wake()

    def failed(self, key: Key) -> int:
        """Count a failure of the key; how many there were before in a row."""
        earlier = self._failures.get(key, 0)
        self._failures[key] = earlier + 1
        return earlier

    def forget(self, key: Key) -> None:
        """The key succeeded: its next failure is the first again."""
        self._failures.pop(key, None)

    def close(self) -> None:
        """End all delays."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _delay(self, key: Key, after: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + after
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._wakeups:
            future = self._wakeups.popleft()
            if not future.done():
                future.set_result(None)
                return

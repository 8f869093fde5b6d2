"""The connections of one client: a bounded number for requests, kept a while for the next; one each for streams.

`borrow` waits for one of `size` slots and hands out a kept connection, the most recently used first, else a
fresh one; `give_back` keeps it when its answer was read to the end, else closes it. Watches, followed logs and
upgraded connections take one of their own with `open` and hold no slot, so that they cannot starve requests.
A watch that the server ended leaves its connection with `leave`, and the one that goes on takes it again with
`reopen`: ten watches that each shook hands every few minutes would be most of an idle peering's traffic.
Kept connections are closed after `idle` seconds by a timer that exists only while there are any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from isthmus.kube.errors import TransportError
from isthmus.kube.http import Connection

Dial = Callable[[float], Awaitable[Connection]]
"""Opens a connection within that many seconds."""

FRESH = 1.0
"""Seconds within which a stream takes over a connection: older ones may be dead, and a stream is not repeated."""


class Pool:
    """See the module's text. Made outside a running loop if need be; used within one only."""

    def __init__(self, dial: Dial, *, size: int = 16, idle: float = 30.0) -> None:
        self._dial = dial
        self._idle_time = idle
        self._slots = asyncio.Semaphore(size)
        self._kept: list[Connection] = []
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._credentials = 0

    async def borrow(self, timeout: float, *, fresh: bool = False) -> Connection:
        """A connection for one request, `fresh` for one never used. Every call needs a `give_back`.

        Waits for a slot as long as the caller lets it, and at most `timeout` seconds for a new connection.
        Raises TransportError.
        """
        await self._slots.acquire()
        try:
            while self._kept and not fresh:
                connection = self._kept.pop()
                if connection.reusable:
                    connection.reused = True
                    return connection
                self._discard(connection)
            return await self.open(timeout)
        except BaseException:
            self._slots.release()
            raise

    def give_back(self, connection: Connection) -> None:
        """End the use of a borrowed connection, whatever became of it."""
        self._slots.release()
        self.leave(connection)

    def leave(self, connection: Connection) -> None:
        """End the use of a connection: it is kept when its answer was read to the end, else closed."""
        connection.park()
        if self._closed or self.is_outdated(connection) or not connection.reusable:
            self._discard(connection)
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._kept.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._idle_time, self._expire)

    async def open(self, timeout: float) -> Connection:
        """A connection outside the slots, to be ended with `discard`. Raises TransportError."""
        if self._closed:
            raise TransportError("the client is closed", sent=False)
        credentials = self._credentials
        connection = await self._dial(timeout)
        if self._closed:
            connection.abort()
            raise TransportError("the client is closed", sent=False)
        connection.credentials = credentials
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    async def reopen(self, timeout: float) -> Connection:
        """As `open`, but the connection that was left a moment ago where there is one."""
        newest = self._kept[-1] if self._kept else None
        if newest is None or asyncio.get_running_loop().time() - newest.idle_since > FRESH:
            return await self.open(timeout)
        self._kept.pop()
        if not newest.reusable:
            self._discard(newest)
            return await self.open(timeout)
        newest.reused = True
        return newest

    def discard(self, connection: Connection) -> None:
        """Close a connection got with `open`."""
        self._discard(connection)

    def hand_over(self, connection: Connection) -> None:
        """A connection got with `open` belongs to another now, who closes it."""
        self._open.discard(connection)

    def is_outdated(self, connection: Connection) -> bool:
        """Whether a connection was made with credentials that are out of date."""
        return connection.credentials != self._credentials

    def forget_kept(self) -> None:
        """Close the kept connections: they were made with credentials that are out of date."""
        self._credentials += 1
        while self._kept:
            self._discard(self._kept.pop())

    async def close(self) -> None:
        """Close everything; whoever waits on a connection gets a TransportError."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._kept.clear()
        connections = list(self._open)
        for connection in connections:
            connection.fail("the client is closed")
        if connections:
            await asyncio.wait([connection.closed for connection in connections], timeout=2.0)

    def _discard(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.abort()

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        while self._kept:
            # The sum that the timer is set to: `now - idle_time` may be rounded to less than `idle_since`.
            due = self._kept[0].idle_since + self._idle_time
            if due > now and self._kept[0].reusable:
                self._timer = loop.call_at(due, self._expire)
                return
            self._discard(self._kept.pop(0))

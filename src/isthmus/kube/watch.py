"""One watch: from chunks of an answer to typed events, until the server ends it or it breaks.

The server is asked to end a watch after a random 5 to 10 minutes, so that many watches do not come back at once,
and a little later the client ends it by itself: a watch never hangs longer than that, even where a proxy keeps a
dead connection alive. An event that cannot be decoded is logged and left out: one bad object must not stop the
others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from isthmus.kube.calls import Call
from isthmus.kube.decoding import Codec, Status, WatchEvent
from isthmus.kube.errors import TransportError
from isthmus.kube.http import Connection
from isthmus.kube.objects import Object
from isthmus.kube.retry import jitter
from isthmus.kube.session import Session, error_of

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

SHORTEST = 300
LONGEST = 600
GRACE = 15
"""Seconds after which the client ends a watch that the server should have ended."""
MAX_LINE = 32 << 20
"""Bytes of one event accepted; etcd takes objects of 1.5 MB by default."""


def pick_duration() -> int:
    """Seconds after which the server shall end a watch."""
    return SHORTEST + int(jitter() * (LONGEST - SHORTEST))


class LineSplitter:
    """Cuts a stream of chunks into lines, whatever the chunk boundaries."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines completed by this chunk, without empty ones. Raises TransportError on one too long."""
        head, newline, rest = chunk.partition(b"\n")
        self._size += len(head)
        if self._size > self._limit:
            raise TransportError(f"the watch sent an event of more than {self._limit} bytes")
        self._parts.append(head)
        if not newline:
            return []
        first = b"".join(self._parts) if len(self._parts) > 1 else head
        lines = [first] if first else []
        self._parts = []
        self._size = 0
        if rest:
            *complete, last = rest.split(b"\n")
            lines += [line for line in complete if line]
            if last:
                self._parts.append(last)
                self._size = len(last)
        return lines


async def watch_events(
    session: Session, call: Call, codec: Codec[T], duration: int, opened: Callable[[], None] | None = None
) -> AsyncGenerator[WatchEvent[T], None]:
    """Stream the events of the watch `call` asks for; close the generator to end it early.

    Raises Expired and other ApiErrors the server sends, TransportError where the stream breaks off.
    """
    connection = await session.open(call, again=True)
    loop = asyncio.get_running_loop()
    alarm = loop.call_later(duration + GRACE, connection.fail, "the server did not end it in time")
    splitter = LineSplitter()
    try:
        if opened is not None:
            opened()
        while chunk := await _read(connection, call):
            for line in splitter.feed(chunk):
                event = _decode(codec, line, call)
                if event is not None:
                    yield event
    finally:
        alarm.cancel()
        session.end(connection)


async def _read(connection: Connection, call: Call) -> bytes:
    try:
        return await connection.read()
    except TransportError as error:
        raise TransportError(f"{call.purpose}: {error}") from None


def _decode(codec: Codec[T], line: bytes, call: Call) -> WatchEvent[T] | None:
    try:
        event = codec.event(line)
    except TransportError as error:
        logger.error("an event is left out: request=%r, cause=%r", call.purpose, str(error))
        return None
    if isinstance(event, Status):
        raise error_of(call.purpose, event.code or 500, event)
    return event

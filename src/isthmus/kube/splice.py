"""Two connections made one: bytes are carried both ways until either side has had enough.

Nothing is understood of what passes, so SPDY/3.1 and WebSocket are the same. A direction reads no further than
the other side takes (`drain`), so a slow reader costs one buffer. Ends: both directions have ended; one has, and
the other is silent for `LINGER`; nothing passed for `idle` seconds; the task was cancelled. Both connections are
closed then, whatever the cause.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

CHUNK = 64 * 1024
LINGER = 5.0
"""Seconds of silence granted to one direction after the other has ended: TLS cannot be closed by halves, so the
end of one side is mostly that of all, but what is under way still arrives."""


class Reader(Protocol):
    """The reading half of a connection."""

    async def read(self, n: int = -1, /) -> bytes:
        """Some bytes, b"" at the end."""


class Writer(Protocol):
    """The writing half of a connection."""

    def write(self, data: bytes, /) -> None:
        """Queue bytes."""

    async def drain(self) -> None:
        """Wait until the queue is short."""

    def write_eof(self) -> None:
        """End the writing half, where the transport can."""

    def close(self) -> None:
        """Close the connection."""


Stream = tuple[Reader, Writer]


class _Activity:
    """When something last passed in either direction, on the event loop's clock."""

    def __init__(self) -> None:
        self.touch()

    def touch(self) -> None:
        self.last = asyncio.get_running_loop().time()


async def splice(left: Stream, right: Stream, *, idle: float) -> None:
    """Carry bytes between two connections until they end, then close both. Raises nothing but cancellation."""
    activity = _Activity()
    pumps = {
        asyncio.create_task(_pump(left[0], right[1], activity)),
        asyncio.create_task(_pump(right[0], left[1], activity)),
    }
    try:
        await _until_silent(pumps, activity, idle, asyncio.FIRST_COMPLETED)
        await _until_silent(pumps, activity, min(LINGER, idle), asyncio.ALL_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        for writer in (left[1], right[1]):  # Before anything that a cancellation could keep us from.
            writer.close()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _until_silent(
    pumps: set[asyncio.Task[None]], activity: _Activity, silence: float, until: str
) -> None:
    """Wait for the pumps, but no longer than nothing passes for `silence` seconds."""
    loop = asyncio.get_running_loop()
    running = {pump for pump in pumps if not pump.done()}
    while running:
        left = activity.last + silence - loop.time()
        if left <= 0:
            return
        done, running = await asyncio.wait(running, timeout=left, return_when=until)
        if done and until == asyncio.FIRST_COMPLETED:
            return


async def _pump(reader: Reader, writer: Writer, activity: _Activity) -> None:
    try:
        while data := await reader.read(CHUNK):
            activity.touch()
            writer.write(data)
            await writer.drain()
            activity.touch()
        writer.write_eof()
    except (OSError, RuntimeError):  # Reset, or closed under our hands: an end like any other.
        pass
    finally:
        activity.touch()

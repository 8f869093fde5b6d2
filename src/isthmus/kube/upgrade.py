"""A connection after `101 Switching Protocols`: raw bytes in both directions, as asyncio streams.

Used for exec, attach and port-forward (SPDY/3.1 or WebSocket), on the client's and on the server's side. Bytes
that arrived together with the head of the HTTP message are in the reader first. The streams belong to whoever
asked for them: closing the writer ends the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

BUFFER = 64 * 1024
"""Bytes kept for a slow reader before the socket is read no further (asyncio stops at twice as much)."""


class Upgraded(Struct):
    """A connection after 101: the answer's headers and the two raw byte directions."""

    headers: list[tuple[str, str]]
    reader: Any
    """Has `async read(n) -> bytes`; b"" at the end (asyncio.StreamReader's contract)."""
    writer: Any
    """Has `write(bytes)`, `async drain()`, `write_eof()`, `close()` (asyncio.StreamWriter's contract)."""


class RawWriter(asyncio.StreamWriter):
    """A StreamWriter for TLS as well: it knows no half-closed connection, and is closed only once."""

    def write_eof(self) -> None:
        """Say that nothing more will be written, where the transport can."""
        if self.can_write_eof():
            super().write_eof()

    def close(self) -> None:
        """Close, once: a TLS transport of Python 3.11 that is closed again can no longer be aborted."""
        if not self.is_closing():
            super().close()


def take_over(transport: asyncio.Transport, received: bytes) -> tuple[asyncio.StreamReader, RawWriter]:
    """Make streams of a transport whose reading is paused; `received` comes first out of the reader."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=BUFFER, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    protocol.connection_made(transport)
    transport.set_protocol(protocol)
    writer = RawWriter(transport, protocol, reader, loop)
    if received:
        reader.feed_data(received)
    if transport.is_closing():
        reader.feed_eof()
    elif not transport.is_reading() and len(received) <= 2 * BUFFER:
        transport.resume_reading()
    return reader, writer

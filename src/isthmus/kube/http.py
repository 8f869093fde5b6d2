"""The client's half of HTTP/1.1 on one connection: one request out, one answer in, then the next.

`Connection` is an asyncio protocol around llhttp (httptools). It owns no task: whoever sent the request awaits
`head`, then `read` (chunk by chunk, with back-pressure towards the socket) or `read_all`. An answer that breaks
off, is malformed or grows beyond its bound fails the connection with `TransportError`; a failed or abandoned
connection is never used again, so that no answer can be taken for that of another request. After `101` the raw
byte stream is handed out by `detach`, bytes received already included.

Why not a library: python-stack.md 1.1 (aiohttp costs 12 MB in every process).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import httptools

from isthmus.kube.errors import TransportError

HIGH_WATER = 128 * 1024
"""Bytes of an answer's body kept for a slow reader before the socket is read no further."""
MAX_HEAD = 128 * 1024
"""Bytes of status line and headers accepted."""


class Traffic:
    """Bytes sent and received by one client, inside TLS."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0


def render_request(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """The bytes of a request. Raises ValueError on a header that would smuggle in another line."""
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if "\r" in value or "\n" in value:
            raise ValueError(f"header {name} holds a line break")
        lines.append(f"{name}: {value}")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1") + body


class Connection(asyncio.Protocol):
    """One connection to a server; see the module's text. `reused` and `credentials` are set by the pool."""

    def __init__(self, traffic: Traffic) -> None:
        self.reused = False
        self.credentials = 0
        """Which of the credentials it was made with, counted."""
        self.idle_since = 0.0
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.answered = False
        """Whether any byte of the present answer has come."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._whole = False
        self._exchanging = False
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers = []
        self.answered = False
        self._head_size = 0
        self._head_done = False
        self._complete = False
        self._keep = False
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._limit = 0
        self._paused = False
        self._error: TransportError | None = None
        self._tail: list[bytes] | None = None

    # What the holder of the connection calls.

    def send(self, request: bytes) -> None:
        """Write a request; the answer is then awaited with `head`. Raises TransportError when closed."""
        if self._transport is None or self.closed.done() or self._transport.is_closing():
            raise TransportError("the connection is closed", sent=False)
        self._reset()
        self._exchanging = True
        self._traffic.sent += len(request)
        self._transport.write(request)

    async def head(self) -> int:
        """Wait for status and headers; the status code. Raises TransportError."""
        while not self._head_done:
            self._raise_error()
            await self._wait()
        return self.status

    async def read(self) -> bytes:
        """The next bytes of the body, b"" at its end. Raises TransportError where it breaks off."""
        while not self._chunks:
            if self._complete:
                return b""
            self._raise_error()
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def read_all(self, limit: int) -> bytes:
        """The whole body of at most `limit` bytes. Raises TransportError where it is larger or breaks off."""
        self._limit = limit
        self._whole = True
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        try:
            while not self._complete:
                self._check_limit()
                self._raise_error()
                await self._wait()
            self._check_limit()
        finally:
            self._whole = False
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def header(self, name: str) -> str:
        """The first header of that lower-case name, "" without."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def reusable(self) -> bool:
        """Whether the answer is read to its end and the server keeps the connection open."""
        return self._complete and self._keep and self._error is None and not self.closed.done()

    def park(self) -> None:
        """Mark the exchange as over: bytes that come now are nobody's, and close the connection."""
        self._exchanging = False

    def fail(self, message: str) -> None:
        """Give up the connection: whoever waits on it gets a TransportError with this message."""
        if self._error is None and not self._complete:
            self._error = TransportError(message)
        self._wake()
        self.abort()

    def finish(self) -> None:
        """End a stream as if its sender had: whoever reads gets what has come, then b""; then it is closed."""
        if not self._complete and self._error is None:
            self._complete, self._keep = True, False
        self._wake()
        self.abort()

    def abort(self) -> None:
        """Close at once, without waiting for the other side."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        """After 101: the transport, reading paused, and the bytes received beyond the answer's head."""
        if self._transport is None or self._tail is None:
            raise TransportError("the connection was not upgraded")
        self._transport.pause_reading()
        return self._transport, b"".join(self._tail)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._traffic.received += len(data)
        if self._tail is not None:
            self._tail.append(data)
            return
        if not self._exchanging:
            self.abort()
            return
        self.answered = True
        if not self._head_done:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._tail = [data[upgrade.args[0] :]]
        except httptools.HttpParserError as error:
            self.fail(f"the answer is not HTTP/1.1: {error}")
        else:
            if not self._head_done and self._head_size > MAX_HEAD:
                self.fail(f"the answer's headers exceed {MAX_HEAD} bytes")

    def eof_received(self) -> None:
        self._keep = False

    def connection_lost(self, exc: Exception | None) -> None:
        delimited = any(name in ("content-length", "transfer-encoding") for name, _ in self.headers)
        if exc is None and self._head_done and not self._complete and not delimited:
            self._complete = True  # RFC 9112 6.3: without a length the body ends with the connection.
        elif self._error is None and not self._complete:
            self._error = TransportError(
                f"the connection was lost: {exc}" if exc else "the connection was closed"
            )
        if not self.closed.done():
            self.closed.set_result(None)
        self._wake()

    # What llhttp calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self.headers = []  # An interim answer such as 100 or 103; the real one follows.
            return
        self.status = status
        self._head_done = True
        if not self._whole:
            self._wake()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._whole:
            if self._buffered > self._limit:
                self._wake()
            return
        self._wake()
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
            self._wake()

    # Waiting.

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _check_limit(self) -> None:
        if self._buffered > self._limit:
            self.fail(f"the answer exceeds {self._limit} bytes")
            raise TransportError(f"the answer exceeds {self._limit} bytes")

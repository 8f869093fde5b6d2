"""The server's half of HTTP/1.1 on one connection: requests in order, each answered before the next is handled.

`ServerConnection` is an asyncio protocol around llhttp (httptools); its `serve` runs in a task of the `Server`.
Sizes and times are bounded: a client that sends too much or too slowly is answered 4xx or cut. While a handler
works the connection is still read, so that a client's leaving cancels the handler at once (a followed log, an
exec). An upgrade hands the raw byte stream to the handler, bytes received already included; SPDY/3.1 and
WebSocket are the same here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from isthmus.kube.errors import TransportError
from isthmus.kube.serving import Answer, Request, RouteHandler
from isthmus.kube.upgrade import take_over

logger = logging.getLogger(__name__)

MAX_HEAD = 64 * 1024
MAX_CERTIFIED_HEAD = (1 << 20) + 4096
"""Of clients that have shown a certificate: what a kubelet, a Go server, takes. The words of an exec are in it."""
MAX_AHEAD = 64 * 1024
"""Bytes read ahead while a request is being handled."""
RECEIVE_TIME = 30.0
IDLE_TIME = 120.0
"""Seconds a request may take to arrive, and a connection may stay without one (API servers keep theirs 90 s)."""


class _Incoming:
    """A request while it arrives, and what it says about the connection."""

    __slots__ = ("body", "head_size", "headers", "keep", "size", "target", "upgrade", "version_1_1")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[str, str]] = []
        self.head_size = 0
        self.body: list[bytes] = []
        self.size = 0
        self.keep = False
        self.upgrade = False
        self.version_1_1 = True


class ServerConnection(asyncio.Protocol):
    """One accepted connection; see the module's text."""

    def __init__(self, handler: RouteHandler, max_body: int) -> None:
        self._handler = handler
        self._max_body = max_body
        self._max_head = MAX_HEAD
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = _Incoming()
        self._requests: deque[tuple[Request, _Incoming]] = deque()
        self._ahead = bytearray()
        self._refusal: tuple[int, str] | None = None
        self._handling: asyncio.Task[None] | None = None
        self._head_open = False
        self._upgraded = False
        self._stream_follows = False
        self._lost = False
        self._certificate = b""
        self._subject: tuple[tuple[str, str], ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    async def serve(self) -> None:
        """Answer requests until the connection ends; cancelled when the client leaves in the middle of one."""
        assert self._transport is not None
        try:
            while (received := await self._next()) is not None:
                if not await self._answer(*received):
                    break
                self._read_on()
            if self._refusal is not None and not self._lost and not self._upgraded:
                status, text = self._refusal
                await self._send(
                    Answer(status, f"{text}\n".encode(), content_type="text/plain"), "GET", False, True
                )
        finally:
            self._stop_timer()
            if not self._upgraded and not self._transport.is_closing():
                self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            # Only a verified certificate gets here: any other ends the handshake.
            self._certificate = tls.getpeercert(binary_form=True) or b""
            if self._certificate:
                self._max_head = MAX_CERTIFIED_HEAD
            subject = (tls.getpeercert() or {}).get("subject", ())
            self._subject = tuple((name, value) for names in subject for name, value in names)
        self._start_timer(RECEIVE_TIME)

    def data_received(self, data: bytes) -> None:
        if self._handling is None and not self._stream_follows:
            self._feed(data)
            return
        self._ahead += data
        if len(self._ahead) > MAX_AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._stop_timer()
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._handling is not None and not self._upgraded:
            self._handling.cancel()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()
        self._head_open = True
        self._start_timer(RECEIVE_TIME)

    def on_url(self, url: bytes) -> None:
        self._incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._incoming.head_size += len(name) + len(value)
        if self._incoming.head_size > self._max_head:
            self._refuse(431, f"the headers exceed {self._max_head} bytes")
            return
        self._incoming.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        self._head_open = False
        incoming = self._incoming
        incoming.version_1_1 = self._parser.get_http_version() == "1.1"
        headers = dict(incoming.headers)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._max_body:
            self._refuse(413, f"the body exceeds {self._max_body} bytes")
        elif headers.get("expect", "").lower() == "100-continue" and not self._requests and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._incoming.size += len(body)
        if self._incoming.size > self._max_body:
            self._refuse(413, f"the body exceeds {self._max_body} bytes")
        else:
            self._incoming.body.append(body)

    def on_message_complete(self) -> None:
        incoming = self._incoming
        if self._refusal is not None:
            return
        self._stop_timer()
        incoming.keep = self._parser.should_keep_alive()
        incoming.upgrade = self._parser.should_upgrade()
        try:
            request = self._forge_request(incoming)
        except ValueError:
            self._refuse(400, "the request target is not a path")
            return
        self._requests.append((request, incoming))
        self._wake()

    # Receiving.

    def _feed(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        began_before = self._head_open
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stream_follows = True
            self._ahead += data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._refuse(400, "the request is not HTTP/1.1")
        if began_before and self._head_open:
            # llhttp gathers a header's pieces without telling: what it holds is counted here.
            self._incoming.head_size += len(data)
            if self._incoming.head_size > self._max_head:
                self._refuse(431, f"the headers exceed {self._max_head} bytes")

    def _read_on(self) -> None:
        """The answer is out: take up what arrived meanwhile."""
        if self._ahead and not self._stream_follows:
            data = bytes(self._ahead)
            self._ahead.clear()
            self._feed(data)
        if (
            self._transport is not None
            and not self._transport.is_closing()
            and not self._transport.is_reading()
        ):
            self._transport.resume_reading()
        if not self._requests and self._timer is None and not self._lost:
            self._start_timer(IDLE_TIME)

    def _refuse(self, status: int, text: str) -> None:
        if self._refusal is None:
            self._refusal = (status, text)
            if self._transport is not None and not self._lost:
                self._transport.pause_reading()
            self._wake()

    def _forge_request(self, incoming: _Incoming) -> Request:
        method = self._parser.get_method().decode("latin-1")
        target = incoming.target.decode("latin-1")
        connects = method == "CONNECT"  # Its target is no path but host and port.
        parts = urlsplit("" if connects else target)
        headers: dict[str, str] = {}
        for name, value in incoming.headers:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Request(
            method,
            target if connects else unquote(parts.path),
            parse_qsl(parts.query, keep_blank_values=True),
            headers,
            incoming.headers,
            b"".join(incoming.body),
            self._certificate,
            self._subject,
            self._accept_upgrade if incoming.upgrade and "upgrade" in headers and not connects else None,
            self._accept_tunnel if connects else None,
        )

    async def _next(self) -> tuple[Request, _Incoming] | None:
        while not self._requests:
            if self._lost or self._refusal is not None:
                return None
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
            self._arrived = None
        return self._requests.popleft()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # Answering.

    async def _answer(self, request: Request, incoming: _Incoming) -> bool:
        """Handle one request; whether the connection may be used for another."""
        self._handling = asyncio.current_task()
        keep = incoming.keep and not incoming.upgrade
        try:
            try:
                answer = await self._handler(request)
            except Exception:
                logger.exception("a request failed: method=%s, path=%s", request.method, request.path)
                answer = Answer(500, b"internal error\n", content_type="text/plain")
            if self._upgraded:
                return False
            if answer is None:
                answer = Answer(500, b"not answered\n", content_type="text/plain")
            await self._send(answer, request.method, keep, incoming.version_1_1)
        except (TransportError, ConnectionError):
            return False
        finally:
            self._handling = None
        return keep

    async def _send(self, answer: Answer, method: str, keep: bool, version_1_1: bool) -> None:
        streamed = not isinstance(answer.body, bytes | bytearray)
        keep = keep and (version_1_1 or not streamed)
        headers = [("Content-Type", answer.content_type), *answer.headers.items()]
        if not streamed:
            headers.append(("Content-Length", str(len(answer.body))))  # type: ignore[arg-type]
        elif version_1_1:
            headers.append(("Transfer-Encoding", "chunked"))
        headers.append(("Connection", "keep-alive" if keep else "close"))
        head = _render_head(answer.status, headers)
        if isinstance(answer.body, bytes | bytearray):
            await self._write(head if method == "HEAD" else head + answer.body)
            return
        await self._stream(head, answer.body, chunked=version_1_1, head_only=method == "HEAD")
        if not keep and self._transport is not None:
            self._transport.close()

    async def _stream(
        self, head: bytes, body: AsyncIterator[bytes], *, chunked: bool, head_only: bool
    ) -> None:
        try:
            await self._write(head)
            if head_only:
                return
            async for chunk in body:
                if chunk:
                    await self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            if chunked:
                await self._write(b"0\r\n\r\n")
        except (TransportError, ConnectionError):
            raise
        except Exception as error:
            # The head is out: only a broken connection can tell the client that the body is not whole.
            logger.exception("a streamed answer failed")
            self.abort()
            raise TransportError("the answer's stream failed") from error
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _write(self, data: bytes) -> None:
        if self._lost or self._transport is None:
            raise TransportError("the client has left")
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    async def _accept_upgrade(
        self, headers: Iterable[tuple[str, str]] | dict[str, str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return self._hand_over(101, headers.items() if isinstance(headers, dict) else headers)

    async def _accept_tunnel(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return self._hand_over(200, ())

    def _hand_over(
        self, status: int, headers: Iterable[tuple[str, str]]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Answer, and give the raw connection away, bytes received already included."""
        if self._lost or self._transport is None:
            raise TransportError("the client has left")
        self._transport.write(_render_head(status, headers))
        self._transport.pause_reading()
        self._upgraded = True
        received = bytes(self._ahead)
        self._ahead.clear()
        return take_over(self._transport, received)

    # Time.

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if self._handling is None:
            self.abort()


def _render_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    for name, value in headers:
        if "\r" in value or "\n" in value:
            raise ValueError(f"header {name} holds a line break")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

"""A tiny HTTP/1.1 server under the tests' full control: it answers, stalls, cuts and garbles as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec


@dataclass
class Exchange:
    """One request and the means to answer it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    over: bool = False

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    async def respond(self, status: int, body: Any = b"", **headers: str) -> None:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        lines = [
            f"HTTP/1.1 {status} Whatever",
            f"Content-Length: {len(data)}",
            "Content-Type: application/json",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        await self.writer.drain()

    async def fail(self, status: int, reason: str = "", message: str = "", **headers: str) -> None:
        body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
        await self.respond(status, body, **headers)

    async def start(self) -> None:
        """Begin a chunked answer."""
        self.writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
        )
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def event(self, type_: str, **object_: Any) -> None:
        await self.chunk(msgspec.json.encode({"type": type_, "object": object_}) + b"\n")

    async def finish(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def cut(self) -> None:
        """Close the connection without another word."""
        self.over = True
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.over = True


Handle = Callable[[Exchange], Awaitable[None]]


@dataclass
class FakeServer:
    """`handle` is called for each request; what was received is in `received`."""

    handle: Handle
    tls: ssl.SSLContext | None = None
    received: list[Exchange] = field(default_factory=list)
    connections: int = 0
    errors: list[BaseException] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _place: socket.socket | None = None
    _arrival: asyncio.Condition = field(default_factory=asyncio.Condition)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> FakeServer:
        if self._server is None:
            await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        assert not self.errors, self.errors

    async def listen(self) -> None:
        if self._place is None:
            # Held while the server is stopped too: nobody else's connection may take the port it comes back to.
            self._place = socket.socket()
            self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._place.bind(("127.0.0.1", self.port))
            self.port = self._place.getsockname()[1]
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls, reuse_port=True
        )

    def __del__(self) -> None:
        if self._place is not None:
            self._place.close()

    def accept(self, sock: socket.socket) -> None:
        """Serve a connection that somebody else made."""

        async def serve() -> None:
            await self._serve(*await asyncio.open_connection(sock=sock))

        task = asyncio.create_task(serve())
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def stop(self) -> None:
        """Vanish as a killed process does: everything is closed at once."""
        if self._server is not None:
            loop = asyncio.get_running_loop()
            for listening in self._server.sockets:
                loop.remove_reader(listening.fileno())
            # One that was accepted a moment ago comes to `_serve` some turns later, and never once this is closed.
            for _ in range(5):
                await asyncio.sleep(0)
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        for _ in range(50):
            if not self._writers and not self._serving:
                break
            await asyncio.sleep(0.01)

    async def until(self, requests: int, timeout: float = 10.0) -> None:
        """Wait until so many requests were received in all."""
        async with asyncio.timeout(timeout), self._arrival:
            await self._arrival.wait_for(lambda: len(self.received) >= requests)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while True:
                exchange = await _receive(reader, writer, number)
                if exchange is None:
                    return
                async with self._arrival:
                    self.received.append(exchange)
                    self._arrival.notify_all()
                await self.handle(exchange)
                if exchange.over:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            self._writers.discard(writer)
            writer.close()


async def _receive(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
) -> Exchange | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(method, target, headers, body, reader, writer, number)

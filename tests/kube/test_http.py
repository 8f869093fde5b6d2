"""The client's half of HTTP: answers are the same wherever the bytes are cut, and bad ones never pass for good."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.kube.errors import TransportError
from isthmus.kube.http import HIGH_WATER, MAX_HEAD, Connection, Traffic, render_request


class Wire(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    close = abort


def connected() -> tuple[Connection, Wire]:
    connection, wire = Connection(Traffic()), Wire()
    connection.connection_made(wire)
    connection.send(b"GET / HTTP/1.1\r\n\r\n")
    return connection, wire


async def take(connection: Connection, streamed: bool = False, limit: int = 1 << 20) -> tuple[int, bytes]:
    """The whole answer, by either way of reading it."""
    status = await connection.head()
    if not streamed:
        return status, await connection.read_all(limit)
    body = b""
    while chunk := await connection.read():
        body += chunk
    return status, body


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds) if a < b]


ANSWERS = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: b\r\n\r\nhello world": b"hello world",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: r\r\n\r\n": b"hello world",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": b"ok",
    b"HTTP/1.1 204 No Content\r\n\r\n": b"",
}


@settings(max_examples=150, deadline=None)
@given(
    answer=st.sampled_from(sorted(ANSWERS)),
    cuts=st.lists(st.integers(0, 120), max_size=20),
    streamed=st.booleans(),
)
async def test_an_answer_is_the_same_wherever_it_is_cut(
    answer: bytes, cuts: list[int], streamed: bool
) -> None:
    connection, _ = connected()
    loop = asyncio.get_running_loop()
    for number, piece in enumerate(pieces(answer, cuts)):
        loop.call_later(0.0001 * number, connection.data_received, piece)
    async with asyncio.timeout(5):
        status, body = await take(connection, streamed)
    assert (status, body) == (int(answer.rpartition(b"HTTP/1.1 ")[2][:3]), ANSWERS[answer])
    assert connection.reusable


@settings(max_examples=150, deadline=None)
@given(
    answer=st.sampled_from([a for a in sorted(ANSWERS) if ANSWERS[a]]),
    length=st.integers(0, 10_000),
    streamed=st.booleans(),
)
async def test_an_answer_that_breaks_off_is_an_error(answer: bytes, length: int, streamed: bool) -> None:
    connection, _ = connected()
    part = answer[: length % len(answer)]
    if part:
        connection.data_received(part)
    connection.connection_lost(None)
    with pytest.raises(TransportError):
        await take(connection, streamed)
    assert not connection.reusable


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(min_size=1, max_size=200))
async def test_junk_never_passes_for_an_answer(junk: bytes) -> None:
    connection, _ = connected()
    connection.data_received(junk)
    connection.connection_lost(None)
    with pytest.raises(TransportError):
        await take(connection)


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 90), max_size=8), tail=st.binary(max_size=30))
async def test_an_upgrade_hands_over_every_byte(cuts: list[int], tail: bytes) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"

    connection, _ = connected()
    for piece in pieces(head + tail, cuts):
        connection.data_received(piece)
    assert await connection.head() == 101
    assert connection.detach()[1] == tail


async def test_without_a_length_the_body_ends_with_the_connection() -> None:
    connection, _ = connected()
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    connection.connection_lost(None)
    assert await connection.head() == 200
    assert await connection.read_all(100) == b"all of it"
    assert not connection.reusable


async def test_a_slow_reader_stops_the_socket() -> None:
    connection, wire = connected()
    connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    size = HIGH_WATER // 2
    for _ in range(3):
        connection.data_received(b"%x\r\n%b\r\n" % (size, b"x" * size))
    assert not wire.reading
    await connection.head()
    assert len(await connection.read()) == 3 * size
    assert wire.reading


@pytest.mark.parametrize(
    "length", [b"Content-Length: 2000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n"]
)
async def test_a_body_beyond_the_limit_is_an_error(length: bytes) -> None:
    connection, wire = connected()
    connection.data_received(b"HTTP/1.1 200 OK\r\n" + length + b"x" * 2000)
    with pytest.raises(TransportError, match="exceeds 1000 bytes"):
        await take(connection, limit=1000)
    assert wire.closed


async def test_endless_headers_are_an_error() -> None:
    connection, wire = connected()
    connection.data_received(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(MAX_HEAD // 1024 + 1):
        connection.data_received(b"x" * 1024)
    assert wire.closed
    with pytest.raises(TransportError, match="headers exceed"):
        await connection.head()


async def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    connection, wire = connected()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await connection.head()
    await connection.read_all(10)
    connection.park()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert wire.closed


async def test_connection_close_is_heeded() -> None:
    connection, _ = connected()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await connection.head()
    await connection.read_all(10)
    assert not connection.reusable


def test_a_header_cannot_smuggle_in_another() -> None:
    with pytest.raises(ValueError, match="X-Token"):
        render_request("GET", "/", [("X-Token", "a\r\nHost: evil")], b"")

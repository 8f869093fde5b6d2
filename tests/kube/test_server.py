"""The server: what clients of every manner get, and that none of them can hurt another."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.kube import server_connection
from isthmus.kube.errors import ConfigurationError
from isthmus.kube.server import Answer, Request, RouteHandler, Server
from isthmus.kube.tls import client_context, server_context


@contextlib.asynccontextmanager
async def serving(
    handler: RouteHandler, *, tls: ssl.SSLContext | None = None, max_body: int = 3 << 20
) -> AsyncIterator[Server]:
    server = Server(handler, host="127.0.0.1", tls=tls, max_body=max_body)
    task = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(5):
            await server.started.wait()
        yield server
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def echo(request: Request) -> Answer:
    text = f"{request.method} {request.path} {request.query} {len(request.body)}"
    return Answer(body=text.encode(), content_type="text/plain")


async def talk(
    server: Server, data: bytes, tls: ssl.SSLContext | None = None, pieces: list[int] | None = None
) -> bytes:
    """Send bytes, in pieces, and return all that is answered until the server closes."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=tls, server_hostname="localhost" if tls else None
    )
    try:
        start = 0
        for end in [*(pieces or []), len(data)]:
            writer.write(data[start:end])
            await writer.drain()
            if pieces:
                await asyncio.sleep(0)
            start = end
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


CLOSE = b"Host: x\r\nConnection: close\r\n\r\n"


async def test_answers_with_path_and_query_decoded() -> None:
    async with serving(echo) as server:
        answer = await talk(server, b"GET /a%20b/c?x=1&x=2&y= HTTP/1.1\r\n" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"GET /a b/c [('x', '1'), ('x', '2'), ('y', '')] 0")


PIPELINE = (
    b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /second HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    b"GET /third HTTP/1.1\r\n" + CLOSE
)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, len(PIPELINE)), max_size=12))
async def test_requests_are_answered_in_order_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    async with serving(echo) as server:
        answer = await talk(server, PIPELINE, pieces=sorted(cuts))
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"POST /first [] 5", b"POST /second [] 7", b"GET /third [] 0"]


@pytest.mark.parametrize("length_first", [True, False])
async def test_a_body_too_large_is_refused(length_first: bool) -> None:
    head = b"Content-Length: 5000\r\n" if length_first else b"Transfer-Encoding: chunked\r\n"
    body = b"" if length_first else b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n"
    async with serving(echo, max_body=1000) as server:
        answer = await talk(server, b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_endless_headers_are_refused() -> None:
    async with serving(echo) as server:
        many = b"".join(b"X-%d: %s\r\n" % (i, b"v" * 100) for i in range(1000))
        assert (await talk(server, b"GET / HTTP/1.1\r\n" + many)).startswith(b"HTTP/1.1 431 ")

        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                for _ in range(2000):  # One header of 64 MB, were it taken.
                    writer.write(b"v" * 32768)
                    await writer.drain()
                assert await reader.read(12) == b"HTTP/1.1 431"
        writer.close()


async def test_garbage_is_refused_and_others_are_served() -> None:
    async with serving(echo) as server:
        assert (await talk(server, b"\x16\x03\x01 not http\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert (await talk(server, b"GET /ok HTTP/1.1\r\n" + CLOSE)).endswith(b"GET /ok [] 0")


async def test_a_slow_request_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_connection, "RECEIVE_TIME", 0.1)
    async with serving(echo) as server:
        assert await talk(server, b"GET / HTTP/1.1\r\nHost: ") == b""


async def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_connection, "IDLE_TIME", 0.1)
    async with serving(echo) as server:
        assert (await talk(server, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"GET /x [] 0")


async def test_a_failing_handler_is_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Answer:
        if request.path == "/bad":
            raise RuntimeError("boom")
        return Answer(body=b"fine")

    async with serving(fail) as server:
        both = await talk(server, b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\nGET /good HTTP/1.1\r\n" + CLOSE)
    assert both.startswith(b"HTTP/1.1 500 ")
    assert both.endswith(b"fine")
    assert b"boom" not in both
    assert "boom" in caplog.text


async def test_an_answer_is_streamed_and_ends_when_the_client_leaves() -> None:
    ended = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"line\n"
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async def follow(_: Request) -> Answer:
        return Answer(body=lines())

    async with serving(follow) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /log HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"5\r\nline\n\r\n5\r\nline\n\r\n")
        writer.close()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_stream_that_fails_is_not_taken_for_whole(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("boom")

    async def handler(_: Request) -> Answer:
        return Answer(body=broken())

    async with serving(handler) as server:
        with contextlib.suppress(ConnectionResetError):
            answer = await talk(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"0\r\n\r\n" not in answer


async def test_a_slow_reader_holds_the_stream_back() -> None:
    sent = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1 << 16
            yield b"x" * (1 << 16)

    async def handler(_: Request) -> Answer:
        return Answer(body=flood())

    async with serving(handler) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.3)
        assert 0 < sent < 32 << 20
        writer.close()


UPGRADE = (
    b"POST /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"
)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, len(UPGRADE) + 6), max_size=6), slow=st.booleans())
async def test_an_upgrade_loses_no_byte(cuts: list[int], slow: bool) -> None:
    async def splice(request: Request) -> Answer | None:
        if slow:
            await asyncio.sleep(0.02)
        reader, writer = await request.accept_upgrade([("Upgrade", "SPDY/3.1"), ("Connection", "Upgrade")])
        data = await reader.readexactly(6)
        writer.write(data.upper())
        writer.close()
        return None

    async with serving(splice) as server:
        answer = await talk(server, UPGRADE + b"\x80abcde", pieces=sorted(cuts))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1")
    assert rest == b"\x80ABCDE"


async def test_an_upgrade_nobody_wants_is_answered_as_a_plain_request() -> None:
    async with serving(echo) as server:
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        answer = await talk(server, request)
    assert b"Connection: close" in answer
    assert answer.endswith(b"GET /metrics [] 0")


async def test_leaving_in_the_middle_cancels_the_handler() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_: Request) -> Answer:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Answer()

    async with serving(handler) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await begun.wait()
            writer.close()
            await cancelled.wait()


def pem(certificate: trustme.LeafCert) -> tuple[str, str]:
    chain = "".join(blob.bytes().decode() for blob in certificate.cert_chain_pems)
    return chain, certificate.private_key_pem.bytes().decode()


async def test_client_certificates_are_optional_and_verified() -> None:
    ca, other = trustme.CA(), trustme.CA()
    authority = ca.cert_pem.bytes().decode()
    seen: list[bytes] = []

    async def handler(request: Request) -> Answer:
        seen.append(request.peer_certificate)
        return Answer(body=b"ok")

    tls = server_context(*pem(ca.issue_cert("localhost")), client_ca=authority)
    known, unknown = pem(ca.issue_cert("kubelet")), pem(other.issue_cert("kubelet"))
    request = b"GET / HTTP/1.1\r\n" + CLOSE
    async with serving(handler, tls=tls) as server:
        assert (await talk(server, request, client_context(authority))).endswith(b"ok")
        assert (await talk(server, request, client_context(authority, *known))).endswith(b"ok")
        with contextlib.suppress(OSError):
            assert await talk(server, request, client_context(authority, *unknown)) == b""
    assert seen[0] == b""
    assert seen[1] == ssl.PEM_cert_to_DER_cert(known[0])
    assert len(seen) == 2


async def test_a_client_with_a_certificate_may_send_the_words_of_a_long_exec() -> None:
    ca = trustme.CA()
    authority = ca.cert_pem.bytes().decode()
    tls = server_context(*pem(ca.issue_cert("localhost")), client_ca=authority)
    known = pem(ca.issue_cert("kube-apiserver-kubelet-client"))
    request = b"GET /exec?command=" + b"x" * 600_000 + b" HTTP/1.1\r\n" + CLOSE
    async with serving(echo, tls=tls) as server:
        assert (await talk(server, request, client_context(authority, *known))).startswith(b"HTTP/1.1 200 ")
        assert (await talk(server, request, client_context(authority))).startswith(b"HTTP/1.1 431 ")


async def test_a_new_certificate_is_used_for_new_connections() -> None:
    ca, next_ca = trustme.CA(), trustme.CA()
    request = b"GET / HTTP/1.1\r\n" + CLOSE
    async with serving(echo, tls=server_context(*pem(ca.issue_cert("localhost")))) as server:
        assert await talk(server, request, client_context(ca.cert_pem.bytes().decode()))
        server.reload(server_context(*pem(next_ca.issue_cert("localhost"))))
        assert await talk(server, request, client_context(next_ca.cert_pem.bytes().decode()))
        with pytest.raises(ssl.SSLCertVerificationError):
            await talk(server, request, client_context(ca.cert_pem.bytes().decode()))


async def test_a_port_in_use_is_one_clear_error() -> None:
    async with serving(echo) as server:
        with pytest.raises(ConfigurationError, match=f"port {server.port}.*in use"):
            await Server(echo, host="127.0.0.1", port=server.port).run()


async def _hold(request: Request) -> None:
    """An exec: the raw connection is held until the server ends."""
    assert request.accept_upgrade is not None
    _, writer = await request.accept_upgrade([("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")])
    try:
        await asyncio.Event().wait()
    finally:
        writer.close()


UPGRADE = b"POST /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


async def _end_after(turns: int, tls: ssl.SSLContext | None, client: ssl.SSLContext | None) -> None:
    """End a server so many turns of the event loop after clients began to connect."""

    async def connect() -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="localhost" if client else None
        )
        writer.write(UPGRADE)
        return writer

    async with serving(_hold, tls=tls) as server:
        port = server.port
        clients = [asyncio.create_task(connect()) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
    for result in await asyncio.gather(*clients, return_exceptions=True):
        if isinstance(result, asyncio.StreamWriter):
            result.transport.abort()
    await asyncio.sleep(0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("secure", [False, True])
def test_no_connection_outlives_the_server(secure: bool) -> None:
    ca = trustme.CA()
    tls = server_context(*pem(ca.issue_cert("localhost"))) if secure else None
    client = client_context(ca.cert_pem.bytes().decode()) if secure else None
    with warnings.catch_warnings(record=True) as caught, _collecting_only_what_is_new():
        warnings.simplefilter("always")
        for turns in range(60):
            asyncio.run(_end_after(turns, tls, client))
            gc.collect()
            assert not [str(each.message) for each in caught], f"ended after {turns} turns"


@contextlib.contextmanager
def _collecting_only_what_is_new() -> Iterator[None]:
    """Leave what is there out of collections: in a full run that is the heap of 3,000 tests, 0.4 s a time."""
    gc.collect()  # What others left, so that it is not taken for this test's.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

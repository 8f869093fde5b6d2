"""The proxy: a peer's client reaches the API server through it with TLS of its own, and nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import trustme

from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import CertificateError, TransportError
from isthmus.kube.server import Answer, Request, Server
from isthmus.kube.tls import server_context
from isthmus.network.proxy.limits import tunnels_within
from isthmus.network.proxy.tunnels import Tunnels

AUTHORITY = trustme.CA()
NAME = "kubernetes.default"


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    task = asyncio.create_task(server.run())
    try:
        async with asyncio.timeout(5):
            await server.started.wait()
        yield server
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def answer_version(request: Request) -> Answer:
    return Answer(body=b'{"gitVersion": "v1.36.3"}')


def api_server(name: str = NAME) -> Server:
    issued = AUTHORITY.issue_cert(name)
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems).decode()
    context = server_context(chain, issued.private_key_pem.bytes().decode())
    return Server(answer_version, host="127.0.0.1", tls=context)


def proxy_of(server: Server, connections: int = 64) -> Server:
    tunnels = Tunnels("127.0.0.1", server.port)
    return Server(tunnels.handle, host="127.0.0.1", max_body=0, max_connections=connections)


@contextlib.asynccontextmanager
async def joined(target: Server, url: str = f"https://{NAME}:6443") -> AsyncIterator[Client]:
    """A client of `url`, through a proxy to the target."""
    async with running(target), running(proxy_of(target)) as proxy, client_through(proxy, url) as client:
        yield client


def client_through(proxy: Server, server: str = f"https://{NAME}:6443") -> Client:
    credentials = Credentials(
        server=server,
        ca_data=AUTHORITY.cert_pem.bytes().decode(),
        token="t",  # noqa: S106 -- of a test's server
        proxy_url=f"http://127.0.0.1:{proxy.port}",
    )
    return Client(credentials, timeout=5.0, attempts=1)


async def test_client_reaches_the_api_server_through_it_by_a_name_only_the_proxy_could_resolve() -> None:
    async with joined(api_server()) as client:
        assert await client.version() == "v1.36.3"


async def test_certificate_for_another_name_is_refused_by_the_client() -> None:
    async with joined(api_server("evil.example")) as client:
        with pytest.raises(CertificateError):
            await client.version()


async def test_target_is_ignored_so_that_it_leads_nowhere_else() -> None:
    async with (
        running(Server(answer_version, host="127.0.0.1")) as other,
        joined(api_server(), f"https://127.0.0.1:{other.port}") as client,
    ):
        # The API server's certificate is what comes back, not the plain answer of the other.
        with pytest.raises(CertificateError):
            await client.version()


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_other_methods_are_answered_405(method: str) -> None:
    async with running(api_server()) as server, running(proxy_of(server)) as proxy:
        answer = await talk(
            proxy, f"{method} https://{NAME}/version HTTP/1.1\r\nConnection: close\r\n\r\n".encode()
        )
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: CONNECT\r\n" in answer


async def test_unreachable_api_server_is_told_as_502() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with running(Server(Tunnels("127.0.0.1", port).handle, host="127.0.0.1")) as proxy:
        answer = await talk(proxy, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
        async with client_through(proxy) as client:
            with pytest.raises(TransportError, match="502"):
                await client.version()
    assert answer.startswith(b"HTTP/1.1 502 ")


async def test_head_without_end_is_refused() -> None:
    async with running(api_server()) as server, running(proxy_of(server)) as proxy:
        answer = await talk(proxy, b"CONNECT x:443 HTTP/1.1\r\n" + b"A: %s\r\n" % (b"v" * 100) * 1000)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_more_tunnels_than_allowed_are_closed_and_a_place_that_is_left_is_taken_again() -> None:
    async with running(api_server()) as server, running(proxy_of(server, 2)) as proxy:
        held = [await open_tunnel(proxy), await open_tunnel(proxy)]
        assert await talk(proxy, b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        held.pop()[1].close()
        async with asyncio.timeout(5):
            while True:
                try:
                    held.append(await open_tunnel(proxy))
                    break
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0)
        for _, writer in held:
            writer.close()


async def test_end_of_the_proxy_ends_its_tunnels() -> None:
    async with running(api_server()) as server:
        async with running(proxy_of(server)) as proxy:
            reader, writer = await open_tunnel(proxy)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_client_that_leaves_ends_the_connection_to_the_api_server() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with running(Server(Tunnels("127.0.0.1", port).handle, host="127.0.0.1")) as proxy:
            _, writer = await open_tunnel(proxy)
            writer.close()
            async with asyncio.timeout(5):
                await gone.wait()


def test_tunnels_leave_file_descriptors_to_the_controller() -> None:
    assert tunnels_within(1024) == 256
    assert tunnels_within(1 << 20) == 1024
    assert tunnels_within(256) == 16


async def talk(proxy: Server, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                return await reader.read()
        return b""
    finally:
        writer.close()


async def open_tunnel(proxy: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(
            b"CONNECT kubernetes.default.svc:443 HTTP/1.1\r\nHost: kubernetes.default.svc:443\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    except BaseException:
        writer.close()
        raise
    return reader, writer

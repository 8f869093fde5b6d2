"""The proxy as a part of the controller: where it listens, whom it leads to, how much of the process it may use."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest

from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import TransportError
from isthmus.kube.options import Options
from isthmus.network import proxy
from isthmus.network.proxy import limits
from isthmus.network.proxy.tunnels import Tunnels
from tests.apiserver import ApiServer, running


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def client_through(port: int, server: str = "http://127.0.0.1:1") -> Client:
    return Client(Credentials(server, proxy_url=f"http://127.0.0.1:{port}"), attempts=1, timeout=5.0)


async def version_through(port: int) -> str:
    """What is answered by way of the proxy, once it listens."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        writer.close()
        async with client_through(port) as client:
            return await client.version()


async def test_whatever_a_peer_asks_for_it_gets_our_api_server() -> None:
    api, port = ApiServer(), free_port()
    async with running(api, proxy.setup, options=Options(cluster_id="rome", proxy_port=port)):
        assert await version_through(port) == "v1.36.3"


@pytest.mark.parametrize(
    ("fault", "status"), [(TimeoutError(), "504"), (OSError(113, "No route to host"), "502")]
)
async def test_an_api_server_that_is_not_there_is_said_to_be(
    fault: OSError, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> None:
        raise fault

    monkeypatch.setattr(Tunnels, "_dial", refuse)
    api, port = ApiServer(), free_port()
    async with running(api, proxy.setup, options=Options(cluster_id="rome", proxy_port=port)):
        with pytest.raises(TransportError, match=status):
            await version_through(port)


@pytest.mark.parametrize(
    ("soft", "hard", "now"),
    [
        (1024, 1048576, 4096),
        (1024, 2000, 2000),
        (1024, resource.RLIM_INFINITY, 4096),
        (65536, 1048576, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None),
    ],
)
def test_a_process_opens_as_many_files_as_it_wants_where_it_may(
    soft: int, hard: int, now: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: asked.append(wanted))
    assert limits.raise_limit() == (now or limits.WANTED)
    assert asked == ([(now, hard)] if now else [])

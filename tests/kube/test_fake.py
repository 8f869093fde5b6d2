"""The server of the tests itself: what it does must be what is told of it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.kube.fake import Exchange, FakeServer


async def answer(exchange: Exchange) -> None:
    await exchange.respond(200)


@pytest.mark.parametrize("turns", range(6))
async def test_whoever_connects_while_it_stops_is_cut_off(turns: int) -> None:
    async with FakeServer(answer) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connected:
            connected.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.stop()
            async with asyncio.timeout(5):
                try:
                    assert await asyncio.get_running_loop().sock_recv(connected, 1) == b""
                except ConnectionResetError:
                    pass

"""Pings there and back over sockets that are played, and what is written of them; virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from isthmus.kube.errors import ServerError
from isthmus.network.gateway.connection import Reporter
from isthmus.network.gateway.liveness import CONNECTED, CONNECTING, ERROR, Liveness
from isthmus.network.gateway.pinger import Pinger
from tests.apiserver.clock import VIRTUAL_TIME
from tests.network.played import Wire

pytestmark = VIRTUAL_TIME

OURS, PEERS = "169.254.18.2", "169.254.18.1"
INTERVAL = 2.0


@dataclass
class Written:
    """What was written of a tunnel, and whether the API server is away."""

    values: list[tuple[str, float | None]] = field(default_factory=list)
    tries: int = 0
    is_away: bool = False

    async def write(self, value: str, latency: float | None) -> None:
        self.tries += 1
        if self.is_away:
            raise ServerError("unavailable", code=503)
        self.values.append((value, latency))


@asynccontextmanager
async def pinging(wire: Wire, own: str, peer: str, written: Written | None = None) -> AsyncIterator[Pinger]:
    pinger = Pinger(
        Liveness("milan", peer, interval=INTERVAL, threshold=3, now=asyncio.get_running_loop().time()),
        Reporter(10.0),
        (written or Written()).write,
        addresses=(own, peer),
        interval=INTERVAL,
        make_socket=wire.end,
    )
    task = asyncio.create_task(pinger.run())
    try:
        yield pinger
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_tunnel_that_works_is_connected_and_one_that_breaks_is_an_error_in_time() -> None:
    wire, written = Wire(), Written()
    async with pinging(wire, OURS, PEERS, written) as pinger:
        await asyncio.sleep(1)
        assert not pinger.alive
        async with pinging(wire, PEERS, OURS):
            await asyncio.sleep(INTERVAL)
            assert pinger.alive
            await asyncio.sleep(60)
            assert pinger.silence < INTERVAL
            wire.cut = True
            await asyncio.sleep(3 * INTERVAL + 1)
            assert not pinger.alive
            wire.cut = False
            await asyncio.sleep(INTERVAL)
            assert pinger.alive
    assert [value for value, _ in written.values] == [CONNECTING, CONNECTED, ERROR, CONNECTED]


async def test_a_nudge_pings_at_once() -> None:
    wire = Wire()
    async with pinging(wire, OURS, PEERS) as pinger, pinging(wire, PEERS, OURS):
        await asyncio.sleep(INTERVAL + 0.1)
        sent = wire.sent
        pinger.nudge()
        await asyncio.sleep(0.1)
        assert wire.sent == sent + 2, "the ping and its answer"


async def test_a_device_that_is_not_there_yet_is_tried_again() -> None:
    wire = Wire()
    wire.absent = True
    async with pinging(wire, OURS, PEERS) as pinger, pinging(wire, PEERS, OURS):
        await asyncio.sleep(5 * INTERVAL)
        assert pinger.liveness.value == ERROR
        wire.absent = False
        await asyncio.sleep(3 * INTERVAL)
        assert pinger.alive


async def test_an_api_server_that_is_away_delays_the_status_alone(caplog: pytest.LogCaptureFixture) -> None:
    wire, written = Wire(), Written(is_away=True)
    async with pinging(wire, OURS, PEERS, written) as pinger, pinging(wire, PEERS, OURS):
        await asyncio.sleep(60)
        assert pinger.alive
        assert written.tries > 10
        assert caplog.text.count("the Connection cannot be written, trying again") == 1
        written.is_away = False
        await asyncio.sleep(INTERVAL + 0.1)
        assert [value for value, _ in written.values] == [CONNECTED]


async def test_a_latency_that_nobody_would_notice_is_not_written() -> None:
    wire, written = Wire(), Written()
    async with pinging(wire, OURS, PEERS, written), pinging(wire, PEERS, OURS):
        await asyncio.sleep(600)
    assert len(written.values) <= 3

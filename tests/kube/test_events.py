"""Events: counted instead of repeated, and never in anyone's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from isthmus.kube import events as module
from isthmus.kube.builtin import NODES, SECRETS, Node, Secret
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.events import EventRecorder
from isthmus.kube.objects import ObjectMeta

from .fake import Exchange, FakeServer, Handle

SECRET = Secret(metadata=ObjectMeta(name="a", namespace="n", uid="u", resource_version="5"))


@contextlib.asynccontextmanager
async def recording(handle: Handle) -> AsyncIterator[tuple[EventRecorder, FakeServer]]:
    async with FakeServer(handle) as server, Client(Credentials(server.url), attempts=1) as client:
        recorder = EventRecorder(client, "test")
        task = asyncio.create_task(recorder.run())
        try:
            yield recorder, server
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def accept(exchange: Exchange) -> None:
    await exchange.respond(200, exchange.json())


async def test_an_event_is_about_its_object() -> None:
    async with recording(accept) as (recorder, server):
        recorder.record(SECRETS, SECRET, "Signed", "The certificate is signed.", "Warning")
        recorder.record(NODES, Node(metadata=ObjectMeta(name="node")), "Ready", "It is.")
        await server.until(2)
    first, second = (exchange.json() for exchange in server.received)
    assert server.received[0].path == "/api/v1/namespaces/n/events"
    assert first["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Secret",
        "name": "a",
        "namespace": "n",
        "uid": "u",
        "resourceVersion": "5",
    }
    assert (first["reason"], first["type"], first["count"]) == ("Signed", "Warning", 1)
    assert first["source"] == {"component": "test"}
    assert second["metadata"]["namespace"] == "default"


async def written(recorder: EventRecorder, count: int) -> None:
    """Wait until the recorder knows that so many were written."""
    async with asyncio.timeout(5):
        while sum(event.count for event in recorder._written.values()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_repeats_are_counted_and_written_anew_once_forgotten() -> None:
    forgotten = False

    async def handle(exchange: Exchange) -> None:
        if forgotten and exchange.method == "PATCH":
            await exchange.fail(404, "NotFound")
        else:
            await accept(exchange)

    async with recording(handle) as (recorder, server):
        recorder.record(SECRETS, SECRET, "Failed", "again")
        recorder.record(SECRETS, SECRET, "Failed", "again")
        await written(recorder, 2)
        recorder.record(SECRETS, SECRET, "Failed", "again")
        await server.until(2)
        assert server.received[1].json()["count"] == 3
        await written(recorder, 3)
        forgotten = True
        recorder.record(SECRETS, SECRET, "Failed", "again")
        await server.until(4)
    assert [e.method for e in server.received] == ["POST", "PATCH", "PATCH", "POST"]


async def test_a_refused_event_is_dropped_and_the_next_written() -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.json()["reason"] == "Bad":
            await exchange.fail(403, "Forbidden")
        else:
            await accept(exchange)

    async with recording(handle) as (recorder, server):
        recorder.record(SECRETS, SECRET, "Bad", "x")
        recorder.record(SECRETS, SECRET, "Good", "x")
        await server.until(2)


async def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    async with Client(Credentials("http://127.0.0.1:1")) as client:
        recorder = EventRecorder(client)
        for number in range(1000):
            recorder.record(SECRETS, SECRET, "Flood", f"number {number}")
        assert len(recorder._pending) == 10

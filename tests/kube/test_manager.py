"""The manager: everything runs until cancelled, and one unhandled error ends the process."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from isthmus.kube.builtin import SECRETS
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.reconcile import Controller

from .fake import Exchange, FakeServer
from .test_informer import initial


async def serve(exchange: Exchange) -> None:
    if exchange.path == "/api/v1/secrets":
        await initial(exchange, 1, {"name": "a", "namespace": "n", "resourceVersion": "1"})
        await exchange.gone()
    else:
        await exchange.fail(403, "Forbidden", "no role yet")


async def test_a_controller_waits_for_its_own_informers_only() -> None:
    reconciled: dict[str, list[Key]] = {"fine": [], "waiting": []}

    def controller(name: str) -> Controller:
        async def reconcile(key: Key) -> None:
            reconciled[name].append(key)

        return Controller(name, reconcile)

    async with FakeServer(serve) as server, Client(Credentials(server.url), attempts=1) as client:
        manager = Manager(client)
        manager.add(controller("fine")).watch(manager.informers.get(SECRETS))
        waiting = manager.add(controller("waiting"))
        waiting.watch(manager.informers.get(SECRETS))
        waiting.watch(manager.informers.get(SECRETS.partial(), "elsewhere"))
        task = asyncio.create_task(manager.run())
        async with asyncio.timeout(5):
            while not reconciled["fine"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert reconciled["fine"] == [Key("n", "a")]
    assert reconciled["waiting"] == []


async def test_an_unhandled_error_ends_everything() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def fail() -> None:
        raise RuntimeError("broken")

    async with Client(Credentials("http://127.0.0.1:1")) as client:
        manager = Manager(client)
        manager.add_task(forever)
        manager.add_task(fail)
        with pytest.raises(ExceptionGroup) as caught:
            await manager.run()
    assert caught.group_contains(RuntimeError, match="broken")
    assert ended.is_set()

"""Reflection from rome to milan: between two servers in memory, and a session for what decides without asking any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from isthmus.kube.informer import InformerSet
from isthmus.kube.objects import Manifest
from isthmus.reflection import ReflectionSession, setup_namespace
from tests.apiserver import ApiServer, connected, running

UNUSED: Any = None


def session(**settings: Any) -> ReflectionSession:
    """Reflection from rome to milan over the virtual node `milan`."""
    clients = dict.fromkeys(
        ("local_client", "local_informers", "remote_client", "remote_informers", "events"), UNUSED
    )
    facts = {"home_id": "rome", "provider_id": "milan", "node_name": "milan"}
    return ReflectionSession(**(clients | facts | settings))


def named(name: str, namespace: str = "", **rest: Any) -> Manifest:
    metadata = {key: rest.pop(key) for key in ("labels", "annotations") if key in rest}
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, **rest}


@asynccontextmanager
async def reflecting(home: ApiServer, provider: ApiServer, **settings: Any) -> AsyncIterator[None]:
    """Reflection of `shop`, until the end of the block."""
    facts: dict[str, Any] = {
        "home_id": "rome",
        "provider_id": "milan",
        "node_name": "milan",
        "services": True,
    }
    async with running(home) as manager, connected(provider) as client:
        local: dict[str, Any] = {
            "local_client": manager.client,
            "local_informers": manager.informers,
            "events": manager.events,
        }
        informers = InformerSet(client)
        remote: dict[str, Any] = {"remote_client": client, "remote_informers": informers}
        session = ReflectionSession(**(local | remote | facts | settings))
        task = asyncio.create_task(setup_namespace(session, "shop", "shop-rome"))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await informers.close()

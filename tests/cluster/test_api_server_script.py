"""What the tests' server in memory is held against is what a real API server answers.

With ISTHMUS_TEST_RECORD=1 the answers are recorded anew, for instance for another Kubernetes.
"""

# ruff: noqa: ASYNC110  (what is waited for happens in another process)

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from isthmus.kube.builtin import CONFIG_MAPS, CRDS, NAMESPACES, SERVICE_ACCOUNTS
from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.errors import NotFound, TooManyRequests
from tests.apiserver.script import HELD, RECORDED, THINGS, play
from tests.apiserver.script import NAMESPACES as NAMES
from tests.apiserver.steps import STEPS

pytestmark = pytest.mark.cluster


class Cluster(Protocol):
    """What is used of the lab's fixture."""

    @property
    def kubeconfig(self) -> Path: ...


@pytest.fixture
async def client(rome: Cluster) -> AsyncIterator[Client]:
    """A client of a cluster that has what the script finds."""
    async with Client(load_kubeconfig(rome.kubeconfig), attempts=1) as client, asyncio.timeout(120):
        await client.apply(CRDS, THINGS)
        for name in NAMES:
            while await client.find(NAMESPACES, name):  # Of an earlier run, and ending.
                await asyncio.sleep(0.2)
            await client.create(NAMESPACES, {"metadata": {"name": name}})
        while not await client.find(SERVICE_ACCOUNTS, "default", NAMES[0]):
            await asyncio.sleep(0.1)
        await client.create(CONFIG_MAPS, HELD)
        path = f"/apis/test.example/v1/namespaces/{NAMES[0]}/things"
        while b'"ThingList"' not in (await _asked(client, path)):
            await asyncio.sleep(0.1)
        try:
            yield client
        finally:
            await client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, NAMES[1])
            for name in NAMES:
                await client.delete(NAMESPACES, name)
            await client.delete(CRDS, THINGS["metadata"]["name"])


async def _asked(client: Client, path: str) -> bytes:
    try:
        return (await client.request("GET", path)).body
    except (NotFound, TooManyRequests):  # Its storage is initialised.
        return b""


async def test_the_record_is_what_a_real_api_server_answers(client: Client) -> None:
    told = await play(client, STEPS)
    if os.environ.get("ISTHMUS_TEST_RECORD"):
        lines = (f"{json.dumps(title)}: {json.dumps(answer)}" for title, answer in told.items())
        RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert told == json.loads(RECORDED.read_text())

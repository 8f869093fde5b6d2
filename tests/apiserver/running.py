"""The product's side of a test: clients, processes of controllers, and the command line, towards servers in memory."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from isthmus.cli.cluster import Cluster, Side
from isthmus.cli.execution import execute
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from tests.apiserver.server import ApiServer
from tests.apiserver.waiting import give_up

Setup = Callable[[Manager, Options], object]


@contextlib.asynccontextmanager
async def connected(api: ApiServer, **settings: Any) -> AsyncIterator[Client]:
    """A client of a server, which listens at least as long; requests are tried once unless `attempts` says more."""
    async with api, Client(Credentials(api.url), **{"attempts": 1, **settings}) as client:
        yield client


@contextlib.asynccontextmanager
async def running(api: ApiServer, *setups: Setup, options: Options | None = None) -> AsyncIterator[Manager]:
    """A controller process with these modules; when the block ends it is killed where it stands.

    A process that ends by itself fails whoever waits with `until`, with the error it ended with.
    """
    async with connected(api) as client:
        manager = Manager(client)
        for setup in setups:
            setup(manager, options or Options(cluster_id="rome"))
        task = asyncio.create_task(manager.run())
        task.add_done_callback(_ended)
        try:
            yield manager
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        give_up(error)


@contextlib.asynccontextmanager
async def commanded(api: ApiServer, side: Side = "local", id: str = "") -> AsyncIterator[Cluster]:
    """The cluster of a server as a command has it once it is connected."""
    async with connected(api) as client:
        yield Cluster(client, side, "liqo", id)


def kubeconfig(api: ApiServer, folder: Path, name: str = "kubeconfig") -> Path:
    """A kubeconfig that leads to a server; its file."""
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    cluster = {"name": "test", "cluster": {"server": api.url}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [context],
        "clusters": [cluster],
        "users": [{"name": "test", "user": {}}],
    }
    path = folder / name
    path.write_bytes(msgspec.json.encode(config))
    return path


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


async def command(*arguments: str | Path) -> Outcome:
    """Run `isthmus` with these arguments to its end, while this loop's servers answer it."""
    return await asyncio.to_thread(_execute, [str(one) for one in arguments])


def _execute(arguments: list[str]) -> Outcome:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = execute(arguments, "isthmus")
    return Outcome(code, *(one.buffer.getvalue().decode() for one in (out, err)))  # type: ignore[attr-defined]

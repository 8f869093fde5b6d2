"""A role's process from start to end: credentials, health, SIGTERM. Shared by `isthmus node` and `isthmus gateway`.

Owns the client, the health server and the role's task. SIGTERM cancels the role, which leaves the data path as it
is; an error that nothing handled ends the process with exit code 1 and the kubelet starts it again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, in_cluster, load_kubeconfig
from isthmus.kube.errors import ConfigurationError, KubeError
from isthmus.kube.server import Answer, Request, Server
from isthmus.network.dataplane.commands import CommandError

logger = logging.getLogger(__name__)

Role = Callable[[Client, "Health"], Awaitable[None]]
Prepare = Callable[[], tuple[Role, int]]
"""Reads the settings; the role and the port of its health server. Raises ConfigurationError."""


class Health:
    """What the kubelet and Prometheus ask: alive as long as the loop turns, ready once the role says so."""

    def __init__(self) -> None:
        self.ready = False
        self.reason = "starting"
        self.faults: Callable[[], tuple[str, ...]] = tuple
        """What keeps the role from being ready, in words."""
        self.metrics: Callable[[], dict[str, float]] = dict

    async def answer(self, request: Request) -> Answer:
        """One request."""
        if request.path == "/healthz" or (request.path == "/readyz" and self.ready):
            return Answer(body=b"ok", content_type="text/plain")
        if request.path == "/readyz":
            words = "; ".join((self.reason, *self.faults()))
            return Answer(status=503, body=words.encode(), content_type="text/plain")
        if request.path == "/faults":
            # Those of /readyz, for a command: an answer of 503 would be asked for again and again.
            return Answer(body="; ".join(self.faults()).encode(), content_type="text/plain")
        if request.path == "/metrics":
            lines = [f"{name} {value}\n" for name, value in self.metrics().items()]
            return Answer(body="".join(lines).encode(), content_type="text/plain; version=0.0.4")
        return Answer(status=404, body=b"not found", content_type="text/plain")


def run_process(prepare: Prepare, host: str = "") -> int:
    """Run a role; the process's exit code: 0 after SIGTERM, 1 to be started again, 2 for bad settings.

    Health is served on `host`, "" being every address.
    """
    logging.basicConfig(
        level=os.environ.get("ISTHMUS_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        role, port = prepare()
        credentials = load_kubeconfig() if os.environ.get("KUBECONFIG") else in_cluster()
    except ConfigurationError as error:
        logger.error("%s", error)
        return 2
    # The default watcher keeps a thread for each child.
    asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    try:
        asyncio.run(_run(role, host, port, credentials))
    except (KubeError, CommandError, OSError, BaseExceptionGroup) as error:
        logger.error("ending: %s", "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in _leaves(error)))
        return 1
    return 0


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


async def _run(role: Role, host: str, port: int, credentials: Credentials) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = Health()
    async with Client(credentials) as client:
        tasks = [
            asyncio.ensure_future(Server(health.answer, host=host, port=port).run()),
            asyncio.ensure_future(role(client, health)),
            asyncio.ensure_future(stop.wait()),
        ]
        gc.collect()
        gc.freeze()
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        ended = await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()
        for outcome in ended:
            # What went wrong while the role was ending is no reason to hide it.
            if isinstance(outcome, Exception):
                raise outcome

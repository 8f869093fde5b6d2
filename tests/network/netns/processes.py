"""Gateways as processes of their own in their namespaces, each beside an API server of the test's, and a probe.

A `GatewayProcess` may be killed, stopped and started again; the probe says for how long traffic stood still.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.node.plan import plan_node
from tests.kube.fake import FakeServer
from tests.network.netns.joined import SEEN_POD, node_facts
from tests.network.netns.support import POD, PORT, WAN, Cluster, Namespace, bound
from tests.network.netns.test_processes import Side, publish

KEYS = "/etc/wireguard/keys"
PROBE_PORT, PROBE_INTERVAL = 9100, 0.1


class NamespaceServer(FakeServer):
    """An API server that listens in a namespace and answers from here."""

    def __init__(self, handle: Any, namespace: Namespace) -> None:
        super().__init__(handle)
        self._namespace = namespace

    async def listen(self) -> None:
        one = self._namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.bind(("127.0.0.1", self.port))
        self._server = await asyncio.start_server(self._serve, sock=one)
        self.port = one.getsockname()[1]


class GatewayProcess:
    """The process `isthmus gateway` in a namespace."""

    def __init__(self, namespace: Namespace, settings: dict[str, Any], url: str, folder: Path) -> None:
        self.namespace = namespace
        kubeconfig = folder / f"{namespace.name}.kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                    "users": [{"name": "c", "user": {}}],
                }
            )
        )
        copy = f"mkdir -p {KEYS} && mount -t tmpfs none {KEYS} && cp {folder}/*Key {KEYS}"
        namespace.run("sh", "-c", copy)
        self._environment = {
            **os.environ,
            "ISTHMUS_GATEWAY": json.dumps(settings),
            "KUBECONFIG": str(kubeconfig),
        }
        self.log = folder / f"{namespace.name}.log"
        self.child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; its words go to `log`."""
        with self.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                *self.namespace.prefix, sys.executable, "-m", "isthmus", "gateway",
                env=self._environment, stderr=log,
            )  # fmt: skip

    async def end(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal and wait for its end."""
        assert self.child is not None
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(number)
        await self.child.wait()

    def carriers(self) -> list[int]:
        """The processes of userspace WireGuard in its namespace."""
        out = self.namespace.run("sh", "-c", f"ip netns pids {self.namespace.name}")
        return [pid for pid in map(int, out.split()) if _command(pid) == "wireguard-go"]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@dataclass
class Probe:
    """Datagrams there and back, ten a second; `answered` is when each answer came, on the monotonic clock."""

    answered: list[float] = field(default_factory=list)

    async def resumed(self, since: float, limit: float) -> float:
        """Seconds from `since` to the first answer after it."""
        while not self.answered or self.answered[-1] <= since:
            assert time.monotonic() - since < limit, f"no traffic {limit:.0f} s after the cause was gone"
            await asyncio.sleep(0.02)
        return next(at for at in self.answered if at > since) - since


@asynccontextmanager
async def probing(here: Namespace, there: Namespace) -> AsyncIterator[Probe]:
    """A probe from one pod to the other until the end of the block."""
    probe, loop = Probe(), asyncio.get_running_loop()
    server, client = (space.socket(socket.AF_INET, socket.SOCK_DGRAM) for space in (there, here))
    server.bind((POD, PROBE_PORT))
    for one in (server, client):
        one.setblocking(False)

    def echo() -> None:
        with contextlib.suppress(OSError):
            data, source = server.recvfrom(64)
            server.sendto(data, source)

    def answer() -> None:
        with contextlib.suppress(OSError):
            # Only what was sent just now says that traffic flows at present.
            if time.monotonic() - float(client.recv(64)) < 1.0:
                probe.answered.append(time.monotonic())

    loop.add_reader(server, echo)
    loop.add_reader(client, answer)

    async def send() -> None:
        while True:
            with contextlib.suppress(OSError):
                client.sendto(str(time.monotonic()).encode(), (SEEN_POD, PROBE_PORT))
            await asyncio.sleep(PROBE_INTERVAL)

    task = asyncio.create_task(send())
    try:
        yield probe
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for one in (server, client):
            loop.remove_reader(one)
            one.close()


@dataclass
class Pair:
    """Two joined clusters: their objects, their gateways and a probe from rome's pod to milan's."""

    sides: tuple[Side, Side]
    gateways: tuple[GatewayProcess, GatewayProcess]
    probe: Probe


@asynccontextmanager
async def processes(pair: tuple[Cluster, Cluster], folder: Path, **settings: Any) -> AsyncIterator[Pair]:
    """Both gateways as processes, connected, with the times they have in use unless `settings` says otherwise."""
    sides = (
        Side(pair[0], "milan", "client", folder / "rome"),
        Side(pair[1], "rome", "server", folder / "milan"),
    )
    publish(sides[0], sides[1])
    publish(sides[1], sides[0])
    made: list[GatewayProcess] = []
    async with AsyncExitStack() as stack:
        for side in sides:
            server = await stack.enter_async_context(NamespaceServer(side.api.handle, side.cluster.gateway))
            await DataPlane(side.cluster.node.commands).apply(plan_node(node_facts(*side.uids())))
            own = msgspec.to_builtins(side.settings()) | {"ping_interval": 2.0} | settings
            made.append(GatewayProcess(side.cluster.gateway, own, server.url, side.folder))
        try:
            for one in made:
                await one.start()
            async with probing(pair[0].pod, pair[1].pod) as probe:
                await probe.resumed(time.monotonic(), bound(20))
                yield Pair(sides, (made[0], made[1]), probe)
        finally:
            for one in made:
                if one.child is not None:
                    await one.end()


__all__ = ["PORT", "WAN", "GatewayProcess", "Pair", "Probe", "probing", "processes"]

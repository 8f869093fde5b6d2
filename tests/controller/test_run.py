"""The controller's process: it leads alone, says when it is ready, ends cleanly, and ends when it must."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from isthmus.controller.run import LEASE, LeaseLostError, main, run
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import ConfigurationError, NotFound, ServerError, TransportError
from isthmus.kube.options import Options
from tests.apiserver import ApiServer, kubeconfig
from tests.apiserver.clock import VIRTUAL_TIME, Clock, eventually

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("certificates_here")]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Process:
    """A controller process of its own lease's name."""

    def __init__(self, api: ApiServer, name: str = "one", **options: Any) -> None:
        self.api = api
        self.name = name
        self.port = free_port()
        modules = frozenset(options.pop("modules", ()))
        self.options = Options(
            cluster_id="rome", pod_name=name, health_port=self.port, modules=modules, **options
        )
        self.task = asyncio.create_task(run(self.options, Credentials(api.url)))

    async def ask(self, path: str) -> str:
        """What it answers; raises what a client is told."""
        async with Client(Credentials(f"http://127.0.0.1:{self.port}"), attempts=1) as client:
            answer = await client.request("GET", path)
        return answer.body.decode()

    async def is_ready(self) -> bool:
        with contextlib.suppress(ServerError, TransportError):
            return await self.ask("/readyz") == "ok"
        return False

    def leads(self) -> bool:
        lease = self.api.get("leases", "liqo", LEASE)
        return lease is not None and lease["spec"]["holderIdentity"] == self.name

    async def end(self) -> None:
        """What it ends with."""
        async with asyncio.timeout(120):
            await self.task


@contextlib.asynccontextmanager
async def process(api: ApiServer, name: str = "one", **options: Any) -> AsyncIterator[Process]:
    """A process that is killed at the end of the block where it has not ended."""
    async with api:
        process = Process(api, name, **options)
        try:
            yield process
        finally:
            process.task.cancel()
            await asyncio.gather(process.task, return_exceptions=True)


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


async def test_it_is_ready_once_it_leads_and_works() -> None:
    api = ApiServer()
    async with process(api) as one:
        await eventually(one.is_ready)
        assert one.leads()
        assert await one.ask("/healthz") == "ok"
        with pytest.raises(NotFound):
            await one.ask("/nothing")


async def test_its_metrics_can_be_read_by_prometheus() -> None:
    async with process(ApiServer()) as one:
        await eventually(one.is_ready)
        lines = (await one.ask("/metrics")).splitlines()
        values = {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}
        assert values["process_resident_memory_bytes"] > 1e6
        assert values["isthmus_home_sent_bytes_total"] > 0
        assert sum(line.startswith("# TYPE ") for line in lines) == len(values)


async def test_the_second_waits_alive_but_not_ready_and_leads_when_the_first_ends() -> None:
    api = ApiServer()
    async with process(api) as one, process(api, "two") as two:
        await eventually(one.is_ready)
        with pytest.raises(ServerError, match="waiting for the leader lease"):
            await two.ask("/readyz")
        assert await two.ask("/healthz") == "ok"
        one.task.cancel()
        await eventually(two.is_ready, 15)
        assert two.leads()


async def test_sigterm_ends_it_and_gives_the_lease_back() -> None:
    api = ApiServer()
    async with process(api) as one:
        await eventually(one.is_ready)
        os.kill(os.getpid(), signal.SIGTERM)
        await one.end()
        lease = api.get("leases", "liqo", LEASE)
        assert lease
        assert lease["spec"]["holderIdentity"] == ""


async def test_a_lease_that_another_took_ends_it() -> None:
    api = ApiServer()
    async with process(api) as one:
        await eventually(one.is_ready)
        api.merge(
            "leases", "liqo", LEASE, {"spec": {"holderIdentity": "another", "leaseDurationSeconds": 40}}
        )
        with pytest.raises(BaseExceptionGroup) as ended:
            await one.end()
        assert any(isinstance(leaf, LeaseLostError) for leaf in leaves(ended.value))


@pytest.mark.parametrize("replicas", [1, 2])
async def test_an_api_server_that_is_away_ends_the_lead_of_one_among_several_only(
    replicas: int, clock: Clock
) -> None:
    api = ApiServer()
    async with process(api, replicas=replicas) as one:
        await eventually(one.is_ready)
        with api.failing(503, plural="leases"):
            await asyncio.wait({one.task}, timeout=25)
            assert one.task.done() == (replicas > 1)
        if replicas > 1:
            with pytest.raises(BaseExceptionGroup):
                await one.end()
        else:
            renewed = len(api.asked("patch", "leases"))
            await api.until(lambda: len(api.asked("patch", "leases")) > renewed)
            assert await one.is_ready()


async def test_a_port_that_is_taken_ends_it_and_says_which() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        api = ApiServer()
        async with process(api, modules=["offloading"], webhook_port=port, kubelet_port=free_port()) as one:
            with pytest.raises(BaseExceptionGroup) as ended:
                await one.end()
            found = [leaf for leaf in leaves(ended.value) if isinstance(leaf, ConfigurationError)]
            assert str(port) in str(found[0])


async def test_every_module_works_in_one_process() -> None:
    modules = ["authentication", "offloading", "networking"]
    ports = {name: free_port() for name in ("webhook_port", "kubelet_port", "proxy_port")}
    api = ApiServer()
    async with process(api, modules=modules, **ports) as one:
        await eventually(one.is_ready)

        async def listens(port: int) -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await eventually(lambda: listens(ports["webhook_port"]), 60)
        await eventually(lambda: listens(ports["proxy_port"]), 60)
        assert not one.task.done()


class InAnotherThread:
    """An API server with a loop of its own, for what runs `asyncio.run` itself."""

    def __init__(self) -> None:
        self.api = ApiServer()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> InAnotherThread:
        self._thread.start()
        self.call(self.api.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self.api.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def when(self, true: Callable[[], Any], then: Callable[[], Any]) -> None:
        """Do something as soon as something holds."""

        async def wait() -> None:
            await self.api.until(true)
            then()

        asyncio.run_coroutine_threadsafe(wait(), self._loop)

    def holder(self) -> str:
        lease = self.api.get("leases", "liqo", LEASE)
        return lease["spec"]["holderIdentity"] if lease else ""


def prepare(monkeypatch: pytest.MonkeyPatch, api: ApiServer, folder: Path, health_port: int = 0) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(api, folder)))
    options = {"cluster_id": "rome", "modules": [], "health_port": health_port}
    monkeypatch.setenv("ISTHMUS_OPTIONS", msgspec.json.encode(options).decode())
    monkeypatch.setenv("POD_NAME", "one")


def test_the_exit_code_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with InAnotherThread() as server:
        prepare(monkeypatch, server.api, tmp_path)
        server.when(lambda: server.holder() == "one", lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main() == 0
        with socket.socket() as taken:
            taken.bind(("", 0))
            taken.listen()
            port = taken.getsockname()[1]
            prepare(monkeypatch, server.api, tmp_path, health_port=port)
            assert main() == 1
        assert "ending: ConfigurationError" in caplog.text
        assert str(port) in caplog.text


def test_what_it_cannot_start_with_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ISTHMUS_OPTIONS", "{")
    assert main() == 2
    assert "ISTHMUS_OPTIONS is not a JSON object" in caplog.text
    monkeypatch.setenv("ISTHMUS_OPTIONS", '{"cluster_id": "rome"}')
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main() == 2
    assert str(tmp_path / "none") in caplog.text
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main() == 2

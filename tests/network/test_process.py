"""A role's process from start to end: what it needs, what it answers meanwhile, and with which code it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.kube.client import Client
from isthmus.kube.errors import ConfigurationError, NotFound
from isthmus.network.dataplane.commands import CommandError
from isthmus.network.gateway import run as gateway
from isthmus.network.node import run as node
from isthmus.network.process import Health, Role, run_process

KUBECONFIG = """\
current-context: c
contexts: [{name: c, context: {cluster: c, user: c}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: c, user: {}}]
"""


@pytest.fixture(autouse=True)
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A kubeconfig, and this process as it was afterwards."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield
    asyncio.set_child_watcher(None)
    gc.unfreeze()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def run(role: Role, port: int = 0) -> int:
    return run_process(lambda: (role, port or free_port()), "127.0.0.1")


async def ask(port: int, path: str) -> tuple[int, str]:
    async with asyncio.timeout(10):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
    return int(head.split()[1]), body


def test_it_answers_for_itself_until_it_is_told_to_end() -> None:
    port, answers = free_port(), {}

    async def role(client: Client, health: Health) -> None:
        health.faults = lambda: ("no InternalFabric yet",)
        health.metrics = lambda: {"isthmus_tunnel_connected": 1.0}
        answers["before"] = await ask(port, "/readyz")
        health.ready = True
        for path in ("/readyz", "/healthz", "/faults", "/metrics", "/other"):
            answers[path] = await ask(port, path)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    assert run(role, port) == 0
    assert answers == {
        "before": (503, "starting; no InternalFabric yet"),
        "/readyz": (200, "ok"),
        "/healthz": (200, "ok"),
        "/faults": (200, "no InternalFabric yet"),
        "/metrics": (200, "isthmus_tunnel_connected 1.0\n"),
        "/other": (404, "not found"),
    }


def test_what_nobody_handled_ends_it_with_every_cause_told(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def role(client: Client, health: Health) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(NotFound("get pods", code=404)))
            group.create_task(fail(CommandError("nft: out of memory")))

    assert run(role) == 1
    assert "ending: NotFound: get pods" in caplog.text
    assert "CommandError: nft: out of memory" in caplog.text


def test_what_goes_wrong_at_the_end_is_told_too() -> None:
    async def role(client: Client, health: Health) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            raise CommandError("nft: the node cannot be left")

    assert run(role) == 1


def test_settings_that_cannot_be_are_one_line_and_another_code(caplog: pytest.LogCaptureFixture) -> None:
    def prepare() -> tuple[Role, int]:
        raise ConfigurationError("ISTHMUS_NODE: overlay_port is 0: it must be 1 to 65535")

    assert run_process(prepare) == 2
    assert "overlay_port is 0: it must be 1 to 65535" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "NODE_NAME is not set: the DaemonSet must pass spec.nodeName"),
        ({"ISTHMUS_NODE": "{"}, "ISTHMUS_NODE: "),
        (
            {"NODE_NAME": "one", "ISTHMUS_NODE": '{"rule_priority": 0}'},
            "rule_priority is 0: it must be 1 to 32765",
        ),
        (
            {"NODE_NAME": "one", "ISTHMUS_NODE": '{"overlay_port": 70000}'},
            "overlay_port is 70000: it must be 1 to 65535",
        ),
    ],
)
def test_an_agent_says_which_setting_is_wrong(
    settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert node.main() == 2
    assert said in caplog.text


GATEWAY = (
    '{{"mode": "{mode}", "name": "milan", "namespace": "t", "peer": "milan", "cluster_id": "rome", '
    '"mtu": {mtu}{more}}}'
)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("", "ISTHMUS_GATEWAY is not set"),
        ("{", "ISTHMUS_GATEWAY: "),
        (GATEWAY.format(mode="both", mtu=1340, more=""), "mode is 'both': it must be server or client"),
        (GATEWAY.format(mode="server", mtu=1340, more=""), "port is 0: it must be 1 to 65535"),
        (GATEWAY.format(mode="client", mtu=100, more=""), "mtu is 100: it must be 576 to 65000"),
        (
            GATEWAY.format(mode="client", mtu=1340, more=', "implementation": "fast"'),
            "implementation is 'fast'",
        ),
        (
            GATEWAY.format(mode="client", mtu=1340, more=', "ping_interval": 0.01'),
            "ping_interval must be 0.1 to 3600 s",
        ),
    ],
)
def test_a_gateway_says_which_setting_is_wrong(
    settings: str, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ISTHMUS_GATEWAY", settings)
    assert gateway.main() == 2
    assert said in caplog.text

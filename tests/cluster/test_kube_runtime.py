"""The Kubernetes runtime against a real API server: verbs, WatchList, exec, leases, and a network that breaks.

What breaks is a relay between client and API server, which is this test's own: the clusters are shared.
"""

# ruff: noqa: ASYNC110  (what is waited for happens in another process)

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from isthmus import lab
from isthmus.kube.builtin import CONFIG_MAPS, EVENTS, LEASES, NAMESPACES, PODS, SERVICE_ACCOUNTS, ConfigMap
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, load_kubeconfig
from isthmus.kube.errors import AlreadyExists, Conflict, Expired, Invalid, NotFound, TransportError
from isthmus.kube.events import EventRecorder
from isthmus.kube.informer import Informer
from isthmus.kube.lease import LeaderElection
from isthmus.kube.objects import Key

pytestmark = pytest.mark.cluster


class Cluster(Protocol):
    """What is used of the lab's fixture."""

    @property
    def kubeconfig(self) -> Path: ...


@pytest.fixture
def credentials(rome: Cluster) -> Credentials:
    return load_kubeconfig(rome.kubeconfig)


@pytest.fixture
async def client(credentials: Credentials) -> AsyncIterator[Client]:
    async with Client(credentials) as opened:
        yield opened


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    name = f"kube-runtime-{uuid.uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    await client.delete(NAMESPACES, name)


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"test": "runtime"}}, "data": data}


async def eventually(condition: Callable[[], bool], within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(*functions: Callable[[], Any]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(function()) for function in functions]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_the_verbs(client: Client, namespace: str) -> None:
    assert (await client.version()).startswith("v1.")
    made = await client.create(CONFIG_MAPS, config_map("a", k="1"), namespace)
    with pytest.raises(AlreadyExists, match=f"create configmaps {namespace}/a: .*already exists"):
        await client.create(CONFIG_MAPS, config_map("a"), namespace)
    with pytest.raises(Conflict):
        await client.apply(CONFIG_MAPS, config_map("a", k="2"), namespace, field_manager="other", force=False)
    applied = await client.apply(CONFIG_MAPS, config_map("a", k="2"), namespace, field_manager="other")
    assert (applied.data, applied.metadata.uid) == ({"k": "2"}, made.metadata.uid)
    assert (await client.patch(CONFIG_MAPS, "a", {"data": {"l": "3"}}, namespace)).data == {
        "k": "2",
        "l": "3",
    }
    stale = config_map("a", k="4") | {
        "metadata": {"name": "a", "resourceVersion": made.metadata.resource_version}
    }
    with pytest.raises(Conflict):
        await client.update(CONFIG_MAPS, stale, namespace)
    partial = await client.get(CONFIG_MAPS.partial(), "a", namespace)
    assert partial.metadata.labels == {"test": "runtime"}
    assert await client.delete(CONFIG_MAPS, "a", namespace, uid=str(uuid.uuid4())) is False
    assert await client.delete(CONFIG_MAPS, "a", namespace, uid=made.metadata.uid) is True
    assert await client.delete(CONFIG_MAPS, "a", namespace) is False
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", namespace)
    with pytest.raises(Invalid):
        await client.create(CONFIG_MAPS, config_map("Not A Name"), namespace)


async def test_lists_are_paged(client: Client, namespace: str) -> None:
    names = [f"c-{number:02}" for number in range(30)]
    await asyncio.gather(*(client.create(CONFIG_MAPS, config_map(name), namespace) for name in names))
    sizes = [
        len(page.items)
        async for page in client.pages(CONFIG_MAPS, namespace, label_selector="test=runtime", size=12)
    ]
    assert sizes == [12, 12, 6]
    page = await client.list(CONFIG_MAPS, namespace, label_selector="test=runtime")
    assert [item.metadata.name for item in page.items] == names


@pytest.mark.endurance
async def test_a_version_of_long_ago_is_expired(client: Client, rome: Cluster) -> None:
    # An API server that began with its cluster remembers everything.
    await asyncio.to_thread(lab.stop_api_server, rome.name)
    await asyncio.to_thread(lab.start_api_server, rome.name)

    async def follow() -> None:
        async for _ in client.watch(CONFIG_MAPS, resource_version="1"):
            pass

    with pytest.raises(Expired):
        await asyncio.wait_for(follow(), 60)


@pytest.mark.parametrize("metadata_only", [False, True])
async def test_an_informer_follows(client: Client, namespace: str, metadata_only: bool) -> None:
    await client.create(CONFIG_MAPS, config_map("before", k="1"), namespace)
    resource = CONFIG_MAPS.partial() if metadata_only else CONFIG_MAPS
    informer: Informer[Any] = Informer(client, resource, namespace, label_selector="test=runtime")
    async with running(informer.run):
        await asyncio.wait_for(informer.synced.wait(), 10)
        assert informer._watch_list, "the real server takes WatchList"
        assert [item.metadata.name for item in informer.list()] == ["before"]
        await client.create(CONFIG_MAPS, config_map("after"), namespace)
        await client.delete(CONFIG_MAPS, "before", namespace)
        await eventually(lambda: [item.metadata.name for item in informer.list()] == ["after"])


class Relay:
    """A TCP relay to the API server that can be taken away and brought back."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._target = (str(parts.hostname), parts.port or 443)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Nothing listens any more, and every connection is reset."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        self._writers -= {writer, far_writer}


@pytest.mark.endurance
@pytest.mark.parametrize("outage", [0.0, 5.0])
async def test_an_outage_loses_no_change(
    credentials: Credentials, client: Client, namespace: str, outage: float
) -> None:
    relay = Relay(credentials.server)
    await relay.open()
    name = str(urlsplit(credentials.server).hostname)
    through = replace(credentials, server=f"https://127.0.0.1:{relay.port}", tls_server_name=name)
    await client.create(CONFIG_MAPS, config_map("vanishes"), namespace)
    changes: list[tuple[str, str]] = []

    def note(old: ConfigMap | None, new: ConfigMap | None) -> None:
        changes.append((old.metadata.name if old else "", new.metadata.name if new else ""))

    async with Client(through) as broken:
        informer = Informer(broken, CONFIG_MAPS, namespace, label_selector="test=runtime")
        informer.add_handler(note)
        async with running(informer.run):
            await asyncio.wait_for(informer.synced.wait(), 10)
            await relay.cut()
            await eventually(lambda: not informer.connected)
            await client.delete(CONFIG_MAPS, "vanishes", namespace)
            await client.create(CONFIG_MAPS, config_map("appears"), namespace)
            with pytest.raises(TransportError):
                await broken.get(CONFIG_MAPS, "appears", namespace)
            assert informer.get(Key(namespace, "vanishes")) is not None
            await asyncio.sleep(outage)
            await relay.open()
            await eventually(lambda: informer.connected and len(changes) == 3)
            assert (await broken.get(CONFIG_MAPS, "appears", namespace)).metadata.name == "appears"
        assert changes == [("", "vanishes"), ("vanishes", ""), ("", "appears")]
    await relay.cut()


def unmasked(frames: bytes) -> list[bytes]:
    """The payloads of a server's WebSocket frames (RFC 6455 5.2), each below 64 KiB."""
    payloads = []
    while len(frames) >= 2:
        length, start = frames[1], 2
        if length == 126:
            length, start = int.from_bytes(frames[2:4], "big"), 4
        payloads.append(frames[start : start + length])
        frames = frames[start + length :]
    return payloads


async def test_exec_and_logs_of_a_real_pod(client: Client, namespace: str) -> None:
    container = {
        "name": "c",
        "image": "localhost/isthmus-test:latest",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done; sleep 600"],
    }
    # A pod is admitted only once its namespace has a service account.
    async with asyncio.timeout(30):
        while await client.find(SERVICE_ACCOUNTS, "default", namespace) is None:
            await asyncio.sleep(0.1)
    pod = {"metadata": {"name": "p"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    await client.create(PODS, pod, namespace)
    informer = Informer(client, PODS, namespace)
    async with running(informer.run):
        async with asyncio.timeout(60):
            while b'"running"' not in bytes(getattr(informer.get(Key(namespace, "p")), "status", b"")):
                await asyncio.sleep(0.1)
    path = PODS.path(namespace, "p", "log")
    log = b""
    async with (
        asyncio.timeout(30),
        contextlib.aclosing(client.stream("GET", path, query=[("follow", "true")])) as lines,
    ):
        async for chunk in lines:
            log += chunk
            if b"line 3" in log:
                break
    assert log == b"line 1\nline 2\nline 3\n"

    upgraded = await client.upgrade(
        "GET",
        PODS.path(namespace, "p", "exec"),
        query=[("command", "echo"), ("command", "hello"), ("stdout", "true"), ("container", "c")],
        headers=[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", "v5.channel.k8s.io"),
        ],
    )
    received = b""
    async with asyncio.timeout(30):
        while b"Success" not in received:
            data = await upgraded.reader.read(65536)
            assert data, received
            received += data
    upgraded.writer.close()
    assert b"\x01hello\n" in unmasked(received)


async def test_one_of_two_candidates_leads(client: Client, credentials: Credentials, namespace: str) -> None:
    leading: list[str] = []

    async def lead(identity: str) -> None:
        async with Client(credentials) as own:
            election = LeaderElection(
                own, "lead", namespace, identity, duration=3, renew_deadline=2, retry_period=0.3
            )
            await election.acquire()
            leading.append(identity)
            try:
                await election.hold()
            finally:
                leading.remove(identity)

    first, second = (asyncio.create_task(lead(identity)) for identity in ("one", "two"))
    await eventually(lambda: bool(leading))
    await asyncio.sleep(2)
    assert len(leading) == 1
    holder, other = (first, second) if leading == ["one"] else (second, first)
    was = leading[0]
    holder.cancel()
    await asyncio.wait([holder])
    await eventually(lambda: bool(leading) and leading != [was], within=10)
    other.cancel()
    await asyncio.wait([other])
    lease = await client.get(LEASES, "lead", namespace)
    assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("", 1)


async def test_events_are_written_and_counted(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"), namespace)
    recorder = EventRecorder(client, "runtime-test")

    async def counts() -> list[bytes]:
        path = EVENTS.path(namespace)
        return (await client.request("GET", path)).body.split(b'"count":')[1:]

    async with running(recorder.run):
        for expected in (b"1", b"2"):
            recorder.record(CONFIG_MAPS, made, "Tested", "It was tested.")
            async with asyncio.timeout(10):
                while [text[:1] for text in await counts()] != [expected]:
                    await asyncio.sleep(0.1)

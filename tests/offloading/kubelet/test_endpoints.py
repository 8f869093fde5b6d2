"""The kubelet API from end to end: a client on one side, a provider that the test plays on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from isthmus.kube.builtin import Pod
from isthmus.kube.client import Client, Upgraded
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import (
    ApiError,
    BadRequest,
    Forbidden,
    NotFound,
    ServerError,
    TransportError,
    Unauthorized,
)
from isthmus.kube.objects import ObjectMeta
from isthmus.kube.server import Answer, Request, Server
from isthmus.offloading.kubelet import logs
from isthmus.offloading.kubelet.access import Access, Ask, User
from isthmus.offloading.kubelet.endpoints import Endpoints

SPDY = [
    ("Connection", "Upgrade"),
    ("Upgrade", "SPDY/3.1"),
    ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
]
ENDED = {"name": "init", "image": "busybox:1", "state": {"terminated": {"exitCode": 0}}}
WEBSOCKET = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Protocol", "v5.channel.k8s.io"),
]
Handler = Callable[[Request], Awaitable[Answer | None]]


class Place(Struct, frozen=True):
    client: Client
    remote_namespace: str
    node: str
    pod_uid: str


class Pods:
    """One pod, `shop/web`, on the node `milan`."""

    def __init__(self, client: Client) -> None:
        self._place = Place(client, "shop-rome", "milan", "1b")

    def locate(self, namespace: str, pod: str) -> Place | None:
        return self._place if (namespace, pod) == ("shop", "web") else None

    def pods_on(self, node: str) -> list[Pod]:
        running = {"name": "main", "image": "nginx:1", "state": {"running": {"startedAt": "t"}}}
        status = {"initContainerStatuses": [ENDED], "containerStatuses": [running, {"name": "side"}]}
        waiting = Pod(metadata=ObjectMeta(name="next", namespace="shop", uid="2c"))
        return [
            Pod(
                metadata=ObjectMeta(name="web", namespace="shop", uid="1b"),
                status=msgspec.Raw(msgspec.json.encode(status)),
            ),
            waiting,
        ]

    def nodes(self) -> list[str]:
        return ["milan"]


class AllowList(Access):
    """Who may do what, without an API server; the token is the name."""

    def __init__(self, allowed: set[tuple[str, Ask]]) -> None:
        self._allowed = allowed

    async def authenticate(self, request: Request) -> User | None:
        name = request.headers.get("authorization", "").removeprefix("Bearer ")
        return User(username=name) if name else None

    async def allows(self, user: User, ask: Ask) -> bool:
        return user.username == "admin" or (user.username, ask) in self._allowed


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    server = Server(handler, host="127.0.0.1")
    running = asyncio.create_task(server.run())
    await server.started.wait()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def kubelet(
    provider: Handler | None, *, allowed: set[tuple[str, Ask]] | None = None, user: str = "admin"
) -> AsyncIterator[Client]:
    """A client of the kubelet API whose provider is `provider`, or does not answer."""
    async with AsyncExitStack() as stack:
        url = "http://127.0.0.1:9"
        if provider is not None:
            url = await stack.enter_async_context(listening(provider))
        upstream = await stack.enter_async_context(Client(Credentials(server=url), attempts=1))
        endpoints = Endpoints(AllowList(allowed or set()), Pods(upstream))
        own = await stack.enter_async_context(listening(endpoints.handle))
        client = Client(Credentials(server=own, token=user), attempts=1)
        yield await stack.enter_async_context(client)


class Echo:
    """A provider that accepts every upgrade, remembers the request and echoes until the end."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> None:
        self.requests.append(request)
        answer = [
            (n, v)
            for n, v in request.raw_headers
            if n in ("upgrade", "connection", "x-stream-protocol-version")
        ]
        reader, writer = await request.accept_upgrade(
            [*answer, ("Sec-WebSocket-Accept", "yes"), ("Server", "x")]
        )
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def converse(stream: Upgraded) -> bytes:
    stream.writer.write(b"hello ")
    stream.writer.write(b"world")
    stream.writer.write_eof()
    async with asyncio.timeout(10):
        answer = b""
        while data := await stream.reader.read(100):
            answer += data
    stream.writer.close()
    return answer


@pytest.mark.parametrize(("headers", "method"), [(SPDY, "POST"), (WEBSOCKET, "GET")])
async def test_a_stream_is_carried_to_the_provider_and_back(
    headers: list[tuple[str, str]], method: str
) -> None:
    echo = Echo()
    async with kubelet(echo) as client:
        query = [("command", "cat"), ("input", "1"), ("output", "1")]
        stream = await client.upgrade("POST", "/exec/shop/web/main", query=query, headers=headers)
        assert await converse(stream) == b"hello world"
    request = echo.requests[0]
    assert (request.method, request.path) == (method, "/api/v1/namespaces/shop-rome/pods/web/exec")
    assert request.query == [("container", "main"), ("command", "cat"), ("stdin", "true"), ("stdout", "true")]
    assert "authorization" not in request.headers, "the client's own token stays here"
    sent = {name.lower(): value for name, value in headers}
    assert sent.items() <= request.headers.items()
    answered = {name.lower(): value for name, value in stream.headers}
    assert answered["upgrade"] == sent["upgrade"]
    assert answered["sec-websocket-accept"] == "yes"
    assert "server" not in answered


async def test_attach_and_port_forward_go_where_they_belong() -> None:
    echo = Echo()
    async with kubelet(echo) as client:
        for path in ("/attach/shop/web/main", "/portForward/shop/web/1b"):
            stream = await client.upgrade("GET", path, query=[("port", "80")], headers=SPDY)
            assert await converse(stream) == b"hello world"
    assert [request.path.rpartition("/")[2] for request in echo.requests] == ["attach", "portforward"]
    assert echo.requests[1].query == [("ports", "80")]


async def test_a_refusal_of_the_provider_keeps_its_sentence() -> None:
    async def refuse(request: Request) -> Answer:
        body = {
            "kind": "Status",
            "message": "container main is not valid",
            "reason": "BadRequest",
            "code": 400,
        }
        return Answer(400, msgspec.json.encode(body))

    async with kubelet(refuse) as client:
        with pytest.raises(BadRequest, match="container main is not valid") as caught:
            await client.upgrade("POST", "/exec/shop/web/main", query=[], headers=SPDY)
        assert caught.value.detail == "container main is not valid"
        with pytest.raises(BadRequest, match="container main is not valid"):
            await client.request("GET", "/containerLogs/shop/web/main")


@pytest.mark.parametrize("code", [401, 403])
async def test_a_provider_that_refuses_its_node_does_not_blame_the_client(code: int) -> None:
    async def refuse(request: Request) -> Answer:
        return Answer(code, msgspec.json.encode({"kind": "Status", "message": "go away", "code": code}))

    async with kubelet(refuse) as client:
        with pytest.raises(ServerError, match="virtual node milan refuses its own node: go away") as caught:
            await client.upgrade("POST", "/exec/shop/web/main", query=[], headers=SPDY)
        assert caught.value.code == 502


async def test_a_provider_that_is_away_is_a_bad_gateway() -> None:
    async with kubelet(None) as client:
        with pytest.raises(ServerError, match="virtual node milan cannot be reached") as caught:
            await client.upgrade("POST", "/exec/shop/web/main", query=[], headers=SPDY)
        assert caught.value.code == 502
        with pytest.raises(ServerError, match="virtual node milan cannot be reached") as caught:
            await client.request("GET", "/containerLogs/shop/web/main")
        assert caught.value.code == 500, "the API server drops the text of any other status"


async def test_an_unknown_pod_and_one_of_another_uid_are_not_found() -> None:
    async with kubelet(Echo()) as client:
        with pytest.raises(NotFound, match="shop/nope does not run on a virtual node"):
            await client.upgrade("POST", "/exec/shop/nope/main", query=[], headers=SPDY)
        with pytest.raises(NotFound, match="another one has its name"):
            await client.upgrade("POST", "/exec/shop/web/2c/main", query=[], headers=SPDY)
        with pytest.raises(BadRequest, match="shop/nope does not run on a virtual node"):
            await client.request("GET", "/containerLogs/shop/nope/main")


async def test_who_may_not_is_told_nothing_of_pods() -> None:
    allowed = {("reader", Ask("get", "proxy", "milan")), ("reader", Ask("get", "metrics", ""))}
    async with kubelet(Echo(), allowed=allowed, user="reader") as client:
        for pod in ("web", "nope"):
            with pytest.raises(Forbidden, match=r"user=reader, verb=create, resource=nodes"):
                await client.upgrade("GET", f"/exec/shop/{pod}/main", query=[], headers=WEBSOCKET)
        with pytest.raises(Forbidden):
            await client.request("GET", "/containerLogs/shop/nope/main")
        with pytest.raises(Forbidden):
            await client.request("GET", "/pods")
        assert (await client.request("GET", "/metrics/resource")).status == 200
        with pytest.raises(ApiError, match="405"):
            await client.request("DELETE", "/pods")
    async with kubelet(Echo(), user="") as client:
        with pytest.raises(Unauthorized):
            await client.request("GET", "/pods")


async def test_an_exec_without_an_upgrade_is_refused() -> None:
    async with kubelet(Echo()) as client:
        with pytest.raises(BadRequest, match="needs a connection upgrade"):
            await client.request("POST", "/exec/shop/web/main")


async def test_a_log_arrives_while_it_is_written() -> None:
    more = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield b"one\n"
        await more.wait()
        yield b"two\n"

    asked: list[Request] = []

    async def provide(request: Request) -> Answer:
        asked.append(request)
        return Answer(body=lines(), content_type="text/plain")

    async with kubelet(provide) as client, asyncio.timeout(10):
        log = client.stream("GET", "/containerLogs/shop/web/main", query=[("follow", "true")])
        assert await anext(log) == b"one\n"
        more.set()
        assert [chunk async for chunk in log] == [b"two\n"]
    assert asked[0].path == "/api/v1/namespaces/shop-rome/pods/web/log"
    assert asked[0].query == [("container", "main"), ("follow", "true")]


async def test_a_silent_log_is_begun_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "EARLY", 0.05)
    speak = asyncio.Event()

    async def provide(request: Request) -> Answer:
        await speak.wait()
        return Answer(body=b"at last\n", content_type="text/plain")

    async with kubelet(provide) as client, asyncio.timeout(10):
        path = "/containerLogs/shop/web/main"
        log = client.stream("GET", path, query=[("follow", "true")])
        first = asyncio.ensure_future(anext(log))
        await asyncio.sleep(0.2)
        speak.set()
        assert await first == b"at last\n"


async def test_a_log_that_breaks_off_is_not_taken_for_whole() -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield b"one\n"
        raise ConnectionError("cut")

    async def provide(request: Request) -> Answer:
        return Answer(body=lines(), content_type="text/plain")

    async with kubelet(provide) as client, asyncio.timeout(10):
        log = client.stream("GET", "/containerLogs/shop/web/main")
        with pytest.raises(TransportError):
            [chunk async for chunk in log]


async def test_a_client_that_leaves_ends_the_log_at_the_provider() -> None:
    ended = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async def provide(request: Request) -> Answer:
        return Answer(body=lines(), content_type="text/plain")

    async with kubelet(provide) as client, asyncio.timeout(10):
        log = client.stream("GET", "/containerLogs/shop/web/main", query=[("follow", "true")])
        await anext(log)
        await log.aclose()
        await ended.wait()


async def test_the_nodes_own_paths() -> None:
    async def provide(request: Request) -> Answer:
        assert request.path == "/apis/metrics.k8s.io/v1beta1/namespaces/shop-rome/pods"
        usage = {"name": "main", "usage": {"cpu": "250m", "memory": "64Mi"}}
        broken = {"name": "side", "usage": {"cpu": "much", "memory": "1"}}
        item: dict[str, Any] = {"metadata": {"name": "web"}, "timestamp": "t", "containers": [usage, broken]}
        return Answer(body=msgspec.json.encode({"items": [item, {"metadata": {"name": "other"}}]}))

    async with kubelet(provide) as client:
        assert (await client.request("GET", "/healthz")).body == b"ok"
        pods = msgspec.json.decode((await client.request("GET", "/pods")).body)
        assert (pods["kind"], [pod["metadata"]["name"] for pod in pods["items"]]) == (
            "PodList",
            ["web", "next"],
        )
        running = msgspec.json.decode((await client.request("GET", "/runningpods/")).body)
        assert (running["kind"], running["items"]) == (
            "PodList",
            [
                {
                    "metadata": {"name": "web", "namespace": "shop", "uid": "1b"},
                    "spec": {"containers": [{"name": "main", "image": "nginx:1"}]},
                    "status": {},
                }
            ],
        )
        summary = msgspec.json.decode((await client.request("GET", "/stats/summary")).body)
        assert summary["node"] == {"nodeName": "milan"}
        assert [pod["podRef"] for pod in summary["pods"]] == [
            {"name": "web", "namespace": "shop", "uid": "1b"}
        ]
        assert summary["pods"][0]["containers"] == [
            {
                "name": "main",
                "cpu": {"time": "t", "usageNanoCores": 250_000_000},
                "memory": {"time": "t", "workingSetBytes": 64 << 20},
            },
            {"name": "side", "memory": {"time": "t", "workingSetBytes": 1}},
        ]
        with pytest.raises(NotFound, match="a virtual node has no /configz"):
            await client.request("GET", "/configz")


async def test_no_metrics_at_the_provider_are_no_fault() -> None:
    async with kubelet(None) as client:
        summary = msgspec.json.decode((await client.request("GET", "/stats/summary")).body)
    assert summary["pods"] == []

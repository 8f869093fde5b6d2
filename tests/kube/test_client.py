"""The client: what it sends, what it makes of answers, and how it bears with a server that misbehaves."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from isthmus.kube import errors, pool, retry, session
from isthmus.kube.builtin import CONFIG_MAPS, NAMESPACES, PODS, SECRETS
from isthmus.kube.calls import Call
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.tls import server_context
from tests.apiserver import pairs

from .fake import Exchange, FakeServer, Handle

TOKEN = "secret-" + "token"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the waiting."""
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.001)


@contextlib.asynccontextmanager
async def talking(handle: Handle, **options: Any) -> Any:
    async with (
        FakeServer(handle) as server,
        Client(Credentials(server.url, token=TOKEN), **options) as client,
    ):
        yield client, server


def secret(name: str = "a", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", "resourceVersion": "1"}, "data": data}


async def mirror(exchange: Exchange) -> None:
    """What was written, or a Secret."""
    written = exchange.json() if exchange.body else None
    await exchange.respond(200, written if isinstance(written, dict) else secret(key="dmFsdWU="))


async def test_verbs_send_what_the_api_server_expects() -> None:
    async with talking(mirror) as (client, server):
        assert (await client.get(SECRETS, "a", "n")).data == {"key": "dmFsdWU="}
        await client.create(SECRETS, secret(), "n")
        await client.update(SECRETS, secret(), "n", subresource="status")
        await client.apply(SECRETS, secret(), "n", field_manager="me", force=False)
        await client.patch(SECRETS, "a", [{"op": "test"}], "n", type="json")
        assert await client.delete(
            SECRETS, "a", "n", uid="u", grace_period_seconds=0, propagation="Foreground"
        )
    lines = [(e.method, e.target, e.headers.get("content-type")) for e in server.received]
    at = "/api/v1/namespaces/n/secrets"
    assert lines == [
        ("GET", f"{at}/a", None),
        ("POST", f"{at}?fieldManager=isthmus", "application/json"),
        ("PUT", f"{at}/a/status?fieldManager=isthmus", "application/json"),
        ("PATCH", f"{at}/a?fieldManager=me&force=false", "application/apply-patch+yaml"),
        ("PATCH", f"{at}/a?fieldManager=isthmus", "application/json-patch+json"),
        ("DELETE", f"{at}/a", "application/json"),
    ]
    assert server.received[1].json()["apiVersion"] == "v1"
    assert server.received[1].json()["kind"] == "Secret"
    assert server.received[5].json()["preconditions"] == {"uid": "u"}
    assert server.received[5].json()["gracePeriodSeconds"] == 0
    assert {e.headers["authorization"] for e in server.received} == {f"Bearer {TOKEN}"}
    assert server.connections == 1


async def test_a_name_from_elsewhere_cannot_lead_out_of_its_place() -> None:
    async with talking(mirror) as (client, server):
        await client.get(SECRETS, "../../nodes/x?y=z", "n/../kube-system")
    assert (
        server.received[0].target
        == "/api/v1/namespaces/n%2F..%2Fkube-system/secrets/..%2F..%2Fnodes%2Fx%3Fy%3Dz"
    )


async def test_nulls_where_go_means_empty_are_borne() -> None:
    async def handle(exchange: Exchange) -> None:
        spec = {"kept": None}
        metadata = {"name": "p", "labels": None, "ownerReferences": None, "creationTimestamp": None}
        pod = {"metadata": metadata, "spec": spec}
        await exchange.respond(
            200, {"items": [pod], "metadata": {}} if exchange.path.endswith("pods") else pod
        )

    async with talking(handle) as (client, _):
        pod = await client.get(PODS, "p", "n")
        assert (pod.metadata.name, pod.metadata.labels) == ("p", {})
        assert bytes(pod.spec) == b'{"kept":null}'
        assert (await client.list(PODS)).items[0].metadata.owner_references == []


async def test_a_list_without_items_is_empty() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.respond(200, {"items": None, "metadata": {"resourceVersion": "7"}})

    async with talking(handle) as (client, _):
        page = await client.list(PODS)
    assert (page.items, page.resource_version) == ([], "7")


async def test_lists_are_paged_and_begun_anew_when_the_token_expires() -> None:
    expired = False

    async def handle(exchange: Exchange) -> None:
        nonlocal expired
        token = exchange.query.get("continue")
        if token and not expired:
            expired = True
            await exchange.fail(410, "Expired", "too old")
        elif token:
            await exchange.respond(200, {"items": [secret("b")], "metadata": {"resourceVersion": "9"}})
        else:
            await exchange.respond(
                200, {"items": [secret("a")], "metadata": {"resourceVersion": "9", "continue": "t="}}
            )

    async with talking(handle) as (client, server):
        page = await client.list(SECRETS, "n", label_selector="a in (b, c)", field_selector="type=x")
    assert [item.metadata.name for item in page.items] == ["a", "b"]
    assert page.resource_version == "9"
    assert server.received[0].query == {
        "labelSelector": "a in (b, c)",
        "fieldSelector": "type=x",
        "limit": "500",
    }


async def test_metadata_only_resources_ask_for_metadata() -> None:
    async with talking(mirror) as (client, server):
        await client.get(PODS.partial(), "a", "n")
    assert "as=PartialObjectMetadata;" in server.received[0].headers["accept"]


async def test_raw_fields_of_a_list_do_not_keep_the_page_alive() -> None:
    pods = [{"metadata": {"name": str(i)}, "spec": {"x": "y" * 1000}} for i in range(3)]

    async def handle(exchange: Exchange) -> None:
        await exchange.respond(200, {"items": pods, "metadata": {}})

    async with talking(handle) as (client, _):
        spec = (await client.list(PODS)).items[0].spec
    # What a Raw is a view into shows as the memoryview's object.
    assert len(memoryview(spec).obj) == len(bytes(spec))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Expired),
        (418, "", errors.ApiError),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (302, "", errors.ApiError),
    ],
)
async def test_a_refusal_says_what_was_asked_and_answered(
    status: int, reason: str, kind: type[Exception]
) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.fail(status, reason, "because\n of this")

    async with talking(handle, attempts=1) as (client, _):
        with pytest.raises(kind) as caught:
            await client.apply(SECRETS, secret(), "n")
    assert type(caught.value) is kind
    assert (
        str(caught.value) == f"apply secrets n/a: because of this ({status}{' ' if reason else ''}{reason})"
    )
    assert TOKEN not in str(caught.value)


async def test_a_refusal_that_is_no_status_is_an_api_error() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.respond(502, b"<html>Bad gateway</html>")

    async with talking(handle, attempts=1) as (client, _):
        with pytest.raises(errors.ServerError, match="Bad gateway"):
            await client.get(SECRETS, "a", "n")


async def test_an_answer_of_another_shape_is_one_clear_error() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.respond(200, b"hello" if exchange.path.endswith("a") else {"metadata": 5})

    async with talking(handle, attempts=1) as (client, _):
        for name in ("a", "b"):
            with pytest.raises(errors.TransportError):
                await client.get(SECRETS, name, "n")


def failing(times: int, how: str) -> Handle:
    count = 0

    async def handle(exchange: Exchange) -> None:
        nonlocal count
        count += 1
        if count > times:
            await mirror(exchange)
        elif how == "cut":
            exchange.cut()
        elif how == "cut in the middle":
            exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            await exchange.writer.drain()
            exchange.cut()
        elif how == "429":
            await exchange.fail(429, "TooManyRequests", retry_after="0")
        else:
            await exchange.fail(503, "ServiceUnavailable")

    return handle


@pytest.mark.parametrize("how", ["cut", "cut in the middle", "429", "503"])
async def test_what_may_be_repeated_is_repeated(how: str) -> None:
    async with talking(failing(3, how)) as (client, _):
        await client.apply(SECRETS, secret(), "n")


@pytest.mark.parametrize(("how", "requests"), [("cut", 1), ("503", 1), ("429", 4)])
async def test_a_create_is_never_sent_twice_unless_it_surely_was_not_done(how: str, requests: int) -> None:
    async with talking(failing(3, how)) as (client, server):
        with contextlib.suppress(errors.TransportError, errors.ServerError):
            await client.create(SECRETS, secret(), "n")
        assert len(server.received) == requests


async def test_attempts_are_bounded() -> None:
    async with talking(failing(100, "503"), attempts=3) as (client, server):
        with pytest.raises(errors.ServerError):
            await client.get(SECRETS, "a", "n")
        assert len(server.received) == 3


UNANSWERED = 'Internal error occurred: failed calling webhook "tenants.validate.liqo.io": connection refused'


def without_webhook(times: int) -> Handle:
    """A server whose webhook does not answer the first `times` requests."""

    async def handle(exchange: Exchange) -> None:
        nonlocal times
        times -= 1
        if times >= 0:
            await exchange.fail(500, "InternalError", UNANSWERED)
        else:
            await exchange.respond(201, secret())

    return handle


async def test_a_create_waits_for_a_webhook_whose_controller_is_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isthmus.kube.session.WEBHOOK_PAUSE", 0.01)
    async with talking(without_webhook(6), attempts=2, webhook_patience=5.0) as (client, server):
        await client.create(SECRETS, secret(), "n")
        assert len(server.received) == 7


async def test_a_webhook_that_stays_away_is_told() -> None:
    async with talking(without_webhook(100), webhook_patience=0.0) as (client, server):
        with pytest.raises(errors.WebhookUnavailable, match="failed calling webhook"):
            await client.create(SECRETS, secret(), "n")
        assert len(server.received) == 1


async def test_retry_after_beyond_the_time_limit_is_not_waited_for() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.fail(429, "TooManyRequests", retry_after="60")

    async with talking(handle, timeout=5) as (client, _):
        with pytest.raises(errors.TooManyRequests) as caught:
            async with asyncio.timeout(2):
                await client.get(SECRETS, "a", "n")
    assert caught.value.retry_after == 60


async def test_a_create_reaches_a_server_that_starts_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.05)
    server = FakeServer(mirror)
    await server.listen()
    await server.stop()
    async with Client(Credentials(server.url)) as client:
        created = asyncio.create_task(client.create(SECRETS, secret(), "n"))
        await asyncio.sleep(0.01)
        async with server:
            await created
    assert len(server.received) == 1


async def test_a_silent_server_costs_the_time_limit_only() -> None:
    async with talking(Exchange.gone, timeout=0.2) as (client, _):
        with pytest.raises(errors.TransportError, match=r"get secrets n/a: no answer within 0\.2 s"):
            await client.get(SECRETS, "a", "n")


@pytest.mark.parametrize("method", ["get", "create"])
async def test_a_kept_connection_that_the_server_closed_is_replaced(method: str) -> None:
    async def handle(exchange: Exchange) -> None:
        await mirror(exchange)
        exchange.over = True  # Closes without having said so, as an idle timeout does.

    async with talking(handle, attempts=1) as (client, server):
        for _ in range(3):
            if method == "get":
                await client.get(SECRETS, "a", "n")
            else:
                await client.create(SECRETS, secret(), "n")
                # A create is safe only when the end was noticed before.
                async with asyncio.timeout(5):
                    while any(connection.reusable for connection in client._session._pool._kept):  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
        assert server.connections == 3


async def test_a_cancelled_request_does_not_poison_the_next() -> None:
    answer = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        if exchange.path.endswith("slow"):
            await answer.wait()
        await exchange.respond(200, secret(exchange.path.rpartition("/")[2]))

    async with talking(handle) as (client, server):
        assert (await client.get(SECRETS, "one", "n")).metadata.name == "one"
        slow = asyncio.create_task(client.get(SECRETS, "slow", "n"))
        await server.until(2)
        slow.cancel()
        await asyncio.wait([slow])
        answer.set()
        assert (await client.get(SECRETS, "two", "n")).metadata.name == "two"
        assert server.received[2].connection != server.received[1].connection


async def test_parallel_requests_share_a_bounded_number_of_connections() -> None:
    active = peak = 0

    async def handle(exchange: Exchange) -> None:
        nonlocal active, peak
        active += 1
        peak = max(peak, active)
        await asyncio.sleep(0.005)
        active -= 1
        await mirror(exchange)

    async with talking(handle) as (client, server):
        await asyncio.gather(*(client.get(SECRETS, "a", "n") for _ in range(100)))
        assert peak == 16
        assert server.connections == 16


@pytest.mark.looptime(
    start=1000.1
)  # 1030.1 - 30 is less than 1000.1: a timer that counts so never comes to an end.
async def test_idle_connections_are_closed_when_their_time_is_over() -> None:
    gone: list[float] = []

    async def handle(exchange: Exchange) -> None:
        await mirror(exchange)
        await exchange.gone()
        gone.append(asyncio.get_running_loop().time())

    async with talking(handle) as (client, server):
        pairs.listen(server)
        try:
            await client.get(SECRETS, "a", "n")
            await asyncio.sleep(29)
            assert not gone
            await asyncio.sleep(2)
        finally:
            pairs.close(server)
    assert gone == [pytest.approx(1030.1)]


async def test_closing_ends_what_is_under_way() -> None:
    async with talking(Exchange.gone) as (client, server):
        waiting = [asyncio.create_task(client.get(SECRETS, "a", "n")) for _ in range(3)]
        await server.until(3)
        await client.close()
        for task in waiting:
            with pytest.raises(errors.TransportError, match="closed"):
                await task


async def test_a_watch_yields_events_and_ends() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.start()
        for piece in (
            b'{"type":"ADDED","obj',
            b'ect":{"metadata":{"name":"a"}}}\n{"type":"DELETED",',
            b'"object":{}}\n',
        ):
            await exchange.chunk(piece)
        await exchange.chunk(b"this is no event\n")
        await exchange.event("BOOKMARK", metadata={"resourceVersion": "9"})
        await exchange.finish()

    async with talking(handle) as (client, server):
        events = [(e.type, e.object.metadata.name) async for e in client.watch(SECRETS, resource_version="5")]
    assert events == [("ADDED", "a"), ("DELETED", ""), ("BOOKMARK", "")]
    assert server.received[0].query["resourceVersion"] == "5"
    assert 300 <= int(server.received[0].query["timeoutSeconds"]) <= 600


async def test_a_watch_that_breaks_or_expires_says_so() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.start()
        if exchange.path.endswith("secrets"):
            await exchange.event(
                "ERROR", kind="Status", status="Failure", code=410, reason="Expired", message="old"
            )
        else:
            exchange.cut()

    async with talking(handle) as (client, _):
        with pytest.raises(errors.Expired, match="watch secrets: old"):
            await anext(aiter(client.watch(SECRETS)))
        with pytest.raises(errors.TransportError, match="watch configmaps"):
            await anext(aiter(client.watch(CONFIG_MAPS)))


@pytest.mark.parametrize("pause", ["none", "too long", "new credentials"])
async def test_a_watch_goes_on_over_the_connection_of_the_one_that_ended(
    monkeypatch: pytest.MonkeyPatch, pause: str
) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event("BOOKMARK", metadata={"resourceVersion": "9"})
        await exchange.finish()

    if pause == "too long":
        monkeypatch.setattr(pool, "FRESH", -1.0)
    async with talking(handle) as (client, server):
        watch = client.watch(SECRETS)
        await anext(watch)
        if pause == "new credentials":
            client._session._pool.forget_kept()
        assert [event async for event in watch] == []
        assert len([event async for event in client.watch(SECRETS)]) == 1
        assert server.connections == (1 if pause == "none" else 2)


async def test_leaving_a_watch_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event("ADDED", metadata={"name": "a"})
        await exchange.gone()
        gone.set()

    async with talking(handle) as (client, _):
        async with aclosing(client.watch(SECRETS)) as events:
            await anext(events)
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_stream_follows_a_log() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.start()
        for line in (b"one\n", b"two\n"):
            await exchange.chunk(line)
        await exchange.finish()

    async with talking(handle) as (client, _):
        log = [chunk async for chunk in client.stream("GET", "/log", query=[("follow", "true")])]
    assert b"".join(log) == b"one\ntwo\n"


async def test_an_upgrade_hands_out_both_directions() -> None:
    async def handle(exchange: Exchange) -> None:
        assert exchange.headers["upgrade"] == "SPDY/3.1"
        exchange.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n\x80early"
        )
        exchange.writer.write((await exchange.reader.read(100)).upper())
        exchange.writer.close()
        exchange.over = True

    async with talking(handle) as (client, _):
        headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
        upgraded = await client.upgrade(
            "POST", "/exec", query=[("command", "a"), ("command", "b")], headers=headers
        )
        upgraded.writer.write(b"later")
        assert await upgraded.reader.read(-1) == b"\x80earlyLATER"
        upgraded.writer.write_eof()
        upgraded.writer.close()
    assert ("x-stream-protocol-version", "v4.channel.k8s.io") in upgraded.headers


async def test_a_refused_upgrade_is_an_api_error() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.fail(403, "Forbidden", "no exec here")

    async with talking(handle) as (client, _):
        with pytest.raises(errors.Forbidden, match="no exec here"):
            await client.upgrade("POST", "/exec", query=[], headers=[("Upgrade", "SPDY/3.1")])


@pytest.mark.parametrize("uid", ["", "u"])
async def test_deleting_what_is_not_there_is_false(uid: str) -> None:
    async def handle(exchange: Exchange) -> None:
        if uid:
            await exchange.fail(
                409, "Conflict", "Precondition failed: UID in precondition: u, UID in object meta: v"
            )
        else:
            await exchange.fail(404, "NotFound")

    async with talking(handle) as (client, _):
        assert await client.delete(SECRETS, "a", "n", uid=uid) is False


async def test_deleting_a_namespace_twice_is_no_error() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.fail(
            409, "Conflict", "The system is ensuring all content is removed from this namespace."
        )

    async with talking(handle) as (client, _):
        assert await client.delete(NAMESPACES, "n") is True
        with pytest.raises(errors.Conflict):
            await client.delete(SECRETS, "a", "n")


async def test_bytes_are_counted() -> None:
    async with talking(mirror) as (client, _):
        assert client.traffic == (0, 0)
        await client.get(SECRETS, "a", "n")
        sent, received = client.traffic
        assert sent > 100
        assert received > 100


async def test_a_rotated_token_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")

    async def handle(exchange: Exchange) -> None:
        if exchange.headers["authorization"] == "Bearer new":
            await mirror(exchange)
        else:
            await exchange.fail(401, "Unauthorized")

    async with FakeServer(handle) as server, Client(Credentials(server.url, token_file=str(file))) as client:
        with pytest.raises(errors.Unauthorized):
            await client.get(SECRETS, "a", "n")
        file.write_text("new\n")
        client._session._authenticator._read_at = -1e9  # The ten seconds between two readings have passed.
        await client.get(SECRETS, "a", "n")


async def test_renewed_credentials_are_used_without_interrupting_anything() -> None:
    go_on = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        if exchange.path == "/log":
            await exchange.start()
            await exchange.chunk(b"one")
            await go_on.wait()
            await exchange.chunk(b"two")
            await exchange.finish()
        elif exchange.query.get("watch"):
            await exchange.start()
            await exchange.event("BOOKMARK", metadata={"resourceVersion": "9"})
            await exchange.gone()
        else:
            await mirror(exchange)

    async with talking(handle) as (client, server):
        watch, log = client.watch(SECRETS), client.stream("GET", "/log")
        assert (await anext(watch)).type == "BOOKMARK"
        assert await anext(log) == b"one"
        await client.get(SECRETS, "a", "n")
        client.renew(Credentials(server.url, token=TOKEN[::-1]))
        assert [event async for event in watch] == [], "a watch ends as if the server had ended it"
        go_on.set()
        assert b"".join([chunk async for chunk in log]) == b"two", "other streams go on"
        await client.get(SECRETS, "a", "n")
        before, after = (e for e in server.received if not e.query and e.path != "/log")
    assert (before.headers["authorization"], after.headers["authorization"]) == (
        f"Bearer {TOKEN}",
        f"Bearer {TOKEN[::-1]}",
    )
    assert before.connection != after.connection, "connections of the old identity are not used again"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"server": "http://127.0.0.1:1"}, "for another server"),
        ({"client_certificate_data": "no", "client_key_data": "PEM"}, "unusable"),
    ],
)
async def test_what_cannot_replace_the_credentials_changes_nothing(change: dict[str, str], said: str) -> None:
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    tls = server_context(leaf.cert_chain_pems[0].bytes().decode(), leaf.private_key_pem.bytes().decode())
    async with FakeServer(mirror, tls) as server:
        present = Credentials(server.url, ca_data=ca.cert_pem.bytes().decode(), token=TOKEN)
        async with Client(present) as client:
            with pytest.raises(errors.ConfigurationError, match=said):
                client.renew(replace(present, **change))
            await client.get(SECRETS, "a", "n")
            assert client.credentials == present


class TestProxy:
    """An HTTP CONNECT proxy between the client and a TLS server."""

    @staticmethod
    async def tunnel(exchange: Exchange) -> None:
        assert exchange.method == "CONNECT"
        host, _, port = exchange.target.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        exchange.writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(4096):
                    sink.write(data)
            sink.close()

        await asyncio.gather(copy(exchange.reader, writer), copy(reader, exchange.writer))
        exchange.over = True

    async def test_requests_go_through_it(self) -> None:
        ca = trustme.CA()
        leaf = ca.issue_cert("127.0.0.1")
        chain = leaf.cert_chain_pems[0].bytes().decode()
        tls = server_context(chain, leaf.private_key_pem.bytes().decode())
        async with FakeServer(mirror, tls) as server, FakeServer(self.tunnel) as proxy:
            url = proxy.url.replace("http://", "http://user:p%40ss@")
            credentials = Credentials(server.url, ca_data=ca.cert_pem.bytes().decode(), proxy_url=url)
            async with Client(credentials) as client:
                await client.get(SECRETS, "a", "n")
                await client.get(SECRETS, "a", "n")
        assert [e.target for e in proxy.received] == [f"127.0.0.1:{server.port}"]
        expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
        assert proxy.received[0].headers["proxy-authorization"] == expected
        assert len(server.received) == 2

    @pytest.mark.parametrize("how", ["refuses", "cuts", "babbles"])
    async def test_one_that_does_not_work_is_one_clear_error(self, how: str) -> None:
        async def handle(exchange: Exchange) -> None:
            if how == "refuses":
                await exchange.respond(407, b"")
            elif how == "cuts":
                exchange.cut()
            else:
                exchange.writer.write(b"x" * 100_000)
                await exchange.gone()

        async with FakeServer(handle) as proxy:
            credentials = Credentials("https://127.0.0.1:1", proxy_url=proxy.url)
            async with Client(credentials, attempts=1) as client:
                with pytest.raises(errors.TransportError, match="proxy"):
                    await client.version()


async def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    async with Client(Credentials("http://127.0.0.1:1"), attempts=2) as client:
        with pytest.raises(
            errors.TransportError, match=r"GET /version: cannot connect to 127\.0\.0\.1:1"
        ) as caught:
            await client.version()
    assert not caught.value.sent


async def test_something_else_than_an_api_server_is_one_clear_error() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.respond(200, b"<html>")

    async with talking(handle) as (client, _):
        with pytest.raises(errors.TransportError, match="not that of a Kubernetes API server"):
            await client.version()


def test_the_status_of_a_quota_refusal_keeps_its_retry_after() -> None:
    body = msgspec.json.encode({"message": "m", "details": {"retryAfterSeconds": 7}})
    call = Call("POST", "/", "evict")
    assert session.forge_error(call, 429, [], body).retry_after == 7
    assert session.forge_error(call, 429, [("retry-after", "3")], body).retry_after == 3

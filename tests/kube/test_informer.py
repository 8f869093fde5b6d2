"""Informers against a server that comes, goes, forgets and refuses: the cache and its handlers stay right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.kube import informer as informer_module
from isthmus.kube import retry
from isthmus.kube.builtin import CONFIG_MAPS, PODS, SECRETS, Secret
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import Forbidden, KubeError
from isthmus.kube.informer import Informer, InformerSet, plan_pause
from isthmus.kube.objects import Key

from .fake import Exchange, FakeServer, Handle

END = {"k8s.io/initial-events-end": "true"}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(informer_module, "plan_pause", lambda *_: 0.01)


def meta(name: str, version: int, **labels: str) -> dict[str, Any]:
    return {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(version), "labels": labels}


Changes = list[tuple[str, str]]


def record(informer: Informer[Secret]) -> Changes:
    changes: Changes = []

    def handler(old: Secret | None, new: Secret | None) -> None:
        about = new if new is not None else old
        assert about is not None
        kind = "added" if old is None else "gone" if new is None else "changed"
        changes.append((kind, f"{about.metadata.name}@{about.metadata.resource_version}"))

    informer.add_handler(handler)
    return changes


@contextlib.asynccontextmanager
async def informing(
    handle: Handle, **options: Any
) -> AsyncIterator[tuple[Informer[Secret], Changes, FakeServer]]:
    async with FakeServer(handle) as server, Client(Credentials(server.url)) as client:
        informer = Informer(client, SECRETS, "n", **options)
        changes = record(informer)
        task = asyncio.create_task(informer.run())
        try:
            yield informer, changes, server
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def script(*watches: Callable[[Exchange], Awaitable[None]]) -> Handle:
    """The watches answered one after another; the last one again and again."""
    number = 0

    async def handle(exchange: Exchange) -> None:
        nonlocal number
        answer = watches[min(number, len(watches) - 1)]
        number += 1
        await answer(exchange)

    return handle


async def initial(exchange: Exchange, version: int, *objects: dict[str, Any]) -> None:
    await exchange.start()
    for metadata in objects:
        await exchange.event("ADDED", metadata=metadata)
    await exchange.event("BOOKMARK", metadata={"resourceVersion": str(version), "annotations": END})


async def stay(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.gone()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_initial_events_then_changes() -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("a", 3), meta("b", 4))
        await exchange.event("MODIFIED", metadata=meta("a", 11))
        await exchange.event("DELETED", metadata=meta("b", 12))
        await exchange.gone()

    async with informing(script(first), label_selector="x=y") as (informer, changes, server):
        await asyncio.wait_for(informer.synced.wait(), 5)
        await eventually(lambda: len(changes) == 4)
        assert changes == [("added", "a@3"), ("added", "b@4"), ("changed", "a@11"), ("gone", "b@12")]
        assert [x.metadata.name for x in informer.list()] == ["a"]
        assert informer.get(Key("n", "b")) is None
        assert informer.connected
    query = server.received[0].query
    assert query["sendInitialEvents"] == "true"
    assert query["resourceVersionMatch"] == "NotOlderThan"
    assert query["allowWatchBookmarks"] == "true"
    assert query["labelSelector"] == "x=y"


@pytest.mark.parametrize("end", ["cut", "ended"])
async def test_a_watch_is_continued_from_its_last_version(end: str) -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("a", 3))
        await exchange.event("BOOKMARK", metadata={"resourceVersion": "20"})
        await (exchange.finish() if end == "ended" else asyncio.sleep(0))
        exchange.cut()

    async def second(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event("MODIFIED", metadata=meta("a", 21))
        await exchange.gone()

    async with informing(script(first, second)) as (_, changes, server):
        await eventually(lambda: len(changes) == 2)
    assert server.received[1].query["resourceVersion"] == "20"
    assert "sendInitialEvents" not in server.received[1].query
    assert changes == [("added", "a@3"), ("changed", "a@21")]


@pytest.mark.parametrize("how", ["answer", "event"])
async def test_after_410_only_the_differences_are_told(how: str) -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("same", 1), meta("changed", 2), meta("vanished", 3))
        await exchange.finish()

    async def expired(exchange: Exchange) -> None:
        if how == "answer":
            await exchange.fail(410, "Expired", "too old")
        else:
            await exchange.start()
            await exchange.event("ERROR", kind="Status", code=410, reason="Expired", message="too old")
            await exchange.gone()

    async def again(exchange: Exchange) -> None:
        await initial(exchange, 30, meta("same", 1), meta("changed", 25), meta("new", 26))
        await exchange.gone()

    async with informing(script(first, expired, again)) as (informer, changes, _):
        await eventually(lambda: len(changes) == 6)
        await asyncio.sleep(0.02)
        assert sorted(x.metadata.name for x in informer.list()) == ["changed", "new", "same"]
    assert changes[3:] == [("changed", "changed@25"), ("added", "new@26"), ("gone", "vanished@3")]


async def test_a_cut_in_the_initial_events_loses_and_invents_nothing() -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("a", 1), meta("b", 2))
        await exchange.finish()

    async def expired(exchange: Exchange) -> None:
        await exchange.fail(410, "Expired")

    async def half(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event("ADDED", metadata=meta("a", 1))
        exchange.cut()

    async def whole(exchange: Exchange) -> None:
        await initial(exchange, 12, meta("a", 1), meta("b", 2))
        await exchange.gone()

    async with informing(script(first, expired, half, whole)) as (informer, changes, server):
        await server.until(4)
        await eventually(lambda: informer.connected)
    assert changes == [("added", "a@1"), ("added", "b@2")]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_refuses_watchlist_is_listed_in_pages(status: int) -> None:
    async def handle(exchange: Exchange) -> None:
        query = exchange.query
        if "sendInitialEvents" in query:
            await exchange.fail(status, "Invalid", "sendInitialEvents is forbidden")
        elif "watch" in query:
            assert query["resourceVersion"] == "9"
            await exchange.start()
            await exchange.event("ADDED", metadata=meta("c", 10))
            await exchange.gone()
        elif "continue" in query:
            body = {"items": [{"metadata": meta("b", 2)}], "metadata": {"resourceVersion": "9"}}
            await exchange.respond(200, body)
        else:
            body = {
                "items": [{"metadata": meta("a", 1)}],
                "metadata": {"resourceVersion": "9", "continue": "t"},
            }
            await exchange.respond(200, body)

    async with informing(handle) as (informer, changes, _):
        await asyncio.wait_for(informer.synced.wait(), 5)
        await eventually(lambda: len(changes) == 3)
        assert informer.connected
    assert changes == [("added", "a@1"), ("added", "b@2"), ("added", "c@10")]


async def test_a_server_that_ignores_watchlist_is_listed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer_module, "SILENCE", 0.05)

    async def handle(exchange: Exchange) -> None:
        if "watch" in exchange.query:
            await stay(exchange)
        else:
            await exchange.respond(200, {"items": [], "metadata": {"resourceVersion": "9"}})

    async with informing(handle) as (informer, _, _):
        await asyncio.wait_for(informer.synced.wait(), 5)


async def test_what_may_not_be_read_yet_is_asked_for_again_with_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    allowed = False

    async def handle(exchange: Exchange) -> None:
        if not allowed:
            await exchange.fail(403, "Forbidden", "no role yet")
        else:
            await initial(exchange, 10, meta("a", 1))
            await exchange.gone()

    outcomes: list[object] = []
    with caplog.at_level(logging.INFO, "isthmus"):
        async with informing(handle, observer=outcomes.append) as (informer, _, server):
            await server.until(5)
            assert all(isinstance(outcome, Forbidden) for outcome in outcomes)
            assert not informer.synced.is_set()
            assert not informer.connected
            assert informer.refused_for > 0
            allowed = True
            await asyncio.wait_for(informer.synced.wait(), 5)
            assert informer.connected
            assert informer.refused_for == 0
            assert outcomes[-1] is None, "who follows is told that it is let in"
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
    assert "no role yet" in caplog.text


async def test_a_restart_of_the_server_is_survived() -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("a", 1))
        await exchange.gone()

    async def second(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event("MODIFIED", metadata=meta("a", 11))
        await exchange.gone()

    async with informing(script(first, second)) as (informer, changes, server):
        await eventually(lambda: informer.connected)
        await server.stop()
        await eventually(lambda: not informer.connected)
        assert informer.get(Key("n", "a")) is not None
        await asyncio.sleep(0.1)
        await server.listen()
        await eventually(lambda: len(changes) == 2)


async def test_a_failing_handler_does_not_harm_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("a", 1))
        await exchange.gone()

    def broken(_old: Secret | None, _new: Secret | None) -> None:
        raise RuntimeError("broken handler")

    async with informing(script(first)) as (informer, _, _):
        remove = informer.add_handler(broken)
        changes = record(informer)
        await asyncio.wait_for(informer.synced.wait(), 5)
        assert changes == [("added", "a@1")]
        remove()
        late = record(informer)
        assert late == [("added", "a@1")]
    assert "broken handler" in caplog.text


async def test_indexes_follow_changes() -> None:
    def by_owner(secret: Secret) -> list[str]:
        return [secret.metadata.labels["owner"]]

    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("a", 1, owner="x"), meta("b", 2, owner="x"))
        await exchange.event("MODIFIED", metadata=meta("a", 11, owner="y"))
        await exchange.event("DELETED", metadata=meta("b", 12, owner="x"))
        await exchange.gone()

    async with informing(script(first)) as (informer, changes, _):
        informer.add_index("owner", by_owner)
        await eventually(lambda: len(changes) == 4)
        informer.add_index("late", by_owner)
        for name in ("owner", "late"):
            assert [x.metadata.name for x in informer.by_index(name, "y")] == ["a"]
            assert not list(informer.by_index(name, "x"))


async def test_labels_of_many_objects_are_kept_once() -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, *(meta(f"s{i}", i + 1, app="some-long-label-value") for i in range(2)))
        await exchange.gone()

    async with informing(script(first)) as (informer, _, _):
        await asyncio.wait_for(informer.synced.wait(), 5)
        one, two = informer.list()
        assert one.metadata.labels["app"] is two.metadata.labels["app"]
        assert one.metadata.namespace is two.metadata.namespace


async def test_an_object_nobody_understands_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def first(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event("ADDED", metadata={**meta("bad", 1), "finalizers": "text"})
        await exchange.event("ADDED", metadata=meta("good", 2))
        await exchange.event("BOOKMARK", metadata={"resourceVersion": "5", "annotations": END})
        await exchange.gone()

    async with informing(script(first)) as (informer, _, _):
        await asyncio.wait_for(informer.synced.wait(), 5)
        assert [x.metadata.name for x in informer.list()] == ["good"]
    assert "left out" in caplog.text


async def test_an_object_nested_too_deeply_does_not_keep_a_listed_cache_from_filling(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handle(exchange: Exchange) -> None:
        query = exchange.query
        if "sendInitialEvents" in query:
            await exchange.fail(400, "Invalid", "sendInitialEvents is forbidden")
        elif "watch" in query:
            await stay(exchange)
        else:
            # Written by hand: nothing here encodes what is so deep.
            deep = '{"metadata":{"name":"deep"},"unknown":' + "[" * 5000 + "]" * 5000 + "}"
            good = json.dumps({"metadata": meta("good", 2)})
            text = '{"items":[' + deep + "," + good + '],"metadata":{"resourceVersion":"9"}}'
            await exchange.respond(200, text.encode())

    async with informing(handle) as (informer, changes, _):
        await asyncio.wait_for(informer.synced.wait(), 5)
    assert changes == [("added", "good@2")]
    assert "left out" in caplog.text


async def test_a_set_watches_once_for_all_and_stops_with_the_last() -> None:
    async def handle(exchange: Exchange) -> None:
        await initial(exchange, 1)
        await exchange.gone()

    async with FakeServer(handle) as server, Client(Credentials(server.url)) as client:
        informers = InformerSet(client)
        one, two = informers.get(SECRETS, "n"), informers.get(SECRETS, "n")
        other = informers.get(CONFIG_MAPS, "n")
        assert one is two
        await asyncio.wait_for(informers.synced(), 5)
        assert len(server.received) == 2
        informers.release(one)
        await asyncio.sleep(0.02)
        assert not server.received[0].over
        informers.release(two)
        await eventually(lambda: any(e.over for e in server.received if e.path.endswith("secrets")))
        assert other.connected
        assert informers.get(SECRETS, "n") is not one
        await informers.close()
        informers.get(PODS)
        await informers.close()


@given(failures=st.integers(0, 10_000), random=st.floats(0, 1, exclude_max=True))
def test_pauses_are_bounded(failures: int, random: float) -> None:
    for error in (None, KubeError("x"), Forbidden("x"), KubeError("x"), Forbidden("x", retry_after=10**6)):
        assert 0.1 <= plan_pause(error, failures, random) <= 30


def test_twenty_seconds_of_outage_are_noticed_to_be_over_within_ten() -> None:
    elapsed, failures = 0.0, 0
    while elapsed < 20:
        pause = plan_pause(KubeError("refused"), failures, 0.999)
        elapsed += pause
        failures += 1
    assert elapsed < 30
    assert pause < 10


async def test_all_informers_of_a_client_are_woken_when_one_finds_the_server_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses = iter([30.0, 0.2, *[30.0] * 100])
    monkeypatch.setattr(informer_module, "plan_pause", lambda *_: next(pauses))

    async def handle(exchange: Exchange) -> None:
        await initial(exchange, 1)
        await exchange.gone()

    server = FakeServer(handle)
    await server.listen()
    await server.stop()
    async with Client(Credentials(server.url), attempts=1) as client:
        informers = InformerSet(client)
        informers.get(SECRETS), informers.get(CONFIG_MAPS), informers.get(PODS)
        await asyncio.sleep(0.1)
        async with server:
            await asyncio.wait_for(informers.synced(), 5)
            await informers.close()


async def test_a_version_the_server_never_had_is_given_up() -> None:
    async def first(exchange: Exchange) -> None:
        await initial(exchange, 10, meta("a", 1))
        await exchange.finish()

    async def restored(exchange: Exchange) -> None:
        if "resourceVersion" in exchange.query:
            await exchange.fail(504, "Timeout", "Too large resource version")
        else:
            await initial(exchange, 3, meta("b", 2))
            await exchange.gone()

    async with informing(script(first, restored)) as (informer, changes, _):
        await eventually(lambda: len(changes) == 3)
        assert informer.connected
    assert changes == [("added", "a@1"), ("added", "b@2"), ("gone", "a@1")]

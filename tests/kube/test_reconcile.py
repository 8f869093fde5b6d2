"""Controllers, under virtual time: what is reconciled, when, how often, and what failures do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.kube.builtin import SECRETS, Secret
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import Conflict, ServerError, TooManyRequests
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, ObjectMeta
from isthmus.kube.reconcile import Controller, Reconcile, plan_requeue

pytestmark = pytest.mark.looptime

KEY = Key("n", "a")


def secret(name: str, **labels: str) -> Secret:
    return Secret(metadata=ObjectMeta(name=name, namespace="n", uid=name, labels=labels))


@contextlib.asynccontextmanager
async def running(
    reconcile: Reconcile, prepare: Callable[[Controller], None], workers: int = 1
) -> AsyncIterator[Controller]:
    controller = Controller("test", reconcile)
    prepare(controller)
    task = asyncio.create_task(controller.run())
    yield controller
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def idle_informer() -> Informer[Secret]:
    """An informer that nobody runs: the tests put into its cache themselves."""
    return Informer(Client(Credentials("http://127.0.0.1:1")), SECRETS)


async def test_nothing_is_reconciled_before_the_first_list_is_in() -> None:
    informer, seen = idle_informer(), []

    async def reconcile(key: Key) -> None:
        seen.append(key)

    async with running(reconcile, lambda c: c.watch(informer)):
        informer._put(secret("a"))
        await asyncio.sleep(5)
        assert seen == []
        informer._complete({KEY}, "1")
        await asyncio.sleep(1)
        assert seen == [KEY]


async def test_old_and_new_object_are_mapped_to_keys() -> None:
    informer, seen = idle_informer(), []
    informer._complete(set(), "1")

    async def reconcile(key: Key) -> None:
        seen.append(key.name)

    def owner(value: Secret) -> list[Key]:
        return [Key("", value.metadata.labels["owner"])]

    async with running(reconcile, lambda c: c.watch(informer, owner)):
        informer._put(secret("a", owner="x"))
        await asyncio.sleep(1)
        informer._put(secret("a", owner="y"))
        await asyncio.sleep(1)
        informer._remove(KEY, None)
        await asyncio.sleep(1)
    assert seen == ["x", "x", "y", "y"]
    informer._put(secret("b", owner="z"))
    assert not informer._handlers


async def test_the_result_is_the_time_of_the_next_call() -> None:
    loop, times = asyncio.get_running_loop(), []

    async def reconcile(key: Key) -> float | None:
        times.append(round(loop.time() - begun))
        return 10 if len(times) < 3 else None

    begun = loop.time()
    async with running(reconcile, lambda c: c.enqueue(KEY)):
        await asyncio.sleep(100)
    assert times == [0, 10, 20]


async def test_failures_back_off_and_one_key_does_not_hold_another(caplog: pytest.LogCaptureFixture) -> None:
    loop, times, others = asyncio.get_running_loop(), [], 0

    async def reconcile(key: Key) -> float | None:
        nonlocal others
        if key == KEY:
            times.append(loop.time())
            raise RuntimeError("broken")
        others += 1
        return 1

    async with running(reconcile, lambda c: c.enqueue(KEY)) as controller:
        controller.enqueue(Key("", "other"))
        await asyncio.sleep(300)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps[0] < 0.01
    assert 15 <= gaps[-1] <= 30.1
    assert 15 < len(times) < 35
    assert others > 290
    assert sum(bool(record.exc_info) for record in caplog.records) == 1


async def test_conflicts_are_retried_soon_and_silently(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    async def reconcile(_: Key) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 5:
            raise Conflict("changed", code=409)

    with caplog.at_level(logging.INFO):
        async with running(reconcile, lambda c: c.enqueue(KEY)):
            await asyncio.sleep(1)
    assert attempts == 5
    assert not caplog.records


async def test_a_cancellation_from_within_does_not_end_the_worker() -> None:
    attempts = 0

    async def reconcile(_: Key) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise asyncio.CancelledError

    async with running(reconcile, lambda c: c.enqueue(KEY)):
        await asyncio.sleep(1)
    assert attempts == 2


@given(earlier=st.integers(0, 10_000), random=st.floats(0, 1, exclude_max=True))
def test_a_requeue_is_bounded_and_never_at_once(earlier: int, random: float) -> None:
    for error in (
        RuntimeError(),
        Conflict("x"),
        ServerError("x", retry_after=10**9),
        ServerError("x", retry_after=0),
    ):
        assert 0 <= plan_requeue(error, earlier, random) <= 330
    assert 0.0025 <= plan_requeue(RuntimeError(), earlier, random) <= 30
    assert plan_requeue(TooManyRequests("x", retry_after=7), earlier, random) >= 7

"""The queue of keys, under virtual time: each once, none twice at a time, delays and failures counted."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.kube.objects import Key
from isthmus.kube.queue import Queue

A, B = Key("n", "a"), Key("n", "b")

pytestmark = pytest.mark.looptime


async def test_a_key_is_queued_once() -> None:
    queue = Queue()
    for key in (A, B, A, A):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == [A, B]
    assert len(queue) == 0


async def test_a_key_added_during_its_work_comes_again_and_not_at_once() -> None:
    queue = Queue()
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    assert not second.done()
    queue.done(A)
    assert await second == A


async def test_of_two_delays_the_earlier_wins() -> None:
    queue, loop = Queue(), asyncio.get_running_loop()
    begun = loop.time()
    queue.add(A, after=10)
    queue.add(A, after=5)
    queue.add(A, after=20)
    assert await queue.get() == A
    assert loop.time() - begun == pytest.approx(5)
    queue.done(A)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await queue.get()


async def test_failures_are_counted_until_forgotten() -> None:
    queue = Queue()
    assert [queue.failed(A), queue.failed(A), queue.failed(B)] == [0, 1, 0]
    queue.forget(A)
    assert queue.failed(A) == 0


async def test_closing_ends_delays() -> None:
    queue = Queue()
    queue.add(A, after=5)
    queue.close()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await queue.get()


async def test_a_cancelled_worker_takes_no_key_with_it() -> None:
    queue = Queue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    first.cancel()  # Woken for A already, and cancelled before it could take it.
    assert await asyncio.wait_for(second, 5) == A


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.0, 0.5, 3.0])), max_size=40),
    workers=st.integers(1, 4),
)
async def test_no_key_is_lost_or_worked_on_twice_at_a_time(
    steps: list[tuple[str, float]], workers: int
) -> None:
    queue = Queue()
    working: set[Key] = set()
    wanted: dict[Key, int] = {}
    done: dict[Key, int] = {}

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in working
            working.add(key)
            seen = wanted[key]
            await asyncio.sleep(0.3)
            working.discard(key)
            done[key] = seen
            queue.done(key)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for _ in range(workers)]
        for name, delay in steps:
            key = Key("", name)
            wanted[key] = wanted.get(key, 0) + 1
            queue.add(key, delay)
            await asyncio.sleep(0.1)
        await asyncio.sleep(60)
        for task in tasks:
            task.cancel()
    assert done == wanted

"""Named tasks, under virtual time: started once, replaced in order, restarted when they fail."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from isthmus.kube.tasks import TaskSet

pytestmark = pytest.mark.looptime


class Journal:
    """Remembers which tasks run, and fails where two of one name do."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.running: set[str] = set()

    def task(self, label: str, slow_end: float = 0) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            assert not self.running, "two at a time"
            self.running.add(label)
            self.lines.append(f"+{label}")
            try:
                await asyncio.sleep(10_000)
            finally:
                await asyncio.sleep(slow_end)
                self.running.discard(label)
                self.lines.append(f"-{label}")

        return run


async def test_the_same_is_started_once_and_another_replaces_it_after_its_end() -> None:
    tasks, journal = TaskSet(), Journal()
    assert tasks.ensure("peer", "1", journal.task("one", slow_end=5))
    await asyncio.sleep(1)
    assert not tasks.ensure("peer", "1", journal.task("never"))
    # Two changes in one breath, while the first is still ending.
    assert tasks.ensure("peer", "2", journal.task("two"))
    assert tasks.ensure("peer", "3", journal.task("three"))
    await asyncio.sleep(20)
    assert journal.lines == ["+one", "-one", "+three"]
    assert list(tasks.names()) == ["peer"]
    await tasks.close()
    assert not journal.running
    assert list(tasks.names()) == []


async def test_stop_waits_for_the_end() -> None:
    tasks, journal = TaskSet(), Journal()
    tasks.ensure("peer", "1", journal.task("one", slow_end=5))
    await asyncio.sleep(1)
    await tasks.stop("peer")
    assert journal.lines == ["+one", "-one"]
    await tasks.stop("peer")
    await tasks.stop("unknown")


async def test_a_failing_task_is_restarted_with_growing_pauses(caplog: pytest.LogCaptureFixture) -> None:
    loop, times, tasks = asyncio.get_running_loop(), [], TaskSet()

    async def fail() -> None:
        times.append(loop.time())
        raise RuntimeError("broken")

    tasks.ensure("peer", "1", fail)
    await asyncio.sleep(300)
    await tasks.close()
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert 0.25 <= gaps[0] <= 0.5
    assert 15 <= gaps[-1] <= 30
    assert "broken" in caplog.text


async def test_a_task_that_returns_is_forgotten() -> None:
    tasks = TaskSet()
    runs = 0

    async def once() -> None:
        nonlocal runs
        runs += 1

    tasks.ensure("peer", "1", once)
    await asyncio.sleep(100)
    assert (runs, list(tasks.names())) == (1, [])
    assert tasks.ensure("peer", "1", once)
    await asyncio.sleep(1)
    assert runs == 2


async def test_a_task_may_stop_itself() -> None:
    tasks = TaskSet()
    ended = False

    async def run() -> None:
        nonlocal ended
        await tasks.stop("peer")
        try:
            await asyncio.sleep(1)
        finally:
            ended = True

    tasks.ensure("peer", "1", run)
    await asyncio.sleep(10)
    assert ended

"""A burst of new pods is spread, whatever its size; a single pod never waits."""

from __future__ import annotations

import heapq

import pytest

from isthmus.offloading.pods.pace import RATE, SPREAD, Pace


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run_burst(count: int) -> tuple[list[float], int]:
    """When each of so many pods that come at once has its turn, and how often they asked in all."""
    clock, turns, asked = Clock(), list[float](), 0
    pace = Pace(clock)
    queue = [(clock.now, number) for number in range(count)]
    while queue:
        clock.now, number = heapq.heappop(queue)
        asked += 1
        if wait := pace.wait(str(number)):
            heapq.heappush(queue, (clock.now + wait, number))
        else:
            turns.append(clock.now - 100.0)
    return turns, asked


def test_a_single_pod_does_not_wait() -> None:
    pace = Pace(clock := Clock())
    for number in range(10):
        assert pace.wait(str(number)) == 0.0
        clock.now += 1.0


def test_a_hundred_at_once_never_make_more_than_a_few_a_second() -> None:
    turns, asked = run_burst(100)
    assert max(sum(1 for one in turns if start <= one < start + 1) for start in turns) <= RATE * 1.3 + 1
    assert turns[-1] <= SPREAD
    assert asked <= 8 * 100


@pytest.mark.parametrize("count", [500, 1000, 3000])
def test_more_go_faster(count: int) -> None:
    turns, asked = run_burst(count)
    assert len(turns) == count
    assert turns[-1] <= 1.5 * SPREAD
    assert asked <= 10 * count


def test_a_pod_that_does_not_come_back_holds_up_nobody() -> None:
    pace = Pace(clock := Clock())
    pace.wait("first")
    for number in range(99):
        assert pace.wait(f"gone {number}") > 0.0
    clock.now += 61.0
    assert pace.wait("other") == 0.0
    assert pace.wait("next") <= 1 / RATE * 101
    clock.now += 1.0
    assert pace.wait("next") == 0.0

"""A burst of new pods is spread, in order; a few pods are not."""

from __future__ import annotations

import heapq

import pytest

from isthmus.offloading.pods.pace import FORGOTTEN, RATE, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def start(clock: Clock, pace: Pace, names: list[str]) -> list[tuple[float, str]]:
    """When each pod has its turn, where all ask now and again when they are told to."""
    began, due = clock.now, [(clock.now, number, name) for number, name in enumerate(names)]
    heapq.heapify(due)
    turns = []
    while due:
        clock.now, number, name = heapq.heappop(due)
        if waiting := pace.wait(name):
            heapq.heappush(due, (clock.now + waiting, number, name))
        else:
            turns.append((clock.now - began, name))
    return turns


def test_a_few_pods_do_not_wait(clock: Clock) -> None:
    pace = Pace(clock)
    clock.now += 5
    assert [pace.wait(name) for name in "abcd"] == [0.0] * 4


def test_no_second_of_a_burst_has_more_than_its_turns(clock: Clock) -> None:
    pace = Pace(clock)
    clock.now += 5
    times = [when for when, _ in start(clock, pace, [str(number) for number in range(100)])]
    busiest = max(sum(first <= other < first + 1 for other in times) for first in times)
    assert busiest <= RATE * 1.4 + 1
    assert times[-1] < 100 / RATE + 0.1


def test_turns_come_in_the_order_of_asking(clock: Clock) -> None:
    names = [str(number) for number in range(50)]
    assert [name for _, name in start(clock, Pace(clock), names)] == names


def test_the_more_wait_the_faster_it_goes(clock: Clock) -> None:
    turns = start(clock, Pace(clock), [str(number) for number in range(1000)])
    assert len(turns) == 1000
    assert turns[-1][0] < 45


def test_asking_too_early_neither_loses_nor_changes_a_turn(clock: Clock) -> None:
    pace = Pace(clock)
    for number in range(20):
        pace.wait(str(number))
    first = pace.wait("late")
    clock.now += first / 2
    assert pace.wait("late") == pytest.approx(first / 2)
    clock.now += first
    assert pace.wait("late") == 0.0


def test_pods_that_never_came_back_hurry_nobody(clock: Clock) -> None:
    pace = Pace(clock)
    for number in range(1000):
        pace.wait(f"gone{number}")
    clock.now += 3600 + FORGOTTEN
    times = [when for when, _ in start(clock, pace, [str(number) for number in range(100)])]
    assert times[-1] > 90 / RATE

"""Repairs that somebody keeps undoing slow down; everything else is at once."""

from __future__ import annotations

from itertools import pairwise

from isthmus.kube.objects import Key
from isthmus.reflection.repairs import FREE, LONGEST, Repairs

KEY = Key("shop", "c")


def fight(repairs: Repairs, seconds: float) -> list[float]:
    """When an object is repaired that is spoilt again at once, over so many seconds."""
    now, times = 0.0, []
    while now < seconds:
        pause = repairs.pause(KEY, "7", now)
        if pause == 0.0:
            times.append(now)
            repairs.note(KEY, "7", now)
            pause = 0.01
        now += pause
    return times


def test_a_fight_is_slow() -> None:
    times = fight(Repairs(), 3600)
    assert times[FREE - 1] < 0.1, "the first repairs are at once"
    assert len(times) < 50
    assert max(later - earlier for earlier, later in pairwise(times)) <= LONGEST + 1


def test_another_version_and_a_quiet_time_are_forgiven() -> None:
    repairs = Repairs()
    fight(repairs, 600)
    assert repairs.pause(KEY, "7", 600.0) > 0
    assert repairs.pause(KEY, "8", 600.0) == 0
    assert repairs.pause(Key("shop", "other"), "7", 600.0) == 0
    later = 600 + 3 * LONGEST
    assert repairs.pause(KEY, "7", later) == 0
    repairs.note(KEY, "7", later)
    assert repairs.pause(KEY, "7", later) == 0


def test_what_is_gone_is_forgotten() -> None:
    repairs = Repairs()
    fight(repairs, 600)
    repairs.forget(KEY)
    assert repairs.pause(KEY, "7", 600.0) == 0

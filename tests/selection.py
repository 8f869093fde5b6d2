"""Which tests a run plays and in which order, worked out from how long each module took when it was last measured.

Pure. A unit is what is played together on one lab: a test module, or one life of the kills. `durations.json` has the
seconds of each; `make durations` writes them anew from the junit files that the runs keep in `build/tests`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

UNKNOWN_SECONDS = 60.0
"""Taken for a unit that was never measured."""
LONGEST_PART_SECONDS = 180.0


def parse_shard(text: str) -> tuple[int, int]:
    """Number and count of `2/6`. Raises ValueError naming what is wrong."""
    number, separator, count = text.partition("/")
    if not (separator and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ValueError(f"{text!r} is not a valid shard: write for instance 2/6")
    return int(number), int(count)


def longest_first(units: Iterable[str], seconds: Mapping[str, float]) -> list[str]:
    """The units by falling duration, so that no worker is left with a long one at the end."""
    return sorted(units, key=lambda unit: (-seconds.get(unit, UNKNOWN_SECONDS), unit))


def shard(units: Iterable[str], seconds: Mapping[str, float], number: int, count: int) -> set[str]:
    """The units of shard `number` (from 1) of `count`, such that all shards last about equally long."""
    loads = [0.0] * count
    chosen: set[str] = set()
    for unit in longest_first(units, seconds):
        least = min(range(count), key=loads.__getitem__)
        loads[least] += seconds.get(unit, UNKNOWN_SECONDS)
        if least == number - 1:
            chosen.add(unit)
    return chosen


def parts(
    units: Iterable[str], seconds: Mapping[str, float], most: float = LONGEST_PART_SECONDS
) -> list[set[str]]:
    """The units in parts of at most `most` seconds each; units that last longer are in none."""
    loads: list[float] = []
    found: list[set[str]] = []
    for unit in longest_first(units, seconds):
        needed = seconds.get(unit, UNKNOWN_SECONDS)
        if needed > most:
            continue
        place = next((n for n, load in enumerate(loads) if load + needed <= most), None)
        if place is None:
            loads.append(needed)
            found.append({unit})
        else:
            loads[place] += needed
            found[place].add(unit)
    return found

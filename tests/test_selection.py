"""Shards and parts: everything is played by exactly one shard, and no part is longer than it may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import unit
from tests.selection import UNKNOWN_SECONDS, longest_first, parse_shard, parts, shard

DURATIONS = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.floats(0.1, 900), max_size=30)


@given(DURATIONS, st.integers(1, 8))
def test_each_unit_is_in_exactly_one_shard(seconds: dict[str, float], count: int) -> None:
    shards = [shard(seconds, seconds, number, count) for number in range(1, count + 1)]
    assert sorted(unit for one in shards for unit in one) == sorted(seconds)


def test_shards_last_about_equally_long() -> None:
    seconds = {f"seed-{n}": 20.0 for n in range(60)} | {"long": 600.0}
    loads = [sum(seconds[unit] for unit in shard(seconds, seconds, n, 3)) for n in (1, 2, 3)]
    assert loads == [600.0, 600.0, 600.0]


@given(DURATIONS)
def test_a_part_has_only_what_fits(seconds: dict[str, float]) -> None:
    found = parts(seconds, seconds, 180.0)
    assert all(sum(seconds[unit] for unit in one) <= 180.0 + 1e-6 for one in found)
    assert sorted(unit for one in found for unit in one) == sorted(u for u, s in seconds.items() if s <= 180)


def test_a_unit_that_was_never_measured_counts_as_a_minute() -> None:
    assert longest_first(["new", "short", "long"], {"short": 1.0, "long": 90.0}) == ["long", "new", "short"]
    assert len(parts(["a", "b", "c", "d"], {}, 2 * UNKNOWN_SECONDS)) == 2


@pytest.mark.parametrize("text", ["", "3", "0/6", "7/6", "a/b", "1/0", "-1/6"])
def test_a_shard_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid shard: write for instance 2/6"):
        parse_shard(text)
    assert parse_shard("2/6") == (2, 6)


def test_the_seeds_of_one_life_are_played_together_and_others_apart() -> None:
    kills = "tests/cluster/kills/test_kills.py"
    lives = [
        unit(f"{kills}::test_a_kill_changes_nothing_about_the_end[{seed}]") for seed in (1, 7, 8, 14, 15)
    ]
    assert lives == [f"{kills}::life {number}" for number in (0, 0, 1, 1, 2)]
    assert (
        unit("tests/cluster/test_kill.py::test_a_burst_survives[API server for 20 s]")
        == "tests/cluster/test_kill.py"
    )

"""A peer's addresses as they are seen here."""

from __future__ import annotations

import pytest

from isthmus.network.remap import map_through, pair_ranges


def test_an_address_takes_the_range_it_is_seen_under_and_keeps_its_host_part() -> None:
    pairs = pair_ranges(["10.244.0.0/16", "10.70.0.0/16"], ["10.61.0.0/16", "10.71.0.0/16"])
    assert map_through("10.244.3.7", pairs) == "10.61.3.7"
    assert map_through("10.70.0.0", pairs) == "10.71.0.0"


def test_an_address_of_none_of_the_ranges_has_no_mapping() -> None:
    assert map_through("192.168.1.1", pair_ranges(["10.244.0.0/16"], ["10.61.0.0/16"])) is None


def test_where_nothing_overlaps_nothing_changes() -> None:
    assert map_through("10.9.8.7", pair_ranges(["10.9.0.0/16"], ["10.9.0.0/16"])) == "10.9.8.7"


def test_ranges_that_are_not_assigned_yet_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="2 ranges of the peer, 1 assigned here"):
        pair_ranges(["10.1.0.0/16", "10.2.0.0/16"], ["10.3.0.0/16"])
    with pytest.raises(ValueError, match="differ in size"):
        pair_ranges(["10.1.0.0/16"], ["10.3.0.0/24"])

"""What a peer may announce."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.networking import Cidrs
from isthmus.network.configuration.validation import AnnouncementError, require_ranges

EXTERNAL = ["10.70.0.0/16"]


@pytest.mark.parametrize(
    "pod",
    [["10.244.0.0/16"], ["10.0.0.0/10", "192.168.0.0/24"], ["100.64.0.0/10"], ["11.0.0.0/8"], ["8.8.8.0/30"]],
)
def test_ranges_of_a_cluster_are_taken_private_or_not(pod: list[str]) -> None:
    require_ranges(Cidrs(pod=pod, external=EXTERNAL))


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (["0.0.0.0/0"], r"0\.0\.0\.0/0 is too large"),
        (["10.0.0.0/7"], "too large|host bits"),
        (["0.0.0.0/8"], "addresses of this host"),
        (["127.0.0.0/16"], "loopback"),
        (["169.254.18.0/30"], "link-local"),
        (["224.0.0.0/24"], "multicast"),
        (["255.255.255.0/24"], "reserved addresses and broadcast"),
        (["10.1.2.3/32"], "too small"),
        (["10.244.0.0"], "is not a valid IPv4 CIDR"),
        (["10.244.1.0/16"], r"write 10\.244\.0\.0/16"),
        (["fd00::/64"], "is not a valid IPv4 CIDR"),
        (["; nft flush ruleset"], "is not a valid IPv4 CIDR"),
        ([], "is empty"),
        ([f"10.{number}.0.0/16" for number in range(17)], "17 ranges are too many"),
        (["10.244.0.0/16", "10.244.0.0/16"], "must be disjoint"),
        (["10.70.128.0/24"], r"overlaps .* must be disjoint"),
    ],
)
def test_what_no_cluster_can_have_is_refused_naming_field_and_mend(pod: list[str], said: str) -> None:
    with pytest.raises(AnnouncementError, match=rf"^spec\.remote\.cidr\.\w+.*{said}") as caught:
        require_ranges(Cidrs(pod=pod, external=EXTERNAL))
    assert ":" in str(caught.value)


def test_the_external_range_is_judged_alike() -> None:
    with pytest.raises(AnnouncementError, match=r"spec\.remote\.cidr\.external: 127\.0\.0\.0/8 has loopback"):
        require_ranges(Cidrs(pod=["10.1.0.0/16"], external=["127.0.0.0/8"]))
    with pytest.raises(AnnouncementError, match=r"spec\.remote\.cidr\.external is empty"):
        require_ranges(Cidrs(pod=["10.1.0.0/16"], external=[]))


@given(st.lists(st.text(max_size=24), max_size=6), st.lists(st.text(max_size=24), max_size=3))
def test_nothing_a_peer_writes_does_more_than_be_refused(pod: list[str], external: list[str]) -> None:
    with contextlib.suppress(AnnouncementError):
        require_ranges(Cidrs(pod=pod, external=external))

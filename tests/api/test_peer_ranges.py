"""Which Configuration speaks for a peer, and what addresses become between two clusters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from isthmus.api import labels
from isthmus.api.cidr import CIDR, format_address, parse_cidr
from isthmus.api.networking import Configuration
from isthmus.api.peer_ranges import (
    PeerRanges,
    configuration_of,
    is_usable,
    read_ranges,
    real_address,
    seen_address,
)
from isthmus.kube.objects import Object


def configuration(
    real: list[str],
    seen: list[str],
    namespace: str = "liqo-tenant-milan",
    external: tuple[list[str], list[str]] = ([], []),
) -> Configuration:
    spec = {"remote": {"cidr": {"pod": real, "external": external[0]}}}
    status = {"remote": {"cidr": {"pod": seen, "external": external[1]}}}
    metadata = {"name": "c", "namespace": namespace, "labels": {labels.REMOTE_CLUSTER_ID: "milan"}}
    return convert({"metadata": metadata, "spec": spec, "status": status}, Configuration)


def namespace_of(name: str) -> Object | None:
    peer = name.removeprefix("liqo-tenant-")
    marks = {labels.TENANT_NAMESPACE: "true", labels.REMOTE_CLUSTER_ID: peer}
    return convert({"metadata": {"name": name, "labels": marks}}, Object) if peer != name else None


def test_a_peer_is_spoken_for_in_its_own_tenant_namespace_only() -> None:
    own = configuration([], [])
    others = [configuration([], [], "liqo-tenant-evil"), configuration([], [], "shop")]
    assert configuration_of("milan", [*others, own], namespace_of) is own
    assert configuration_of("milan", others, namespace_of) is None
    assert configuration_of("rome", [own], namespace_of) is None
    assert configuration_of("milan", [own, own], namespace_of) is None, "two say nothing"


@pytest.mark.parametrize(
    ("real", "seen"),
    [
        ([], []),
        (["10.244.0.0/16"], []),
        (["10.244.0.0/16"], ["10.71.0.0/16", "10.72.0.0/16"]),
        (["10.244.0.0/16"], ["10.71.0.0/17"]),
        (["10.244.0.0/16"], ["nonsense"]),
        (["fd00::/64"], ["fd01::/64"]),
    ],
)
def test_ranges_that_are_not_complete_are_none(real: list[str], seen: list[str]) -> None:
    assert read_ranges(configuration(real, seen)) is None


def test_addresses_there_and_back() -> None:
    ranges = read_ranges(
        configuration(
            ["10.244.0.0/16", "10.245.0.0/16"],
            ["10.71.0.0/16", "10.245.0.0/16"],
            external=(["10.70.0.0/16"], ["10.75.0.0/16"]),
        )
    )
    assert isinstance(ranges, PeerRanges)
    assert seen_address("10.244.3.4", ranges.pods) == "10.71.3.4"
    assert seen_address("10.245.3.4", ranges.pods) == "10.245.3.4"
    assert seen_address("10.70.0.9", ranges.pods) == ""
    assert seen_address("10.70.0.9", ranges.pods + ranges.external) == "10.75.0.9"
    assert real_address("10.71.3.4", ranges.pods) == "10.244.3.4"
    assert real_address("10.244.3.4", ranges.pods) == ""


@pytest.mark.parametrize(
    "address",
    [
        *("", "10.0.0", "10.0.0.256", "010.0.0.1", "fd00::1", "10.0.0.1/32", "10.0.0.1\n", "a" * 10000),
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255"),  # noqa: S104
    ],
)
def test_what_no_pod_of_another_cluster_has(address: str) -> None:
    everything = ((parse_cidr("0.0.0.0/0"), parse_cidr("0.0.0.0/0")),)
    assert not is_usable(address)
    assert seen_address(address, everything) == ""


RANGES = st.builds(
    lambda number, prefix: CIDR(number >> (32 - prefix) << (32 - prefix), prefix),
    st.integers(0, 2**32 - 1),
    st.integers(8, 32),
)


@given(RANGES, st.data())
def test_mapping_keeps_the_host_part_and_never_leaves_the_range(real: CIDR, data: Any) -> None:
    other = data.draw(st.integers(0, 2**32 - 1))
    seen = CIDR(other >> (32 - real.prefix) << (32 - real.prefix), real.prefix)
    address = format_address(data.draw(st.integers(0, 2**32 - 1) | st.integers(real.first, real.last)))
    mapped = seen_address(address, [(real, seen)])
    if mapped:
        assert is_usable(mapped)
        assert seen.has(int.from_bytes(bytes(map(int, mapped.split("."))), "big"))
        assert real_address(mapped, [(real, seen)]) == address

"""Ranges and addresses as numbers, against the standard library's own reading of them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.cidr import CIDR, dashed, format_address, map_address, parse_address, parse_cidr

addresses = st.integers(0, 2**32 - 1)


@st.composite
def cidrs(draw: st.DrawFn) -> CIDR:
    prefix = draw(st.integers(0, 32))
    return CIDR(draw(addresses) >> (32 - prefix) << (32 - prefix), prefix)


@given(cidrs())
def test_a_range_reads_as_the_standard_library_reads_it(cidr: CIDR) -> None:
    network = ipaddress.IPv4Network(str(cidr))
    assert parse_cidr(str(network)) == cidr
    assert (cidr.first, cidr.last, cidr.size) == (
        int(network.network_address),
        int(network.broadcast_address),
        network.num_addresses,
    )


@given(cidrs(), cidrs(), addresses)
def test_containment_and_overlap_agree_with_the_standard_library(
    one: CIDR, other: CIDR, address: int
) -> None:
    a, b = ipaddress.IPv4Network(str(one)), ipaddress.IPv4Network(str(other))
    assert one.overlaps(other) == a.overlaps(b)
    assert one.contains(other) == b.subnet_of(a)
    assert one.has(address) == (ipaddress.IPv4Address(address) in a)


@given(st.text(alphabet="0123456789./ -a\x00٣", max_size=20))
def test_only_what_is_an_address_is_taken_for_one(text: str) -> None:
    try:
        expected = int(ipaddress.IPv4Address(text))
    except ValueError:
        with pytest.raises(ValueError, match="is not a valid IPv4 address"):
            parse_address(text)
    else:
        assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/٨", "::/0", "10/8"],
)
def test_what_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for instance 10"):
        parse_cidr(text)


def test_a_range_with_host_bits_is_refused_with_the_range_that_was_meant() -> None:
    with pytest.raises(ValueError, match=r"host bits set: write 10\.1\.0\.0/16"):
        parse_cidr("10.1.2.3/16")


def test_the_name_of_a_range_has_dashes() -> None:
    assert dashed(parse_cidr("10.244.0.0/16")) == "10-244-0-0-16"


@given(st.integers(0, 32), addresses, addresses, addresses)
def test_mapping_there_and_back_gives_the_address_again(
    prefix: int, first: int, other: int, host: int
) -> None:
    real = CIDR(first >> (32 - prefix) << (32 - prefix), prefix)
    seen = CIDR(other >> (32 - prefix) << (32 - prefix), prefix)
    ip = format_address(real.first + host % real.size)
    mapped = map_address(ip, real, seen)
    assert seen.has(parse_address(mapped))
    assert parse_address(mapped) - seen.first == parse_address(ip) - real.first
    assert map_address(mapped, seen, real) == ip


def test_an_address_of_elsewhere_is_not_mapped() -> None:
    with pytest.raises(ValueError, match=r"10\.2\.0\.1 is not in 10\.1\.0\.0/16"):
        map_address("10.2.0.1", parse_cidr("10.1.0.0/16"), parse_cidr("10.3.0.0/16"))
    with pytest.raises(ValueError, match="differ in size"):
        map_address("10.1.0.1", parse_cidr("10.1.0.0/16"), parse_cidr("10.3.0.0/24"))

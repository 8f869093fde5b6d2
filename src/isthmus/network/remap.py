"""How a peer's addresses are seen here, and back: 1:1 by prefix (behaviour.md 5.3). Pure.

The arithmetic is in `isthmus.api.cidr`, where reflection uses it too; here are the pairs of a whole peering.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isthmus.api.cidr import CIDR, format_address, map_address, parse_address, parse_cidr

__all__ = ["map_address", "map_through", "pair_ranges"]

Pair = tuple[CIDR, CIDR]
"""A range as the peer uses it, and the one of the same size under which this cluster sees it."""


def pair_ranges(real: Sequence[str], seen: Sequence[str]) -> list[Pair]:
    """The pairs of two index-aligned lists of CIDRs: spec.remote and status.remote of a Configuration.

    Raises ValueError where they are not aligned (the Configuration is not settled yet) or malformed.
    """
    if len(real) != len(seen):
        raise ValueError(f"{len(real)} ranges of the peer, {len(seen)} assigned here")
    pairs = [(parse_cidr(one), parse_cidr(other)) for one, other in zip(real, seen, strict=True)]
    for one, other in pairs:
        if one.prefix != other.prefix:
            raise ValueError(f"{one} cannot be mapped to {other}: they differ in size")
    return pairs


def map_through(ip: str, pairs: Iterable[Pair]) -> str | None:
    """The address here of a peer's address, None where it is in none of the ranges. Raises ValueError for no IPv4."""
    address = parse_address(ip)
    for real, seen in pairs:
        if real.has(address):
            return format_address(seen.first | (address - real.first))
    return None

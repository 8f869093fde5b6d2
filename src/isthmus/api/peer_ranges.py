"""A peer's address ranges as it knows them and as this cluster sees them, and the mapping between the two. Pure.

They are in the one Configuration that is labelled with the peer and lies in its tenant namespace (behaviour.md 5.3):
a peer can write Configurations there, but none that speaks for another peer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from isthmus.api import labels
from isthmus.api.cidr import CIDR, format_address, parse_address, parse_cidr
from isthmus.api.networking import Configuration
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.objects import Object

NEVER = tuple(
    parse_cidr(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)
"""Ranges no pod or host of another cluster has: this host, link-local, multicast, reserved and broadcast."""

Pair = tuple[CIDR, CIDR]
"""A range as the peer knows it, and as this cluster sees it; of equal size."""


class PeerRanges(Struct, frozen=True):
    """The ranges of a peer's pods, and those under which it lends us the addresses of other hosts."""

    pods: tuple[Pair, ...]
    external: tuple[Pair, ...]


def configuration_of(
    peer: str, candidates: Iterable[Configuration], namespace_of: Callable[[str], Object | None]
) -> Configuration | None:
    """The Configuration that speaks for a peer; None where there is none, or more than one."""
    found = [
        one
        for one in candidates
        if one.metadata.labels.get(labels.REMOTE_CLUSTER_ID) == peer
        and is_tenant_namespace_of(namespace_of(one.metadata.namespace), peer)
    ]
    return found[0] if len(found) == 1 else None


def read_ranges(configuration: Configuration) -> PeerRanges | None:
    """The ranges of a Configuration; None while it has not got all of ours for all of theirs."""
    real, seen = configuration.spec.remote.cidr, configuration.status.remote.cidr
    if not real.pod or len(real.pod) != len(seen.pod) or len(real.external) != len(seen.external):
        return None
    try:
        return PeerRanges(_pairs(real.pod, seen.pod), _pairs(real.external, seen.external))
    except ValueError:
        return None


def _pairs(real: list[str], seen: list[str]) -> tuple[Pair, ...]:
    """The ranges side by side. Raises ValueError where one is none or two differ in size."""
    pairs = tuple((parse_cidr(theirs), parse_cidr(ours)) for theirs, ours in zip(real, seen, strict=True))
    if any(theirs.prefix != ours.prefix for theirs, ours in pairs):
        raise ValueError("a range is seen as one of another size")
    return pairs


def seen_address(address: str, pairs: Iterable[Pair]) -> str:
    """How this cluster sees an address of the peer, "" where it is in none of the ranges, or cannot be a host's."""
    return _map(address, pairs)


def real_address(address: str, pairs: Iterable[Pair]) -> str:
    """The address the peer itself knows a seen one under, "" where it is in none of the ranges."""
    return _map(address, ((seen, real) for real, seen in pairs))


def is_usable(address: str) -> bool:
    """Whether the text is an IPv4 address that a pod or host of another cluster can have."""
    try:
        number = parse_address(address)
    except ValueError:
        return False
    return not any(range_.has(number) for range_ in NEVER)


def _map(address: str, pairs: Iterable[Pair]) -> str:
    if not is_usable(address):
        return ""
    number = parse_address(address)
    for source, target in pairs:
        if source.has(number):
            mapped = format_address(target.first | (number - source.first))
            return mapped if is_usable(mapped) else ""
    return ""

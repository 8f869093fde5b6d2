"""What a provider is told of an endpoint of this cluster: which ones, and under which addresses. Pure functions.

A provider maps what it is told through its Configuration of this cluster, which knows our pod CIDRs and our
external CIDR (behaviour.md 5.3). So an address goes out as it is where it is of our pods, and otherwise as the
external address that an IP object of the same namespace has for it, or as the provider knows it where it is of a
pod there. An endpoint without one waits; the others of
its slice do not wait for it. Pods of a third cluster may instead be told under their real address, as that cluster
itself knows them, for a provider that has a network with it too (behaviour.md 5.10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from isthmus.api.cidr import CIDR, parse_address, parse_cidr
from isthmus.api.endpoints import Endpoint
from isthmus.api.peer_ranges import PeerRanges, real_address

REMOTE_KIND = "Remote"
"""Put before the kind of what is behind an endpoint, so that nobody looks for it at the provider."""


class Surroundings(Struct, frozen=True, kw_only=True):
    """What of this cluster bears on its endpoints; functions look into caches."""

    home_id: str
    provider_id: str
    cluster_of: Callable[[str], str | None]
    """The cluster a Node stands for: "" is this one, None is for a Node that is not there."""
    pod_cidrs: tuple[CIDR, ...] = ()
    """The ranges of this cluster's pods."""
    external: Callable[[str], str] = lambda address: ""
    """The external address of an address that is not of these, "" while it has none."""
    ranges_of: Callable[[str], PeerRanges | None] = lambda cluster: None
    """The ranges of a peer as it and as we see them."""
    translate: bool = True
    """Whether addresses other than those of our pods need an external one."""
    takes_own: bool = False
    """Whether the provider takes endpoints that are its own pods, as stock does not."""


class Translated(Struct, frozen=True):
    """The endpoints for a provider: in `direct` the addresses that are a cluster's own, by its id; in `waiting` the
    addresses that have no external one yet."""

    endpoints: list[Endpoint]
    direct: dict[str, list[str]]
    waiting: list[str]


def read_cidrs(texts: Iterable[str]) -> tuple[CIDR, ...]:
    """The ranges among the texts; what is none is left out."""
    found = []
    for text in texts:
        try:
            found.append(parse_cidr(text))
        except ValueError:
            continue
    return tuple(found)


def translate(endpoints: Iterable[Endpoint], around: Surroundings, *, direct: bool) -> Translated:
    """The endpoints of a slice for a provider, without those on its Nodes; `direct` as the Service asks for it.

    An endpoint on no Node that has the address of a pod at the provider, as we see it, was written by a user or a
    controller: it is told under the pod's real address, for nobody else makes that endpoint there.

    A real address that another endpoint of the slice has too (clusters may use the same ranges) would say
    nothing: its endpoint is told under its external address.
    """
    ours = [
        (endpoint, cluster)
        for endpoint in endpoints
        if (cluster := _cluster_of(endpoint, around)) is not None and cluster != around.provider_id
    ]
    reals = [_real_addresses(*one, around, direct) for one in ours]
    externals = [_external_addresses(endpoint, around) for endpoint, _ in ours]
    uses = Counter(a for one in zip(reals, externals, strict=True) for a in {*one[0], *(one[1] or ())})
    result = Translated([], {}, [])
    for (endpoint, cluster), real, external in zip(ours, reals, externals, strict=True):
        addresses = external
        if real and all(uses[address] == 1 for address in real):
            addresses = real
            result.direct.setdefault(cluster or around.provider_id, []).extend(real)
        if addresses is None:
            result.waiting.extend(endpoint.addresses)
        else:
            result.endpoints.append(forge_endpoint(endpoint, addresses, around.home_id))
    return result


def _cluster_of(endpoint: Endpoint, around: Surroundings) -> str | None:
    """The cluster an endpoint is in: what is on no Node is outside of every cluster, hence ours to tell of."""
    return around.cluster_of(endpoint.node_name) if endpoint.node_name else ""


def _real_addresses(endpoint: Endpoint, cluster: str, around: Surroundings, direct: bool) -> list[str]:
    """The addresses that a pod in another cluster has there; none where that is not known of every one."""
    if cluster:
        ranges = around.ranges_of(cluster) if direct else None
    else:
        ranges = around.ranges_of(around.provider_id) if around.takes_own and not endpoint.node_name else None
    if ranges is None:
        return []
    found = [real_address(address, ranges.pods) for address in endpoint.addresses]
    return found if all(found) else []


def _external_addresses(endpoint: Endpoint, around: Surroundings) -> list[str] | None:
    """The addresses as our Configuration at the provider knows them; None while one of them has none."""
    if not around.translate:
        return endpoint.addresses
    found = [
        address if _is_pod(address, around.pod_cidrs) else around.external(address)
        for address in endpoint.addresses
    ]
    return found if all(found) else None


def _is_pod(address: str, pod_cidrs: tuple[CIDR, ...]) -> bool:
    try:
        number = parse_address(address)
    except ValueError:
        return False
    return any(cidr.has(number) for cidr in pod_cidrs)


def forge_endpoint(endpoint: Endpoint, addresses: list[str], home_id: str) -> Endpoint:
    """The endpoint as a provider has it: on a node named as our cluster (wire.md 8)."""
    target = endpoint.target_ref
    return replace(
        endpoint,
        addresses=addresses,
        node_name=home_id,
        target_ref=None if target is None else replace(target, kind=f"{REMOTE_KIND}{target.kind or ''}"),
    )

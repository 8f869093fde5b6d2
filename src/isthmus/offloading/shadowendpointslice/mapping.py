"""What a consumer's endpoints are in this cluster: under which addresses, and whether ready. Pure functions.

Everything a ShadowEndpointSlice says is the consumer's to write. An address gets into this cluster only where the
Configuration of the cluster it is said to be of maps it, so a consumer can point at its own pods and hosts (and,
unless that is denied, at pods of other peers), and at nothing of ours but the Pods of its ShadowPods in the same
namespace: these it names as of this cluster, among the data of direct connections. Each endpoint stands or falls by
itself; what is malformed as a whole is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from isthmus.api import labels
from isthmus.api.core import ForeignCluster
from isthmus.api.endpoints import IPV4, Endpoint, EndpointPort, read_direct_connections
from isthmus.api.offloading import ShadowEndpointSlice
from isthmus.api.peer_ranges import PeerRanges, is_usable, seen_address

MOST_ENDPOINTS = 1000
MOST_ADDRESSES = 100
MOST_PORTS = 100
"""What an EndpointSlice can hold at most."""
MOST_CLUSTERS = 100
"""Third clusters that one slice may speak of."""
REMOTE_KIND = "Remote"
ESTABLISHED = "Established"


class Policy(Struct, frozen=True, kw_only=True):
    """What this installation lets in."""

    own_id: str = ""
    """The id of this cluster."""
    deny_direct_connections: bool = False
    """Whether endpoints in third clusters are dropped."""
    unmapped: bool = False
    """Whether addresses of a peer without a Configuration are taken as they are: where something else than our
    networking joins the clusters."""


class Peer(Struct, frozen=True):
    """Another cluster as endpoints see it: its ranges, None where there is no usable Configuration, and whether
    its pods can be reached and are known of."""

    ranges: PeerRanges | None
    connected: bool
    answering: bool


class RefusedError(Exception):
    """A ShadowEndpointSlice that no EndpointSlice can be made of; the text says why, for people."""


class Mapped(Struct, frozen=True):
    """The endpoints in this cluster, and the addresses that were dropped with theirs."""

    endpoints: list[Endpoint] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def is_connected(peer: ForeignCluster) -> bool:
    """Whether there is a network to a peer, or none of ours is wished."""
    module = peer.status.modules.networking
    return not module.enabled or any(
        one.type == "NetworkConnectionStatus" and one.status == ESTABLISHED for one in module.conditions
    )


def is_answering(peer: ForeignCluster) -> bool:
    """Whether a peer's API server answers, as far as it is asked; one that is only a consumer is not."""
    return all(
        one.status in (ESTABLISHED, "None") for one in peer.status.conditions if one.type == "APIServerStatus"
    )


def direct_clusters(shadow: ShadowEndpointSlice) -> dict[str, str]:
    """The third cluster each directly reachable address is of. Raises RefusedError where that is not clear."""
    text = shadow.metadata.annotations.get(labels.DIRECT_CONNECTIONS_DATA)
    if text is None:
        return {}
    try:
        data = read_direct_connections(text).cluster_addresses
    except ValueError as error:
        raise RefusedError(f"annotation {labels.DIRECT_CONNECTIONS_DATA}: {error}") from None
    if len(data) > MOST_CLUSTERS:
        raise RefusedError(
            f"annotation {labels.DIRECT_CONNECTIONS_DATA}: {len(data)} clusters, {MOST_CLUSTERS} are possible"
        )
    found: dict[str, str] = {}
    for cluster, addresses in data.items():
        for address in addresses:
            if found.setdefault(address, cluster) != cluster:
                raise RefusedError(
                    f"annotation {labels.DIRECT_CONNECTIONS_DATA}: {address[:64]!r} is of two clusters"
                )
    return found


def check(shadow: ShadowEndpointSlice) -> None:
    """Raise RefusedError where type or number is none that an EndpointSlice can have."""
    template = shadow.spec.template
    if template.address_type != IPV4:
        raise RefusedError(f"spec.template.addressType {template.address_type[:64]!r}: only {IPV4} is mapped")
    if len(template.endpoints) > MOST_ENDPOINTS:
        raise RefusedError(
            f"spec.template.endpoints: {len(template.endpoints)} of them, {MOST_ENDPOINTS} are possible"
        )
    if len(template.ports) > MOST_PORTS:
        raise RefusedError(f"spec.template.ports: {len(template.ports)} of them, {MOST_PORTS} are possible")


def map_endpoints(
    shadow: ShadowEndpointSlice,
    origin: str,
    peer_of: Callable[[str], Peer | None],
    policy: Policy,
    is_shadowed: Callable[[str], bool] = lambda address: False,
) -> Mapped:
    """The endpoints as pods of this cluster reach them; `is_shadowed` tells whether an address is that of a Pod which
    a ShadowPod of the same namespace stands for. Raises RefusedError."""
    check(shadow)
    direct = direct_clusters(shadow)
    home = peer_of(origin)
    answering = home is not None and home.connected and home.answering
    result = Mapped()
    for endpoint in shadow.spec.template.endpoints:
        third = {direct.get(address, "") for address in endpoint.addresses}
        cluster = next(iter(third), "")
        if third == {policy.own_id} and policy.own_id:
            if all(is_shadowed(address) for address in endpoint.addresses):
                result.endpoints.append(_forge_endpoint(endpoint, endpoint.addresses, None, ready=True))
            else:
                result.dropped.extend(endpoint.addresses[:MOST_ADDRESSES])
            continue
        addresses: list[str] = []
        peer = peer_of(cluster) if cluster else home
        if len(third) == 1 and peer is not None and not (cluster and policy.deny_direct_connections):
            addresses = _map_addresses(endpoint.addresses, peer, policy, direct=bool(cluster))
        if addresses and peer is not None:
            ready = answering and peer.connected
            result.endpoints.append(_forge_endpoint(endpoint, addresses, origin, ready=ready))
        elif not (cluster and policy.deny_direct_connections):
            result.dropped.extend(endpoint.addresses[:MOST_ADDRESSES])
    return result


def _map_addresses(addresses: list[str], peer: Peer, policy: Policy, *, direct: bool) -> list[str]:
    """The addresses as this cluster sees them; none where one of them is not the peer's."""
    if len(addresses) > MOST_ADDRESSES:
        return []
    if peer.ranges is None:
        usable = policy.unmapped and not direct and all(is_usable(address) for address in addresses)
        return addresses if usable else []
    pairs = peer.ranges.pods if direct else peer.ranges.pods + peer.ranges.external
    mapped = [seen_address(address, pairs) for address in addresses]
    return mapped if all(mapped) else []


def _forge_endpoint(endpoint: Endpoint, addresses: list[str], origin: str | None, *, ready: bool) -> Endpoint:
    """The endpoint here; nothing but its addresses may lead to a Node or Pod of this cluster."""
    target = endpoint.target_ref
    if target is not None and not (target.kind or "").startswith(REMOTE_KIND):
        target = replace(target, kind=f"{REMOTE_KIND}{target.kind or ''}")
    return replace(
        endpoint,
        addresses=addresses,
        conditions=endpoint.conditions if ready else replace(endpoint.conditions, ready=False, serving=False),
        node_name=origin,
        target_ref=target,
    )


def forge_ports(ports: Iterable[EndpointPort]) -> list[EndpointPort]:
    """The ports with the API's defaults, so that they are what is read back."""
    return [replace(port, name=port.name or "", protocol=port.protocol or "TCP") for port in ports]

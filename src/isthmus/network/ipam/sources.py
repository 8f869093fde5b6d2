"""Which Network an IP takes its address from. Pure.

The installation's external CIDR unless the IP names another. IPs may come from a peer's administrator: a Network of
another tenant is not theirs to use, and ranges whose addresses are handed out by others (pods, Services, the
overlay, a peer) are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from isthmus.api import labels
from isthmus.api.cidr import BITS, CIDR, parse_address
from isthmus.api.ipam import IP, Network
from isthmus.kube.objects import Key
from isthmus.network.ipam.address_ledger import Range
from isthmus.network.ipam.allocator import RangeRefusedError
from isthmus.network.ipam.installation import EXTERNAL, INTERNAL
from isthmus.network.ipam.ledger import assigned_range, plan_wish
from isthmus.network.ipam.special import special_in


class SourceError(Exception):
    """No address can be had (yet); `reason` is CamelCase for an event, the text names the field and the mend."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def source_key(ip: IP, namespace: str) -> Key | None:
    """The Network the IP names, None for the external CIDR; `namespace` is the installation's."""
    reference = ip.spec.network_ref
    return Key(reference.namespace or namespace, reference.name) if reference and reference.name else None


def is_external(network: Network, namespace: str) -> bool:
    """Whether the Network is the installation's external CIDR."""
    meta = network.metadata
    return meta.namespace == namespace and meta.labels.get(labels.NETWORK_TYPE) == EXTERNAL


def require_host(ip: IP) -> None:
    """The address is one that a host can have. Raises SourceError."""
    try:
        address = parse_address(ip.spec.ip)
    except ValueError as error:
        raise SourceError("InvalidIP", f"spec.ip: {error}") from error
    if special := special_in(CIDR(address, BITS)):
        raise SourceError(
            "InvalidIP", f"spec.ip: {ip.spec.ip} is one of the {special}, which no other host can reach"
        )


def find_source(
    ip: IP, find: Callable[[Key], Network | None], own: Iterable[Network], namespace: str
) -> Network:
    """The Network; `own` are those of the installation's namespace. Raises SourceError where it cannot be used."""
    key = source_key(ip, namespace)
    if key is None:
        externals = sorted(
            (one for one in own if is_external(one, namespace)), key=lambda one: one.metadata.name
        )
        if not externals:
            message = f"no Network in {namespace} is labelled {labels.NETWORK_TYPE}={EXTERNAL}"
            raise SourceError(
                "NetworkMissing", f"{message}: run isthmus install again, or set spec.networkRef"
            )
        return externals[0]
    if key.namespace not in (namespace, ip.metadata.namespace):
        raise SourceError(
            "NetworkForbidden",
            f"spec.networkRef: {key} is in neither {namespace} nor the IP's namespace: name a Network of one of them",
        )
    network = find(key)
    if network is None:
        raise SourceError("NetworkMissing", f"spec.networkRef: there is no Network {key}: create it first")
    if reason := _unfit(network):
        raise SourceError(
            "NetworkForbidden", f"spec.networkRef: the addresses of {key} {reason}: name another"
        )
    return network


def source_range(network: Network) -> Range:
    """The range of the Network to take addresses from. Raises SourceError while none is assigned."""
    try:
        cidr = assigned_range(network, plan_wish(network))
    except RangeRefusedError as error:
        raise SourceError(error.reason, f"Network {network.key}: {error}") from error
    if cidr is None:
        raise SourceError("NetworkPending", f"Network {network.key} has no range yet: see its events")
    return Range(cidr, network.spec.pre_allocated)


def _unfit(network: Network) -> str:
    found = network.metadata.labels
    if found.get(labels.NETWORK_SHARED) == labels.TRUE:
        return "are in use by others (pods, Services or hosts)"
    if found.get(labels.NETWORK_TYPE) == INTERNAL:
        return "are those of nodes and gateways"
    return "are a peer's" if labels.CIDR_TYPE in found else ""

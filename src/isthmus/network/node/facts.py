"""From API objects to what a node's plan is made of. Pure.

Our own pod ranges are what every Configuration says in spec.local; they are all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.cidr import parse_address, parse_cidr
from isthmus.api.ipam import IP
from isthmus.api.networking import Configuration, InternalFabric, InternalNode
from isthmus.network.dataplane.bridge_ports import Port
from isthmus.network.dataplane.fabrics import Fabric
from isthmus.network.node.plan import NodeFacts
from isthmus.network.node.settings import Settings


def fabric_of(written: InternalFabric) -> Fabric | None:
    """A gateway as the plans take it; None while it has no overlay address or is going."""
    spec = written.spec
    if written.deleting or not _is_address(spec.interface.gateway.ip):
        return None
    return Fabric(
        name=str(written.key),
        address=spec.gateway_ip if _is_address(spec.gateway_ip) else "",
        overlay=spec.interface.gateway.ip,
        uid=written.metadata.uid,
        remote_cidrs=tuple(spec.remote_cidrs),
        mtu=spec.mtu,
    )


def masqueraded(ips: Iterable[IP]) -> tuple[str, ...]:
    """The hosts that must see the node as the source."""
    found = {one.spec.ip for one in ips if one.spec.masquerade and is_mapped(one)}
    return tuple(sorted(found))


def is_mapped(ip: IP) -> bool:
    """Whether an IP object is to be translated at all."""
    return (
        not ip.deleting
        and ip.metadata.labels.get(labels.HOST_UNREACHABLE, labels.FALSE) == labels.FALSE
        and _is_address(ip.spec.ip)
        and _is_address(ip.status.ip)
    )


def local_pod_cidrs(configurations: Iterable[Configuration]) -> tuple[str, ...]:
    """The ranges of this cluster's pods."""
    found: set[str] = set()
    for one in configurations:
        if one.spec.local is not None:
            found.update(cidr for cidr in one.spec.local.cidr.pod if _is_range(cidr))
    return tuple(sorted(found))


def node_facts(
    settings: Settings,
    own: InternalNode | None,
    fabrics: Iterable[InternalFabric],
    configurations: Iterable[Configuration],
    ips: Iterable[IP],
    underlay_mtu: int,
    ports: tuple[Port, ...] = (),
) -> NodeFacts:
    """What the plan is made from; without an InternalNode of our own, of nothing."""
    overlay = "" if own is None or own.deleting else own.spec.interface.node.ip
    return NodeFacts(
        overlay=overlay if _is_address(overlay) else "",
        uid="" if own is None else own.metadata.uid,
        addresses=(settings.node_ip,) if _is_address(settings.node_ip) else (),
        underlay_mtu=underlay_mtu,
        pod_cidrs=local_pod_cidrs(configurations),
        fabrics=tuple(fabric for one in fabrics if (fabric := fabric_of(one)) is not None),
        ports=ports,
        masqueraded=masqueraded(ips),
        full_masquerade=settings.full_masquerade,
        rule_priority=settings.rule_priority,
        port=settings.overlay_port,
    )


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def _is_range(text: str) -> bool:
    try:
        parse_cidr(text)
    except ValueError:
        return False
    return True

"""From API objects to what a gateway's plan is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from isthmus.api.cidr import parse_address, parse_cidr
from isthmus.api.ipam import IP
from isthmus.api.networking import Configuration, InternalFabric, InternalNode
from isthmus.kube.builtin import Node
from isthmus.kube.objects import Base, Object
from isthmus.network.gateway.plan import GatewayFacts, MappedHost, OverlayNode, Ranges
from isthmus.network.gateway.settings import Settings
from isthmus.network.node.facts import fabric_of, is_mapped


class PodPlaceSpec(Base, frozen=True, kw_only=True):
    """Where a pod runs."""

    node_name: str = ""
    host_network: bool = False


class PodPlaceStatus(Base, frozen=True, kw_only=True):
    """Its address."""

    pod_ip: str = field(default="", name="podIP")


class PodPlace(Object, frozen=True, kw_only=True):
    """The node and the address of a pod: all that routes need of it."""

    spec: PodPlaceSpec = field(default_factory=PodPlaceSpec)
    status: PodPlaceStatus = field(default_factory=PodPlaceStatus)


class Objects(Struct, frozen=True, kw_only=True):
    """The API objects a gateway reads, as they are now."""

    configurations: tuple[Configuration, ...]
    fabrics: tuple[InternalFabric, ...]
    internal_nodes: tuple[InternalNode, ...]
    nodes: Mapping[str, Node]
    ips: tuple[IP, ...]
    pods: tuple[PodPlace, ...] = ()


def gateway_facts(settings: Settings, objects: Objects, underlay_mtu: int) -> GatewayFacts:
    """What the plan is made from. Raises ValueError where something that cannot be done without is missing."""
    own_key = (settings.namespace, settings.fabric or settings.name)
    own = next((one for one in objects.fabrics if one.key == own_key), None)
    overlay = "" if own is None else own.spec.interface.gateway.ip
    if own is None or not overlay:
        raise ValueError(f"there is no InternalFabric {'/'.join(own_key)} with an address yet")
    others = (fabric_of(one) for one in objects.fabrics if one.key != own_key)
    return GatewayFacts(
        mode=settings.mode,
        mtu=settings.mtu,
        underlay_mtu=underlay_mtu,
        overlay=overlay,
        uid=own.metadata.uid,
        ranges=ranges_of(settings, objects.configurations),
        nodes=tuple(overlay_nodes(objects)),
        own_node=settings.node_name,
        fabrics=tuple(one for one in others if one is not None),
        hosts=mapped_hosts(objects.ips),
        port=settings.overlay_port,
        mss_clamp=settings.mss_clamp,
    )


def ranges_of(settings: Settings, configurations: Iterable[Configuration]) -> Ranges:
    """The ranges of the peering; none until its Configuration is complete."""
    found = [
        one for one in configurations if one.metadata.namespace == settings.namespace and not one.deleting
    ]
    if len(found) != 1 or found[0].spec.local is None:
        return Ranges()
    spec, status = found[0].spec, found[0].status
    assert spec.local is not None
    return Ranges(
        local_pod=tuple(spec.local.cidr.pod),
        local_external=tuple(spec.local.cidr.external),
        real_pod=tuple(spec.remote.cidr.pod),
        real_external=tuple(spec.remote.cidr.external),
        seen_pod=tuple(status.remote.cidr.pod),
        seen_external=tuple(status.remote.cidr.external),
    )


def overlay_nodes(objects: Objects) -> list[OverlayNode]:
    """The nodes on the overlay, each with the ranges or the addresses of its pods."""
    by_node: dict[str, list[str]] = {}
    for pod in objects.pods:
        if pod.status.pod_ip and not pod.spec.host_network:
            by_node.setdefault(pod.spec.node_name, []).append(pod.status.pod_ip)
    found = []
    for one in objects.internal_nodes:
        name = one.metadata.name
        node = objects.nodes.get(name)
        address = _internal_ip(node)
        if node is None or not address or not _is_ipv4(one.spec.interface.node.ip) or one.deleting:
            continue
        cidrs = tuple(cidr for cidr in node.spec.pod_cidrs if ":" not in cidr)
        found.append(
            OverlayNode(
                name=name,
                address=address,
                overlay=one.spec.interface.node.ip,
                uid=one.metadata.uid,
                pod_cidrs=cidrs,
                pod_addresses=tuple(sorted(_outside(by_node.get(name, ()), cidrs))),
            )
        )
    return found


def mapped_hosts(ips: Iterable[IP]) -> tuple[MappedHost, ...]:
    """The hosts that peers reach by an address of our external CIDR; of two for one address, the first by name."""
    found: dict[str, MappedHost] = {}
    for one in sorted(ips, key=lambda each: each.key):
        if is_mapped(one):
            found.setdefault(one.status.ip, MappedHost(address=one.spec.ip, seen=one.status.ip))
    return tuple(found.values())


def needs_pods(nodes: Iterable[Node], internal_nodes: Iterable[InternalNode]) -> bool:
    """Whether some node on the overlay says nothing of its pods' range, so that pods are looked at one by one."""
    names = {one.metadata.name for one in internal_nodes}
    return any(node.metadata.name in names and not node.spec.pod_cidrs for node in nodes)


def _internal_ip(node: Node | None) -> str:
    if node is None:
        return ""
    addresses = (one.address for one in node.status.addresses if one.type == "InternalIP")
    return next((address for address in addresses if _is_ipv4(address)), "")


def _outside(addresses: Iterable[str], cidrs: tuple[str, ...]) -> list[str]:
    ranges = [parse_cidr(cidr) for cidr in cidrs]
    return [
        address
        for address in addresses
        if _is_ipv4(address) and not any(one.has(parse_address(address)) for one in ranges)
    ]


def _is_ipv4(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


__all__ = ["Objects", "PodPlace", "gateway_facts", "mapped_hosts", "needs_pods", "overlay_nodes", "ranges_of"]

"""What a gateway's kernel is to do: the tunnel, routes to the peer and to the pods, and the translation. Pure.

Reads nothing but its arguments; `hops` says what packets look like, `translation` renders the nftables.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from isthmus.api.cidr import CIDR, parse_address, parse_cidr
from isthmus.network.dataplane import hops, overlay
from isthmus.network.dataplane.fabrics import Fabric, plan_fabrics
from isthmus.network.dataplane.state import Link, Neighbour, Route, Rule, State, Table
from isthmus.network.gateway.translation import Translation, render_translation
from isthmus.network.remap import Pair, pair_ranges


class OverlayNode(Struct, frozen=True, kw_only=True):
    """A node as a gateway reaches it; `pod_addresses` are those of its pods outside its own `pod_cidrs`."""

    name: str
    address: str
    overlay: str
    uid: str
    """That of its InternalNode."""
    pod_cidrs: tuple[str, ...] = ()
    pod_addresses: tuple[str, ...] = ()


class Ranges(Struct, frozen=True, kw_only=True):
    """The ranges of a Configuration: the peer's real ones and, index-aligned, those seen here; and our own."""

    local_pod: tuple[str, ...] = ()
    local_external: tuple[str, ...] = ()
    real_pod: tuple[str, ...] = ()
    real_external: tuple[str, ...] = ()
    seen_pod: tuple[str, ...] = ()
    seen_external: tuple[str, ...] = ()


class MappedHost(Struct, frozen=True, kw_only=True):
    """An IP object: `address` is the host's, `seen` the one of our external CIDR that peers use."""

    address: str
    seen: str


class GatewayFacts(Struct, frozen=True, kw_only=True):
    """What the plan of one gateway is made from."""

    mode: str
    """server or client."""
    mtu: int
    underlay_mtu: int
    overlay: str
    uid: str
    """That of its InternalFabric."""
    ranges: Ranges
    nodes: tuple[OverlayNode, ...]
    own_node: str = ""
    """The node this gateway runs on: what no range leads to goes there."""
    fabrics: tuple[Fabric, ...] = ()
    """The gateways of other peers."""
    hosts: tuple[MappedHost, ...] = ()
    port: int = hops.OVERLAY_PORT
    mss_clamp: bool = True


def tunnel_addresses(mode: str) -> tuple[str, str]:
    """Our end of the tunnel and the peer's, without prefix length (wire.md 10)."""
    own, peer = hops.SERVER_ADDRESS, hops.CLIENT_ADDRESS
    return (own, peer) if mode == "server" else (peer, own)


def plan_gateway(facts: GatewayFacts) -> State:
    """The desired state of a gateway; what cannot be done is in `refused`, and the rest is done.

    Raises ValueError where the MTU cannot work: nothing could be done then.
    """
    mtu = hops.inner_mtu(facts.mtu, facts.underlay_mtu)
    own, peer = tunnel_addresses(facts.mode)
    refused: list[str] = []
    pairs = _pairs(facts.ranges, refused)
    routes, neighbours = _plan_inwards(facts, refused)
    routes += [Route(hops.TABLE_PEER, str(real), hops.TUNNEL, peer) for real in _distinct(pairs)]
    routes += [Route(table, "0.0.0.0/0", unreachable=True) for table in (hops.TABLE_PEER, hops.TABLE_PODS)]
    translation = Translation(
        pairs=tuple(pairs),
        pod_cidrs=facts.ranges.local_pod,
        unknown_source=_network_address(facts.ranges.local_external),
        hosts=tuple((host.address, host.seen) for host in facts.hosts),
        peer_address=peer,
        port=facts.port,
        mss_clamp=facts.mss_clamp,
    )
    return State(
        links=(
            overlay.link(facts.overlay, facts.uid, mtu, facts.port),
            Link(hops.TUNNEL, "tunnel", facts.mtu, (f"{own}/30",)),
        ),
        neighbours=frozenset(neighbours),
        routes=frozenset(routes),
        rules=frozenset(
            {
                Rule(hops.RULE_GATEWAY, hops.TABLE_PEER, iif=hops.OVERLAY),
                Rule(hops.RULE_GATEWAY + 1, hops.TABLE_PODS, iif=hops.TUNNEL),
                Rule(hops.RULE_LIVENESS, hops.TABLE_LOCAL, destination=hops.TUNNEL_RANGE),
                Rule(hops.RULE_LOCAL, hops.TABLE_LOCAL),
            }
        ),
        tables=(Table("ip", hops.TABLE, render_translation(translation)),),
        sysctls={
            "net.ipv4.ip_forward": "1",
            "net.ipv4.conf.all.rp_filter": "0",
            f"net.ipv4.conf.{hops.OVERLAY}.rp_filter": "0",
            f"net.ipv4.conf.{hops.TUNNEL}.rp_filter": "0",
            f"net.ipv4.conf.{hops.TUNNEL}.accept_local": "1",
            **overlay.SYSCTLS,
        },
        refused=tuple(refused),
    )


def _pairs(ranges: Ranges, refused: list[str]) -> list[Pair]:
    pairs: list[Pair] = []
    for kind, real, seen in (
        ("pod", ranges.real_pod, ranges.seen_pod),
        ("external", ranges.real_external, ranges.seen_external),
    ):
        try:
            found = pair_ranges(real, seen)
        except ValueError as error:
            refused.append(f"the peer's {kind} ranges: {error}")
            continue
        for one in found:
            # One of the peer's own ranges inside another is one the peer announced wrongly; the first stands.
            if any(one[0].overlaps(other[0]) or one[1].overlaps(other[1]) for other in pairs):
                refused.append(f"the peer's {kind} range {one[0]} overlaps another of its ranges")
            else:
                pairs.append(one)
    return pairs


def _distinct(pairs: Iterable[Pair]) -> list[CIDR]:
    return sorted({real for real, _ in pairs})


def _network_address(cidrs: tuple[str, ...]) -> str:
    """The unknown-source address: the network address of the external CIDR (wire.md 10)."""
    return cidrs[0].partition("/")[0] if cidrs else ""


def _plan_inwards(facts: GatewayFacts, refused: list[str]) -> tuple[list[Route], list[Neighbour]]:
    """Where what comes out of the tunnel goes: pods by node, other peers by gateway, mapped hosts by our own node."""
    local = [parse_cidr(text) for text in facts.ranges.local_pod]
    routes, neighbours = plan_fabrics(hops.TABLE_PODS, facts.fabrics, local, refused)
    taken = {route.dst for route in routes}
    fallback = _fallback(facts)
    for node in sorted(facts.nodes, key=lambda one: one.name):
        neighbours.append(overlay.neighbour(node.overlay, node.uid))
        pods = [str(parse_cidr(text)) for text in node.pod_cidrs]
        for dst in (f"{node.overlay}/32", *pods, *(f"{address}/32" for address in node.pod_addresses)):
            if dst not in taken:
                taken.add(dst)
                routes.append(overlay.route(hops.TABLE_PODS, dst, node.address, node.overlay))
    if fallback is None:
        return routes, neighbours
    remote = [parse_cidr(text) for fabric in facts.fabrics for text in fabric.remote_cidrs]
    others = [str(cidr) for cidr in local]
    for host in facts.hosts:
        address = parse_address(host.address)
        if not any(cidr.has(address) for cidr in (*local, *remote)):
            others.append(f"{host.address}/32")
    # A pod range that no node claims goes to our own node: its routes, the CNI's, know the way.
    for dst in others:
        if dst not in taken:
            taken.add(dst)
            routes.append(overlay.route(hops.TABLE_PODS, dst, fallback.address, fallback.overlay))
    return routes, neighbours


def _fallback(facts: GatewayFacts) -> OverlayNode | None:
    nodes = sorted(facts.nodes, key=lambda one: one.name)
    return next((node for node in nodes if node.name == facts.own_node), nodes[0] if nodes else None)

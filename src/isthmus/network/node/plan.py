"""What a node's kernel is to do: a route a remote CIDR, and which source what leaves the node has. Pure.

Reads nothing but its arguments; `hops` says what packets look like. A node without an InternalNode is a node that
is to be left as it was found: its state is the empty one.
"""

from __future__ import annotations

from msgspec import Struct

from isthmus.api.cidr import CIDR, parse_address, parse_cidr
from isthmus.network.dataplane import hops, overlay
from isthmus.network.dataplane.bridge_ports import Port
from isthmus.network.dataplane.fabrics import Fabric, plan_fabrics
from isthmus.network.dataplane.state import Neighbour, Route, Rule, State, Table


class NodeFacts(Struct, frozen=True, kw_only=True):
    """What the plan of one node is made from."""

    overlay: str
    """The node's overlay address, "" where it has no InternalNode."""
    uid: str
    """That of its InternalNode."""
    addresses: tuple[str, ...]
    """The node's own addresses."""
    underlay_mtu: int
    pod_cidrs: tuple[str, ...]
    """The ranges of this cluster's pods."""
    fabrics: tuple[Fabric, ...]
    ports: tuple[Port, ...] = ()
    """The devices of those gateways' pods that are behind a bridge of this node."""
    masqueraded: tuple[str, ...] = ()
    """Hosts outside that must see this node as the source (IP objects with spec.masquerade)."""
    full_masquerade: bool = False
    """Whether pods too leave with the node's overlay address."""
    rule_priority: int = hops.RULE_NODE
    port: int = hops.OVERLAY_PORT


def plan_node(facts: NodeFacts) -> State:
    """The desired state of a node; what cannot be done is in `refused`, and the rest is done."""
    if not facts.overlay:
        return State()
    refused: list[str] = []
    routes, neighbours = plan_fabrics(hops.TABLE_NODE, facts.fabrics, _own_ranges(facts), refused)
    rules = {Rule(facts.rule_priority, hops.TABLE_NODE)}
    for port in facts.ports:
        routes.append(Route(hops.TABLE_PORTS, f"{port.address}/32", port.device))
        neighbours.append(Neighbour(port.device, port.address, port.mac))
        rules.add(Rule(facts.rule_priority, hops.TABLE_PORTS, udp_port=facts.port))
    mtu = facts.underlay_mtu - hops.OVERLAY_OVERHEAD
    try:
        mtu = hops.inner_mtu(
            min((one.mtu for one in facts.fabrics if one.mtu), default=mtu), facts.underlay_mtu
        )
    except ValueError as error:
        refused.append(str(error))
    return State(
        links=(overlay.link(facts.overlay, facts.uid, max(mtu, hops.MINIMUM_MTU), facts.port),),
        neighbours=frozenset(neighbours),
        routes=frozenset(routes),
        rules=frozenset(rules),
        tables=(Table("ip", hops.TABLE, render_node_table(facts)),),
        sysctls={"net.ipv4.ip_forward": "1", **overlay.SYSCTLS},
        refused=tuple(refused),
    )


def _own_ranges(facts: NodeFacts) -> list[CIDR]:
    ranges = [parse_cidr(text) for text in facts.pod_cidrs]
    return ranges + [CIDR(parse_address(text), 32) for text in facts.addresses]


def render_node_table(facts: NodeFacts) -> str:
    """The node's nftables: sources of what leaves over the overlay, masquerade of mapped hosts, no tracking of it."""
    device = f'oifname "{hops.OVERLAY}"'
    lines = ["chain sources {", "type nat hook postrouting priority srcnat - 1; policy accept;"]
    if facts.pod_cidrs and not facts.full_masquerade:
        pairs = ", ".join(f"{cidr} : {cidr}" for cidr in facts.pod_cidrs)
        # Translating pods to themselves ends the translation here: the CNI's masquerade, later, has no say.
        lines.append(f"{device} snat ip prefix to ip saddr map {{ {pairs} }}")
    lines.append(f"{device} snat to {facts.overlay}")
    if facts.masqueraded:
        hosts = ", ".join(sorted(facts.masqueraded))
        lines.append(f'iifname "{hops.OVERLAY}" ip daddr {{ {hosts} }} masquerade')
    lines.append("}")
    # The overlay's own packets never come by the overlay: in one, a peer could hide another from its gateway.
    lines += [
        "chain nested {",
        "type filter hook input priority filter; policy accept;",
        f'udp dport {facts.port} iifname "{hops.OVERLAY}" drop',
        "}",
    ]
    lines += overlay.ADDRESSED
    for hook in ("prerouting", "output"):
        # Untracked, the overlay costs half and no CNI masquerades it: outer addresses stay what they are.
        lines += [
            f"chain untracked_{hook} {{",
            f"type filter hook {hook} priority raw; policy accept;",
            f"udp dport {facts.port} notrack",
            "}",
        ]
    return "".join(f"{line}\n" for line in lines)

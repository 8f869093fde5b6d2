"""networking.liqo.io: the routes and nftables tables that users write for chosen hosts (api-fields.md)."""

from __future__ import annotations

from msgspec import field

from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource

GROUP, VERSION = "networking.liqo.io", "v1beta1"


class MatchSide(Base, frozen=True, kw_only=True):
    """What to compare (`value`) and on which side of the packet (src or dst; in or out for a device)."""

    value: str = ""
    position: str = ""


class MatchProtocol(Base, frozen=True, kw_only=True):
    """`value` tcp or udp."""

    value: str = ""


class Match(Base, frozen=True, kw_only=True):
    """What a packet must look like; `op` eq or neq."""

    op: str = "eq"
    ip: MatchSide | None = None
    port: MatchSide | None = None
    proto: MatchProtocol | None = None
    dev: MatchSide | None = None


class FilterRule(Base, frozen=True, kw_only=True):
    """`action` ctmark, metamarkfromctmark, tcpmssclamp, accept, drop, reject or notrack."""

    name: str = ""
    match: list[Match] = field(default_factory=list)
    action: str = ""
    value: str = ""
    counter: bool = True


class NatRule(Base, frozen=True, kw_only=True):
    """`nat_type` dnat, snat or masquerade; `to` an address, a range or a CIDR."""

    name: str = ""
    match: list[Match] = field(default_factory=list)
    nat_type: str = ""
    to: str = ""


class RouteRule(Base, frozen=True, kw_only=True):
    """A rule of a chain of type route: a name only."""

    name: str = ""


class ChainRules(Base, frozen=True, kw_only=True):
    """The rules, in the one list that goes with the chain's type."""

    filter_rules: list[FilterRule] = field(default_factory=list)
    nat_rules: list[NatRule] = field(default_factory=list)
    route_rules: list[RouteRule] = field(default_factory=list)


class Chain(Base, frozen=True, kw_only=True):
    """`type` filter, route or nat, at a hook of the kernel's packet path."""

    name: str = ""
    type: str = ""
    hook: str = ""
    policy: str = "accept"
    priority: int = 0
    rules: ChainRules = field(default_factory=ChainRules)


class FirewallTable(Base, frozen=True, kw_only=True):
    """An nftables table; `family` INET, IPV4, IPV6, ARP, NETDEV or BRIDGE."""

    name: str = ""
    family: str = ""
    chains: list[Chain] = field(default_factory=list)


class FirewallConfigurationSpec(Base, frozen=True, kw_only=True):
    """The table."""

    table: FirewallTable = field(default_factory=FirewallTable)


class HostCondition(Base, frozen=True, kw_only=True):
    """What became of it on one host; `type` Applied or Error."""

    host: str = ""
    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class HostStatus(Base, frozen=True, kw_only=True):
    """One condition a host."""

    conditions: list[HostCondition] = field(default_factory=list)


class FirewallConfiguration(Object, frozen=True, kw_only=True):
    """A table for the hosts its labels select."""

    spec: FirewallConfigurationSpec = field(default_factory=FirewallConfigurationSpec)
    status: HostStatus = field(default_factory=HostStatus)


class Route(Base, frozen=True, kw_only=True):
    """A route; `scope` global, link, host, site or nowhere."""

    dst: str = ""
    src: str = ""
    gw: str = ""
    dev: str = ""
    onlink: bool = False
    scope: str = ""


class RoutingRule(Base, frozen=True, kw_only=True):
    """A policy rule and the routes of packets it matches."""

    dst: str = ""
    src: str = ""
    iif: str = ""
    oif: str = ""
    fwmark: int | None = None
    priority: int | None = None
    routes: list[Route] = field(default_factory=list)


class RoutingTable(Base, frozen=True, kw_only=True):
    """A routing table and the policy rules that lead to it."""

    name: str = ""
    rules: list[RoutingRule] = field(default_factory=list)


class RouteConfigurationSpec(Base, frozen=True, kw_only=True):
    """The table."""

    table: RoutingTable = field(default_factory=RoutingTable)


class RouteConfiguration(Object, frozen=True, kw_only=True):
    """Routes for the hosts its labels select."""

    spec: RouteConfigurationSpec = field(default_factory=RouteConfigurationSpec)
    status: HostStatus = field(default_factory=HostStatus)


FIREWALL_CONFIGURATIONS = Resource(
    GROUP, VERSION, "firewallconfigurations", "FirewallConfiguration", FirewallConfiguration
)
ROUTE_CONFIGURATIONS = Resource(
    GROUP, VERSION, "routeconfigurations", "RouteConfiguration", RouteConfiguration
)

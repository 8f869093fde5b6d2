"""networking.liqo.io: addresses, routes and rules of a peering and of the cluster's own fabric."""

from __future__ import annotations

from isthmus.api.crds.schema import (
    AGE,
    Column,
    Kind,
    Schema,
    choice,
    flag,
    integer,
    list_of,
    structure,
    text,
    texts,
)
from isthmus.api.crds.shared import host_condition, object_reference, timestamp

GROUP, VERSION = "networking.liqo.io", "v1beta1"

_CONDITION_REASON = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
_CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)


def _ranges(doc: str) -> Schema:
    cidr = structure(
        "Ranges of addresses.",
        {"external": texts("For hosts outside the cluster."), "pod": texts("For pods.")},
    )
    return structure(doc, {"cidr": cidr})


def _kubernetes_condition() -> Schema:
    return structure(
        "",
        {
            "lastTransitionTime*": timestamp(),
            "message*": text("Details for people."),
            "observedGeneration": integer("The generation this is of.", format="int64", minimum=0),
            "reason*": text("The cause in one word.", pattern=_CONDITION_REASON),
            "status*": choice("The present status.", "True", "False", "Unknown"),
            "type*": text("What the condition is about.", pattern=_CONDITION_TYPE),
        },
    )


CONFIGURATION = Kind(
    GROUP,
    VERSION,
    "Configuration",
    "configurations",
    doc="The address ranges of this cluster and of a peer, and how the peer's are remapped here.",
    short_names=("conf",),
    columns=(
        Column("Desired Pod CIDR", ".spec.remote.cidr.pod"),
        Column("Remapped Pod CIDR", ".status.remote.cidr.pod"),
        AGE,
        Column("Desired External CIDR", ".spec.remote.cidr.external", wide=True),
        Column("Remapped External CIDR", ".status.remote.cidr.external", wide=True),
        Column("ClusterID", r".metadata.labels.liqo\.io/remote-cluster-id", wide=True),
    ),
    spec=structure(
        "Ranges as each cluster uses them itself.",
        {
            "local": _ranges("This cluster's, filled in by the controller."),
            "remote": _ranges("The peer's, as it declares them."),
        },
    ),
    status=structure(
        "Ranges as this cluster sees them.",
        {
            "conditions": list_of(_kubernetes_condition(), "Whether the ranges are assigned."),
            "remote": _ranges("The peer's, remapped where they overlap."),
        },
    ),
)

CONNECTION = Kind(
    GROUP,
    VERSION,
    "Connection",
    "connections",
    doc="The state of the tunnel to a peer, as its gateway sees it.",
    short_names=("conn",),
    columns=(
        Column("Type", ".spec.type"),
        Column("Status", ".status.value"),
        AGE,
        Column("Latency", ".status.latency.value", wide=True),
    ),
    spec=structure(
        "Which tunnel.",
        {
            "gatewayRef*": object_reference("The gateway that holds it."),
            "type*": choice("Which end of the tunnel this cluster is.", "Server", "Client"),
        },
    ),
    status=structure(
        "What was measured.",
        {
            "latency": structure(
                "The time there and back.",
                {"timestamp": timestamp("When it was measured."), "value": text("How long it took.")},
            ),
            "value": text("Connected, Connecting or Error."),
        },
    ),
)


def _matches() -> Schema:
    def side(doc: str, *positions: str) -> Schema:
        return structure(
            doc, {"position*": choice("Which side.", *positions), "value*": text("What to compare with.")}
        )

    protocol = structure("The transport protocol.", {"value*": choice("", "tcp", "udp")})
    match = structure(
        "",
        {
            "dev": side("The network device.", "in", "out"),
            "ip": side("An address, a range or a CIDR.", "src", "dst"),
            "op*": choice("Equal or not equal.", "eq", "neq"),
            "port": side("A port or a range of ports.", "src", "dst"),
            "proto": protocol,
        },
    )
    return list_of(match, "What a packet must look like; all of it has to hold.")


def _rules() -> Schema:
    name = text("The rule's name, unique in its chain.")
    filter_rule = structure(
        "",
        {
            "action*": choice(
                "What is done with a packet that matches.",
                "ctmark",
                "metamarkfromctmark",
                "tcpmssclamp",
                "accept",
                "drop",
                "reject",
                "notrack",
            ),
            "counter*": flag("Whether packets are counted.", default=True),
            "match*": _matches(),
            "name": name,
            "value": text("The action's argument, such as a mark."),
        },
    )
    nat_rule = structure(
        "",
        {
            "match*": _matches(),
            "name": name,
            "natType*": choice("What is translated.", "dnat", "snat", "masquerade"),
            "targetRef": object_reference("The object the rule was made for."),
            "to": text("The address or range it is translated to."),
        },
    )
    return structure(
        "The rules, in the one list that goes with the chain's type.",
        {
            "filterRules": list_of(filter_rule),
            "natRules": list_of(nat_rule),
            "routeRules": list_of(structure("", {"name": name})),
        },
    )


def _chain() -> Schema:
    return structure(
        "",
        {
            "hook*": choice(
                "Where in the kernel's packet path it is called.",
                "prerouting",
                "input",
                "forward",
                "output",
                "postrouting",
                "ingress",
            ),
            "name*": text("The chain's name."),
            "policy*": choice("What happens to packets no rule decides about.", "drop", "accept"),
            "priority*": integer("The order among chains of one hook.", format="int32", default=0),
            "rules*": _rules(),
            "type*": choice("The chain's type.", "filter", "route", "nat"),
        },
    )


FIREWALL_CONFIGURATION = Kind(
    GROUP,
    VERSION,
    "FirewallConfiguration",
    "firewallconfigurations",
    doc="An nftables table for the hosts that its labels select.",
    short_names=("fw", "fwconfig", "fwcfg"),
    columns=(AGE,),
    spec=structure(
        "The table.",
        {
            "table*": structure(
                "An nftables table.",
                {
                    "chains": list_of(_chain(), "The table's chains."),
                    "family*": choice(
                        "The address family.", "INET", "IPV4", "IPV6", "ARP", "NETDEV", "BRIDGE"
                    ),
                    "name*": text("The table's name."),
                },
            )
        },
    ),
    status=structure("The outcome.", {"conditions": list_of(host_condition(), "One entry a host.")}),
)


def _route() -> Schema:
    return structure(
        "",
        {
            "dev": text("The device packets leave by."),
            "dst*": text("Where packets go to.", format="cidr"),
            "gw": text("The next hop.", format="ipv4"),
            "onlink": flag("Whether the next hop counts as reachable on the device whatever its address."),
            "scope": choice("How far the destination is.", "global", "link", "host", "site", "nowhere"),
            "src": text("The source address of packets that start here.", format="ipv4"),
            "targetRef": object_reference("The object the route was made for."),
        },
    )


def _routing_rule() -> Schema:
    return structure(
        "",
        {
            "dst": text("The destination to match.", format="cidr"),
            "fwmark": integer("The mark to match."),
            "iif": text("The device the packet came in by."),
            "oif": text("The device the packet goes out by."),
            "priority": integer("The rule's place in the order."),
            "routes*": list_of(_route(), "The routes of packets that match."),
            "src": text("The source to match.", format="cidr"),
            "targetRef": object_reference("The object the rule was made for."),
        },
    )


ROUTE_CONFIGURATION = Kind(
    GROUP,
    VERSION,
    "RouteConfiguration",
    "routeconfigurations",
    doc="A routing table and the policy rules that lead to it, for the hosts that its labels select.",
    short_names=("rcnf", "rcnfg", "rcfg", "routecfg"),
    columns=(AGE,),
    spec=structure(
        "The table.",
        {
            "table": structure(
                "A routing table and its rules.",
                {
                    "name*": text("The table's name."),
                    "rules*": list_of(_routing_rule(), "The policy rules.", min_items=1),
                    "targetRef": object_reference("The object the table was made for."),
                },
            )
        },
    ),
    status=structure("The outcome.", {"conditions": list_of(host_condition(), "One entry a host.")}),
)

GENEVE_TUNNEL = Kind(
    GROUP,
    VERSION,
    "GeneveTunnel",
    "genevetunnels",
    doc="The link between one node and one gateway.",
    short_names=("gvtn",),
    spec=structure(
        "The two ends.",
        {
            "id*": integer("The virtual network identifier.", format="int32"),
            "internalFabricRef*": object_reference("The gateway's end."),
            "internalNodeRef*": object_reference("The node's end."),
        },
    ),
)

INTERNAL_FABRIC = Kind(
    GROUP,
    VERSION,
    "InternalFabric",
    "internalfabrics",
    doc="One gateway as the nodes of the cluster reach it.",
    short_names=("if", "ifabric"),
    columns=(Column("Gateway IP", ".spec.gatewayIP"), AGE),
    spec=structure(
        "The gateway.",
        {
            "gatewayIP*": text("The address of the gateway's pod.", format="ipv4"),
            "interface*": structure(
                "The devices at both ends.",
                {
                    "gateway*": structure("", {"ip*": text("The gateway's address.", format="ipv4")}),
                    "node*": structure("", {"name*": text("The device's name on every node.")}),
                },
            ),
            "mtu": integer("The largest packet, in bytes."),
            "remoteCIDRs": texts("What is reached through the gateway."),
        },
    ),
)

INTERNAL_NODE = Kind(
    GROUP,
    VERSION,
    "InternalNode",
    "internalnodes",
    doc="One node of the cluster as the gateways reach it.",
    short_names=("in", "inode"),
    namespaced=False,
    columns=(
        Column("Node IP Local", ".status.nodeIP.local"),
        Column("Node IP Remote", ".status.nodeIP.remote"),
        AGE,
    ),
    spec=structure(
        "The node.",
        {
            "interface*": structure(
                "The devices at both ends.",
                {
                    "gateway*": structure("", {"name*": text("The device's name in every gateway.")}),
                    "node*": structure("", {"ip*": text("The node's address.", format="ipv4")}),
                },
            )
        },
    ),
    status=structure(
        "What was found out.",
        {
            "nodeIP*": structure(
                "The addresses under which pods see the node.",
                {
                    "local": text("Pods on the same node.", format="ipv4"),
                    "remote": text("Pods on other nodes.", format="ipv4"),
                },
            )
        },
    ),
)

PUBLIC_KEY = Kind(
    GROUP,
    VERSION,
    "PublicKey",
    "publickeies",
    doc="The WireGuard key of a peer's gateway.",
    short_names=("pk", "pkies", "pkey"),
    spec=structure("The key.", {"publicKey": text("The key's 32 bytes.", format="byte")}),
)

KINDS = (
    CONFIGURATION,
    CONNECTION,
    FIREWALL_CONFIGURATION,
    ROUTE_CONFIGURATION,
    GENEVE_TUNNEL,
    INTERNAL_FABRIC,
    INTERNAL_NODE,
    PUBLIC_KEY,
)

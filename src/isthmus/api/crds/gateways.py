"""networking.liqo.io: GatewayServer and GatewayClient, the two ends of a tunnel."""

from __future__ import annotations

from isthmus.api.crds.networking import GROUP, VERSION
from isthmus.api.crds.schema import (
    AGE,
    Column,
    Kind,
    Rule,
    Schema,
    choice,
    integer,
    list_of,
    structure,
    text,
    text_map,
    texts,
)
from isthmus.api.crds.shared import local_reference, object_reference

_ONE_WAY = Rule("!(has(self.port) && has(self.ports))", "give either port or ports")
_ONE_WAY_NODE = Rule("!(has(self.nodePort) && has(self.nodePorts))", "give either nodePort or nodePorts")
_SOME_PORT = Rule(
    "has(self.port) || (has(self.ports) && size(self.ports) > 0)", "port or a list of ports is needed"
)


def _distinct(field: str) -> Rule:
    return Rule(
        f"!(has(self.{field})) || self.{field}.all(p, self.{field}.filter(q, q == p).size() == 1)",
        f"{field} holds a value twice",
    )


def _ports(doc: str) -> Schema:
    return list_of(integer(), doc, max_items=64)


def reached_endpoint(doc: str) -> Schema:
    """Where a gateway server is reached."""
    return structure(
        doc,
        {
            "addresses": texts("IP addresses or host names."),
            "port": integer("The port.", format="int32"),
            "ports": _ports("The ports, where there are several tunnels."),
            "protocol": choice("The transport protocol.", "TCP", "UDP"),
        },
        rules=(_ONE_WAY, _SOME_PORT, _distinct("ports")),
    )


def internal_endpoint() -> Schema:
    """Where a gateway is reached inside its own cluster."""
    return structure(
        "Where the active gateway pod is reached inside the cluster.",
        {"ip": text("Its address.", format="ipv4"), "node": text("The node it runs on.")},
    )


def _columns(side: str, endpoint: str) -> tuple[Column, ...]:
    return (
        Column("Template Kind", f".spec.{side}TemplateRef.kind", wide=True),
        Column("Template Name", f".spec.{side}TemplateRef.name"),
        Column("Template Namespace", f".spec.{side}TemplateRef.namespace", wide=True),
        Column("IP", f".{endpoint}.addresses[*]"),
        Column("Port", f".{endpoint}.port"),
        Column("Protocol", f".{endpoint}.protocol", wide=True),
        Column("MTU", ".spec.mtu", "integer", wide=True),
        AGE,
    )


_MTU = integer("The largest packet inside the tunnel, in bytes; the same at both ends.")
_SECRET = local_reference("The Secret with the gateway's keys.")

GATEWAY_CLIENT = Kind(
    GROUP,
    VERSION,
    "GatewayClient",
    "gatewayclients",
    doc="The end of a tunnel that connects to the peer's GatewayServer.",
    short_names=("gwc", "gwclient"),
    columns=_columns("client", "spec.endpoint"),
    spec=structure(
        "The wished gateway.",
        {
            "clientTemplateRef": object_reference("The template it is made from."),
            "endpoint": reached_endpoint("Where the server is reached."),
            "mtu": _MTU,
            "secretRef": _SECRET,
        },
    ),
    status=structure(
        "What was made of it.",
        {
            "clientRef": object_reference("The object made from the template."),
            "internalEndpoint": internal_endpoint(),
            "secretRef": object_reference("The Secret with the gateway's keys."),
        },
    ),
)

GATEWAY_SERVER = Kind(
    GROUP,
    VERSION,
    "GatewayServer",
    "gatewayservers",
    doc="The end of a tunnel that the peer's GatewayClient connects to.",
    short_names=("gws", "gwserver"),
    columns=_columns("server", "status.endpoint"),
    spec=structure(
        "The wished gateway.",
        {
            "endpoint": structure(
                "How the server is exposed.",
                {
                    "loadBalancerIP": text("The address to ask the load balancer for."),
                    "nodePort": integer("The port on every node.", format="int32"),
                    "nodePorts": _ports("The ports on every node, where there are several tunnels."),
                    "port": integer("The port.", format="int32"),
                    "ports": _ports("The ports, where there are several tunnels."),
                    "serviceType": choice(
                        "The type of the Service.",
                        "ClusterIP",
                        "NodePort",
                        "LoadBalancer",
                        "ExternalName",
                        default="ClusterIP",
                    ),
                },
                rules=(_ONE_WAY, _ONE_WAY_NODE, _SOME_PORT, _distinct("ports"), _distinct("nodePorts")),
            ),
            "mtu": _MTU,
            "secretRef": _SECRET,
            "serverTemplateRef": object_reference("The template it is made from."),
            "serviceAnnotations": text_map("Annotations of the Service."),
            "serviceLabels": text_map("Labels of the Service."),
        },
    ),
    status=structure(
        "What was made of it.",
        {
            "endpoint": reached_endpoint("Where clients reach it."),
            "internalEndpoint": internal_endpoint(),
            "secretRef": object_reference("The Secret with the gateway's keys."),
            "serverRef": object_reference("The object made from the template."),
        },
    ),
)

KINDS = (GATEWAY_CLIENT, GATEWAY_SERVER)

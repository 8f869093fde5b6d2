"""networking.liqo.io: the WireGuard gateways made from templates, and those templates."""

from __future__ import annotations

from isthmus.api.crds.gateways import internal_endpoint, reached_endpoint
from isthmus.api.crds.networking import GROUP, VERSION
from isthmus.api.crds.schema import Kind, Schema, flag, free_form, structure, text
from isthmus.api.crds.servicemonitor import service_monitor_spec
from isthmus.api.crds.shared import (
    deployment_spec,
    local_reference,
    object_reference,
    service_spec,
    template,
)
from isthmus.api.labels import GATEWAY_TEMPLATE, TRUE


def _metrics() -> Schema:
    return structure(
        "How the gateway's metrics are served.",
        {
            "enabled*": flag("Whether they are served."),
            "service": template("The Service for them.", service_spec()),
            "serviceMonitor": template("The ServiceMonitor for them.", service_monitor_spec()),
        },
    )


def _spec(**more: Schema) -> Schema:
    fields = {
        "deployment*": template("The gateway's Deployment.", deployment_spec()),
        "metrics": _metrics(),
        "secretRef": local_reference("The Secret with the gateway's keys."),
    }
    return structure("The objects of the gateway.", {**fields, **{f"{name}*": more[name] for name in more}})


def _status(**more: Schema) -> Schema:
    fields = {
        "internalEndpoint": internal_endpoint(),
        "secretRef": object_reference("The Secret with the gateway's keys."),
    }
    return structure("What was made of it.", {**more, **fields})


def _template_spec() -> Schema:
    return structure(
        "The template.",
        {
            "objectKind": structure("What is made from it.", {"apiVersion": text(), "kind": text()}),
            "template": free_form("The object, with placeholders for the values of a gateway."),
        },
    )


WG_GATEWAY_CLIENT = Kind(
    GROUP,
    VERSION,
    "WgGatewayClient",
    "wggatewayclients",
    doc="A WireGuard gateway that connects to the peer's, as made from a template for a GatewayClient.",
    short_names=("wgc", "wggc"),
    spec=_spec(),
    status=_status(),
)

WG_GATEWAY_CLIENT_TEMPLATE = Kind(
    GROUP,
    VERSION,
    "WgGatewayClientTemplate",
    "wggatewayclienttemplates",
    doc="What a GatewayClient is made into.",
    short_names=("wggct", "wgct"),
    labels={GATEWAY_TEMPLATE: TRUE},
    spec=_template_spec(),
)

WG_GATEWAY_SERVER = Kind(
    GROUP,
    VERSION,
    "WgGatewayServer",
    "wggatewayservers",
    doc="A WireGuard gateway that the peer's connects to, as made from a template for a GatewayServer.",
    short_names=("wgs", "wggs"),
    spec=_spec(service=template("The Service that exposes the gateway.", service_spec())),
    status=_status(endpoint=reached_endpoint("Where clients reach it.")),
)

WG_GATEWAY_SERVER_TEMPLATE = Kind(
    GROUP,
    VERSION,
    "WgGatewayServerTemplate",
    "wggatewayservertemplates",
    doc="What a GatewayServer is made into.",
    short_names=("wggst", "wgst"),
    labels={GATEWAY_TEMPLATE: TRUE},
    spec=_template_spec(),
)

KINDS = (WG_GATEWAY_CLIENT, WG_GATEWAY_CLIENT_TEMPLATE, WG_GATEWAY_SERVER, WG_GATEWAY_SERVER_TEMPLATE)

"""What joining two pod networks writes: Configurations, gateways and keys (wire.md 9 and 10). Pure.

What a user did not say keeps the value it has: running a command again without its flags must not take a tunnel
down that stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from isthmus.api import labels
from isthmus.api.networking import (
    WG_GATEWAY_CLIENT_TEMPLATES,
    WG_GATEWAY_SERVER_TEMPLATES,
    Cidrs,
    Endpoint,
    GatewayClient,
    GatewayServer,
    ServerEndpoint,
)
from isthmus.cli.errors import CommandError
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource
from isthmus.network.gateways.objects import DEFAULT_MTU, GatewayService

Location = Literal["Consumer", "Provider"]
SERVER_PORT = 51840
SERVICE_TYPE = "LoadBalancer"
KEPT_OF_SERVER = frozenset({"secretRef", "serviceAnnotations", "serviceLabels"})
KEPT_OF_CLIENT = frozenset({"secretRef"})
KEPT_OF_CONFIGURATION = frozenset({"local"})


@dataclass(frozen=True, slots=True)
class Template:
    """Which template a gateway is made from; `namespace` "" is that of the installation."""

    name: str
    kind: str
    api_version: str
    namespace: str = ""


SERVER_TYPE = "networking.liqo.io/v1beta1/wggatewayservertemplates"
CLIENT_TYPE = "networking.liqo.io/v1beta1/wggatewayclienttemplates"
SERVER_TEMPLATE = Template(
    "wireguard-server", WG_GATEWAY_SERVER_TEMPLATES.kind, WG_GATEWAY_SERVER_TEMPLATES.api_version
)
CLIENT_TEMPLATE = Template(
    "wireguard-client", WG_GATEWAY_CLIENT_TEMPLATES.kind, WG_GATEWAY_CLIENT_TEMPLATES.api_version
)


@dataclass(frozen=True, slots=True)
class NetworkWish:
    """What the flags ask of the tunnel; None for what was not said. MTU in bytes."""

    location: Location | None = None
    service_type: str | None = None
    port: int | None = None
    node_port: int | None = None
    load_balancer_ip: str | None = None
    client_address: str | None = None
    client_port: int | None = None
    mtu: int | None = None
    skip_validation: bool = False
    share_keys: bool = True
    server_template: Template = SERVER_TEMPLATE
    client_template: Template = CLIENT_TEMPLATE


@dataclass(frozen=True, slots=True)
class Present:
    """Whether a cluster has a gateway of each kind for the other."""

    server: bool = False
    client: bool = False


def decide_server(
    location: Location | None, local: Present, remote: Present, ids: tuple[str, str]
) -> tuple[Literal["local", "remote"], bool]:
    """On which side the server is, and whether gateways that are there decided so rather than the flag.

    The tunnel of the other direction is used as it stands (wire.md 9, step 6). `ids` are those of the local and
    the remote cluster. Raises CommandError where both have the same end of a tunnel, or one has both.
    """
    for cluster, mine in ((ids[0], local), (ids[1], remote)):
        if mine.server and mine.client:
            raise CommandError(
                f"{cluster} has a GatewayServer and a GatewayClient for the other, and a peer has one tunnel",
                "run isthmus network disconnect, which removes both, and then this again",
            )
    if (local.server and remote.server) or (local.client and remote.client):
        kind = "GatewayServer" if local.server else "GatewayClient"
        raise CommandError(
            f"both clusters have a {kind} for the other, and a tunnel has one of each end",
            "run isthmus network disconnect, which removes both, and then this again",
        )
    wished: Literal["local", "remote"] = "local" if location == "Consumer" else "remote"
    if local.server or remote.client:
        return "local", wished != "local"
    if remote.server or local.client:
        return "remote", wished != "remote"
    return wished, False


def forge_configuration(peer: str, namespace: str, ranges: Cidrs) -> Manifest:
    """The Configuration about a peer with the ranges it announces; the controller adds our own."""
    return {
        "metadata": _metadata(peer, namespace),
        "spec": {"remote": {"cidr": {"pod": list(ranges.pod), "external": list(ranges.external)}}},
    }


def plan_exposure(wish: NetworkWish, before: GatewayServer | None) -> ServerEndpoint:
    """How the server is to be exposed: as said, else as it is, else by default."""
    present = before.spec.endpoint if before is not None else ServerEndpoint(service_type=SERVICE_TYPE)
    type_ = wish.service_type or present.service_type
    same_type = type_ == present.service_type
    return ServerEndpoint(
        service_type=type_,
        port=wish.port or present.port or (present.ports[0] if present.ports else SERVER_PORT),
        node_port=wish.node_port or (present.node_port if same_type else None) or None,
        load_balancer_ip=wish.load_balancer_ip or (present.load_balancer_ip if same_type else ""),
    )


def forge_server(
    peer: str, namespace: str, exposure: ServerEndpoint, mtu: int, reference: Manifest, name: str = ""
) -> Manifest:
    """The GatewayServer for a peer, called like it unless named; what is unset is left out, as liqoctl does."""
    endpoint: dict[str, Any] = {"port": exposure.port, "serviceType": exposure.service_type}
    if exposure.node_port:
        endpoint["nodePort"] = exposure.node_port
    if exposure.load_balancer_ip:
        endpoint["loadBalancerIP"] = exposure.load_balancer_ip
    return {
        "metadata": _metadata(peer, namespace, name),
        "spec": {"serverTemplateRef": reference, "mtu": mtu, "endpoint": endpoint},
    }


def forge_client(
    peer: str, namespace: str, endpoint: Endpoint, mtu: int, reference: Manifest, name: str = ""
) -> Manifest:
    """The GatewayClient for a peer, called like it unless named."""
    return {
        "metadata": _metadata(peer, namespace, name),
        "spec": {
            "clientTemplateRef": reference,
            "mtu": mtu,
            "endpoint": {
                "addresses": list(endpoint.addresses),
                "port": endpoint.port,
                "protocol": endpoint.protocol or "UDP",
            },
        },
    }


def forge_public_key(
    peer: str, namespace: str, key: str, owner: tuple[Resource[Any], Object] | None = None
) -> Manifest:
    """The PublicKey of a peer's gateway (base64), which goes with the gateway `owner` of this side."""
    metadata = _metadata(peer, namespace)
    metadata["labels"][labels.GATEWAY_RESOURCE] = labels.TRUE
    if owner is not None:
        resource, gateway = owner
        metadata["ownerReferences"] = [
            {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": gateway.metadata.name,
                "uid": gateway.metadata.uid,
            }
        ]
    return {"metadata": metadata, "spec": {"publicKey": key}}


def forge_template_reference(template: Template, namespace: str) -> Manifest:
    """The reference to a template; `namespace` is that of the installation."""
    return {
        "apiVersion": template.api_version,
        "kind": template.kind,
        "name": template.name,
        "namespace": template.namespace or namespace,
    }


def plan_mtu(wish: NetworkWish, *before: GatewayServer | GatewayClient | None) -> int:
    """The tunnel's MTU in bytes: as said, else as one of its ends has it, else the default."""
    return (
        wish.mtu
        or next((one.spec.mtu for one in before if one is not None and one.spec.mtu), 0)
        or DEFAULT_MTU
    )


def find_difference(before: GatewayServer, service: GatewayService | None, wanted: ServerEndpoint) -> str:
    """What of a server's exposure can only be changed by making it anew, "" where nothing is to be changed."""
    present = plan_exposure(NetworkWish(), before)
    for field, old, new in (
        ("type", present.service_type, wanted.service_type),
        ("port", present.port, wanted.port),
        ("node port", present.node_port, wanted.node_port),
        ("load balancer IP", present.load_balancer_ip, wanted.load_balancer_ip),
    ):
        if old != new:
            return f"{field} {old or 'not set'} becomes {new or 'not set'}"
    # A template of its own may expose the gateway in its own way, and would do so again.
    if service is not None and before.spec.server_template_ref.name == SERVER_TEMPLATE.name:
        ports = service.spec.ports
        if service.spec.type != wanted.service_type:
            return f"Service type {service.spec.type} becomes {wanted.service_type}"
        if ports and ports[0].port != wanted.port:
            return f"Service port {ports[0].port} becomes {wanted.port}"
    return ""


def plan_endpoint(
    wish: NetworkWish, told: Endpoint, before: GatewayClient | None, *, connected: bool
) -> Endpoint:
    """Where the client connects to: what the server says, with the flags in its place where it is behind NAT.

    An address given at an earlier run stays as long as the tunnel stands by it and none is given now.
    """
    port = told.port or (told.ports[0] if told.ports else None)
    addresses = list(told.addresses)
    if before is not None and connected:
        present = before.spec.endpoint
        addresses = list(present.addresses) or addresses
        port = present.port or port
    return Endpoint(
        addresses=[wish.client_address] if wish.client_address else addresses,
        port=wish.client_port or port,
        protocol=told.protocol or "UDP",
    )


def _metadata(peer: str, namespace: str, name: str = "") -> Manifest:
    return {"name": name or peer, "namespace": namespace, "labels": {labels.REMOTE_CLUSTER_ID: peer}}

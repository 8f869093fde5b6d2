"""What is asked for by a GatewayServer or GatewayClient: whether it can be had, and the object rendered of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from isthmus.api import labels, names
from isthmus.api.networking import (
    GatewayClient,
    GatewayServer,
    GatewayTemplate,
    ObjectReference,
    WgGateway,
)
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.ownership import forge_controller
from isthmus.network.dataplane import hops
from isthmus.network.gateways.objects import (
    DEFAULT_MTU,
    Gateway,
    Side,
    forge_reference,
    gateway_name,
    peer_of,
)
from isthmus.network.gateways.templates import TemplateError, Variables, render

SMALLEST_MTU, LARGEST_MTU = hops.MINIMUM_MTU, 65000
"""What IPv4 asks of every link, and what a UDP datagram leaves for WireGuard."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def is_host(text: str) -> bool:
    """Whether the text can be the address of a server: an IPv4 address or a host name."""
    return _HOST.fullmatch(text) is not None


class RequestError(ValueError):
    """A gateway that cannot be had as it is asked for; names the field, its value and the mend."""


def check_request(gateway: Gateway, namespace: Object | None) -> None:
    """Raise RequestError where the gateway cannot be had, whatever the template.

    `namespace` is the one it is in: nodes route by what gateways say, so each must be in a tenant namespace of its
    peer.
    """
    if not names.is_dns_label(peer_of(gateway)):
        raise RequestError(
            f"label {labels.REMOTE_CLUSTER_ID}: {peer_of(gateway)!r} is not the id of a cluster; set it to the peer's"
        )
    if not is_tenant_namespace_of(namespace, peer_of(gateway)):
        raise RequestError(
            f"namespace {gateway.metadata.namespace} is not a tenant namespace of {peer_of(gateway)}: move the"
            f" {type(gateway).__name__} to {names.tenant_namespace(peer_of(gateway))}, or label the namespace"
            f" {labels.TENANT_NAMESPACE}=true and {labels.REMOTE_CLUSTER_ID}={peer_of(gateway)}"
        )
    mtu = gateway.spec.mtu
    if mtu and not SMALLEST_MTU <= mtu <= LARGEST_MTU:
        raise RequestError(
            f"spec.mtu: {mtu} cannot work; use {SMALLEST_MTU} to {LARGEST_MTU}, or leave it out for {DEFAULT_MTU}"
        )
    if isinstance(gateway, GatewayServer):
        _check_server(gateway)
    else:
        _check_client(gateway)


def _check_server(gateway: GatewayServer) -> None:
    endpoint = gateway.spec.endpoint
    _check_ports("spec.endpoint.port", [endpoint.port or 0] if endpoint.port is not None else endpoint.ports)
    nodes = [endpoint.node_port] if endpoint.node_port else endpoint.node_ports
    if nodes:
        _check_ports("spec.endpoint.nodePort", nodes)
    if endpoint.service_type not in ("ClusterIP", "NodePort", "LoadBalancer"):
        raise RequestError(
            f"spec.endpoint.serviceType: {endpoint.service_type} exposes nothing; use LoadBalancer, NodePort or"
            " ClusterIP"
        )


def _check_client(gateway: GatewayClient) -> None:
    endpoint = gateway.spec.endpoint
    _check_ports("spec.endpoint.port", [endpoint.port or 0] if endpoint.port is not None else endpoint.ports)
    if not endpoint.addresses:
        raise RequestError(
            "spec.endpoint.addresses: there is none; give the address of the peer's gateway server"
        )
    for address in endpoint.addresses:
        if not is_host(address):
            raise RequestError(
                f"spec.endpoint.addresses: {address[:64]!r} is neither an IPv4 address nor a host name"
            )
    if endpoint.protocol not in ("", "UDP"):
        raise RequestError(f"spec.endpoint.protocol: {endpoint.protocol} cannot be used; WireGuard needs UDP")


def _check_ports(field: str, ports: list[int]) -> None:
    if not ports:
        raise RequestError(f"{field}: there is none; use 1 to 65535")
    for port in ports:
        if not 1 <= port <= 65535:
            raise RequestError(f"{field}: {port} is not a valid port; use 1 to 65535")


def find_rival(gateway: Gateway, others: Iterable[Gateway]) -> Gateway | None:
    """The gateway of the same peer in the same namespace that was there first, None where this one was.

    A peer has one tunnel: of several gateways, whichever side they are, the oldest counts.
    """
    rivals = [
        other
        for other in others
        if not other.deleting
        and other.metadata.namespace == gateway.metadata.namespace
        and other.metadata.uid != gateway.metadata.uid
        and peer_of(other) == peer_of(gateway)
    ]
    first = min([gateway, *rivals], key=_age)
    return None if first is gateway else first


def _age(gateway: Gateway) -> tuple[str, str, str]:
    meta = gateway.metadata
    return meta.creation_timestamp or "", meta.name, meta.uid


def template_reference(gateway: Gateway) -> ObjectReference:
    """Which template a gateway is to be made from."""
    if isinstance(gateway, GatewayServer):
        return gateway.spec.server_template_ref
    return gateway.spec.client_template_ref


def check_template_kind(side: Side, reference: ObjectReference) -> None:
    """Raise RequestError for a template of a kind that nothing here makes gateways of."""
    field = f"spec.{side.mode}TemplateRef"
    if not reference.name:
        raise RequestError(f"{field}.name: there is none; name a {side.templates.kind}")
    if reference.kind not in ("", side.templates.kind) or reference.api_version not in (
        "",
        side.templates.api_version,
    ):
        raise RequestError(
            f"{field}: {reference.api_version} {reference.kind} is not supported; use {side.templates.api_version}"
            f" {side.templates.kind}"
        )


def secret_name(gateway: Gateway) -> str:
    """The Secret with the gateway's keys: the one the user names, else one that is made."""
    return gateway.spec.secret_ref.name or gateway_name(gateway.metadata.name)


def forge_made(side: Side, gateway: Gateway, template: GatewayTemplate) -> Manifest:
    """The WgGatewayServer or WgGatewayClient of a gateway. Raises TemplateError."""
    origin = f"{side.templates.kind} {template.metadata.namespace}/{template.metadata.name}"
    kind = template.spec.object_kind
    if kind.kind != side.made.kind or kind.api_version not in ("", side.made.api_version):
        raise TemplateError(
            f"{origin}: spec.objectKind: {kind.kind or 'nothing'} is made, not {side.made.kind}"
        )
    content: Any = render(msgspec.json.decode(template.spec.template), _variables(gateway), origin)
    spec = content.get("spec") if isinstance(content, dict) else None
    if not isinstance(spec, dict) or "deployment" not in spec:
        raise TemplateError(f"{origin}: spec.template: there is no spec.deployment")
    metadata = content.get("metadata") or {}
    meta = gateway.metadata
    if isinstance(gateway, GatewayServer):
        _override_service(spec, gateway)
    return {
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "labels": {**(metadata.get("labels") or {}), labels.REMOTE_CLUSTER_ID: peer_of(gateway)},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [forge_controller(side.gateways, gateway)],
        },
        "spec": {**spec, "secretRef": {"name": secret_name(gateway)}},
    }


def _variables(gateway: Gateway) -> Variables:
    mtu = gateway.spec.mtu or DEFAULT_MTU
    return Variables(
        spec=msgspec.structs.replace(gateway.spec, mtu=mtu),
        name=gateway.metadata.name,
        namespace=gateway.metadata.namespace,
        gateway_uid=gateway.metadata.uid,
        cluster_id=peer_of(gateway),
        secret_name=secret_name(gateway),
    )


def _override_service(spec: dict[str, Any], gateway: GatewayServer) -> None:
    """Lay the gateway's own labels and annotations of its Service over the template's."""
    metadata = spec.setdefault("service", {}).setdefault("metadata", {})
    for field, own in (
        ("labels", gateway.spec.service_labels),
        ("annotations", gateway.spec.service_annotations),
    ):
        if own:
            metadata[field] = {**(metadata.get(field) or {}), **own}


def plan_gateway_status(side: Side, gateway: Gateway, made: WgGateway) -> Manifest | None:
    """The merge patch that tells the gateway what was made of it, None where it knows."""
    reference = forge_reference(side.made, made.metadata.name, made.metadata.namespace, made.metadata.uid)
    status = made.status
    wanted: Manifest = {
        f"{side.mode}Ref": reference,
        "secretRef": plain(status.secret_ref),
        "internalEndpoint": plain(status.internal_endpoint),
    }
    if isinstance(gateway, GatewayServer):
        wanted["endpoint"] = plain(status.endpoint)
    return plan_status(plain(gateway.status) or {}, wanted)


def plan_status(current: Manifest, wanted: Manifest) -> Manifest | None:
    """The merge patch from one status to another, None where nothing differs; a value None takes a field away."""
    patch: Manifest = {}
    for field, value in wanted.items():
        present = current.get(field)
        if present == value:
            continue
        if isinstance(value, dict) and isinstance(present, dict):
            value = {**dict.fromkeys(present), **value}
        patch[field] = value
    return {"status": patch} if patch else None


def plain(value: msgspec.Struct | None) -> Manifest | None:
    """A struct as JSON has it."""
    if value is None:
        return None
    result: Manifest = msgspec.to_builtins(value)
    return result

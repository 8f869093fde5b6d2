"""The Service and EndpointSlice of an IP with a serviceTemplate: they point at spec.ip itself, and whoever reflects
them maps it (wire.md 11.2). Pure.

A template may come from a peer's administrator, who may create IPs in the tenant namespace but no Services. So it
cannot take over what a Service of this cluster may: other hosts' addresses (externalIPs), names (ExternalName) or
pods (selector).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from isthmus.api import labels
from isthmus.api.ipam import IP, IPS
from isthmus.kube.objects import Base, Manifest, Object
from isthmus.kube.ownership import forge_controller
from isthmus.kube.resource import Resource

SERVICE_NAME = "kubernetes.io/service-name"
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "ip.liqo.io"
TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
LEFT_OUT = frozenset(
    {"selector", "externalIPs", "externalName", "clusterIP", "clusterIPs", "healthCheckNodePort", "type"}
)
SLICES: Resource[Object] = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", Object)


class TemplateError(ValueError):
    """A serviceTemplate that no Service can be made of; the text names the field and the mend."""


class TemplateMetadata(Base, frozen=True, kw_only=True):
    """What of the template's metadata counts: the Service has the name and namespace of its IP."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class Template(Base, frozen=True, kw_only=True):
    """A serviceTemplate."""

    metadata: TemplateMetadata = field(default_factory=TemplateMetadata)
    spec: dict[str, Any] = field(default_factory=dict)


def read_template(ip: IP) -> Template:
    """The template of an IP that has one. Raises TemplateError."""
    assert ip.spec.service_template is not None
    try:
        template = msgspec.convert(ip.spec.service_template, Template)
    except msgspec.ValidationError as error:
        raise TemplateError(f"spec.serviceTemplate: {error}") from error
    type_ = template.spec.get("type", TYPES[0])
    if type_ not in TYPES:
        raise TemplateError(f"spec.serviceTemplate.spec.type: {type_!r} is not one of {', '.join(TYPES)}")
    ports = template.spec.get("ports")
    if not isinstance(ports, list) or not ports or not all(_is_port(port) for port in ports):
        raise TemplateError("spec.serviceTemplate.spec.ports: list at least one port, as of a Service")
    return template


def forge_service(ip: IP, template: Template) -> Manifest:
    """The Service, without a selector: its endpoints are those of `forge_slice`."""
    spec = {name: value for name, value in template.spec.items() if name not in LEFT_OUT}
    spec["type"] = template.spec.get("type", TYPES[0])
    if template.spec.get("clusterIP") == "None":
        spec["clusterIP"] = "None"
    return {"metadata": _metadata(ip, template), "spec": spec}


def forge_slice(ip: IP, template: Template) -> Manifest:
    """The EndpointSlice with the one address."""
    metadata = _metadata(ip, template)
    metadata["labels"] |= {SERVICE_NAME: ip.metadata.name, SLICE_MANAGED_BY: MANAGER}
    return {
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip.spec.ip], "conditions": {"ready": True}}],
        "ports": [_endpoint_port(port) for port in template.spec["ports"]],
    }


def _metadata(ip: IP, template: Template) -> Manifest:
    return {
        "name": ip.metadata.name,
        "namespace": ip.metadata.namespace,
        "labels": template.metadata.labels | {labels.MANAGED: labels.TRUE},
        "annotations": template.metadata.annotations,
        "ownerReferences": [forge_controller(IPS, ip)],
    }


def _is_port(port: Any) -> bool:
    return isinstance(port, dict) and isinstance(port.get("port"), int) and 0 < port["port"] < 65536


def _endpoint_port(port: dict[str, Any]) -> Manifest:
    target = port.get("targetPort")
    result: Manifest = {
        "name": port.get("name", ""),
        "protocol": port.get("protocol", "TCP"),
        "port": target if isinstance(target, int) and target > 0 else port["port"],
    }
    if "appProtocol" in port:
        result["appProtocol"] = port["appProtocol"]
    return result

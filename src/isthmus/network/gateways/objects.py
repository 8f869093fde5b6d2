"""The built-in kinds a gateway is made of, each with only what is read of it, and the two sides of a tunnel."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from isthmus.api import labels
from isthmus.api.networking import (
    GATEWAY_CLIENTS,
    GATEWAY_SERVERS,
    WG_GATEWAY_CLIENT_TEMPLATES,
    WG_GATEWAY_CLIENTS,
    WG_GATEWAY_SERVER_TEMPLATES,
    WG_GATEWAY_SERVERS,
    GatewayClient,
    GatewayServer,
    GatewayTemplate,
    WgGateway,
)
from isthmus.kube import builtin
from isthmus.kube.objects import Base, Manifest, Object
from isthmus.kube.resource import Resource

DEFAULT_MTU = 1340
"""Of the tunnel, where a gateway names none."""
SELECTOR = f"{labels.GATEWAY_COMPONENT}={labels.GATEWAY_COMPONENT_VALUE}"
"""What all objects of gateways are watched by."""


class Container(Base, frozen=True, kw_only=True):
    """A container of a pod."""

    name: str = ""


class PodSpec(Base, frozen=True, kw_only=True):
    """What of a pod's spec is read."""

    node_name: str = ""
    containers: list[Container] = field(default_factory=list)


class PodStatus(Base, frozen=True, kw_only=True):
    """What of a pod's status is read."""

    phase: str = ""
    pod_ip: str = field(default="", name="podIP")


class GatewayPod(Object, frozen=True, kw_only=True):
    """A gateway's pod."""

    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


class ServicePort(Base, frozen=True, kw_only=True):
    """A port of a Service."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    node_port: int = 0


class ServiceSpec(Base, frozen=True, kw_only=True):
    """What of a Service's spec is read."""

    type: str = "ClusterIP"
    cluster_ips: list[str] = field(default_factory=list, name="clusterIPs")
    ports: list[ServicePort] = field(default_factory=list)


class Ingress(Base, frozen=True, kw_only=True):
    """An address of a load balancer."""

    ip: str = ""
    hostname: str = ""


class LoadBalancer(Base, frozen=True, kw_only=True):
    """What a load balancer was given."""

    ingress: list[Ingress] = field(default_factory=list)


class ServiceStatus(Base, frozen=True, kw_only=True):
    """What of a Service's status is read."""

    load_balancer: LoadBalancer = field(default_factory=LoadBalancer)


class GatewayService(Object, frozen=True, kw_only=True):
    """The Service of a gateway server, or of its metrics."""

    spec: ServiceSpec = field(default_factory=ServiceSpec)
    status: ServiceStatus = field(default_factory=ServiceStatus)


class PodTemplateMetadata(Base, frozen=True, kw_only=True):
    """What of the metadata of a Deployment's pods is read."""

    annotations: dict[str, str] = field(default_factory=dict)


class PodTemplate(Base, frozen=True, kw_only=True):
    """The pods of a Deployment."""

    metadata: PodTemplateMetadata = field(default_factory=PodTemplateMetadata)
    spec: PodSpec = field(default_factory=PodSpec)


class DeploymentSpec(Base, frozen=True, kw_only=True):
    """What of a Deployment's spec is read."""

    replicas: int = 1
    selector: dict[str, Any] = field(default_factory=dict)
    template: PodTemplate = field(default_factory=PodTemplate)


class DeploymentStatus(Base, frozen=True, kw_only=True):
    """What of a Deployment's status is read."""

    ready_replicas: int = 0
    unavailable_replicas: int = 0


class GatewayDeployment(Object, frozen=True, kw_only=True):
    """The Deployment of a gateway."""

    spec: DeploymentSpec = field(default_factory=DeploymentSpec)
    status: DeploymentStatus = field(default_factory=DeploymentStatus)


PODS = builtin.PODS.view(GatewayPod)
SERVICES = builtin.SERVICES.view(GatewayService)
DEPLOYMENTS = builtin.DEPLOYMENTS.view(GatewayDeployment)
SERVICE_MONITORS: Resource[Object] = Resource(
    "monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor", Object
)

Gateway = GatewayServer | GatewayClient


class Side(Struct, frozen=True, kw_only=True):
    """One of the two ends of a tunnel: the kinds that make it up."""

    mode: str
    gateways: Resource[Any]
    """What users write."""
    made: Resource[WgGateway]
    """What is rendered of it."""
    templates: Resource[GatewayTemplate]


SERVER = Side(
    mode="server",
    gateways=GATEWAY_SERVERS,
    made=WG_GATEWAY_SERVERS,
    templates=WG_GATEWAY_SERVER_TEMPLATES,
)
CLIENT = Side(
    mode="client",
    gateways=GATEWAY_CLIENTS,
    made=WG_GATEWAY_CLIENTS,
    templates=WG_GATEWAY_CLIENT_TEMPLATES,
)
SIDES = (SERVER, CLIENT)


def gateway_name(name: str) -> str:
    """The name of the Deployment, Service, key Secret and Connection of a gateway (wire.md 2)."""
    return f"gw-{name}"


def peer_of(object_: Object) -> str:
    """The peer an object is about, "" where none is named."""
    return object_.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")


def forge_reference(resource: Resource[Any], name: str, namespace: str, uid: str = "") -> Manifest:
    """A reference as statuses carry it."""
    reference = {"apiVersion": resource.api_version, "kind": resource.kind, "name": name}
    reference |= {"namespace": namespace} if namespace else {}
    return reference | ({"uid": uid} if uid else {})

"""Services: what users wrote of them, not what this cluster made of that.

Cluster addresses and node ports are each cluster's own; only that a Service has none is copied (wire.md 8). What
the provider's API server fills in by itself is not compared, so the two servers' defaults do not fight.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from isthmus.api import labels
from isthmus.kube.builtin import SERVICES
from isthmus.kube.objects import Base, Manifest, Object, ObjectMeta
from isthmus.reflection.engine import ReflectedKind
from isthmus.reflection.metadata import is_wanted
from isthmus.reflection.session import ReflectionSession, ReflectorOptions

NAME = "service"
API_SERVER = ("default", "kubernetes")
"""The Service of the API server itself, which every cluster has its own of."""
HEADLESS = "None"
EXTERNAL_NAME = "ExternalName"
LOAD_BALANCER = "LoadBalancer"


class ServicePort(Base, frozen=True, kw_only=True):
    """A port of a Service."""

    name: str | None = None
    protocol: str = "TCP"
    port: int = 0
    target_port: int | str | None = None
    node_port: int = 0
    app_protocol: str | None = None


class ServiceSpec(Base, frozen=True, kw_only=True):
    """What of a Service's spec is copied."""

    type: str = "ClusterIP"
    selector: dict[str, str] = field(default_factory=dict)
    ports: list[ServicePort] = field(default_factory=list)
    cluster_ip: str = field(default="", name="clusterIP")
    external_name: str = ""
    session_affinity: str = ""
    session_affinity_config: dict[str, Any] | None = None
    internal_traffic_policy: str | None = None
    external_traffic_policy: str = ""
    publish_not_ready_addresses: bool = False
    load_balancer_source_ranges: list[str] = field(default_factory=list)
    load_balancer_class: str | None = None
    allocate_load_balancer_node_ports: bool | None = None
    ip_family_policy: str | None = None


class Service(Object, frozen=True, kw_only=True):
    """A Service, here or at the provider."""

    spec: ServiceSpec = field(default_factory=ServiceSpec)


REFLECTED_SERVICES = SERVICES.view(Service)

_DEFAULTED = (
    "sessionAffinity",
    "sessionAffinityConfig",
    "internalTrafficPolicy",
    "externalTrafficPolicy",
    "allocateLoadBalancerNodePorts",
    "ipFamilyPolicy",
    "loadBalancerClass",
)
"""Fields the API server fills in; compared only where the original has them."""
_ALWAYS = ("selector", "externalName", "loadBalancerSourceRanges", "publishNotReadyAddresses")
_OWN = ("clusterIP", "loadBalancerClass", "ports")


def is_api_server(metadata: ObjectMeta, name: str) -> bool:
    """Whether the Service `name` in the object's namespace is the one of the API server."""
    return (metadata.namespace, name) == API_SERVER


def takes(local: Service, options: ReflectorOptions) -> bool:
    """Whether a Service is reflected."""
    return not is_api_server(local.metadata, local.metadata.name) and is_wanted(local.metadata, options.type)


def forge_spec(local: Service, load_balancer_class: str) -> Manifest:
    """The spec of the copy; `load_balancer_class` is the provider's default one, "" for none."""
    spec: Manifest = msgspec.to_builtins(local.spec)
    copied = {key: value for key, value in spec.items() if key not in _OWN}
    copied["type"] = local.spec.type
    if local.spec.cluster_ip == HEADLESS:
        copied["clusterIP"] = HEADLESS
    if local.spec.type == LOAD_BALANCER and load_balancer_class:
        copied["loadBalancerClass"] = load_balancer_class
    forced = _forces_node_ports(local.metadata)
    copied["ports"] = [_forge_port(port, forced=forced) for port in local.spec.ports]
    return copied


def _forces_node_ports(metadata: ObjectMeta) -> bool:
    return metadata.annotations.get(labels.FORCE_REMOTE_NODE_PORT, labels.FALSE).lower() == labels.TRUE


def _forge_port(port: ServicePort, *, forced: bool) -> Manifest:
    """A port of the copy: its node port is the provider's to choose, unless there is none or it is forced."""
    copied: Manifest = msgspec.to_builtins(port)
    copied.pop("nodePort", None)
    copied["protocol"] = port.protocol
    if forced or port.node_port == 0:
        copied["nodePort"] = port.node_port
    return copied


def same_spec(wished: Manifest, remote: Service) -> bool:
    """Whether the copy is as wished, but for what the provider's API server fills in."""
    found: Manifest = msgspec.to_builtins(remote.spec)
    return (
        wished["type"] == remote.spec.type
        and (wished.get("clusterIP") == HEADLESS) == (remote.spec.cluster_ip == HEADLESS)
        and all(wished.get(key) == found.get(key) for key in _ALWAYS)
        and all(wished[key] == found.get(key) for key in _DEFAULTED if key in wished)
        and _same_ports(wished["ports"], remote)
    )


def _same_ports(wished: list[Manifest], remote: Service) -> bool:
    found = {(port.protocol, port.port): port for port in remote.spec.ports}
    if len(found) != len(wished):
        return False
    for port in wished:
        other = found.get((port["protocol"], port.get("port", 0)))
        if other is None:
            return False
        node_port = port.get("nodePort")
        if node_port and other.node_port != node_port:
            return False
        if node_port == 0 and other.node_port and remote.spec.type == "ClusterIP":
            return False
        given = {key: value for key, value in port.items() if key != "nodePort"}
        there = _forge_port(other, forced=False)
        there.pop("nodePort", None)
        if given.get("targetPort") is None:
            there.pop("targetPort", None)
        if given != there:
            return False
    return True


def immovable_spec(wished: Manifest, remote: Service) -> bool:
    """Whether the copy has a cluster address and should have none or the other way round, or has another class of
    load balancers: neither ever changes."""
    addressed = EXTERNAL_NAME not in (wished["type"], remote.spec.type)
    if addressed and (wished.get("clusterIP") == HEADLESS) != (remote.spec.cluster_ip == HEADLESS):
        return True
    class_ = wished.get("loadBalancerClass")
    return bool(class_ and remote.spec.type == LOAD_BALANCER and remote.spec.load_balancer_class != class_)


def plan(session: ReflectionSession) -> ReflectedKind[Service, Service]:
    """How Services are reflected in this session."""
    class_ = session.load_balancer_class
    return ReflectedKind(
        name=NAME,
        local=REFLECTED_SERVICES,
        whole=REFLECTED_SERVICES,
        remote=REFLECTED_SERVICES,
        takes=takes,
        same=lambda local, remote: same_spec(forge_spec(local, class_), remote),
        immovable=lambda local, remote: immovable_spec(forge_spec(local, class_), remote),
        forge=lambda local: {"spec": forge_spec(local, class_)},
    )

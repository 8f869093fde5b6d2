"""The values of the networking module and of address ranges, named as in the Helm chart of Liqo (behaviour.md 8.3).

Only data; what their contents must be is said in `network_validation`.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from isthmus.install.section import Section
from isthmus.network.dataplane.hops import OVERLAY_PORT
from isthmus.network.ipam.installation import DEFAULT_EXTERNAL, DEFAULT_INTERNAL, DEFAULT_POOLS

NODE_HEALTH_PORT = 17683
"""Where the agent of a node says how it is, on the loopback address of the node only."""

PROXY_PORT = 8118


def _small() -> dict[str, Any]:
    return {"requests": {"cpu": "10m", "memory": "24Mi"}}


class MssClamp(Section, frozen=True, kw_only=True):
    """Whether gateways keep TCP segments small enough for the tunnel."""

    enabled: bool = True


class Gateway(Section, frozen=True, kw_only=True):
    """How gateways behave."""

    mssclamp: MssClamp = field(default_factory=MssClamp)


class Ping(Section, frozen=True, kw_only=True):
    """How a tunnel is watched; times as text, such as 2s."""

    loss_threshold: int = 5
    interval: str = "2s"
    update_status_interval: str = "10s"


class WireGuard(Section, frozen=True, kw_only=True):
    """The tunnel; `implementation` is kernel, userspace, or "" for the kernel's where there is one."""

    implementation: str = ""
    preserve_client_endpoint: bool = True


class GatewayService(Section, frozen=True, kw_only=True):
    """The Service of a server; `allocate_load_balancer_node_ports` is true, false, or "" for the cluster's own."""

    annotations: dict[str, str] = field(default_factory=dict)
    allocate_load_balancer_node_ports: str | bool = ""


class GatewayServer(Section, frozen=True, kw_only=True):
    """Gateways that are connected to."""

    service: GatewayService = field(default_factory=GatewayService)


class GatewayPod(Section, frozen=True, kw_only=True):
    """Where the pods of gateways run."""

    node_selector: dict[str, str] = field(default_factory=dict)
    affinity: dict[str, Any] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    priority_class_name: str = ""


class ContainerResources(Section, frozen=True, kw_only=True):
    """What a container asks for."""

    resources: dict[str, Any] = field(default_factory=_small)


class GatewayContainer(Section, frozen=True, kw_only=True):
    """The container of a gateway."""

    gateway: ContainerResources = field(default_factory=ContainerResources)


class GatewayTemplates(Section, frozen=True, kw_only=True):
    """The two templates that an installation brings."""

    replicas: int = 1
    ping: Ping = field(default_factory=Ping)
    wireguard: WireGuard = field(default_factory=WireGuard)
    server: GatewayServer = field(default_factory=GatewayServer)
    pod: GatewayPod = field(default_factory=GatewayPod)
    container: GatewayContainer = field(default_factory=GatewayContainer)


class FabricConfig(Section, frozen=True, kw_only=True):
    """How the agents of nodes behave; a `route_configuration_rule_priority` of 0 takes the usual one."""

    full_masquerade: bool = False
    route_configuration_rule_priority: int = 0
    health_probe_bind_address_port: int = NODE_HEALTH_PORT


class FabricPod(Section, frozen=True, kw_only=True):
    """Details of the agents' pods."""

    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    priority_class_name: str = ""
    resources: dict[str, Any] = field(default_factory=_small)


class Fabric(Section, frozen=True, kw_only=True):
    """The agent on every real node."""

    config: FabricConfig = field(default_factory=FabricConfig)
    pod: FabricPod = field(default_factory=FabricPod)


class ProxyService(Section, frozen=True, kw_only=True):
    """The Service of the proxy; `type` is ClusterIP, NodePort or LoadBalancer."""

    type: str = "ClusterIP"


class ProxyConfig(Section, frozen=True, kw_only=True):
    """Where the controller's pod serves the proxy; its Service is on 8118 always, which peers rely on."""

    listening_port: int = PROXY_PORT


class Proxy(Section, frozen=True, kw_only=True):
    """The way to this cluster's API server for peers that cannot reach it but through the tunnel."""

    enabled: bool = True
    service: ProxyService = field(default_factory=ProxyService)
    config: ProxyConfig = field(default_factory=ProxyConfig)


class Networking(Section, frozen=True, kw_only=True):
    """The networking module; with `api_server_access_through_endpoint_slices` peers' pods are led to the API server's
    own addresses and not to its Service's, which some networks cannot be reached by from outside."""

    enabled: bool = True
    api_server_access_through_endpoint_slices: bool = False
    deny_direct_connections: bool = False
    geneve_port: int = OVERLAY_PORT
    gateway: Gateway = field(default_factory=Gateway)
    gateway_templates: GatewayTemplates = field(default_factory=GatewayTemplates)
    fabric: Fabric = field(default_factory=Fabric)


class AddressManagement(Section, frozen=True, kw_only=True):
    """The cluster's address ranges; those of pods and Services are found out where they are not given."""

    pod_cidrs: list[str] = field(default_factory=list, name="podCIDRs")
    service_cidr: str = field(default="", name="serviceCIDR")
    external_cidr: str = field(default=DEFAULT_EXTERNAL, name="externalCIDR")
    internal_cidr: str = field(default=DEFAULT_INTERNAL, name="internalCIDR")
    reserved_subnets: list[str] = field(default_factory=list)
    pools: list[str] = field(default_factory=lambda: list(DEFAULT_POOLS))


class PrometheusOperator(Section, frozen=True, kw_only=True):
    """Whether Prometheus' operator is told where the metrics are."""

    enabled: bool = False


class Metrics(Section, frozen=True, kw_only=True):
    """Whether gateways have a Service for their metrics."""

    enabled: bool = False
    prometheus_operator: PrometheusOperator = field(default_factory=PrometheusOperator)

"""networking.liqo.io: address ranges, gateways and tunnels (api-fields.md); routes and rules are in `routing`.

The structs that a peer's administrators or stock Liqo may have written are forgiving: every field has a default, so
that an object can always be read and judged by whoever uses it.
"""

from __future__ import annotations

from msgspec import Raw, field

from isthmus.kube.objects import EMPTY_OBJECT, Base, Object
from isthmus.kube.resource import Resource

GROUP, VERSION = "networking.liqo.io", "v1beta1"


class ObjectReference(Base, frozen=True, kw_only=True):
    """A reference to another object (core/v1 ObjectReference)."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class LocalReference(Base, frozen=True, kw_only=True):
    """A reference to an object of the same namespace."""

    name: str = ""


class Cidrs(Base, frozen=True, kw_only=True):
    """Ranges for pods, and for hosts outside the cluster."""

    pod: list[str] = field(default_factory=list)
    external: list[str] = field(default_factory=list)


class ClusterRanges(Base, frozen=True, kw_only=True):
    """The ranges of one cluster."""

    cidr: Cidrs = field(default_factory=Cidrs)


class Condition(Base, frozen=True, kw_only=True):
    """A condition of the common Kubernetes shape."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str | None = None


class ConfigurationSpec(Base, frozen=True, kw_only=True):
    """Ranges as each cluster uses them itself; `local` is filled in by the controller."""

    local: ClusterRanges | None = None
    remote: ClusterRanges = field(default_factory=ClusterRanges)


class ConfigurationStatus(Base, frozen=True, kw_only=True):
    """The peer's ranges as this cluster sees them, index by index those of the spec."""

    remote: ClusterRanges = field(default_factory=ClusterRanges)
    conditions: list[Condition] = field(default_factory=list)


class Configuration(Object, frozen=True, kw_only=True):
    """The ranges of this cluster and of one peer."""

    spec: ConfigurationSpec = field(default_factory=ConfigurationSpec)
    status: ConfigurationStatus = field(default_factory=ConfigurationStatus)


class Endpoint(Base, frozen=True, kw_only=True):
    """Where a gateway server is reached: addresses or host names, and either `port` or `ports`."""

    addresses: list[str] = field(default_factory=list)
    port: int | None = None
    ports: list[int] = field(default_factory=list)
    protocol: str = ""


class InternalEndpoint(Base, frozen=True, kw_only=True):
    """Where the active gateway pod is reached inside its own cluster."""

    ip: str = ""
    node: str = ""


class ServerEndpoint(Base, frozen=True, kw_only=True):
    """How a gateway server is exposed."""

    port: int | None = None
    ports: list[int] = field(default_factory=list)
    service_type: str = "ClusterIP"
    node_port: int | None = None
    node_ports: list[int] = field(default_factory=list)
    load_balancer_ip: str = field(default="", name="loadBalancerIP")


class GatewayServerSpec(Base, frozen=True, kw_only=True):
    """The wished server end of a tunnel."""

    server_template_ref: ObjectReference = field(default_factory=ObjectReference)
    mtu: int = 0
    endpoint: ServerEndpoint = field(default_factory=ServerEndpoint)
    secret_ref: LocalReference = field(default_factory=LocalReference)
    service_annotations: dict[str, str] = field(default_factory=dict)
    service_labels: dict[str, str] = field(default_factory=dict)


class GatewayServerStatus(Base, frozen=True, kw_only=True):
    """What was made of a GatewayServer."""

    server_ref: ObjectReference | None = None
    endpoint: Endpoint | None = None
    secret_ref: ObjectReference | None = None
    internal_endpoint: InternalEndpoint | None = None


class GatewayServer(Object, frozen=True, kw_only=True):
    """The end of a tunnel that the peer's client connects to."""

    spec: GatewayServerSpec = field(default_factory=GatewayServerSpec)
    status: GatewayServerStatus = field(default_factory=GatewayServerStatus)


class GatewayClientSpec(Base, frozen=True, kw_only=True):
    """The wished client end of a tunnel."""

    client_template_ref: ObjectReference = field(default_factory=ObjectReference)
    mtu: int = 0
    endpoint: Endpoint = field(default_factory=Endpoint)
    secret_ref: LocalReference = field(default_factory=LocalReference)


class GatewayClientStatus(Base, frozen=True, kw_only=True):
    """What was made of a GatewayClient."""

    client_ref: ObjectReference | None = None
    secret_ref: ObjectReference | None = None
    internal_endpoint: InternalEndpoint | None = None


class GatewayClient(Object, frozen=True, kw_only=True):
    """The end of a tunnel that connects to the peer's server."""

    spec: GatewayClientSpec = field(default_factory=GatewayClientSpec)
    status: GatewayClientStatus = field(default_factory=GatewayClientStatus)


class TemplateMetadata(Base, frozen=True, kw_only=True):
    """The metadata a template gives an object."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class ObjectTemplate(Base, frozen=True, kw_only=True):
    """An object to be made; its spec is copied rather than read."""

    metadata: TemplateMetadata = field(default_factory=TemplateMetadata)
    spec: Raw = EMPTY_OBJECT


class GatewayMetrics(Base, frozen=True, kw_only=True):
    """How a gateway's metrics are served."""

    enabled: bool = False
    service: ObjectTemplate | None = None
    service_monitor: ObjectTemplate | None = None


class WgGatewaySpec(Base, frozen=True, kw_only=True):
    """The objects of a gateway; `service` of a server only."""

    deployment: ObjectTemplate = field(default_factory=ObjectTemplate)
    service: ObjectTemplate | None = None
    metrics: GatewayMetrics | None = None
    secret_ref: LocalReference = field(default_factory=LocalReference)


class WgGatewayStatus(Base, frozen=True, kw_only=True):
    """What was made of them; `endpoint` of a server only."""

    endpoint: Endpoint | None = None
    secret_ref: ObjectReference | None = None
    internal_endpoint: InternalEndpoint | None = None


class WgGateway(Object, frozen=True, kw_only=True):
    """A WireGuard gateway as made from a template: a WgGatewayServer or a WgGatewayClient."""

    spec: WgGatewaySpec = field(default_factory=WgGatewaySpec)
    status: WgGatewayStatus = field(default_factory=WgGatewayStatus)


class ObjectKind(Base, frozen=True, kw_only=True):
    """What a template makes."""

    api_version: str = ""
    kind: str = ""


class GatewayTemplateSpec(Base, frozen=True, kw_only=True):
    """A template: an object with placeholders, kept raw until it is rendered."""

    object_kind: ObjectKind = field(default_factory=ObjectKind)
    template: Raw = EMPTY_OBJECT


class GatewayTemplate(Object, frozen=True, kw_only=True):
    """What a GatewayServer or GatewayClient is made into; any kind labelled as gateway template has this shape."""

    spec: GatewayTemplateSpec = field(default_factory=GatewayTemplateSpec)


class ConnectionSpec(Base, frozen=True, kw_only=True):
    """Which end of the tunnel (`type` Server or Client) and which gateway."""

    type: str = ""
    gateway_ref: ObjectReference = field(default_factory=ObjectReference)


class ConnectionLatency(Base, frozen=True, kw_only=True):
    """The time there and back, as text with its unit."""

    value: str = ""
    timestamp: str | None = None


class ConnectionStatus(Base, frozen=True, kw_only=True):
    """`value` Connected, Connecting or Error."""

    value: str = ""
    latency: ConnectionLatency | None = None


class Connection(Object, frozen=True, kw_only=True):
    """The state of the tunnel to a peer, as its gateway sees it."""

    spec: ConnectionSpec = field(default_factory=ConnectionSpec)
    status: ConnectionStatus = field(default_factory=ConnectionStatus)


class PublicKeySpec(Base, frozen=True, kw_only=True):
    """The key: base64 of its 32 bytes."""

    public_key: str = ""


class PublicKey(Object, frozen=True, kw_only=True):
    """The WireGuard key of a peer's gateway."""

    spec: PublicKeySpec = field(default_factory=PublicKeySpec)


class InterfaceAddress(Base, frozen=True, kw_only=True):
    """One end of the overlay: the address there."""

    ip: str = ""


class InterfaceName(Base, frozen=True, kw_only=True):
    """One end of the overlay: the device there."""

    name: str = ""


class InternalNodeInterface(Base, frozen=True, kw_only=True):
    """The device in the gateways, the node's overlay address."""

    gateway: InterfaceName = field(default_factory=InterfaceName)
    node: InterfaceAddress = field(default_factory=InterfaceAddress)


class InternalNodeSpec(Base, frozen=True, kw_only=True):
    """A node on the overlay."""

    interface: InternalNodeInterface = field(default_factory=InternalNodeInterface)


class NodeAddresses(Base, frozen=True, kw_only=True):
    """Under which addresses pods see the node: pods on it, and pods elsewhere."""

    local: str = ""
    remote: str = ""


class InternalNodeStatus(Base, frozen=True, kw_only=True):
    """What was found out of a node."""

    node_ip: NodeAddresses = field(default_factory=NodeAddresses, name="nodeIP")


class InternalNode(Object, frozen=True, kw_only=True):
    """A real node of this cluster as the gateways reach it."""

    spec: InternalNodeSpec = field(default_factory=InternalNodeSpec)
    status: InternalNodeStatus = field(default_factory=InternalNodeStatus)


class InternalFabricInterface(Base, frozen=True, kw_only=True):
    """The device on the nodes, the gateway's overlay address."""

    node: InterfaceName = field(default_factory=InterfaceName)
    gateway: InterfaceAddress = field(default_factory=InterfaceAddress)


class InternalFabricSpec(Base, frozen=True, kw_only=True):
    """A gateway on the overlay: its pod's address, and what is reached through it."""

    gateway_ip: str = field(default="", name="gatewayIP")
    interface: InternalFabricInterface = field(default_factory=InternalFabricInterface)
    mtu: int = 0
    remote_cidrs: list[str] = field(default_factory=list, name="remoteCIDRs")


class InternalFabric(Object, frozen=True, kw_only=True):
    """A gateway as the nodes of this cluster reach it."""

    spec: InternalFabricSpec = field(default_factory=InternalFabricSpec)


CONFIGURATIONS = Resource(GROUP, VERSION, "configurations", "Configuration", Configuration)
CONNECTIONS = Resource(GROUP, VERSION, "connections", "Connection", Connection)
GATEWAY_CLIENTS = Resource(GROUP, VERSION, "gatewayclients", "GatewayClient", GatewayClient)
GATEWAY_SERVERS = Resource(GROUP, VERSION, "gatewayservers", "GatewayServer", GatewayServer)
INTERNAL_FABRICS = Resource(GROUP, VERSION, "internalfabrics", "InternalFabric", InternalFabric)
INTERNAL_NODES = Resource(GROUP, VERSION, "internalnodes", "InternalNode", InternalNode, namespaced=False)
PUBLIC_KEYS = Resource(GROUP, VERSION, "publickeies", "PublicKey", PublicKey)
WG_GATEWAY_CLIENTS = Resource(GROUP, VERSION, "wggatewayclients", "WgGatewayClient", WgGateway)
WG_GATEWAY_SERVERS = Resource(GROUP, VERSION, "wggatewayservers", "WgGatewayServer", WgGateway)
WG_GATEWAY_CLIENT_TEMPLATES = Resource(
    GROUP, VERSION, "wggatewayclienttemplates", "WgGatewayClientTemplate", GatewayTemplate
)
WG_GATEWAY_SERVER_TEMPLATES = Resource(
    GROUP, VERSION, "wggatewayservertemplates", "WgGatewayServerTemplate", GatewayTemplate
)

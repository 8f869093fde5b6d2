"""Every label, annotation and finalizer key of the interface (wire.md 1), named once."""

from __future__ import annotations

from collections.abc import Mapping

TRUE = "true"
FALSE = "false"

# Identity and replication
REMOTE_CLUSTER_ID = "liqo.io/remote-cluster-id"
TENANT_NAMESPACE = "liqo.io/tenant-namespace"
REPLICATION = "liqo.io/replication"
REMOTE_ID = "liqo.io/remoteID"
ORIGIN_ID = "liqo.io/originID"
REPLICATED = "liqo.io/replicated"
OWNERSHIP = "liqo.io/ownership"
NONCE = "liqo.io/nonce"
SIGNED_NONCE = "liqo.io/signed-nonce"
IDENTITY_TYPE = "liqo.io/identity-type"
REMOTE_TENANT_NAMESPACE = "liqo.io/remote-tenant-namespace"
RESOURCE_SLICE_NAME = "liqo.io/resourceslice-name"
CREATE_VIRTUAL_NODE = "liqo.io/create-virtual-node"
CORDON = "liqo.io/cordon"
CORDON_TENANT = "liqo.io/cordon-tenant"
REMOTE_TENANT_CSR = "liqo.io/remote-tenant-csr"
PEERING_USER_NAME = "liqo.io/peering-user-name"
MANAGED = "liqo.io/managed"
PERMANENTLY_UNREACHABLE = "liqo.io/foreign-cluster-permanently-unreachable"
UNINSTALLING = "liqo.io/uninstalling"
PREINSTALLED = "liqo.io/preinstalled"
WEBHOOK = "liqo.io/webhook"
WEBHOOK_SERVICE_NAME = "liqo.io/webhook-service-name"
WEBHOOK_SKIP = "liqo.io/webhook-skip"
WEBHOOK_BACKEND = "webhook.liqo.io/backend"
LEADER = "leaderelection.liqo.io/leader"

APP_NAME = "app.kubernetes.io/name"
APP_COMPONENT = "app.kubernetes.io/component"
APP_MANAGED_BY = "app.kubernetes.io/managed-by"
APP_INSTANCE = "app.kubernetes.io/instance"
APP_PART_OF = "app.kubernetes.io/part-of"
POD_SECURITY = tuple(f"pod-security.kubernetes.io/{mode}" for mode in ("audit", "enforce", "warn"))

# Offloading
ORIGIN = "offloading.liqo.io/origin"
DESTINATION = "offloading.liqo.io/destination"
NODE_NAME = "offloading.liqo.io/nodename"
SHADOW_POD = "liqo.io/shadowPod"
MANAGED_BY = "liqo.io/managed-by"
MANAGED_BY_SHADOW_POD = "shadowpod"
MANAGED_BY_SHADOW_ENDPOINT_SLICE = "shadowendpointslice"
ENDPOINT_SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
ENDPOINT_SLICE_REFLECTION = "endpointslice.reflection.liqo.io"
SERVICE_NAME = "kubernetes.io/service-name"
FORCE_REMOTE_NODE_PORT = "liqo.io/force-remote-node-port"
USE_DIRECT_CONNECTIONS = "liqo.io/use-direct-connections"
DIRECT_CONNECTIONS_DATA = "liqo.io/direct-connections-data"
CREATOR_USER = "liqo.io/creator-user"
REMOTE_UNAVAILABLE = "liqo.io/remote-unavailable"
MANAGED_BY_NAMESPACE_MAP = "liqo.io/managed-by-namespace-map"
ORIGINAL_NAME = "liqo.io/original-name"
SCHEDULING_ENABLED = "liqo.io/scheduling-enabled"
SKIP_REFLECTION = "liqo.io/skip-reflection"
ALLOW_REFLECTION = "liqo.io/allow-reflection"
REMOTE_RUNTIME_CLASS = "liqo.io/remote-runtime-class-name"
API_SERVER_SUPPORT = "liqo.io/api-server-support"
REMOTE_SERVICE_ACCOUNT = "liqo.io/remote-service-account-name"
ANTI_AFFINITY_PRESET = "liqo.io/anti-affinity-preset"
ANTI_AFFINITY_LABELS = "liqo.io/anti-affinity-labels"
SERVICE_ACCOUNT_NAME = "offloading.liqo.io/service-account-name"
SERVICE_ACCOUNT_POD_NAME = "offloading.liqo.io/service-account-for-pod-name"
SERVICE_ACCOUNT_POD_UID = "offloading.liqo.io/service-account-for-pod-uid"
SERVICE_ACCOUNT_EXPIRATION = "offloading.liqo.io/service-account-expiration"

NODE_TYPE = "liqo.io/type"
NODE_TYPE_VIRTUAL = "virtual-node"
VIRTUAL_NODE = "liqo.io/virtual-node"
VIRTUAL_NODE_TAINT = "virtual-node.liqo.io/not-allowed"
TAINT_EFFECT = "NoExecute"
TAINT_EFFECTS = (TAINT_EFFECT, "NoSchedule", "PreferNoSchedule")
STORAGE_AVAILABLE = "storage.liqo.io/available"

# Networking and IPAM
NETWORK_TYPE = "ipam.liqo.io/network-type"
NETWORK_NOT_REMAPPED = "ipam.liqo.io/network-not-remapped"
NETWORK_SHARED = "ipam.liqo.io/network-shared"
IP_TYPE = "ipam.liqo.io/ip-type"
IP_TYPE_API_SERVER = "api-server"
IP_TYPE_PROXY = "api-server-proxy"
IP_ENDPOINT_SLICE = "ipam.liqo.io/endpointslice"
IP_POD_NAME = "offloading.liqo.io/pod-name"
IP_POD_NAMESPACE = "offloading.liqo.io/pod-namespace"
NETWORK_NAMESPACE = "ipam.liqo.io/network-namespace"
NETWORK_NAME = "ipam.liqo.io/network-name"
CIDR_TYPE = "configuration.liqo.io/cidr-type"
GATEWAY_TEMPLATE = "networking.liqo.io/gatewaytemplate"
GATEWAY_RESOURCE = "networking.liqo.io/gateway-resource"
GATEWAY_COMPONENT = "networking.liqo.io/component"
GATEWAY_COMPONENT_VALUE = "gateway"
GATEWAY_NAME = "networking.liqo.io/gateway-name"
GATEWAY_NAMESPACE = "networking.liqo.io/gateway-namespace"
ACTIVE_GATEWAY = "networking.liqo.io/active"
FIREWALL_CATEGORY = "networking.liqo.io/firewall-category"
FIREWALL_SUBCATEGORY = "networking.liqo.io/firewall-subcategory"
FIREWALL_UNIQUE = "networking.liqo.io/firewall-unique"
ROUTE_CATEGORY = "networking.liqo.io/route-category"
ROUTE_SUBCATEGORY = "networking.liqo.io/route-subcategory"
ROUTE_UNIQUE = "networking.liqo.io/route-unique"
HOST_UNREACHABLE = "networking.liqo.io/host-unreachable"

# Ours, ignored by stock Liqo
CONSUMER_NETWORK = "isthmus.liqo.io/consumer-network"
PROVIDER_NETWORK = "isthmus.liqo.io/provider-network"
FOLLOWED = "isthmus.liqo.io/followed"

# Finalizers
FINALIZER_TENANT = "tenant.liqo.io/finalizer"
FINALIZER_REPLICATION_SECRET = "crdreplicator.liqo.io/operator"  # noqa: S105 -- a finalizer, not a password
FINALIZER_REPLICATION = "crdreplicator.liqo.io/resource"
FINALIZER_NAMESPACE_MAP = "namespacemap-controller.liqo.io/finalizer"
FINALIZER_NAMESPACE_OFFLOADING = "namespaceoffloading-controller.liqo.io/finalizer"
FINALIZER_VIRTUAL_NODE = "virtualnode-controller.liqo.io/finalizer"
FINALIZER_GATEWAY_BINDING = "networking.liqo.io/clusterrolebinding"
FINALIZERS_INTERNAL_FABRIC = (
    "networking.liqo.io/internal-fabric-geneve-tunnel-finalizer",
    "internalfabric-controller.liqo.io/finalizer",
)
FINALIZER_INTERNAL_NODE = "internalnodes-route.liqo.io/finalizer"
FINALIZER_SHADOWED_POD = "shadowpod.isthmus.liqo.io/end-not-recorded"
FINALIZER_API_SERVER_CHECKER = "api-server-checker.liqo.io/finalizer"
FINALIZER_NETWORK = "network.ipam.liqo.io/finalizer"
FINALIZER_IP = "ip.ipam.liqo.io/finalizer"

# Field managers seen on objects
REFLECTION_MANAGER = "reflection.liqo.io"
SHADOW_POD_MANAGER = "shadow-pod"
SHADOW_ENDPOINT_SLICE_MANAGER = "shadow-endpointslice-controller"


def is_virtual_node(of_node: Mapping[str, str]) -> bool:
    """Whether the labels are those of a virtual node."""
    return of_node.get(NODE_TYPE) == NODE_TYPE_VIRTUAL

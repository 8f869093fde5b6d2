"""The built-in kinds that Isthmus reads, each with only the fields it uses."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, field

from isthmus.kube.objects import EMPTY_OBJECT, Base, Object, RawObject
from isthmus.kube.resource import Resource


class Secret(Object, frozen=True, kw_only=True):
    """A Secret; the values of `data` are base64 text, as on the wire."""

    type: str = ""
    data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None


class ConfigMap(Object, frozen=True, kw_only=True):
    """A ConfigMap; the values of `binary_data` are base64 text."""

    data: dict[str, str] = field(default_factory=dict)
    binary_data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None


class NodeCondition(Base, frozen=True, kw_only=True):
    """One condition of a Node, or of any object with conditions of the common shape."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    last_heartbeat_time: str | None = None


class NodeAddress(Base, frozen=True, kw_only=True):
    """One address of a Node."""

    type: str = ""
    address: str = ""


class NodeStatus(Base, frozen=True, kw_only=True):
    """What of a Node's status is read."""

    conditions: list[NodeCondition] = field(default_factory=list)
    addresses: list[NodeAddress] = field(default_factory=list)
    capacity: dict[str, Any] = field(default_factory=dict)


class Taint(Base, frozen=True, kw_only=True):
    """A taint of a Node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Base, frozen=True, kw_only=True):
    """What of a Node's spec is read."""

    unschedulable: bool = False
    taints: list[Taint] = field(default_factory=list)
    pod_cidrs: list[str] = field(default_factory=list, name="podCIDRs")


class Node(Object, frozen=True, kw_only=True):
    """A Node, real or virtual."""

    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class CertificateSigningRequestSpec(Base, frozen=True, kw_only=True):
    """What of a CertificateSigningRequest's spec is read; `request` is base64 of the PEM."""

    request: str = ""
    signer_name: str = ""
    username: str = ""
    usages: list[str] = field(default_factory=list)


class CertificateSigningRequestStatus(Base, frozen=True, kw_only=True):
    """The issued certificate, base64 of the PEM, and the conditions."""

    certificate: str = ""
    conditions: list[NodeCondition] = field(default_factory=list)


class CertificateSigningRequest(Object, frozen=True, kw_only=True):
    """A request for a certificate from the cluster's signers."""

    spec: CertificateSigningRequestSpec = field(default_factory=CertificateSigningRequestSpec)
    status: CertificateSigningRequestStatus = field(default_factory=CertificateSigningRequestStatus)


class LeaseSpec(Base, frozen=True, kw_only=True):
    """The holder of a Lease and its times (RFC 3339 with microseconds)."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Object, frozen=True, kw_only=True):
    """A Lease: leader election and node heartbeats."""

    spec: LeaseSpec = field(default_factory=LeaseSpec)


class Deployment(Object, frozen=True, kw_only=True):
    """A Deployment with its status raw."""

    spec: Raw = EMPTY_OBJECT
    status: Raw = EMPTY_OBJECT


class Pod(RawObject, frozen=True, kw_only=True):
    """A Pod whose spec and status are copied rather than read."""


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", Object, namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", Node, namespaced=False)
PODS = Resource("", "v1", "pods", "Pod", Pod)
SECRETS = Resource("", "v1", "secrets", "Secret", Secret)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", ConfigMap)
SERVICES = Resource("", "v1", "services", "Service", RawObject)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", Object)
EVENTS = Resource("", "v1", "events", "Event", RawObject)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", Deployment)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", Lease)
CSRS = Resource(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    CertificateSigningRequest,
    namespaced=False,
)
CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    RawObject,
    namespaced=False,
)
CLUSTER_ROLES = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", Object, namespaced=False
)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", Object, namespaced=False
)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", Object)
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", Object)
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    Object,
    namespaced=False,
)
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    Object,
    namespaced=False,
)

"""authentication.liqo.io: Tenant, Identity, ResourceSlice, Renew (api-fields.md). Byte fields are base64 text."""

from __future__ import annotations

from typing import Any

from msgspec import field

from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource

GROUP, VERSION = "authentication.liqo.io", "v1beta1"


class AuthParams(Base, frozen=True, kw_only=True):
    """What a consumer needs to reach the provider's API server: base64 of PEM `ca` and `signed_crt`."""

    ca: str = ""
    signed_crt: str = field(default="", name="signedCRT")
    api_server: str = ""
    proxy_url: str = field(default="", name="proxyURL")
    aws_config: dict[str, str] | None = None


class Condition(Base, frozen=True, kw_only=True):
    """A condition of a ResourceSlice: type Authentication or Resources, status Accepted or Denied."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class TenantSpec(Base, frozen=True, kw_only=True):
    """What the consumer presents; byte fields are base64."""

    cluster_id: str = field(default="", name="clusterID")
    authz_policy: str = "KeysExchange"
    public_key: str = ""
    csr: str = ""
    signature: str = ""
    proxy_url: str = field(default="", name="proxyURL")
    tenant_condition: str = "Active"


class TenantStatus(Base, frozen=True, kw_only=True):
    """What the provider answers."""

    tenant_namespace: str = ""
    auth_params: AuthParams | None = None


class Tenant(Object, frozen=True, kw_only=True):
    """On the provider: one consumer."""

    spec: TenantSpec = field(default_factory=TenantSpec)
    status: TenantStatus = field(default_factory=TenantStatus)


class SecretReference(Base, frozen=True, kw_only=True):
    """The name of a Secret in the same namespace."""

    name: str = ""


class IdentitySpec(Base, frozen=True, kw_only=True):
    """An identity towards a provider; type ControlPlane or ResourceSlice."""

    cluster_id: str = field(default="", name="clusterID")
    type: str = ""
    auth_params: AuthParams = field(default_factory=AuthParams)
    namespace: str = ""


class IdentityStatus(Base, frozen=True, kw_only=True):
    """The Secret with the kubeconfig made from it."""

    kubeconfig_secret_ref: SecretReference | None = None


class Identity(Object, frozen=True, kw_only=True):
    """On the consumer: credentials for one provider."""

    spec: IdentitySpec = field(default_factory=IdentitySpec)
    status: IdentityStatus = field(default_factory=IdentityStatus)


class ResourceSliceSpec(Base, frozen=True, kw_only=True):
    """What the consumer asks for; quantities as Kubernetes text or number."""

    consumer_cluster_id: str = field(default="", name="consumerClusterID")
    provider_cluster_id: str = field(default="", name="providerClusterID")
    class_: str = field(default="", name="class")
    csr: str = ""
    resources: dict[str, Any] = field(default_factory=dict)


class ResourceSliceStatus(Base, frozen=True, kw_only=True):
    """What the provider grants."""

    conditions: list[Condition] = field(default_factory=list)
    resources: dict[str, Any] = field(default_factory=dict)
    auth_params: AuthParams | None = None
    node_labels: dict[str, str] = field(default_factory=dict)
    node_selector: dict[str, str] = field(default_factory=dict)
    storage_classes: list[dict[str, Any]] = field(default_factory=list)
    ingress_classes: list[dict[str, Any]] = field(default_factory=list)
    load_balancer_classes: list[dict[str, Any]] = field(default_factory=list)


class ResourceSlice(Object, frozen=True, kw_only=True):
    """A share of a provider: asked for on the consumer, replicated to and granted by the provider."""

    spec: ResourceSliceSpec = field(default_factory=ResourceSliceSpec)
    status: ResourceSliceStatus = field(default_factory=ResourceSliceStatus)


class RenewSpec(Base, frozen=True, kw_only=True):
    """The channel over which renewed certificates flow back."""

    consumer_cluster_id: str = field(default="", name="consumerClusterID")
    identity_type: str = ""
    csr: str = ""
    public_key: str = ""
    resource_slice_ref: SecretReference | None = None


class RenewStatus(Base, frozen=True, kw_only=True):
    """The newest certificate."""

    auth_params: AuthParams | None = None


class Renew(Object, frozen=True, kw_only=True):
    """A request for a renewed certificate, standing as long as the Identity."""

    spec: RenewSpec = field(default_factory=RenewSpec)
    status: RenewStatus = field(default_factory=RenewStatus)


TENANTS = Resource(GROUP, VERSION, "tenants", "Tenant", Tenant)
IDENTITIES = Resource(GROUP, VERSION, "identities", "Identity", Identity)
RESOURCE_SLICES = Resource(GROUP, VERSION, "resourceslices", "ResourceSlice", ResourceSlice)
RENEWS = Resource(GROUP, VERSION, "renews", "Renew", Renew)

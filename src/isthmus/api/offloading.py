"""offloading.liqo.io: virtual nodes, namespaces, shadow pods, quotas (api-fields.md)."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, field

from isthmus.api.authentication import SecretReference
from isthmus.api.endpoints import Endpoint, EndpointPort
from isthmus.kube.objects import EMPTY_OBJECT, Base, Object, RawObject
from isthmus.kube.resource import Resource

GROUP, VERSION = "offloading.liqo.io", "v1beta1"


class OffloadingPatch(Base, frozen=True, kw_only=True):
    """What a VirtualNode adds to or keeps from the pods it offloads."""

    annotations_not_reflected: list[str] = field(default_factory=list)
    labels_not_reflected: list[str] = field(default_factory=list)
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    affinity: dict[str, Any] | None = None
    runtime_class_name: str | None = None


class ResourceQuotaSpec(Base, frozen=True, kw_only=True):
    """The capacity of a virtual node."""

    hard: dict[str, Any] = field(default_factory=dict)


class ObjectReference(Base, frozen=True, kw_only=True):
    """A reference to another object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""


class VirtualNodeSpec(Base, frozen=True, kw_only=True):
    """A provider's slice as a node of this cluster; `template` (a Deployment's) is kept for compatibility."""

    cluster_id: str = field(default="", name="clusterID")
    create_node: bool | None = None
    disable_network_check: bool | None = None
    kubeconfig_secret_ref: SecretReference | None = None
    offloading_patch: OffloadingPatch | None = None
    resource_quota: ResourceQuotaSpec = field(default_factory=ResourceQuotaSpec)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    storage_classes: list[dict[str, Any]] = field(default_factory=list)
    ingress_classes: list[dict[str, Any]] = field(default_factory=list)
    load_balancer_classes: list[dict[str, Any]] = field(default_factory=list)
    vk_options_template_ref: ObjectReference | None = None


class VirtualNodeCondition(Base, frozen=True, kw_only=True):
    """Type VirtualKubelet or Node; status None, Running, Creating, Draining or Deleting."""

    type: str = ""
    status: str = "None"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class VirtualNodeStatus(Base, frozen=True, kw_only=True):
    """The conditions."""

    conditions: list[VirtualNodeCondition] = field(default_factory=list)


class VirtualNode(Object, frozen=True, kw_only=True):
    """A virtual node, on the consumer."""

    spec: VirtualNodeSpec = field(default_factory=VirtualNodeSpec)
    status: VirtualNodeStatus = field(default_factory=VirtualNodeStatus)


class NamespaceOffloadingSpec(Base, frozen=True, kw_only=True):
    """How a namespace is extended; `cluster_selector` is a core NodeSelector, None or empty for all."""

    namespace_mapping_strategy: str = "DefaultName"
    pod_offloading_strategy: str = "LocalAndRemote"
    remote_namespace_name: str = ""
    cluster_selector: dict[str, Any] | None = None


class RemoteNamespaceCondition(Base, frozen=True, kw_only=True):
    """Type OffloadingRequired or Ready."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class NamespaceOffloadingStatus(Base, frozen=True, kw_only=True):
    """Phase Ready, NoClusterSelected, InProgress, SomeFailed, AllFailed or Terminating."""

    offloading_phase: str = ""
    remote_namespace_name: str = ""
    remote_namespaces_conditions: dict[str, list[RemoteNamespaceCondition]] = field(default_factory=dict)
    observed_generation: int = 0


class NamespaceOffloading(Object, frozen=True, kw_only=True):
    """The wish to extend a namespace; always named `offloading`."""

    spec: NamespaceOffloadingSpec = field(default_factory=NamespaceOffloadingSpec)
    status: NamespaceOffloadingStatus = field(default_factory=NamespaceOffloadingStatus)


class RemoteNamespace(Base, frozen=True, kw_only=True):
    """A twin namespace; phase Accepted, CreationLoopBackOff or Terminating."""

    phase: str = ""
    remote_namespace: str = ""


class NamespaceMapSpec(Base, frozen=True, kw_only=True):
    """Local namespace to the wished remote name."""

    desired_mapping: dict[str, str] = field(default_factory=dict)


class NamespaceMapStatus(Base, frozen=True, kw_only=True):
    """Local namespace to what the provider made of it."""

    current_mapping: dict[str, RemoteNamespace] = field(default_factory=dict)


class NamespaceMap(Object, frozen=True, kw_only=True):
    """All twin namespaces of one consumer at one provider; replicated."""

    spec: NamespaceMapSpec = field(default_factory=NamespaceMapSpec)
    status: NamespaceMapStatus = field(default_factory=NamespaceMapStatus)


class QuotaSpec(Base, frozen=True, kw_only=True):
    """What one slice identity may use; limits enforcement None, Soft or Hard."""

    user: str = ""
    limits_enforcement: str = "None"
    resources: dict[str, Any] = field(default_factory=dict)
    cordoned: bool | None = None


class Quota(Object, frozen=True, kw_only=True):
    """A share's limits, on the provider."""

    spec: QuotaSpec = field(default_factory=QuotaSpec)


class ShadowPodSpec(Base, frozen=True, kw_only=True):
    """The pod's spec, kept raw: it is copied, not read."""

    pod: Raw = EMPTY_OBJECT


class ShadowPodStatus(Base, frozen=True, kw_only=True):
    """Phase Pending, Running, Succeeded, Failed or Unknown."""

    phase: str = "Unknown"


class ShadowPod(Object, frozen=True, kw_only=True):
    """On the provider: that a pod exists here for a consumer."""

    spec: ShadowPodSpec = field(default_factory=ShadowPodSpec)
    status: ShadowPodStatus = field(default_factory=ShadowPodStatus)


class EndpointSliceTemplate(Base, frozen=True, kw_only=True):
    """What the EndpointSlice is made of."""

    address_type: str = ""
    endpoints: list[Endpoint] = field(default_factory=list)
    ports: list[EndpointPort] = field(default_factory=list)


class ShadowEndpointSliceSpec(Base, frozen=True, kw_only=True):
    """The endpoints as the consumer knows them."""

    template: EndpointSliceTemplate = field(default_factory=EndpointSliceTemplate)


class ShadowEndpointSlice(Object, frozen=True, kw_only=True):
    """On the provider: endpoints of a consumer's Service; it has no status."""

    spec: ShadowEndpointSliceSpec = field(default_factory=ShadowEndpointSliceSpec)


class VkOptionsTemplate(RawObject, frozen=True, kw_only=True):
    """Defaults for virtual nodes."""


NAMESPACE_MAPS = Resource(GROUP, VERSION, "namespacemaps", "NamespaceMap", NamespaceMap)
NAMESPACE_OFFLOADINGS = Resource(
    GROUP, VERSION, "namespaceoffloadings", "NamespaceOffloading", NamespaceOffloading
)
QUOTAS = Resource(GROUP, VERSION, "quotas", "Quota", Quota)
SHADOW_ENDPOINT_SLICES = Resource(
    GROUP, VERSION, "shadowendpointslices", "ShadowEndpointSlice", ShadowEndpointSlice
)
SHADOW_PODS = Resource(GROUP, VERSION, "shadowpods", "ShadowPod", ShadowPod)
VIRTUAL_NODES = Resource(GROUP, VERSION, "virtualnodes", "VirtualNode", VirtualNode)
VK_OPTIONS_TEMPLATES = Resource(GROUP, VERSION, "vkoptionstemplates", "VkOptionsTemplate", VkOptionsTemplate)

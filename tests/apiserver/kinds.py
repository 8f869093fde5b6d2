"""Which kinds are served: Kubernetes' own that the product touches, and every liqo.io kind with what its CRD says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from isthmus.api.crds import custom_resource_definitions

Json = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One served kind. `fields` are those that field selectors may name besides metadata.name and .namespace."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    status: bool = False
    """Whether status is a subresource, so that other writes leave it alone."""
    generation: bool = False
    """Whether metadata.generation is kept."""
    custom: bool = False
    """Whether a CRD makes it: no unconditional PUT, no strategic merge patch, metadata is not part of its status."""
    fields: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def subresources(self) -> frozenset[str]:
        """What of an object has a path of its own."""
        return _SUBRESOURCES.get(self.resource, frozenset()) | ({"status"} if self.status else set())

    @property
    def resource(self) -> str:
        """`plural.group`, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def title(self) -> str:
        """`Kind.group`, as messages about what is invalid name it."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @staticmethod
    def of(crd: Json) -> Kind:
        """The kind of a CustomResourceDefinition, in the version that is stored."""
        spec = crd["spec"]
        version = next(one for one in spec["versions"] if one.get("storage"))
        return Kind(
            spec["group"],
            version["name"],
            spec["names"]["plural"],
            spec["names"]["kind"],
            namespaced=spec["scope"] == "Namespaced",
            status="status" in version.get("subresources", {}),
            generation=True,
            custom=True,
            fields=tuple(one["jsonPath"].lstrip(".") for one in version.get("selectableFields", ())),
        )


_SUBRESOURCES = {
    "pods": frozenset(
        [
            "attach",
            "binding",
            "ephemeralcontainers",
            "eviction",
            "exec",
            "log",
            "portforward",
            "proxy",
            "resize",
        ],
    ),
    "services": frozenset({"proxy"}),
    "nodes": frozenset({"proxy"}),
    "namespaces": frozenset({"finalize"}),
    "serviceaccounts": frozenset({"token"}),
    "certificatesigningrequests.certificates.k8s.io": frozenset({"approval"}),
}
_POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
_EVENT_FIELDS = (
    *(f"involvedObject.{one}" for one in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_CORE = (
    Kind("", "v1", "namespaces", "Namespace", namespaced=False, status=True, fields=("status.phase",)),
    Kind("", "v1", "nodes", "Node", namespaced=False, status=True, fields=("spec.unschedulable",)),
    Kind("", "v1", "pods", "Pod", status=True, generation=True, fields=_POD_FIELDS),
    Kind("", "v1", "services", "Service", status=True, fields=("spec.clusterIP", "spec.type")),
    Kind("", "v1", "secrets", "Secret", fields=("type",)),
    Kind("", "v1", "events", "Event", fields=_EVENT_FIELDS),
    Kind("", "v1", "configmaps", "ConfigMap"),
    Kind("", "v1", "endpoints", "Endpoints"),
    Kind("", "v1", "serviceaccounts", "ServiceAccount"),
    Kind("", "v1", "limitranges", "LimitRange"),
    Kind("", "v1", "resourcequotas", "ResourceQuota", status=True),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False, status=True),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", status=True),
)
_WORKLOADS = (
    *(
        Kind("apps", "v1", f"{name.lower()}s", name, status=True, generation=True)
        for name in ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet")
    ),
    Kind("batch", "v1", "jobs", "Job", status=True, generation=True, fields=("status.successful",)),
    Kind("batch", "v1", "cronjobs", "CronJob", status=True, generation=True),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", status=True, generation=True),
)
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_NETWORKING = "networking.k8s.io"
_CLUSTER = (
    Kind("coordination.k8s.io", "v1", "leases", "Lease"),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=True),
    Kind(_NETWORKING, "v1", "ingresses", "Ingress", status=True, generation=True),
    Kind(_NETWORKING, "v1", "ingressclasses", "IngressClass", namespaced=False, generation=True),
    Kind(_NETWORKING, "v1", "networkpolicies", "NetworkPolicy", generation=True),
    Kind(_NETWORKING, "v1", "servicecidrs", "ServiceCIDR", namespaced=False, status=True),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False),
    Kind("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False),
    Kind("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False, generation=True),
    Kind(
        "certificates.k8s.io",
        "v1",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        namespaced=False,
        status=True,
        fields=("spec.signerName",),
    ),
    Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False, status=True),
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
        status=True,
        generation=True,
    ),
    Kind(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
    Kind(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Kind(_RBAC, "v1", "roles", "Role"),
    Kind(_RBAC, "v1", "rolebindings", "RoleBinding"),
    *(
        Kind(_ADMISSION, "v1", plural, name, namespaced=False, generation=True)
        for plural, name in (
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
            ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
            ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
        )
    ),
)
BUILT_IN = (*_CORE, *_WORKLOADS, *_CLUSTER)
SERVICE_MONITOR = Kind(
    "monitoring.coreos.com", "v1", "servicemonitors", "ServiceMonitor", generation=True, custom=True
)
"""Of clusters where somebody watches monitors: `serve` it there."""

_LIQO = tuple(Kind.of(crd) for crd in custom_resource_definitions())


class Kinds:
    """The kinds of one server, by the name tests call them: the plural, with `.group` where two share one."""

    def __init__(self, *, liqo: bool = True) -> None:
        self._by_key: dict[str, Kind] = {}
        self._by_place: dict[tuple[str, str], str] = {}
        for kind in (*BUILT_IN, *(_LIQO if liqo else ())):
            self.serve(kind)

    def serve(self, kind: Kind) -> str:
        """Serve a kind, a new one or one that is there; its key."""
        place = (kind.group, kind.plural)
        key = self._by_place.get(place) or (kind.plural if kind.plural not in self._by_key else kind.resource)
        self._by_key[key] = kind
        self._by_place[place] = key
        return key

    def begin_like(self, other: Kinds) -> None:
        """Serve what another server serves."""
        self._by_key, self._by_place = dict(other._by_key), dict(other._by_place)

    def drop(self, key: str) -> None:
        """Serve a kind no longer."""
        kind = self._by_key.pop(key)
        del self._by_place[kind.group, kind.plural]

    def __getitem__(self, key: str) -> Kind:
        if key not in self._by_key:
            raise LookupError(f"{key!r} is not served; add it with ApiServer.serve(Kind(...))")
        return self._by_key[key]

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def find(self, group: str, plural: str, version: str = "") -> str | None:
        """The key of a kind by its place in URLs; without `version` in whichever is served."""
        key = self._by_place.get((group, plural))
        return key if key and version in ("", self._by_key[key].version) else None

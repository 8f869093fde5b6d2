"""/mutate and /validate for foreignclusters, tenants and resourceslices: what peers may state (wire.md 8)."""

from __future__ import annotations

from typing import Any

import msgspec

from isthmus.api import labels, names
from isthmus.api.authentication import RESOURCE_SLICES, TENANTS, ResourceSlice, Tenant
from isthmus.api.core import ForeignCluster
from isthmus.api.quantity import LARGEST, parse_resources
from isthmus.kube.admission import ALLOWED, AdmissionRequest, Verdict, deny, set_label
from isthmus.kube.builtin import CLUSTER_ROLE_BINDINGS, NAMESPACES, ROLE_BINDINGS
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Object
from isthmus.kube.options import Options

NO_HANDSHAKE = "TolerateNoHandshake"
MAX_SLICE_NAME = 50
"""The slice's user is its name and 13 more characters, and has to fit a label."""


async def mutate_foreign_cluster(request: AdmissionRequest) -> Verdict:
    """Give a ForeignCluster the label it is found by."""
    cluster = msgspec.json.decode(request.object, type=ForeignCluster)
    if not cluster.spec.cluster_id:
        return ALLOWED
    return Verdict(
        patch=set_label(cluster.metadata.labels, labels.REMOTE_CLUSTER_ID, cluster.spec.cluster_id)
    )


async def mutate_tenant(request: AdmissionRequest) -> Verdict:
    """Give a Tenant the label it is found by, where it has none."""
    tenant = msgspec.json.decode(request.object, type=Tenant)
    if not tenant.spec.cluster_id or labels.REMOTE_CLUSTER_ID in tenant.metadata.labels:
        return ALLOWED
    return Verdict(patch=set_label(tenant.metadata.labels, labels.REMOTE_CLUSTER_ID, tenant.spec.cluster_id))


class Binding(Object, frozen=True, kw_only=True):
    """A RoleBinding or ClusterRoleBinding of which only the subjects are read."""

    subjects: list[dict[str, Any]] | None = None


class PeeringAdmission:
    """Answers for Tenants and ResourceSlices; these are few, so the others are listed when asked."""

    def __init__(self, manager: Manager, options: Options) -> None:
        self.client = manager.client
        self.cluster_id = options.cluster_id

    async def validate_tenant(self, request: AdmissionRequest) -> Verdict:
        """The verdict on a Tenant created or updated."""
        tenant = msgspec.json.decode(request.object, type=Tenant)
        if tenant.deleting:
            return ALLOWED
        namespace = await self.client.find(NAMESPACES.partial(), request.namespace)
        problem = tenant_problem(tenant, namespace, self.cluster_id)
        if not problem and request.operation == "CREATE" and tenant.spec.authz_policy != NO_HANDSHAKE:
            problem = await self._find_namesake(tenant.spec.cluster_id)
        if problem:
            return deny(problem)
        for other in (await self.client.list(TENANTS.partial())).items:
            place = other.metadata
            if place.uid == tenant.metadata.uid or (place.namespace, place.name) == request.key:
                continue
            if place.namespace == request.namespace:
                return deny(f"namespace {place.namespace} already has the Tenant {place.name}")
            if place.name == tenant.metadata.name:
                return deny(f"a Tenant named {place.name} already exists in namespace {place.namespace}")
            if place.labels.get(labels.REMOTE_CLUSTER_ID) == tenant.spec.cluster_id:
                return deny(
                    f"cluster {tenant.spec.cluster_id} is already the Tenant {place.name} "
                    f"in namespace {place.namespace}"
                )
        return ALLOWED

    async def _find_namesake(self, consumer: str) -> str:
        """Whether a user or group of this cluster is called as the consumer, whose certificates name it as both."""
        for resource in (CLUSTER_ROLE_BINDINGS.view(Binding), ROLE_BINDINGS.view(Binding)):
            for binding in (await self.client.list(resource)).items:
                if problem := namesake_problem(consumer, resource.kind, binding):
                    return problem
        return ""

    async def validate_resource_slice(self, request: AdmissionRequest) -> Verdict:
        """The verdict on a ResourceSlice created or updated."""
        slice_ = msgspec.json.decode(request.object, type=ResourceSlice)
        if slice_.deleting:
            return ALLOWED
        old = None
        if request.operation == "UPDATE":
            old = msgspec.json.decode(request.old_object, type=ResourceSlice)
        problem = slice_problem(slice_, old, peer=names.GROUP_CONTROL_PLANE in request.user_info.groups)
        if problem:
            return deny(problem)
        if old is not None or is_replicated(slice_):
            return ALLOWED
        for other in (await self.client.list(RESOURCE_SLICES.partial())).items:
            place = other.metadata
            same = place.name == slice_.metadata.name and place.namespace != request.namespace
            if same and not is_replicated(other):
                return deny(
                    f"a ResourceSlice named {place.name} already exists in namespace {place.namespace}: "
                    "names of slices are unique in a cluster"
                )
        return ALLOWED


def tenant_problem(tenant: Tenant, namespace: Object | None, cluster_id: str) -> str:
    """What is wrong with a Tenant by itself and in its namespace, "" for nothing."""
    consumer = tenant.spec.cluster_id
    if consumer == cluster_id:
        return (
            f"spec.clusterID is {consumer!r}, which is this cluster's own id: "
            "a cluster cannot peer with itself, nor with one of the same id"
        )
    if not names.is_dns_label(consumer):
        return f"spec.clusterID is {consumer!r}: it must be a DNS label of at most 63 characters"
    label = tenant.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")
    if label != consumer:
        return (
            f"label {labels.REMOTE_CLUSTER_ID} is {label!r} and spec.clusterID {consumer!r}: they must agree"
        )
    found = namespace.metadata.labels if namespace else {}
    if found.get(labels.TENANT_NAMESPACE) != labels.TRUE:
        return (
            f"namespace {tenant.metadata.namespace} is not a tenant namespace: it lacks the label "
            f"{labels.TENANT_NAMESPACE}=true"
        )
    if found.get(labels.REMOTE_CLUSTER_ID) != consumer:
        return (
            f"namespace {tenant.metadata.namespace} is the tenant namespace of "
            f"{found.get(labels.REMOTE_CLUSTER_ID, '')!r}, not of {consumer!r}"
        )
    return ""


def namesake_problem(consumer: str, kind: str, binding: Binding) -> str:
    """Why a binding would give a consumer of that id what is meant for somebody else, "" where it would not."""
    if binding.metadata.labels.get(labels.REMOTE_CLUSTER_ID) == consumer:
        return ""
    for subject in binding.subjects or []:
        if subject.get("kind") in ("User", "Group") and subject.get("name") == consumer:
            return (
                f"spec.clusterID is {consumer!r}, and {kind} {binding.key} gives rights to the "
                f"{str(subject['kind']).lower()} of that name, which the consumer's certificates would have: "
                f"install the consumer with another id, or label the binding {labels.REMOTE_CLUSTER_ID}={consumer} "
                "if it is meant for it"
            )
    return ""


def slice_problem(slice_: ResourceSlice, old: ResourceSlice | None, *, peer: bool) -> str:
    """What is wrong with a ResourceSlice by itself, "" for nothing; `peer` where a consumer's own replication
    asks, which may not lift what the provider imposed."""
    if old is None and len(slice_.metadata.name) > MAX_SLICE_NAME:
        return f"metadata.name is longer than {MAX_SLICE_NAME} characters"
    try:
        amounts = parse_resources(slice_.spec.resources)
    except ValueError as error:
        return f"spec.resources: {error}"
    for name, amount in amounts.items():
        if not 0 <= amount <= LARGEST:
            return f"spec.resources: {name} is {slice_.spec.resources[name]!r}: it must be positive and sane"
    if old is None or not peer:
        return ""
    before, after = old.metadata, slice_.metadata
    key = labels.REMOTE_CLUSTER_ID
    if before.labels.get(key) != after.labels.get(key):
        return f"label {key} cannot be changed"
    for key in (labels.CORDON, labels.CORDON_TENANT):
        if before.annotations.get(key) != after.annotations.get(key):
            return f"annotation {key} cannot be changed by the consumer"
    return ""


def is_replicated(object: Object) -> bool:
    """Whether the object came here from a peer."""
    return object.metadata.labels.get(labels.REPLICATED) == labels.TRUE

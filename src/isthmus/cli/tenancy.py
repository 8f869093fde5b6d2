"""What a provider does about a consumer (behaviour 3.6): the four conditions of a Tenant, and waiting for them.

Each command sets one field with a precondition and waits until the controllers have done all that follows from it:
the marks on the slices, their Quotas, and after a drain the end of everything the consumer placed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from isthmus.api import labels, names
from isthmus.api.authentication import RESOURCE_SLICES, TENANTS, ResourceSlice, Tenant
from isthmus.api.offloading import NAMESPACE_MAPS, QUOTAS
from isthmus.cli.cluster import Cluster, explained, step
from isthmus.cli.errors import CommandError
from isthmus.cli.events import find_refusal
from isthmus.cli.progress import Progress, Step
from isthmus.cli.removal import Group, list_left
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.kube.builtin import NAMESPACES, ROLE_BINDINGS
from isthmus.kube.errors import Conflict
from isthmus.kube.objects import Object
from isthmus.offloading.quota.creator import is_cordoned
from isthmus.peering.tenant_conditions import ACTIVE, CORDONED, DRAINED, is_replicated

NO_HANDSHAKE = "TolerateNoHandshake"


@dataclass(frozen=True, slots=True)
class Change:
    """A verb on a Tenant: where it leads, from which conditions, and what to do in the others."""

    verb: str
    condition: str
    allowed: frozenset[str]
    mend: str
    done: str


CORDON = Change(
    "cordon",
    CORDONED,
    frozenset({ACTIVE, CORDONED}),
    "it may do nothing already; isthmus activate tenant lets it in again",
    "gets no new resources and no new pods; what runs stays",
)
UNCORDON = Change(
    "uncordon",
    ACTIVE,
    frozenset({ACTIVE, CORDONED}),
    "isthmus activate tenant lets it in again",
    "may use what it was granted",
)
DRAIN = Change("drain", DRAINED, frozenset({ACTIVE, CORDONED, DRAINED}), "", "has nothing here any more")
ACTIVATE = Change("activate", ACTIVE, frozenset({ACTIVE, CORDONED, DRAINED}), "", "is let in")


async def find_tenant(cluster: Cluster, consumer: str) -> Tenant:
    """The Tenant of a consumer. Raises CommandError naming those there are."""
    with explained(cluster, "reading the tenants"):
        tenants = (await cluster.client.list(TENANTS)).items
    for tenant in tenants:
        if tenant.metadata.name == consumer or tenant.spec.cluster_id == consumer:
            return tenant
    known = ", ".join(sorted(one.metadata.name for one in tenants))
    raise CommandError(
        f'{cluster.title} has no tenant "{consumer}"',
        f"its tenants are {known}" if known else "no cluster consumes it",
    )


async def count_tenant_pods(cluster: Cluster, tenant: Tenant) -> tuple[int, int]:
    """How many slices and twin namespaces a drain of the tenant ends. Raises KubeError."""
    slices, _, namespaces = placed_here(cluster, tenant)
    return len(await slices.list()), len(await namespaces.list())


def placed_here(cluster: Cluster, tenant: Tenant) -> list[Group]:
    """What the consumer placed here: slices, namespace maps and the twin namespaces of those."""
    consumer, namespace = tenant.spec.cluster_id, tenant.metadata.namespace
    copied = f"{labels.REPLICATED}={labels.TRUE},{labels.ORIGIN_ID}={consumer}"
    return [
        Group(cluster, RESOURCE_SLICES, namespace, copied),
        Group(cluster, NAMESPACE_MAPS, namespace, copied),
        Group(cluster, NAMESPACES, "", f"{labels.REMOTE_CLUSTER_ID}={consumer}", _is_twin),
    ]


def _is_twin(found: Object) -> bool:
    return labels.MANAGED_BY_NAMESPACE_MAP in found.metadata.annotations


async def change_tenant(
    cluster: Cluster, tenant: Tenant, change: Change, progress: Progress, deadline: Deadline
) -> None:
    """Set the condition and wait for what follows from it. Raises CommandError."""
    require_allowed(cluster, tenant, change)
    with step(progress, f"Tenant {tenant.key} {change.condition}", cluster):
        await _set_condition(cluster, tenant, change, deadline)
    title = "Everything it placed here removed" if change.condition == DRAINED else "Its slices and quotas"
    with step(progress, title, cluster) as current:
        check = partial(
            _is_drained if change.condition == DRAINED else _is_marked, cluster, tenant, change, current
        )
        await wait_for(
            check,
            deadline,
            current,
            f"{cluster.title} did not {change.verb} tenant {tenant.metadata.name} in full",
            f"look at the log of the controller in namespace {cluster.namespace}, then run this again",
        )


def require_allowed(cluster: Cluster, tenant: Tenant, change: Change) -> None:
    """Raise CommandError where the verb does not lead from the tenant's condition."""
    if tenant.spec.tenant_condition not in change.allowed:
        raise CommandError(
            f"tenant {tenant.metadata.name} of {cluster.title} is {tenant.spec.tenant_condition}, and only "
            f"{' or '.join(sorted(change.allowed))} ones can be {change.verb}ed",
            change.mend,
        )


async def _set_condition(cluster: Cluster, tenant: Tenant, change: Change, deadline: Deadline) -> None:
    while True:
        if tenant.spec.tenant_condition == change.condition:
            return
        meta = tenant.metadata
        patch = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "spec": {"tenantCondition": change.condition},
        }
        try:
            await cluster.client.patch(TENANTS, meta.name, patch, meta.namespace)
            return
        except Conflict:
            if deadline.left() == 0:
                raise
        tenant = await cluster.client.get(TENANTS, meta.name, meta.namespace)
        require_allowed(cluster, tenant, change)


async def _is_drained(cluster: Cluster, tenant: Tenant, change: Change, current: Step) -> bool | None:
    left = await list_left(placed_here(cluster, tenant))
    binding = await cluster.client.find(
        ROLE_BINDINGS, names.ROLE_BINDING_REMOTE_CONTROL_PLANE, tenant.metadata.namespace
    )
    if binding is not None:
        left.append("its permissions")
    current.update(f"left: {', '.join(left[:4])}" if left else "")
    return None if left else True


async def _is_marked(cluster: Cluster, tenant: Tenant, change: Change, current: Step) -> bool | None:
    """Whether slices and Quotas say what the condition wants, and an active tenant has its permissions."""
    wanted = change.condition == CORDONED
    namespace = tenant.metadata.namespace
    for slice_ in await _list_copies(cluster, namespace):
        meta = slice_.metadata
        if (meta.annotations.get(labels.CORDON_TENANT) == labels.TRUE) != wanted:
            current.update(f"slice {meta.name} is not told yet")
            return None
        if not await quota_follows(cluster, slice_, current):
            return None
    if change.condition == ACTIVE and tenant.spec.authz_policy != NO_HANDSHAKE:
        role = names.ROLE_BINDING_REMOTE_CONTROL_PLANE
        if await cluster.client.find(ROLE_BINDINGS, role, namespace) is None:
            refusal = await find_refusal(cluster, tenant)
            current.update(refusal or "its permissions are not back yet")
            return None
    return True


async def _list_copies(cluster: Cluster, namespace: str) -> list[ResourceSlice]:
    page = await cluster.client.list(RESOURCE_SLICES, namespace)
    return [one for one in page.items if is_replicated(one.metadata.labels) and not one.deleting]


async def quota_follows(cluster: Cluster, slice_: ResourceSlice, current: Step) -> bool:
    """Whether the Quota of a slice, where it has one, is cordoned just when the slice is."""
    meta = slice_.metadata
    name = names.resource_slice_user(meta.name, slice_.spec.consumer_cluster_id)
    quota = await cluster.client.find(QUOTAS, name, meta.namespace)
    if quota is None or bool(quota.spec.cordoned) == is_cordoned(meta.annotations):
        return True
    current.update(f"Quota {quota.key} does not follow yet")
    return False


async def cordon_slice(
    cluster: Cluster, slice_: ResourceSlice, cordon: bool, progress: Progress, deadline: Deadline
) -> None:
    """Mark a consumer's slice, or take the mark off, and wait for its Quota. Raises CommandError."""
    meta = slice_.metadata
    state = "cordoned" if cordon else "uncordoned"
    with step(progress, f"Slice {slice_.key} {state}", cluster) as current:
        patch: dict[str, Any] = {
            "metadata": {"uid": meta.uid, "annotations": {labels.CORDON: labels.TRUE if cordon else None}}
        }
        await cluster.client.patch(RESOURCE_SLICES.partial(), meta.name, patch, meta.namespace)

        async def follows() -> bool | None:
            found = await cluster.client.get(RESOURCE_SLICES, meta.name, meta.namespace)
            return True if await quota_follows(cluster, found, current) else None

        await wait_for(
            follows,
            deadline,
            current,
            f"the Quota of slice {slice_.key} did not follow",
            f"look at the log of the controller in namespace {cluster.namespace}",
        )


async def find_copy(cluster: Cluster, consumer: str, name: str) -> ResourceSlice:
    """A consumer's slice by its name. Raises CommandError naming those there are."""
    selector = f"{labels.REPLICATED}={labels.TRUE},{labels.ORIGIN_ID}={consumer}"
    with explained(cluster, "reading the resource slices"):
        found = (await cluster.client.list(RESOURCE_SLICES, label_selector=selector)).items
    for one in found:
        if one.metadata.name == name:
            return one
    known = ", ".join(sorted(one.metadata.name for one in found))
    raise CommandError(
        f'{cluster.title} has no resource slice "{name}" of {consumer}',
        f"its slices are {known}" if known else f"check --remote-cluster-id {consumer}",
    )

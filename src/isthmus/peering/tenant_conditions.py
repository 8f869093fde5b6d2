"""What cordoning, draining and deleting a Tenant do to its replicated objects on the provider (behaviour 3.6).

Called by the Tenant's reconciler. Cordoned: an annotation on each slice, read by whoever keeps the quotas.
Drained or deleted: slices and namespace maps are deleted, and with them twin namespaces and offloaded pods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isthmus.api import labels
from isthmus.api.authentication import RENEWS, RESOURCE_SLICES, ResourceSlice, Tenant
from isthmus.api.offloading import NAMESPACE_MAPS
from isthmus.kube.client import Client
from isthmus.kube.errors import NotFound
from isthmus.kube.resource import Resource

ACTIVE, CORDONED, DRAINED = "Active", "Cordoned", "Drained"


def is_replicated(object_labels: dict[str, str]) -> bool:
    """Whether the labels say that an object is the copy of a consumer's (wire.md 6)."""
    return labels.ORIGIN_ID in object_labels and object_labels.get(labels.REPLICATED) == labels.TRUE


def plan_cordon(slice_: ResourceSlice, condition: str) -> dict[str, str | None] | None:
    """The annotation to set (None as its value: to remove) on a slice of a Tenant, None where it is right."""
    if not is_replicated(slice_.metadata.labels):
        return None
    wanted = labels.TRUE if condition == CORDONED else None
    if slice_.metadata.annotations.get(labels.CORDON_TENANT) == wanted:
        return None
    return {labels.CORDON_TENANT: wanted}


def concerns(slice_: ResourceSlice, condition: str) -> bool:
    """Whether something has to be done about a slice of a Tenant of this condition."""
    return plan_cordon(slice_, condition) is not None or (
        condition == DRAINED and is_replicated(slice_.metadata.labels)
    )


async def mark_slices(client: Client, tenant: Tenant, slices: Iterable[ResourceSlice]) -> None:
    """Tell the Tenant's slices whether it is cordoned."""
    for slice_ in slices:
        annotations = plan_cordon(slice_, tenant.spec.tenant_condition)
        if annotations is not None and not slice_.deleting:
            patch = {"metadata": {"annotations": annotations}}
            try:
                await client.patch(RESOURCE_SLICES, slice_.metadata.name, patch, slice_.metadata.namespace)
            except NotFound:
                continue


async def drain(client: Client, tenant: Tenant) -> int:
    """Delete what the consumer placed here, its slices and namespace maps; how many were not being deleted yet."""
    return sum([await _delete_copies(client, kind, tenant) for kind in (RESOURCE_SLICES, NAMESPACE_MAPS)])


async def expel(client: Client, tenant: Tenant) -> int:
    """Drain, and delete the channel over which certificates were renewed; the count is that of `drain`."""
    found = await drain(client, tenant)
    await _delete_copies(client, RENEWS, tenant)
    return found


async def _delete_copies(client: Client, resource: Resource[Any], tenant: Tenant) -> int:
    selector = f"{labels.REPLICATED}={labels.TRUE},{labels.ORIGIN_ID}={tenant.spec.cluster_id}"
    page = await client.list(resource.partial(), tenant.metadata.namespace, label_selector=selector)
    standing = [copy.metadata for copy in page.items if not copy.deleting]
    for meta in standing:
        await client.delete(resource, meta.name, meta.namespace, uid=meta.uid)
    return len(standing)

"""The controller that gives each granted ResourceSlice of a consumer its Quota (behaviour.md 3.5).

One key is one replicated slice. The Quota is named as the slice's user, owned by the slice and so collected
with it; it follows the granted resources and the cordons. A denial after a grant leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isthmus.api import labels, names
from isthmus.api.authentication import GROUP, RESOURCE_SLICES, VERSION, ResourceSlice
from isthmus.api.offloading import QUOTAS, Quota, QuotaSpec
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller

_OFF = frozenset({"false", "False", "0"})


def is_granted(slice_: ResourceSlice) -> bool:
    """Whether both its authentication and its resources are accepted."""
    accepted = {c.type for c in slice_.status.conditions if c.status == "Accepted"}
    return {"Authentication", "Resources"} <= accepted


def is_cordoned(annotations: Mapping[str, str]) -> bool:
    """Whether the slice, or its whole tenant, is cordoned."""
    return any(
        key in annotations and annotations[key] not in _OFF for key in (labels.CORDON, labels.CORDON_TENANT)
    )


def is_copy(slice_: ResourceSlice) -> bool:
    """Whether the slice came here from a consumer."""
    found = slice_.metadata.labels
    return found.get(labels.REPLICATED) == labels.TRUE and bool(found.get(labels.ORIGIN_ID))


def forge_quota(slice_: ResourceSlice, limits_enforcement: str) -> Manifest:
    """The Quota of a granted slice."""
    metadata = slice_.metadata
    user = names.resource_slice_user(metadata.name, slice_.spec.consumer_cluster_id)
    return {
        "metadata": {
            "name": user,
            "namespace": metadata.namespace,
            "labels": {
                labels.REMOTE_CLUSTER_ID: slice_.spec.consumer_cluster_id,
                labels.MANAGED: labels.TRUE,
            },
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": "ResourceSlice",
                    "name": metadata.name,
                    "uid": metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "user": user,
            "limitsEnforcement": limits_enforcement,
            "resources": slice_.status.resources,
            "cordoned": is_cordoned(metadata.annotations),
        },
    }


def is_current(quota: Quota | None, slice_: ResourceSlice, limits_enforcement: str) -> bool:
    """Whether the Quota says what the slice's grant says."""
    return (
        quota is not None
        and any(owner.uid == slice_.metadata.uid for owner in quota.metadata.owner_references)
        and quota.spec
        == QuotaSpec(
            user=quota.metadata.name,
            limits_enforcement=limits_enforcement,
            resources=slice_.status.resources,
            cordoned=is_cordoned(slice_.metadata.annotations),
        )
    )


class QuotaController:
    """Keeps the Quotas."""

    def __init__(self, manager: Manager, options: Options) -> None:
        self.client = manager.client
        self.limits_enforcement = options.default_limits_enforcement
        informers = manager.informers
        self.slices = informers.get(RESOURCE_SLICES)
        self.quotas = informers.get(QUOTAS)
        self.namespaces = informers.get(NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID)

    def controller(self) -> Controller:
        """The loop, fed by the slices and by Quotas that were changed or deleted."""
        controller = Controller("resourceslice-quota", self.reconcile)
        controller.watch(self.slices, lambda slice_: [slice_.key] if is_copy(slice_) else [])
        controller.watch(self.quotas, _slice_of)
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Have the Quota of one slice say what was granted."""
        slice_ = self.slices.get(key)
        if slice_ is None or slice_.deleting or not is_copy(slice_) or not is_granted(slice_):
            return None
        if not self._speaks_for_itself(slice_):
            return None
        user = names.resource_slice_user(key.name, slice_.spec.consumer_cluster_id)
        quota = self.quotas.get(Key(key.namespace, user))
        if not is_current(quota, slice_, self.limits_enforcement):
            manifest = forge_quota(slice_, self.limits_enforcement)
            await self.client.apply(QUOTAS, manifest, key.namespace)
        return None

    def _speaks_for_itself(self, slice_: ResourceSlice) -> bool:
        """Whether the slice is in the tenant namespace of the consumer it names."""
        namespace = self.namespaces.get(Key("", slice_.metadata.namespace))
        return (
            namespace is not None
            and labels.TENANT_NAMESPACE in namespace.metadata.labels
            and namespace.metadata.labels[labels.REMOTE_CLUSTER_ID] == slice_.spec.consumer_cluster_id
        )


def _slice_of(quota: Quota) -> Iterable[Key]:
    return [
        Key(quota.metadata.namespace, owner.name)
        for owner in quota.metadata.owner_references
        if owner.kind == "ResourceSlice"
    ]

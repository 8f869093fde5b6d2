"""On the consumer: fills in what a slice needs before it is replicated (behaviour 3.3 step 8, wire.md 4).

The reconciler of our own ResourceSlices: the two cluster ids and the certificate request, which is for the same
key in every slice and byte for byte the same however often it is made: providers pin it. A request that is set is
never replaced.
"""

from __future__ import annotations

from isthmus.api import labels, names
from isthmus.api.authentication import RESOURCE_SLICES, ResourceSlice
from isthmus.kube.certificates import make_request
from isthmus.kube.objects import Key, Manifest
from isthmus.peering import secret_data
from isthmus.peering.caches import Caches
from isthmus.peering.context import Context
from isthmus.peering.errors import RefusedError
from isthmus.peering.handshake import MAXIMUM_SLICE_NAME


class SliceRequestReconciler:
    """Reconciles the slices asked for here."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._caches = caches

    async def reconcile(self, key: Key) -> None:
        """Fill in ids and request."""
        slice_ = self._caches.slices.get(key)
        if slice_ is None or slice_.deleting or slice_.metadata.labels.get(labels.REPLICATION) != labels.TRUE:
            return
        own_id = self._context.options.cluster_id
        try:
            spec = plan_ids(slice_, own_id)
        except RefusedError as error:
            self._context.events.record(RESOURCE_SLICES, slice_, error.reason, str(error), "Warning")
            return
        if not slice_.spec.csr:
            keys = await self._context.keys.read()
            user = names.resource_slice_user(key.name, own_id)
            spec["csr"] = secret_data.encode(await make_request(keys.private, user, [own_id]))
        if spec:
            patch = {
                "metadata": {"uid": slice_.metadata.uid, "resourceVersion": slice_.metadata.resource_version},
                "spec": spec,
            }
            await self._context.client.patch(RESOURCE_SLICES, key.name, patch, key.namespace)


def plan_ids(slice_: ResourceSlice, own_id: str) -> Manifest:
    """The ids to set in the spec, {} where they are right. Raises RefusedError."""
    provider = slice_.metadata.labels.get(labels.REMOTE_ID, "")
    if not names.is_dns_label(provider):
        raise RefusedError(
            "InvalidResourceSlice", f"label {labels.REMOTE_ID} {provider[:64]!r} is not a valid cluster id"
        )
    if provider == own_id:
        raise RefusedError("InvalidResourceSlice", f"label {labels.REMOTE_ID} is this cluster's own id")
    if len(slice_.metadata.name) > MAXIMUM_SLICE_NAME:
        raise RefusedError(
            "InvalidResourceSlice",
            f"the name is longer than {MAXIMUM_SLICE_NAME} characters: create the slice under a shorter one",
        )
    wanted = {"consumerClusterID": own_id, "providerClusterID": provider}
    present = {
        "consumerClusterID": slice_.spec.consumer_cluster_id,
        "providerClusterID": slice_.spec.provider_cluster_id,
    }
    return {field: value for field, value in wanted.items() if present[field] != value}

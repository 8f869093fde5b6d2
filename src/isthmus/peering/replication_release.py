"""Lets go of objects whose copies nobody can delete any more (behaviour 3.7, 3.11).

The reconciler of local replicated objects that are being deleted. While a provider can be told, its replicator
deletes the copy first. Our finalizer goes without that where there is no control-plane Secret any more, where the
ForeignCluster is annotated as permanently unreachable, where the provider has refused us or kept silent for longer
than `peers` allows, or where the deletion has taken longer than any may; should the provider come back, the
replicator finds a copy without an original and deletes it.
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.core import ForeignCluster
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Object, RawObject
from isthmus.kube.resource import Resource
from isthmus.kube.times import deleting_for
from isthmus.peering.caches import PEER_INDEX, REMOTE_INDEX, Caches
from isthmus.peering.context import Context
from isthmus.peering.finalizers import drop_finalizer
from isthmus.peering.handshake import CONTROL_PLANE
from isthmus.peering.peers import DELETION_BOUND, Peers

CHECK_SECONDS = 3.0


class ReleaseReconciler:
    """Objects of one replicated kind."""

    def __init__(self, context: Context, caches: Caches, peers: Peers, kind: Resource[RawObject]) -> None:
        self._client = context.client
        self._caches = caches
        self._peers = peers
        self._kind = kind
        self._objects: Informer[RawObject] = caches.replicated[kind.plural]

    async def reconcile(self, key: Key) -> float | None:
        """Drop the finalizer of an object that nothing can be waited for any more."""
        object_ = self._objects.get(key)
        if object_ is None or not object_.deleting:
            return None
        if labels.FINALIZER_REPLICATION not in object_.metadata.finalizers:
            return None
        provider = object_.metadata.labels.get(labels.REMOTE_ID, "")
        overdue = deleting_for(object_) >= DELETION_BOUND
        if not overdue and not is_abandoned(provider, self._caches, self._peers):
            return CHECK_SECONDS
        await drop_finalizer(self._client, self._kind, object_, labels.FINALIZER_REPLICATION)
        return None

    def keys_of_secret(self, secret: Object) -> list[Key]:
        """The objects that wait for a provider whose control-plane Secret changed."""
        return self._waiting(secret.metadata.labels.get(labels.REMOTE_CLUSTER_ID, ""))

    def keys_of_foreign_cluster(self, foreign_cluster: ForeignCluster) -> list[Key]:
        """The objects that wait for a provider whose ForeignCluster changed."""
        return self._waiting(foreign_cluster.metadata.name)

    def _waiting(self, provider: str) -> list[Key]:
        return [object_.key for object_ in self._objects.by_index(REMOTE_INDEX, provider) if object_.deleting]


def is_control_plane_secret(secret: Object) -> bool:
    """Whether a Secret holds the control plane's kubeconfig for a provider (wire.md 5)."""
    marks = secret.metadata.labels
    return marks.get(labels.IDENTITY_TYPE) == CONTROL_PLANE and bool(
        secret.metadata.annotations.get(labels.REMOTE_TENANT_NAMESPACE)
    )


def is_unreachable(foreign_cluster: ForeignCluster | None) -> bool:
    """Whether an admin has given the provider up (`force unpeer`)."""
    if foreign_cluster is None:
        return False
    return foreign_cluster.metadata.annotations.get(labels.PERMANENTLY_UNREACHABLE) == labels.TRUE


def is_abandoned(provider: str, caches: Caches, peers: Peers) -> bool:
    """Whether nothing waits for a provider any more."""
    secrets = caches.secrets.by_index(PEER_INDEX, provider)
    if not any(is_control_plane_secret(secret) for secret in secrets):
        return True
    peer = peers.find(provider)
    if peer is not None and peer.lost:
        return True
    return is_unreachable(caches.foreign_clusters.get(Key("", provider)))


def replicated_objects(caches: Caches, provider: str, namespace: str) -> list[RawObject]:
    """The local objects that have, or may have, a copy at the provider."""
    return [
        object_
        for informer in caches.replicated.values()
        for object_ in informer.by_index(REMOTE_INDEX, provider)
        if object_.metadata.namespace == namespace
        and labels.FINALIZER_REPLICATION in object_.metadata.finalizers
    ]

"""Keeps a ForeignCluster for every cluster we have to do with (behaviour 1.1, 3.9).

The reconciler's keys are peers' ids, and it runs whichever modules are on. A ForeignCluster is there as long as any
object is about its peer, and says in its status how each part of the peering does. It is never an input but for the
annotation of `force unpeer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from isthmus.api import labels, names
from isthmus.api.core import FOREIGN_CLUSTERS, ForeignCluster
from isthmus.kube.client import Client
from isthmus.kube.errors import AlreadyExists
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.peering.caches import PeerObjects, about, peer_keys
from isthmus.peering.conditions import timestamp
from isthmus.peering.finalizers import drop_finalizer
from isthmus.peering.peer_summaries import Facts, Finding, plan_status, summarize
from isthmus.peering.peers import Peers
from isthmus.peering.races import calmly
from isthmus.peering.replication_release import is_control_plane_secret


class NetworkView(Protocol):
    """What the networking module knows of each peer; the entry point of the process hands it over."""

    def watch(self, controller: Controller, keys: Callable[[Object], Iterable[Key]]) -> None:
        """Feed a controller with the changes of all that bears on it."""

    def conditions(self, peer: str) -> list[Finding]:
        """The conditions towards a peer, none where the module is not in use with it."""


class ForeignClusterReconciler:
    """Reconciles ForeignClusters."""

    def __init__(
        self, client: Client, own_id: str, objects: PeerObjects, peers: Peers, network: NetworkView | None
    ) -> None:
        self._network = network
        self._client = client
        self._own_id = own_id
        self._objects = objects
        self._peers = peers

    async def reconcile(self, key: Key) -> None:
        """Create, update or delete the ForeignCluster of a peer."""
        peer = key.name
        if not names.is_dns_label(peer) or peer == self._own_id:
            return
        facts = self._facts(peer)
        present = self._objects.foreign_clusters.get(key)
        if present is not None and present.deleting:
            # Only stock Liqo's checker sets this one; where it no longer runs, nobody else would remove it.
            await drop_finalizer(self._client, FOREIGN_CLUSTERS, present, labels.FINALIZER_API_SERVER_CHECKER)
        elif facts.empty:
            if present is not None:
                await self._client.delete(FOREIGN_CLUSTERS, peer, uid=present.metadata.uid)
        else:
            await self._write(present or await self._create(peer), facts)

    async def _create(self, peer: str) -> ForeignCluster | None:
        try:
            return await self._client.create(FOREIGN_CLUSTERS, forge_foreign_cluster(peer))
        except AlreadyExists:
            return None  # Our cache is behind; the watch brings us back.

    async def _write(self, present: ForeignCluster | None, facts: Facts) -> None:
        if present is None:
            return
        wanted = summarize(facts, present.status, present.metadata.generation, timestamp())
        if patch := plan_status(present.status, wanted):
            name = present.metadata.name
            await self._client.patch(FOREIGN_CLUSTERS.partial(), name, patch, subresource="status")

    def _facts(self, peer: str) -> Facts:
        objects = self._objects
        return Facts(
            tenants=[one for one in about(objects.tenants, peer) if one.spec.cluster_id == peer],
            identities=about(objects.identities, peer),
            slices=about(objects.slices, peer),
            secrets=[one for one in about(objects.secrets, peer) if is_control_plane_secret(one)],
            virtual_nodes=about(objects.virtual_nodes, peer),
            nodes=about(objects.nodes, peer),
            peer=self._peers.find(peer),
            networking=self._network.conditions(peer) if self._network is not None else [],
        )


def wire_summaries(manager: Manager, options: Options, network: NetworkView | None, peers: Peers) -> None:
    """Add the controller of ForeignClusters; `peers` is what the module's other controllers know of API servers."""
    objects = PeerObjects(manager.informers, options.modules)
    reconciler = ForeignClusterReconciler(manager.client, options.cluster_id, objects, peers, network)
    controller = manager.add(Controller("foreign cluster", calmly(reconciler.reconcile)))
    peers.changed = lambda cluster_id: controller.enqueue(Key("", cluster_id))
    controller.watch(objects.foreign_clusters)
    for informer in objects.watched():
        controller.watch(informer, peer_keys)
    if network is not None:
        network.watch(controller, peer_keys)


def forge_foreign_cluster(peer: str) -> Manifest:
    """The ForeignCluster of a peer."""
    return {
        "metadata": {"name": peer, "labels": {labels.REMOTE_CLUSTER_ID: peer}},
        "spec": {"clusterID": peer},
    }

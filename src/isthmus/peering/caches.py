"""The informers of this module, each kind watched once, and the look-ups by peer.

Secrets are watched with metadata only: what is inside is read when it is needed and not kept in memory. The
kinds that are replicated are watched a second time, raw, so that they are copied without loss. The manager's
InformerSet owns the watches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from isthmus.api import labels
from isthmus.api.authentication import (
    IDENTITIES,
    RENEWS,
    RESOURCE_SLICES,
    TENANTS,
)
from isthmus.api.core import FOREIGN_CLUSTERS
from isthmus.api.offloading import NAMESPACE_MAPS, VIRTUAL_NODES
from isthmus.kube.builtin import NODES, SECRETS
from isthmus.kube.informer import Informer, InformerSet
from isthmus.kube.objects import Key, Object, RawObject
from isthmus.kube.resource import Resource

T = TypeVar("T", bound=Object)

PEER_INDEX = "peering/remote-cluster-id"
REMOTE_INDEX = "peering/remote-id"

REPLICATED_KINDS: tuple[Resource[RawObject], ...] = (
    NAMESPACE_MAPS.view(RawObject),
    RESOURCE_SLICES.view(RawObject),
    RENEWS.view(RawObject),
)
"""What is copied to a provider (wire.md 6)."""


class Caches:
    """The informers of this module's controllers."""

    def __init__(self, informers: InformerSet) -> None:
        self.tenants = _by_peer(informers.get(TENANTS))
        self.identities = _by_peer(informers.get(IDENTITIES))
        self.slices = _by_peer(informers.get(RESOURCE_SLICES))
        self.renews = _by_peer(informers.get(RENEWS))
        self.secrets = _by_peer(informers.get(SECRETS.partial(), label_selector=labels.REMOTE_CLUSTER_ID))
        self.foreign_clusters = informers.get(FOREIGN_CLUSTERS)
        self.replicated: dict[str, Informer[RawObject]] = {}
        for kind in REPLICATED_KINDS:
            informer = informers.get(kind, label_selector=f"{labels.REPLICATION}={labels.TRUE}")
            informer.add_index(REMOTE_INDEX, remote_ids)
            self.replicated[kind.plural] = informer


class PeerObjects:
    """All that is about peers, for whoever sums it up; what a module that is off would serve is None."""

    def __init__(self, informers: InformerSet, modules: frozenset[str]) -> None:
        self.foreign_clusters = informers.get(FOREIGN_CLUSTERS)
        self.tenants = self.identities = self.slices = self.secrets = None
        self.virtual_nodes = self.nodes = None
        if "authentication" in modules:
            self.tenants = _by_peer(informers.get(TENANTS))
            self.identities = _by_peer(informers.get(IDENTITIES))
            self.slices = _by_peer(informers.get(RESOURCE_SLICES))
            self.secrets = _by_peer(informers.get(SECRETS.partial(), label_selector=labels.REMOTE_CLUSTER_ID))
        if "offloading" in modules:
            self.virtual_nodes = _by_peer(informers.get(VIRTUAL_NODES))
            virtual = f"{labels.NODE_TYPE}={labels.NODE_TYPE_VIRTUAL}"
            self.nodes = _by_peer(informers.get(NODES, label_selector=virtual))

    def watched(self) -> list[Informer[Any]]:
        """The informers whose objects bear a peer's label."""
        all_ = (self.tenants, self.identities, self.slices, self.secrets, self.virtual_nodes, self.nodes)
        return [informer for informer in all_ if informer is not None]


def about(informer: Informer[T] | None, peer: str) -> list[T]:
    """The objects about a peer; none where nobody serves the kind."""
    return [] if informer is None else list(informer.by_index(PEER_INDEX, peer))


def peer_of(object_: Object) -> str:
    """The id of the cluster an object is about, "" where it is about none or the label is no cluster id."""
    return object_.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")


def remote_ids(object_: Object) -> list[str]:
    """The provider an object is to be copied to."""
    remote = object_.metadata.labels.get(labels.REMOTE_ID, "")
    return [remote] if remote else []


def peers(object_: Object) -> Iterable[str]:
    """The peers an object is indexed under: one or none."""
    peer = peer_of(object_)
    return [peer] if peer else []


def peer_keys(object_: Object) -> list[Key]:
    """The ForeignCluster to look at when the object changes."""
    return [Key("", peer) for peer in peers(object_)]


def _by_peer(informer: Informer[T]) -> Informer[T]:
    informer.add_index(PEER_INDEX, peers)
    return informer

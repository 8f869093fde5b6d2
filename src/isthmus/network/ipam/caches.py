"""The Networks as this module's controllers look at them: by namespace, without going through a thousand peers'."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api.ipam import NETWORKS, Network
from isthmus.kube.informer import Informer, InformerSet

NAMESPACE_INDEX = "network/namespace"


def watch_networks(informers: InformerSet) -> Informer[Network]:
    """The shared informer of Networks, indexed by namespace."""
    networks = informers.get(NETWORKS)
    networks.add_index(NAMESPACE_INDEX, lambda network: [network.metadata.namespace])
    return networks


def networks_in(networks: Informer[Network], namespace: str) -> Iterable[Network]:
    """The cached Networks of one namespace."""
    return networks.by_index(NAMESPACE_INDEX, namespace)

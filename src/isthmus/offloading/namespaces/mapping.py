"""Which namespaces are extended to which provider, and under which names: pure functions.

The whole desired mapping of a provider follows from the NamespaceOffloadings and the VirtualNodes of the
cluster, so that it can be computed anew at any time and needs no history (behaviour.md 3.10).
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels, names
from isthmus.api.offloading import NamespaceMap, NamespaceOffloading, VirtualNode
from isthmus.kube.objects import Manifest
from isthmus.offloading.namespaces.selector import selects
from isthmus.offloading.virtualnode.node import forge_labels

SELECTED_NAME = "SelectedName"
ENFORCE_SAME_NAME = "EnforceSameName"
DEFAULT_NAME = "DefaultName"


def remote_name(offloading: NamespaceOffloading, cluster_id: str) -> str:
    """What the namespace is called at a provider; `cluster_id` is this cluster's."""
    match offloading.spec.namespace_mapping_strategy:
        case "EnforceSameName":
            return offloading.metadata.namespace
        case "SelectedName":
            return offloading.spec.remote_namespace_name
        case _:
            return names.twin_namespace(offloading.metadata.namespace, cluster_id)


def node_labels(node: VirtualNode) -> dict[str, str]:
    """The labels a cluster selector is matched against: those the Node has, and the VirtualNode's own."""
    return {**node.metadata.labels, **forge_labels(node)}


def wants(offloading: NamespaceOffloading, nodes: Iterable[VirtualNode]) -> bool:
    """Whether the namespace is to be extended to the provider with these virtual nodes."""
    if offloading.deleting or offloading.metadata.name != names.NAMESPACE_OFFLOADING:
        return False
    selector = offloading.spec.cluster_selector
    return any(selects(selector, node_labels(node), node.metadata.name) for node in nodes)


def desired_mapping(
    offloadings: Iterable[NamespaceOffloading], nodes: list[VirtualNode], cluster_id: str
) -> dict[str, str]:
    """Local to remote name of every namespace to be extended to the provider with these virtual nodes.

    Two namespaces that ask for one remote name both stand: the provider gives it to the first and tells
    the other so.
    """
    return {
        offloading.metadata.namespace: remote_name(offloading, cluster_id)
        for offloading in offloadings
        if wants(offloading, nodes)
    }


def is_own_map(map_: NamespaceMap) -> bool:
    """Whether the NamespaceMap is a wish of this cluster (and not a copy of a consumer's)."""
    found = map_.metadata.labels
    return found.get(labels.REPLICATION) == labels.TRUE and bool(found.get(labels.REMOTE_ID))


def forge_namespace_map(provider: str, namespace: str, mapping: dict[str, str]) -> Manifest:
    """The NamespaceMap of a provider in its tenant namespace, to be replicated (wire.md 6)."""
    return {
        "metadata": {
            "name": provider,
            "namespace": namespace,
            "labels": {
                labels.REPLICATION: labels.TRUE,
                labels.REMOTE_ID: provider,
                labels.REMOTE_CLUSTER_ID: provider,
                labels.MANAGED: labels.TRUE,
            },
        },
        "spec": {"desiredMapping": mapping},
    }

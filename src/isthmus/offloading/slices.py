"""The controller that makes a VirtualNode of each granted ResourceSlice that asks for one (behaviour.md 3.3).

On the consumer. One key is one slice of this cluster. The VirtualNode is named as the slice, owned by it, and
follows what the provider grants; whatever else users set on it stays theirs (server-side apply). It is deleted with
the slice, not after it: its pods are being evicted while the provider is told.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from isthmus.api import labels, names
from isthmus.api.authentication import (
    GROUP,
    IDENTITIES,
    RESOURCE_SLICES,
    VERSION,
    Identity,
    ResourceSlice,
)
from isthmus.api.offloading import VIRTUAL_NODES, VirtualNode
from isthmus.kube.builtin import SECRETS
from isthmus.kube.errors import BadRequest, Forbidden, Invalid
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.reconcile import Controller

RETRY, REFUSED = 5.0, 60.0
"""Seconds until the next look for a Secret that is not watched, and at a VirtualNode that is refused."""


def asks_for_node(slice_: ResourceSlice) -> bool:
    """Whether the slice is one of this cluster's and wants a VirtualNode."""
    wish = slice_.metadata.annotations.get(labels.CREATE_VIRTUAL_NODE, "")
    return is_own(slice_) and wish not in ("", labels.FALSE)


def is_own(slice_: ResourceSlice) -> bool:
    """Whether the slice is a request of this cluster (and not a copy of a consumer's)."""
    return slice_.metadata.labels.get(labels.REPLICATION) == labels.TRUE


def is_orphaning(slice_: ResourceSlice) -> bool:
    """Whether what the slice owns is to outlive it (`kubectl delete --cascade=orphan`)."""
    return "orphan" in slice_.metadata.finalizers


def is_granted(slice_: ResourceSlice) -> bool:
    """Whether both its authentication and its resources are accepted."""
    accepted = {c.type for c in slice_.status.conditions if c.status == "Accepted"}
    return {"Authentication", "Resources"} <= accepted


def forge_virtual_node(slice_: ResourceSlice, secret: str) -> Manifest:
    """The VirtualNode of a granted slice; `secret` holds the kubeconfig of its Identity."""
    metadata, status = slice_.metadata, slice_.status
    provider = slice_.spec.provider_cluster_id
    spec: Manifest = {
        "clusterID": provider,
        "kubeconfigSecretRef": {"name": secret},
        "resourceQuota": {"hard": status.resources},
        "labels": status.node_labels,
        "storageClasses": status.storage_classes,
        "ingressClasses": status.ingress_classes,
        "loadBalancerClasses": status.load_balancer_classes,
    }
    if status.node_selector:
        spec["offloadingPatch"] = {"nodeSelector": status.node_selector}
    return {
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": {
                labels.REMOTE_CLUSTER_ID: provider,
                labels.RESOURCE_SLICE_NAME: metadata.name,
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
        "spec": {key: value for key, value in spec.items() if value},
    }


def slice_uid(node: VirtualNode) -> str:
    """The uid of the slice a VirtualNode was made for, "" for none."""
    for owner in node.metadata.owner_references:
        if owner.kind == "ResourceSlice" and owner.controller:
            return owner.uid
    return ""


class VirtualNodeCreator:
    """Keeps the VirtualNodes of slices; what was applied is remembered, by the slice's uid, to spare requests."""

    def __init__(self, manager: Manager) -> None:
        self.client = manager.client
        self.events = manager.events
        informers = manager.informers
        self.slices = informers.get(RESOURCE_SLICES)
        self.identities = informers.get(IDENTITIES)
        self.nodes = informers.get(VIRTUAL_NODES)
        self._applied: dict[str, bytes] = {}

    def controller(self) -> Controller:
        """The loop, fed by slices, their Identities, and VirtualNodes that were changed or deleted."""
        controller = Controller("resourceslice-virtualnode", self.reconcile)
        controller.watch(self.slices)
        controller.watch(self.identities, _slice_of)
        controller.watch(self.nodes, lambda node: [node.key] if slice_uid(node) else [])
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Have the VirtualNode of one slice say what was granted."""
        slice_, node = self.slices.get(key), self.nodes.get(key)
        if slice_ is None or slice_.deleting:
            if node is not None and (slice_ is None or not is_orphaning(slice_)):
                await self._collect(node)
            return None
        if not asks_for_node(slice_) or not is_granted(slice_) or (node is not None and node.deleting):
            return None
        if node is not None and slice_uid(node) != slice_.metadata.uid:
            await self._collect(node)
            return None
        secret = self._secret_of(slice_)
        if not secret:
            return None
        if node is None and await self.client.find(SECRETS.partial(), secret, key.namespace) is None:
            return RETRY
        try:
            await self._apply(slice_, node, secret)
        except (BadRequest, Forbidden, Invalid) as error:
            # What the provider granted cannot be a node of this cluster.
            message = f"The virtual node cannot be made of what was granted: {error}"
            self.events.record(RESOURCE_SLICES, slice_, "VirtualNodeRefused", message, "Warning")
            return REFUSED
        return None

    def _secret_of(self, slice_: ResourceSlice) -> str:
        """The name of the kubeconfig Secret of the slice's Identity, "" while there is none."""
        key = Key(slice_.metadata.namespace, names.resource_slice_identity(slice_.metadata.name))
        identity = self.identities.get(key)
        reference = identity.status.kubeconfig_secret_ref if identity else None
        return reference.name if reference else ""

    async def _apply(self, slice_: ResourceSlice, node: VirtualNode | None, secret: str) -> None:
        manifest = forge_virtual_node(slice_, secret)
        encoded = msgspec.json.encode(manifest)
        uid = slice_.metadata.uid
        if node is not None and self._applied.get(uid) == encoded:
            return
        await self.client.apply(VIRTUAL_NODES.partial(), manifest, slice_.metadata.namespace)
        self._applied[uid] = encoded

    async def _collect(self, node: VirtualNode) -> None:
        """Delete the VirtualNode of a slice that is gone or going, without waiting for the garbage collector."""
        uid, found = slice_uid(node), node.metadata
        self._applied.pop(uid, None)
        if not uid or node.deleting:
            return
        slice_ = await self.client.find(RESOURCE_SLICES.partial(), found.name, found.namespace)
        if slice_ is None or slice_.metadata.uid != uid or slice_.deleting:
            await self.client.delete(VIRTUAL_NODES, found.name, found.namespace, uid=found.uid)


def _slice_of(identity: Identity) -> Iterable[Key]:
    name = identity.metadata.labels.get(labels.RESOURCE_SLICE_NAME)
    return [Key(identity.metadata.namespace, name)] if name else []

"""Keeping the Node object of one virtual node: made, made again when deleted, repaired, its status told.

Runs in the virtual node's task. Labels, annotations and taints are applied, from its creation on (so that those taken
from the VirtualNode go), taints together with those of the node controllers; status is patched where it differs and
every five minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from isthmus.api.offloading import VirtualNode
from isthmus.kube.client import Client
from isthmus.kube.errors import BadRequest, Conflict, Invalid, KubeError, NotFound
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key
from isthmus.offloading.pods.provider import ProviderHealth
from isthmus.offloading.virtualnode.node import (
    DRAINING,
    VIRTUAL_NODE_OBJECTS,
    NodeFacts,
    NodeObject,
    creates_node,
    forge_annotations,
    forge_conditions,
    forge_labels,
    forge_node,
    forge_status,
    is_ours,
    plan_status,
    plan_taints,
    readiness,
    wanted_taints,
)
from isthmus.reflection.guarded import ABSENT

HEARTBEAT_INTERVAL = 300.0
UNMENDED = 60.0
"""Seconds until a Node that the API server refuses is tried again, should nothing it is made of change before."""
FIELD_MANAGER = "isthmus-virtual-node"


class ForeignNodeError(KubeError):
    """A Node of the virtual node's name exists and is not ours."""


class NodeReconciler:
    """Keeps the Node of one virtual node."""

    def __init__(
        self,
        client: Client,
        nodes: Informer[NodeObject],
        health: ProviderHealth,
        facts: NodeFacts,
        virtual_node: Callable[[], VirtualNode | None],
        networking: Callable[[VirtualNode], bool | None],
        refused: Callable[[str], None],
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._health = health
        self._facts = facts
        self._virtual_node = virtual_node
        self._networking = networking
        self._refused = refused
        self._applied: tuple[dict[str, str], dict[str, str]] | None = None
        self._beat_at = 0.0

    async def reconcile(self, key: Key) -> float | None:
        """Bring the Node to what its VirtualNode and the provider's health call for."""
        virtual_node = self._virtual_node()
        if virtual_node is None or not self._health.probed:
            return None
        if virtual_node.deleting or not creates_node(virtual_node):
            return None
        try:
            await self._keep(self._nodes.get(key), virtual_node)
        except (BadRequest, Invalid) as error:
            # A label, taint or quantity that cannot be: the VirtualNode or its template has to be mended.
            self._refused(str(error))
            return UNMENDED
        self._refused("")
        return HEARTBEAT_INTERVAL

    async def _keep(self, node: NodeObject | None, virtual_node: VirtualNode) -> None:
        if node is None:
            node = await self._create(virtual_node)
        if not is_ours(node, virtual_node):
            name = virtual_node.metadata.name
            raise ForeignNodeError(f"Node {name} exists already and is not a virtual node of ours")
        await self._repair(node, virtual_node)
        await self._tell(node, virtual_node)

    async def _create(self, virtual_node: VirtualNode) -> NodeObject:
        taints = wanted_taints(virtual_node, self._facts.taint_effect)
        try:
            return await self._apply(virtual_node, taints, ABSENT)
        except Conflict:
            return await self._client.get(VIRTUAL_NODE_OBJECTS, virtual_node.metadata.name)

    async def _apply(
        self, virtual_node: VirtualNode, taints: list[dict[str, Any]], version: str, uid: str = ""
    ) -> NodeObject:
        """Apply all but the status: nothing of it is ever written otherwise, which an apply could not take back."""
        manifest = forge_node(virtual_node, taints, version, uid)
        node = await self._client.apply(VIRTUAL_NODE_OBJECTS, manifest, field_manager=FIELD_MANAGER)
        self._applied = (manifest["metadata"]["labels"], manifest["metadata"]["annotations"])
        return node

    async def _repair(self, node: NodeObject, virtual_node: VirtualNode) -> None:
        labels, annotations = forge_labels(virtual_node), forge_annotations(virtual_node)
        taints = msgspec.json.decode(node.spec).get("taints") or []
        planned = plan_taints(taints, node, virtual_node, self._facts)
        present = (
            planned == taints
            and labels.items() <= node.metadata.labels.items()
            and annotations.items() <= node.metadata.annotations.items()
        )
        if not present or self._applied != (labels, annotations):
            found = node.metadata
            try:
                await self._apply(virtual_node, planned, found.resource_version, found.uid)
            except Conflict:
                return  # it is gone, another or has changed: its event is under way
        if DRAINING in node.metadata.annotations:
            await self._uncordon(node)

    async def _uncordon(self, node: NodeObject) -> None:
        """Take back a cordon that was ours: the VirtualNode wants its Node after all."""
        found = node.metadata
        patch = {
            "metadata": {"uid": found.uid, "annotations": {DRAINING: None}},
            "spec": {"unschedulable": None},
        }
        try:
            await self._client.patch(VIRTUAL_NODE_OBJECTS.partial(), found.name, patch)
        except (NotFound, Conflict):
            return  # it is gone or another: its event is under way

    async def _tell(self, node: NodeObject, virtual_node: VirtualNode) -> None:
        present = msgspec.json.decode(node.status)
        ready = readiness(present)
        health = self._health
        if not health.reachable:
            if ready and not (health.lost and ready == "True"):
                # In doubt the Node stays as it is; later the node controller may have its say (Unknown).
                return
            health = ProviderHealth(probed=True, lost=True, detail=health.detail)
        conditions = forge_conditions(virtual_node, health, networking=self._networking(virtual_node))
        due = time.monotonic() >= self._beat_at
        wanted = forge_status(virtual_node, self._facts)
        patch = plan_status(present, wanted, conditions, _now(), heartbeat=due)
        if not patch:
            return
        if ready not in ("", "True"):
            self._health.settle()
        try:
            await self._client.patch(
                VIRTUAL_NODE_OBJECTS.partial(),
                node.metadata.name,
                {"metadata": {"uid": node.metadata.uid}, "status": patch},
                subresource="status",
                field_manager=FIELD_MANAGER,
            )
        except (NotFound, Conflict):
            return  # it is gone or another: its event is under way
        self._beat_at = time.monotonic() + HEARTBEAT_INTERVAL - 1


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

"""On the consumer: the controller that owns the NamespaceMaps, one for each provider with a virtual node.

One key is (tenant namespace, provider). The whole desired mapping is computed from the NamespaceOffloadings
and VirtualNodes in the caches and written when it differs; with the last VirtualNode the map is deleted,
upon which the provider deletes the twin namespaces. A VirtualNode that drains still counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import names
from isthmus.api.offloading import (
    NAMESPACE_MAPS,
    NAMESPACE_OFFLOADINGS,
    NamespaceMap,
    VirtualNode,
)
from isthmus.kube.errors import AlreadyExists, NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.offloading.namespaces.mapping import desired_mapping, forge_namespace_map, is_own_map
from isthmus.offloading.virtualnode.templates import WishedNodes

LATER = 2.0
"""Seconds until the next look where a cache was behind the API server."""


class MapController:
    """Keeps the NamespaceMap of every provider."""

    def __init__(self, manager: Manager, options: Options) -> None:
        self.client = manager.client
        self.cluster_id = options.cluster_id
        informers = manager.informers
        self.maps = informers.get(NAMESPACE_MAPS)
        self.nodes = WishedNodes(informers, options.namespace)
        self.offloadings = informers.get(NAMESPACE_OFFLOADINGS)

    def controller(self) -> Controller:
        """The loop, fed by the maps, the virtual nodes and the offloadings."""
        controller = Controller("namespacemap-local", self.reconcile)
        controller.watch(self.maps, lambda map_: [map_.key] if is_own_map(map_) else [])
        controller.watch(self.nodes.nodes, _map_of)
        controller.watch(self.nodes.templates, self._all)
        controller.watch(self.offloadings, self._all)
        return controller

    def _all(self, _: Object) -> Iterable[Key]:
        return {key for node in self.nodes.list() for key in _map_of(node)}

    async def reconcile(self, key: Key) -> float | None:
        """Create, update or delete the NamespaceMap of one provider."""
        map_ = self.maps.get(key)
        if map_ is not None and not is_own_map(map_):
            return None
        nodes = [node for node in self.nodes.list(key.namespace) if node.spec.cluster_id == key.name]
        if not nodes:
            await self._delete(map_)
            return None
        mapping = desired_mapping(self.offloadings.list(), nodes, self.cluster_id)
        if map_ is None:
            return await self._create(key, mapping)
        if not map_.deleting and map_.spec.desired_mapping != mapping:
            await self._update(map_, mapping)
        return None

    async def _create(self, key: Key, mapping: dict[str, str]) -> float | None:
        manifest = forge_namespace_map(key.name, key.namespace, mapping)
        try:
            await self.client.create(NAMESPACE_MAPS, manifest, key.namespace)
        except AlreadyExists:
            return LATER
        return None

    async def _update(self, map_: NamespaceMap, mapping: dict[str, str]) -> None:
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": map_.metadata.uid},
            {"op": "add", "path": "/spec", "value": {"desiredMapping": mapping}},
        ]
        try:
            await self.client.patch(
                NAMESPACE_MAPS, map_.metadata.name, patch, map_.metadata.namespace, type="json"
            )
        except NotFound:
            return

    async def _delete(self, map_: NamespaceMap | None) -> None:
        if map_ is None or map_.deleting:
            return
        found = map_.metadata
        await self.client.delete(NAMESPACE_MAPS, found.name, found.namespace, uid=found.uid)


def _map_of(node: VirtualNode) -> Iterable[Key]:
    provider = node.spec.cluster_id
    return [Key(node.metadata.namespace, provider)] if names.is_dns_label(provider) else []

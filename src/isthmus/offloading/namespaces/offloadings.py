"""On the consumer: the controller of NamespaceOffloadings: finalizer, scheduling label, status.

The mappings themselves are written by `maps`; here the namespace is labelled for the pod webhook, the
outcome told, and a deletion held up until every provider has let go of the twin namespace, at most
`DELETION_BOUND` seconds: what is still to be deleted is by then written in the NamespaceMap, and a provider
that was away learns it from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from isthmus.api import labels, names
from isthmus.api.offloading import (
    NAMESPACE_MAPS,
    NAMESPACE_OFFLOADINGS,
    NamespaceMap,
    NamespaceOffloading,
    VirtualNode,
)
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.errors import NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.kube.times import deleting_for
from isthmus.offloading.namespaces.finalizers import add_finalizer, remove_finalizer
from isthmus.offloading.namespaces.mapping import is_own_map, remote_name, wants
from isthmus.offloading.namespaces.status import map_status
from isthmus.offloading.virtualnode.templates import WishedNodes

DELETION_BOUND = 120.0
"""Seconds a deletion waits for the providers (the time `unoffload` waits)."""


class OffloadingController:
    """Keeps the namespaces' labels and tells users how their wishes fare."""

    def __init__(self, manager: Manager, options: Options) -> None:
        self.client = manager.client
        self.cluster_id = options.cluster_id
        informers = manager.informers
        self.offloadings = informers.get(NAMESPACE_OFFLOADINGS)
        self.maps = informers.get(NAMESPACE_MAPS)
        self.nodes = WishedNodes(informers, options.namespace)
        self.labelled = informers.get(
            NAMESPACES.partial(), label_selector=f"{labels.SCHEDULING_ENABLED}={labels.TRUE}"
        )

    def controller(self) -> Controller:
        """The loop, fed by all that the status is made of."""
        controller = Controller("namespaceoffloading", self.reconcile)
        controller.watch(self.offloadings)
        controller.watch(self.maps, self._mapped)
        controller.watch(self.nodes.nodes, self._all)
        controller.watch(self.nodes.templates, self._all)
        controller.watch(self.labelled, lambda ns: [Key(ns.metadata.name, names.NAMESPACE_OFFLOADING)])
        return controller

    def _mapped(self, map_: NamespaceMap) -> Iterable[Key]:
        if not is_own_map(map_):
            return
        for namespace in map_.spec.desired_mapping.keys() | map_.status.current_mapping.keys():
            yield Key(namespace, names.NAMESPACE_OFFLOADING)

    def _all(self, _: Object) -> Iterable[Key]:
        return [offloading.key for offloading in self.offloadings.list()]

    async def reconcile(self, key: Key) -> float | None:
        """Bring label, finalizer and status of one NamespaceOffloading to what they should be."""
        if key.name != names.NAMESPACE_OFFLOADING:
            return None
        offloading = self.offloadings.get(key)
        if offloading is None or offloading.deleting:
            await self._label(key.namespace, wanted=False)
            return None if offloading is None else await self._let_go(offloading)
        if labels.FINALIZER_NAMESPACE_OFFLOADING not in offloading.metadata.finalizers:
            patch = add_finalizer(offloading, labels.FINALIZER_NAMESPACE_OFFLOADING)
            offloading = await self.client.patch(NAMESPACE_OFFLOADINGS, key.name, patch, key.namespace)
        await self._label(key.namespace, wanted=offloading.spec.pod_offloading_strategy != "Local")
        await self._write_status(offloading)
        return None

    async def _let_go(self, offloading: NamespaceOffloading) -> float | None:
        """Wait, within bounds, until no provider has the twin namespace any more."""
        if labels.FINALIZER_NAMESPACE_OFFLOADING not in offloading.metadata.finalizers:
            return None
        namespace = offloading.metadata.namespace
        left = DELETION_BOUND - deleting_for(offloading)
        waiting = any(
            namespace in map_.spec.desired_mapping or namespace in map_.status.current_mapping
            for map_ in self._own_maps().values()
        )
        if waiting and left > 0:
            await self._write_status(offloading)
            return left
        patch = remove_finalizer(offloading, labels.FINALIZER_NAMESPACE_OFFLOADING)
        try:
            await self.client.patch(NAMESPACE_OFFLOADINGS, offloading.metadata.name, patch, namespace)
        except NotFound:
            pass
        return None

    async def _label(self, namespace: str, *, wanted: bool) -> None:
        """Have the pod webhook asked about the namespace's pods, or not."""
        found: Object | None = self.labelled.get(Key("", namespace))
        if (found is not None) == wanted:
            return
        patch = {"metadata": {"labels": {labels.SCHEDULING_ENABLED: labels.TRUE if wanted else None}}}
        try:
            await self.client.patch(NAMESPACES.partial(), namespace, patch)
        except NotFound:
            return

    def _own_maps(self) -> dict[str, NamespaceMap]:
        return {map_.metadata.name: map_ for map_ in self.maps.list() if is_own_map(map_)}

    async def _write_status(self, offloading: NamespaceOffloading) -> None:
        by_provider: dict[str, list[VirtualNode]] = {}
        for node in self.nodes.list():
            by_provider.setdefault(node.spec.cluster_id, []).append(node)
        selected = {provider for provider, nodes in by_provider.items() if wants(offloading, nodes)}
        status = map_status(
            offloading,
            remote_name(offloading, self.cluster_id),
            selected,
            self._own_maps(),
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if status == offloading.status:
            return
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": offloading.metadata.uid},
            {"op": "add", "path": "/status", "value": msgspec.to_builtins(status)},
        ]
        metadata = offloading.metadata
        try:
            await self.client.patch(
                NAMESPACE_OFFLOADINGS,
                metadata.name,
                patch,
                metadata.namespace,
                type="json",
                subresource="status",
            )
        except NotFound:
            return

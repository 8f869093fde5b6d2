"""The controller that keeps one EndpointSlice for each ShadowEndpointSlice.

One key is the name both share. Whatever bears on the endpoints is watched: the ForeignClusters (readiness), the
Configurations (addresses) and the namespaces (whose a twin is). Slices are applied, never over one that is not
the ShadowEndpointSlice's own; they go by owner reference, helped along where the garbage collector is slow.
What a consumer got wrong as a whole has no slice here; it is told by an event and costs only that object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache

import msgspec

from isthmus.api import labels
from isthmus.api.core import FOREIGN_CLUSTERS
from isthmus.api.endpoints import ENDPOINT_SLICES, EndpointSlice
from isthmus.api.networking import CONFIGURATIONS, Configuration
from isthmus.api.offloading import SHADOW_ENDPOINT_SLICES, ShadowEndpointSlice
from isthmus.api.peer_ranges import configuration_of, read_ranges
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.errors import BadRequest, Forbidden, Invalid, NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.reconcile import Controller
from isthmus.offloading.shadowendpointslice.forge import forge_slice, has_surplus, is_current, owner_uid
from isthmus.offloading.shadowendpointslice.mapping import (
    Mapped,
    Peer,
    Policy,
    RefusedError,
    direct_clusters,
    is_answering,
    is_connected,
    map_endpoints,
)
from isthmus.offloading.shadowpod.forge import FINISHED, SHADOWED_PODS, PodPhase
from isthmus.reflection import guarded
from isthmus.reflection.repairs import Repairs

WORKERS = 10
COLLECTION_GRACE = 2.0
"""Seconds the cluster's garbage collector gets to delete the slice of a ShadowEndpointSlice that is gone."""
UNMENDED = 60.0
"""Seconds until a fault that only people can mend is looked at again."""
LINKS = "shadow-endpoint-slices"
TAKEN = "an EndpointSlice of that name exists and was not made for this ShadowEndpointSlice"


def _links(shadow: ShadowEndpointSlice) -> Iterable[str]:
    """What bears on a ShadowEndpointSlice: its namespace, the clusters it speaks of, and pods it may mean."""
    namespace = shadow.metadata.namespace
    yield f"namespace/{namespace}"
    try:
        clusters = direct_clusters(shadow)
    except RefusedError:
        clusters = {}
    yield from (f"cluster/{one}" for one in {origin_of(shadow), *clusters.values()})
    yield from (_pod_link(namespace, address) for address in clusters)


def _pod_link(namespace: str, address: str) -> str:
    return f"pod/{namespace}/{address}"


def _pod_links(pod: PodPhase) -> tuple[str, ...]:
    """The address of a pod, which it has until it ends: then another pod may get it."""
    held = pod.status.pod_ip and pod.status.phase not in FINISHED
    return (_pod_link(pod.metadata.namespace, pod.status.pod_ip),) if held else ()


def origin_of(shadow: Object) -> str:
    """The consumer an object says it is of."""
    return shadow.metadata.labels.get(labels.ORIGIN, "")


class ShadowEndpointSliceController:
    """Keeps EndpointSlices; what it remembers, by key or uid, spares requests and repeated events."""

    def __init__(self, manager: Manager, policy: Policy) -> None:
        self.client = manager.client
        self.events = manager.events
        self.policy = policy
        informers = manager.informers
        self.shadows = informers.get(SHADOW_ENDPOINT_SLICES)
        self.slices = informers.get(
            ENDPOINT_SLICES, label_selector=f"{labels.MANAGED_BY}={labels.MANAGED_BY_SHADOW_ENDPOINT_SLICE}"
        )
        self.peers = informers.get(FOREIGN_CLUSTERS)
        self.configurations = informers.get(CONFIGURATIONS)
        self.namespaces = informers.get(NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID)
        self.pods = informers.get(
            SHADOWED_PODS, label_selector=f"{labels.MANAGED_BY}={labels.MANAGED_BY_SHADOW_POD}"
        )
        self.shadows.add_index(LINKS, _links)
        self.pods.add_index(LINKS, _pod_links)
        self.configurations.add_index(LINKS, _cluster_links)
        self.shadows.add_handler(self._note_shadow)
        self._repairs = Repairs()
        self._applied: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self._orphans: dict[Key, float] = {}

    def controller(self) -> Controller:
        """The loop, fed by ShadowEndpointSlices, their slices and all that bears on them."""
        controller = Controller("shadowendpointslice", self.reconcile, workers=WORKERS)
        controller.watch(self.shadows)
        controller.watch(self.slices)
        controller.watch(self.peers, lambda peer: self._linked(f"cluster/{peer.metadata.name}"))
        controller.watch(self.configurations, lambda one: self._linked(*_cluster_links(one)))
        controller.watch(self.namespaces, self._of_namespace)
        controller.watch(self.pods, lambda pod: self._linked(*_pod_links(pod)))
        return controller

    def _of_namespace(self, namespace: Object) -> set[Key]:
        """What a twin or tenant namespace bears on."""
        tenant = labels.TENANT_NAMESPACE in namespace.metadata.labels
        return self._linked(
            f"namespace/{namespace.metadata.name}", *(_cluster_links(namespace) if tenant else ())
        )

    def _linked(self, *links: str) -> set[Key]:
        return {shadow.key for link in links for shadow in self.shadows.by_index(LINKS, link)}

    def _note_shadow(self, old: ShadowEndpointSlice | None, new: ShadowEndpointSlice | None) -> None:
        """Forget what is gone."""
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._repairs.forget(old.key)
            self._applied.pop(old.metadata.uid, None)
            self._told.pop(old.metadata.uid, None)

    async def reconcile(self, key: Key) -> float | None:
        """Have the EndpointSlice of one ShadowEndpointSlice, with what it says of endpoints now."""
        shadow, slice_ = self.shadows.get(key), self.slices.get(key)
        if slice_ is not None and (shadow is None or owner_uid(slice_) != shadow.metadata.uid):
            if shadow is not None and not owner_uid(slice_):
                return self._fault(shadow, TAKEN)
            return await self._collect(slice_)
        self._orphans.pop(key, None)
        if shadow is None or shadow.deleting:
            return None
        try:
            mapped = self._map(shadow)
        except RefusedError as error:
            if slice_ is not None:
                await guarded.delete(self.client, ENDPOINT_SLICES, slice_)
            return self._fault(shadow, str(error))
        if slice_ is None and not mapped.endpoints and mapped.dropped:
            return self._fault(shadow, _dropped(mapped.dropped))
        pause = await self._have(shadow, slice_, forge_slice(shadow, mapped.endpoints))
        if pause is None and mapped.dropped:
            return self._fault(shadow, _dropped(mapped.dropped))
        if pause is None:
            self._told.pop(shadow.metadata.uid, None)
        return pause

    def _map(self, shadow: ShadowEndpointSlice) -> Mapped:
        """The endpoints here. Raises RefusedError."""
        origin, namespace = origin_of(shadow), shadow.metadata.namespace
        twin = self.namespaces.get(Key("", namespace))
        if not origin or twin is None or twin.metadata.labels.get(labels.REMOTE_CLUSTER_ID) != origin:
            raise RefusedError(
                f"label {labels.ORIGIN} is {origin[:64]!r}, but namespace {namespace} is not that cluster's"
            )
        if self.peers.get(Key("", origin)) is None:
            raise RefusedError(f"there is no ForeignCluster {origin}")
        return map_endpoints(
            shadow,
            origin,
            cache(self._peer),
            self.policy,
            lambda address: bool(self.pods.by_index(LINKS, _pod_link(namespace, address))),
        )

    def _peer(self, cluster: str) -> Peer | None:
        """A cluster as its ForeignCluster and its Configuration show it."""
        summary = self.peers.get(Key("", cluster))
        if summary is None:
            return None
        candidates = self.configurations.by_index(LINKS, f"cluster/{cluster}")
        configuration = configuration_of(cluster, candidates, lambda name: self.namespaces.get(Key("", name)))
        ranges = None if configuration is None else read_ranges(configuration)
        return Peer(ranges, is_connected(summary), is_answering(summary))

    async def _have(
        self, shadow: ShadowEndpointSlice, slice_: EndpointSlice | None, wished: Manifest
    ) -> float | None:
        """Make the slice what it should be; seconds until to look again."""
        uid, digest = shadow.metadata.uid, hash(msgspec.json.encode(wished))
        if slice_ is not None and self._is_current(uid, digest, wished, slice_):
            return None
        pause = self._repairs.pause(shadow.key, str(digest), _now())
        if pause > 0:
            return pause
        try:
            if not await self._apply(shadow, slice_, wished, digest):
                return self._fault(shadow, TAKEN)
        except (BadRequest, Forbidden, Invalid, NotFound) as error:
            return self._fault(shadow, str(error))
        self._applied[uid] = digest
        return None

    def _is_current(self, uid: str, digest: int, wished: Manifest, slice_: EndpointSlice) -> bool:
        """Whether nothing is to be written. Surplus keys that one apply left there are somebody else's."""
        if not is_current(wished, slice_):
            return False
        return self._applied.get(uid) == digest or not has_surplus(wished, slice_)

    async def _apply(
        self, shadow: ShadowEndpointSlice, slice_: EndpointSlice | None, wished: Manifest, digest: int
    ) -> bool:
        """Create or change the slice; False where a foreign one is in its place."""
        manager = labels.SHADOW_ENDPOINT_SLICE_MANAGER
        if slice_ is None:
            outcome = await guarded.create(
                self.client,
                ENDPOINT_SLICES,
                wished,
                lambda found: owner_uid(found) == shadow.metadata.uid,
                field_manager=manager,
            )
            if outcome.version or outcome.present is None:
                return bool(outcome.version)
            slice_ = outcome.present
        self._repairs.note(shadow.key, str(digest), _now())
        await guarded.change(self.client, ENDPOINT_SLICES, wished, slice_, field_manager=manager)
        return True

    async def _collect(self, slice_: EndpointSlice) -> float | None:
        """Delete the slice of a ShadowEndpointSlice that is gone, where the garbage collector is slow to."""
        found, uid = slice_.metadata, owner_uid(slice_)
        if slice_.deleting or not uid:
            return None
        left = self._orphans.setdefault(slice_.key, _now() + COLLECTION_GRACE)
        if left > _now():
            return left - _now()
        shadow = await self.client.find(SHADOW_ENDPOINT_SLICES.partial(), found.name, found.namespace)
        if shadow is None or shadow.metadata.uid != uid:
            await self.client.delete(ENDPOINT_SLICES, found.name, found.namespace, uid=found.uid)
        return None

    def _fault(self, shadow: ShadowEndpointSlice, message: str) -> float:
        """Tell once what is wrong; seconds until to look again."""
        if self._told.get(shadow.metadata.uid) != message:
            self._told[shadow.metadata.uid] = message
            self.events.record(SHADOW_ENDPOINT_SLICES, shadow, "FailedEndpointSlice", message, "Warning")
        return UNMENDED


def _now() -> float:
    return asyncio.get_running_loop().time()


def _cluster_links(object: Configuration | Object) -> tuple[str, ...]:
    """The cluster an object is labelled with, as a link."""
    return (f"cluster/{object.metadata.labels.get(labels.REMOTE_CLUSTER_ID, '')}",)


def _dropped(addresses: list[str]) -> str:
    some = ", ".join(address[:64] for address in addresses[:5]) + (", ..." if len(addresses) > 5 else "")
    return f"{len(addresses)} addresses are dropped, as no Configuration of a peer maps them: {some}"

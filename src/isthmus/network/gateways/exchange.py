"""The controller that keeps the two ends of a tunnel in step: it announces ours and follows the peer's.

One key is a tenant namespace and its peer. It owns one annotation on each ResourceSlice shared with the peer
(`announcement`), which peering's replication carries over, and the record on the PublicKey and GatewayClient that
follow (`following`). Each side writes only its own annotation, so nothing goes in circles. A peer is followed at most
once in `PAUSE` seconds; what it says wrongly is told as an event and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable

from isthmus.api.authentication import RESOURCE_SLICES, ResourceSlice
from isthmus.api.cidr import CIDR, parse_cidr
from isthmus.api.ipam import Network
from isthmus.api.networking import (
    GATEWAY_CLIENTS,
    PUBLIC_KEYS,
    Endpoint,
    GatewayClient,
    GatewayServer,
    PublicKey,
)
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.errors import NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.reconcile import Controller
from isthmus.kube.resource import Resource
from isthmus.network.gateways.announcement import (
    Announcement,
    AnnouncementError,
    is_key,
    newest,
    own_annotation,
    peer_annotation,
    plan_announcement,
    read_announcement,
    slice_peer,
)
from isthmus.network.gateways.caches import PEER_INDEX, Caches, index_by_peer
from isthmus.network.gateways.following import (
    Step,
    decide,
    describe,
    explain_pinned,
    forge_endpoint,
    forge_key,
    forge_record,
    recorded,
)
from isthmus.network.gateways.objects import SIDES, Gateway, gateway_name, peer_of
from isthmus.network.gateways.workload import PUBLIC_KEY_ANNOTATION
from isthmus.network.ipam.caches import watch_networks

PAUSE = 10.0
"""Seconds between two times a peer is followed: it must not have our gateways restarted in a row."""
SLICE_INDEX = "gateways/shared-with"
"""Of ResourceSlices, by namespace and the peer they are shared with."""


class ExchangeReconciler:
    """All peers."""

    def __init__(self, manager: Manager, caches: Caches) -> None:
        self._client, self._events = manager.client, manager.events
        self._caches = caches
        self._networks = watch_networks(manager.informers)
        self._networks.add_handler(self._note_range)
        self._ranges: dict[Key, CIDR] = {}
        """Those with a meaning of their own here, of peers as they are seen here among them; by Network."""
        self._slices = manager.informers.get(RESOURCE_SLICES)
        self._slices.add_index(SLICE_INDEX, _index_by_sharer)
        self._public_keys = manager.informers.get(PUBLIC_KEYS)
        self._public_keys.add_index(PEER_INDEX, index_by_peer)
        self._followed: dict[Key, float] = {}
        """When each peer was followed last, on the loop's clock."""
        self._told: dict[tuple[Key, str], str] = {}
        """The warning each object had last, so that it is told once and not at every look."""

    def controller(self) -> Controller:
        """The loop, fed by the gateways, their Deployments, the slices and the peers' keys."""
        controller = Controller("network-exchange", self.reconcile)
        for side in SIDES:
            controller.watch(self._caches.gateways[side.mode], _keys_by_peer)
        controller.watch(self._caches.deployments, _keys_by_peer)
        controller.watch(self._public_keys, _keys_by_peer)
        controller.watch(self._slices, _keys_by_sharer)
        controller.watch(self._networks, lambda _: [])  # Read only; to be synced first.
        controller.watch(
            self._caches.namespaces,
            lambda namespace: [Key(namespace.metadata.name, peer_of(namespace))],
        )
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Announce our end of the tunnel to one peer, and follow what it announces of its own."""
        namespace = self._caches.namespaces.get(Key("", key.namespace))
        if not is_tenant_namespace_of(namespace, key.name):
            return None
        slices = sorted(self._slices.by_index(SLICE_INDEX, str(key)), key=lambda one: one.key)
        slices = [one for one in slices if not one.deleting]
        gateways = [one for one in self._caches.gateways_of(key.namespace, key.name) if not one.deleting]
        if len(gateways) != 1:
            # With several the user has to choose first; they are told of it.
            if not gateways:
                self._forget(key)
                await self._withdraw(slices)
            return None
        await self._announce(gateways[0], slices)
        try:
            announcement = self._read(slices)
        except AnnouncementError as error:
            message = f"what the peer announces of its gateway is not followed: {error}"
            self._tell(key, slices[0], RESOURCE_SLICES, "AnnouncementRefused", message)
            return None
        return await self._follow(key, gateways[0], announcement) if announcement is not None else None

    async def _announce(self, gateway: Gateway, slices: list[ResourceSlice]) -> None:
        public_key = self._own_key(gateway)
        if not public_key:
            return  # Being made, or made anew: what was said last stays until then.
        endpoint = gateway.status.endpoint if isinstance(gateway, GatewayServer) else None
        for slice_ in slices:
            annotation = own_annotation(slice_)
            present = slice_.metadata.annotations.get(annotation, "")
            text = plan_announcement(present, public_key, endpoint, int(time.time()))
            if text is not None:
                await self._annotate(slice_, annotation, text)

    async def _withdraw(self, slices: list[ResourceSlice]) -> None:
        for slice_ in slices:
            if own_annotation(slice_) in slice_.metadata.annotations:
                await self._annotate(slice_, own_annotation(slice_), None)

    async def _annotate(self, slice_: ResourceSlice, annotation: str, text: str | None) -> None:
        meta = slice_.metadata
        patch: Manifest = {"metadata": {"uid": meta.uid, "annotations": {annotation: text}}}
        await self._patch(RESOURCE_SLICES, slice_, patch)

    def _own_key(self, gateway: Gateway) -> str:
        """The key our gateway runs with, or is about to; "" while that is not known."""
        meta = gateway.metadata
        deployment = self._caches.deployments.get(Key(meta.namespace, gateway_name(meta.name)))
        if deployment is None or deployment.deleting:
            return ""
        key = deployment.spec.template.metadata.annotations.get(PUBLIC_KEY_ANNOTATION, "")
        return key if is_key(key) else ""

    def _read(self, slices: list[ResourceSlice]) -> Announcement | None:
        """What the peer said last, in whichever slice. Raises AnnouncementError where all of it is unusable."""
        texts = {one.metadata.annotations.get(peer_annotation(one), "") for one in slices} - {""}
        found, fault = [], None
        for text in sorted(texts):
            try:
                found.append(read_announcement(text, self._ranges.values()))
            except AnnouncementError as error:
                fault = error
        if fault is not None and not found:
            raise fault
        return newest(found)

    def _note_range(self, old: Network | None, new: Network | None) -> None:
        # Kept beside the cache: a thousand peers have thousands of them, which are not to be read at each look.
        if old is not None:
            self._ranges.pop(old.key, None)
        if new is not None and new.status.cidr:
            with contextlib.suppress(ValueError):
                self._ranges[new.key] = parse_cidr(new.status.cidr)

    async def _follow(self, key: Key, gateway: Gateway, told: Announcement) -> float | None:
        steps = [step for step in self._steps(key, gateway, told) if step is not None]
        adopts = any(adopt for _, _, _, adopt in steps)
        now = asyncio.get_running_loop().time()
        wait = self._followed.get(key, now - PAUSE) + PAUSE - now
        for resource, object_, patch, adopt in steps:
            if not adopt or wait <= 0:
                await self._patch(resource, object_, patch)
        if adopts and wait <= 0:
            self._followed[key] = now
        return wait if adopts and wait > 0 else None

    def _steps(
        self, key: Key, gateway: Gateway, told: Announcement
    ) -> Iterable[tuple[Resource[PublicKey] | Resource[GatewayClient], Object, Manifest, bool] | None]:
        """The patches to be made, and whether each changes more than the record."""
        public_keys = self._peer_keys(key)
        if (
            len(public_keys) == 1
        ):  # With none the user exchanges keys by hand; several are told by the gateway.
            yield self._key_step(key, public_keys[0], told.public_key)
        if isinstance(gateway, GatewayClient) and told.endpoint is not None:
            yield self._endpoint_step(key, gateway, told.endpoint)

    def _peer_keys(self, key: Key) -> list[PublicKey]:
        keys = self._public_keys.by_index(PEER_INDEX, f"{key.namespace}/{key.name}")
        return [one for one in keys if not one.deleting]

    def _key_step(
        self, key: Key, public_key: PublicKey, told: str
    ) -> tuple[Resource[PublicKey], Object, Manifest, bool] | None:
        step = decide(public_key.spec.public_key, recorded(public_key), told)
        if step is Step.PINNED:
            self._tell(key, public_key, PUBLIC_KEYS, "EndpointPinned", explain_pinned("spec.publicKey", told))
        if step is Step.RECORD:
            return PUBLIC_KEYS, public_key, forge_record(public_key, told), False
        return (PUBLIC_KEYS, public_key, forge_key(public_key, told), True) if step is Step.ADOPT else None

    def _endpoint_step(
        self, key: Key, client: GatewayClient, told: Endpoint
    ) -> tuple[Resource[GatewayClient], Object, Manifest, bool] | None:
        text = describe(told)
        step = decide(describe(client.spec.endpoint), recorded(client), text)
        if step is Step.PINNED:
            self._tell(key, client, GATEWAY_CLIENTS, "EndpointPinned", explain_pinned("spec.endpoint", text))
        if step is Step.RECORD:
            return GATEWAY_CLIENTS, client, forge_record(client, text), False
        return (GATEWAY_CLIENTS, client, forge_endpoint(client, told), True) if step is Step.ADOPT else None

    async def _patch(
        self,
        resource: Resource[PublicKey] | Resource[GatewayClient] | Resource[ResourceSlice],
        object_: Object,
        patch: Manifest,
    ) -> None:
        meta = object_.metadata
        try:
            await self._client.patch(resource.partial(), meta.name, patch, meta.namespace)
        except NotFound:
            pass  # Its end brings us back.

    def _tell(
        self,
        key: Key,
        object_: Object,
        resource: Resource[PublicKey] | Resource[GatewayClient] | Resource[ResourceSlice],
        reason: str,
        message: str,
    ) -> None:
        if self._told.get((key, resource.plural)) != message:
            self._told[key, resource.plural] = message
            self._events.record(resource, object_, reason, message, "Warning")

    def _forget(self, key: Key) -> None:
        self._followed.pop(key, None)
        for place in [place for place in self._told if place[0] == key]:
            del self._told[place]


def _keys_by_peer(object_: Object) -> list[Key]:
    peer = peer_of(object_)
    return [Key(object_.metadata.namespace, peer)] if peer else []


def _keys_by_sharer(slice_: Object) -> list[Key]:
    peer = slice_peer(slice_)
    return [Key(slice_.metadata.namespace, peer)] if peer else []


def _index_by_sharer(slice_: Object) -> list[str]:
    return [str(key) for key in _keys_by_sharer(slice_)]

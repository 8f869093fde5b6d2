"""Copies the objects of one kind to one provider, and their status back (wire.md 6, behaviour 3.7).

A `Replicator` belongs to the task of one control-plane Secret (`peer_tasks`) and has its own queue and its own
connections, so that a slow provider costs only its own peering. A refusal (403) is waited out quietly. It does not
give a deletion up: that is for `replication_release`, which also runs where no replicator can. Renews alone are let
go at the first refusal: when a peering ends, the provider takes our permissions back and deletes the copy itself.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from isthmus.api import labels
from isthmus.api.authentication import RENEWS, RESOURCE_SLICES
from isthmus.kube.client import Client
from isthmus.kube.errors import (
    AlreadyExists,
    BadRequest,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Unauthorized,
)
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, RawObject
from isthmus.kube.reconcile import Controller
from isthmus.kube.resource import Resource
from isthmus.peering.context import Context
from isthmus.peering.finalizers import add_finalizer, drop_finalizer
from isthmus.peering.peers import Peer
from isthmus.peering.replication_plans import (
    forge_copy,
    is_copy,
    is_local,
    plan_announcement,
    plan_spec,
    plan_status,
)

logger = logging.getLogger(__name__)

UNUSABLE_DELAY = 30.0
"""Seconds between looks at what only somebody's change can mend."""
UNWATCHED_DELAY = 3.0
"""Seconds between looks at a copy while the provider's objects cannot be watched."""
DELETION_DELAY = 2.0
"""Seconds between looks at a copy that is being deleted, should the watch be late."""


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where objects are copied."""

    peer: Peer
    remote: Client
    namespace: str
    remote_namespace: str


class Replicator:
    """One kind, one provider."""

    def __init__(
        self, context: Context, route: Route, kind: Resource[RawObject], local: Informer[RawObject]
    ) -> None:
        self._context = context
        self._client = context.client
        self._own_id = context.options.cluster_id
        self._route = route
        self._kind = kind
        self._local = local
        selector = f"{labels.ORIGIN_ID}={self._own_id},{labels.REPLICATED}={labels.TRUE}"
        self._copies = Informer(
            route.remote,
            kind,
            route.remote_namespace,
            label_selector=selector,
            observer=self._judge if kind.plural == RESOURCE_SLICES.plural else lambda outcome: None,
        )
        self._controller = Controller(f"replicate {kind.plural} to {route.peer.cluster_id}", self.reconcile)

    async def run(self) -> None:
        """Replicate until cancelled."""
        self._controller.watch(self._local, self._keys)
        # Not `watch`: the controller must run also while the provider cannot be watched.
        remove = self._copies.add_handler(self._look_at)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copies.run())
                group.create_task(self._controller.run())
        finally:
            remove()

    async def reconcile(self, key: Key) -> float | None:
        """Bring one object and its copy in line."""
        local = self._local.get(key)
        if local is not None and not is_local(local, self._route.peer.cluster_id):
            return None
        try:
            if local is None:
                return await self._clear(key)
            if local.deleting:
                return await self._delete(local)
            return await self._copy(local)
        except Forbidden as error:
            logger.debug("provider %s refuses: %s", self._route.peer.cluster_id, error)
            if local is not None and local.deleting and self._kind.plural == RENEWS.plural:
                await drop_finalizer(self._client, self._kind, local, labels.FINALIZER_REPLICATION)
                return None
            return self._route.peer.patience

    async def _copy(self, local: RawObject) -> float | None:
        if labels.FINALIZER_REPLICATION not in local.metadata.finalizers:
            await add_finalizer(self._client, self._kind, local, labels.FINALIZER_REPLICATION)
            return None  # The change brings us back.
        remote = await self._find(local.metadata.name)
        if remote is None:
            return await self._create(local)
        if not is_copy(remote, self._own_id):
            self._warn(
                local, "NotReplicated", "the provider has an object of its own under this name: rename ours"
            )
            return UNUSABLE_DELAY
        if remote.deleting:
            return DELETION_DELAY  # It is made anew once it is gone.
        if patch := plan_spec(local, remote):
            with self._route.peer.observe():
                await self._route.remote.patch(
                    self._kind.partial(),
                    remote.metadata.name,
                    patch,
                    self._route.remote_namespace,
                    type="json",
                )
        again = await self._take_status(local, remote)
        await self._carry_announcements(local, remote)
        return again or self._next_look()

    async def _create(self, local: RawObject) -> float | None:
        manifest = forge_copy(local, self._own_id)
        try:
            with self._route.peer.observe():
                await self._route.remote.create(self._kind.partial(), manifest, self._route.remote_namespace)
        except AlreadyExists:
            return 1.0  # Our watch is behind, or the name is taken: the next look tells.
        except (BadRequest, Invalid, NotFound) as error:
            self._warn(local, "NotReplicated", f"the provider does not take it: {error}")
            return UNUSABLE_DELAY
        return self._next_look()

    async def _take_status(self, local: RawObject, remote: RawObject) -> float | None:
        try:
            patch = plan_status(local, remote)
            if patch:
                meta = local.metadata
                await self._client.patch(
                    self._kind.partial(), meta.name, patch, meta.namespace, type="json", subresource="status"
                )
        except (ValueError, BadRequest, Invalid) as error:
            self._warn(local, "StatusRefused", f"the provider's status is not taken over: {error}")
            return UNUSABLE_DELAY
        except NotFound:
            pass
        return None

    async def _carry_announcements(self, local: RawObject, remote: RawObject) -> None:
        """What each side's networking says to the other's: our annotation there, the provider's here."""
        meta, place = local.metadata, self._route.remote_namespace
        try:
            if patch := plan_announcement(local, remote, labels.CONSUMER_NETWORK):
                with self._route.peer.observe():
                    await self._route.remote.patch(self._kind.partial(), meta.name, patch, place)
            if patch := plan_announcement(remote, local, labels.PROVIDER_NETWORK):
                await self._client.patch(self._kind.partial(), meta.name, patch, meta.namespace)
        except (ValueError, BadRequest, Invalid) as error:
            self._warn(local, "AnnouncementRefused", f"not carried over: {error}")
        except NotFound:
            pass

    async def _delete(self, local: RawObject) -> float | None:
        if labels.FINALIZER_REPLICATION not in local.metadata.finalizers:
            return None
        if await self._remove_copy(local.metadata.name):
            return DELETION_DELAY
        await drop_finalizer(self._client, self._kind, local, labels.FINALIZER_REPLICATION)
        return None

    async def _clear(self, key: Key) -> float | None:
        """The object is gone, or no longer to be copied: so is the copy, and our finalizer."""
        if await self._remove_copy(key.name):
            return DELETION_DELAY
        stray = await self._client.find(self._kind, key.name, key.namespace)
        if stray is not None and not is_local(stray, self._route.peer.cluster_id):
            await drop_finalizer(self._client, self._kind, stray, labels.FINALIZER_REPLICATION)
        return None

    async def _remove_copy(self, name: str) -> bool:
        """Ask for the copy's deletion; whether it is still there. Asks the provider: the cache may be behind."""
        with self._route.peer.observe():
            remote = await self._route.remote.find(self._kind, name, self._route.remote_namespace)
        if remote is None or not is_copy(remote, self._own_id):
            return False
        if not remote.deleting:
            with self._route.peer.observe():
                await self._route.remote.delete(
                    self._kind, name, self._route.remote_namespace, uid=remote.metadata.uid
                )
        return True

    async def _find(self, name: str) -> RawObject | None:
        cached = self._copies.get(Key(self._route.remote_namespace, name))
        if cached is not None and self._copies.connected:
            return cached
        with self._route.peer.observe():
            return await self._route.remote.find(self._kind, name, self._route.remote_namespace)

    def _next_look(self) -> float | None:
        """Seconds until the copy is to be looked at again, None while its changes are told."""
        return None if self._copies.connected else UNWATCHED_DELAY

    def _keys(self, local: RawObject) -> list[Key]:
        mine = local.metadata.namespace == self._route.namespace
        return [local.key] if mine and is_local(local, self._route.peer.cluster_id) else []

    def _look_at(self, old: RawObject | None, new: RawObject | None) -> None:
        for copy in (old, new):
            if copy is not None:
                self._controller.enqueue(Key(self._route.namespace, copy.metadata.name))

    def _judge(self, outcome: KubeError | None) -> None:
        """A provider that refuses the watch of what every peering has keeps us out, also when nothing is written."""
        if outcome is None:
            self._route.peer.admit()
        elif isinstance(outcome, Unauthorized):
            self._route.peer.refuse("certificate")
        elif isinstance(outcome, Forbidden):
            self._route.peer.refuse("permissions")

    def _warn(self, local: RawObject, reason: str, message: str) -> None:
        self._context.events.record(self._kind, local, reason, message, "Warning")

"""On the provider: the controller that turns consumers' NamespaceMaps into twin namespaces.

One key is one replicated NamespaceMap. Each reconciliation compares all its mappings with the namespaces and
RoleBindings in the caches, creates, mends and deletes, and writes the outcome into the map's status, which
is replicated back. A name that cannot be had is tried again every `RETRY` seconds: a foreign namespace is
not watched. A failing map is retried by its own key alone. A deleted map stays until its twins are gone, at most
`DELETION_BOUND` seconds: by then they have been asked to go, and what holds them is this cluster's own.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from isthmus.api import labels
from isthmus.api.offloading import NAMESPACE_MAPS, NamespaceMap, RemoteNamespace
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.errors import AlreadyExists, BadRequest, Forbidden, Invalid, NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.kube.times import deleting_for
from isthmus.offloading.namespaces.finalizers import add_finalizer, remove_finalizer
from isthmus.offloading.namespaces.twins import (
    TWIN_ROLE_BINDINGS,
    RoleBinding,
    accepted,
    binds_rightly,
    consumer_of_twin,
    forge_role_binding,
    forge_twin,
    is_copy,
    is_twin_of,
    map_key_of,
    name_refused,
    number_refused,
    origin_of,
    refused,
    terminating,
)

RETRY = 10.0
"""Seconds between attempts at a name that is not free."""
LATER = 1.0
"""Seconds until the next look where the cache was behind the API server."""
DELETION_BOUND = 600.0
"""Seconds a deleted NamespaceMap waits for its twin namespaces."""
BY_MAP = "namespace-map"
BY_CONSUMER = "consumer"


class TwinController:
    """Keeps the twin namespaces of every consumer."""

    def __init__(self, manager: Manager, options: Options) -> None:
        self.client = manager.client
        self.events = manager.events
        self.own_namespace = options.namespace
        informers = manager.informers
        self.maps = informers.get(NAMESPACE_MAPS)
        self.namespaces = informers.get(NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID)
        self.bindings = informers.get(TWIN_ROLE_BINDINGS, label_selector=labels.REMOTE_CLUSTER_ID)
        self.namespaces.add_index(BY_MAP, lambda object: [str(key) for key in _owner(object)])
        self.namespaces.add_index(
            BY_CONSUMER, lambda object: [origin] if (origin := consumer_of_twin(object)) else []
        )

    def controller(self) -> Controller:
        """The loop, fed by the maps, the twin and tenant namespaces, and the twins' RoleBindings."""
        controller = Controller("namespacemap", self.reconcile, workers=4)
        controller.watch(self.maps)
        controller.watch(self.namespaces, self._maps_of)
        controller.watch(self.bindings, _owner)
        return controller

    def _maps_of(self, namespace: Object) -> Iterable[Key]:
        yield from _owner(namespace)
        if labels.TENANT_NAMESPACE in namespace.metadata.labels:
            yield from (map_.key for map_ in self.maps.list(namespace.metadata.name))

    async def reconcile(self, key: Key) -> float | None:
        """Bring the twin namespaces of one map to what it asks for."""
        map_ = self.maps.get(key)
        if map_ is None or not is_copy(map_):
            return None
        trusted = is_tenant_namespace_of(self.namespaces.get(Key("", key.namespace)), origin_of(map_))
        if not trusted and not map_.deleting:
            self.events.record(
                NAMESPACE_MAPS,
                map_,
                "TenantNamespaceMismatch",
                f"{key.namespace} is not the tenant namespace of cluster {origin_of(map_)}: ignored",
                "Warning",
            )
            return None
        if not map_.deleting and labels.FINALIZER_NAMESPACE_MAP not in map_.metadata.finalizers:
            patch = add_finalizer(map_, labels.FINALIZER_NAMESPACE_MAP)
            map_ = await self.client.patch(NAMESPACE_MAPS, key.name, patch, key.namespace)
        return await self._converge(map_)

    async def _converge(self, map_: NamespaceMap) -> float | None:
        wishes = {} if map_.deleting else map_.spec.desired_mapping
        outcome = {local: await self._try(map_, local, remote) for local, remote in wishes.items()}
        left = await self._delete_surplus(map_, wishes)
        await self._write_status(map_, left | outcome)
        if map_.deleting:
            return await self._let_go(map_, left)
        return RETRY if any(found == refused(found.remote_namespace) for found in outcome.values()) else None

    async def _try(self, map_: NamespaceMap, local: str, remote: str) -> RemoteNamespace:
        """Have one twin; what the API server refuses for good costs only this one."""
        try:
            return await self._ensure(map_, local, remote)
        except (BadRequest, Forbidden, Invalid) as error:
            return self._refuse(map_, remote, str(error))

    async def _ensure(self, map_: NamespaceMap, local: str, remote: str) -> RemoteNamespace:
        """Have one twin namespace and its RoleBinding; what became of it."""
        reason = name_refused(remote, self.own_namespace)
        if reason:
            return self._refuse(map_, remote, reason)
        twin = self.namespaces.get(Key("", remote))
        if twin is None:
            reason = number_refused(len(list(self.namespaces.by_index(BY_CONSUMER, origin_of(map_)))))
            if reason:
                return self._refuse(map_, remote, reason)
            try:
                twin = await self.client.create(NAMESPACES.partial(), forge_twin(map_, local, remote))
            except AlreadyExists:
                twin = await self._adopt(map_, local, remote)
        if twin is None or not is_twin_of(twin, map_.key, local):
            return self._refuse(map_, remote, "a namespace of that name exists and was not made for it")
        if twin.deleting:
            return terminating(remote)
        await self._bind(map_, remote)
        return accepted(remote)

    async def _adopt(self, map_: NamespaceMap, local: str, remote: str) -> Object | None:
        """The namespace that is there already, with the label it is watched by put back where it is ours."""
        twin = await self.client.find(NAMESPACES.partial(), remote)
        if twin is None or not is_twin_of(twin, map_.key, local):
            return twin
        if twin.metadata.labels.get(labels.REMOTE_CLUSTER_ID) != origin_of(map_):
            patch = {"metadata": {"uid": twin.metadata.uid, **_labels_of(map_, local, remote)}}
            return await self.client.patch(NAMESPACES.partial(), remote, patch)
        return twin

    def _refuse(self, map_: NamespaceMap, remote: str, reason: str) -> RemoteNamespace:
        if refused(remote) not in map_.status.current_mapping.values():
            message = f"Cannot create namespace {remote[:63]!r} for cluster {origin_of(map_)}: {reason}"
            self.events.record(NAMESPACE_MAPS, map_, "NamespaceRefused", message, "Warning")
        return refused(remote)

    async def _bind(self, map_: NamespaceMap, remote: str) -> None:
        """Let the consumer's identities in."""
        found = self.bindings.get(Key(remote, map_.metadata.namespace))
        if found is not None and binds_rightly(found, map_):
            return
        manifest = forge_role_binding(map_, remote)
        try:
            await self.client.apply(TWIN_ROLE_BINDINGS, manifest, remote)
        except Invalid:  # the role of a binding cannot be changed, only the binding replaced
            await self._unbind(
                map_, await self.client.get(TWIN_ROLE_BINDINGS, map_.metadata.namespace, remote)
            )
            await self.client.apply(TWIN_ROLE_BINDINGS, manifest, remote)

    async def _unbind(self, map_: NamespaceMap, binding: RoleBinding) -> None:
        if map_key_of(binding) != map_.key:
            raise AlreadyExists(f"RoleBinding {binding.key} exists, binds another role and is not ours")
        await self.client.delete(
            TWIN_ROLE_BINDINGS, binding.metadata.name, binding.metadata.namespace, uid=binding.metadata.uid
        )

    async def _delete_surplus(self, map_: NamespaceMap, wishes: dict[str, str]) -> dict[str, RemoteNamespace]:
        """Delete the map's namespaces that are no longer asked for; those still going, by local name."""
        left = {}
        for twin in list(self.namespaces.by_index(BY_MAP, str(map_.key))):
            local = twin.metadata.annotations.get(labels.ORIGINAL_NAME, "")
            name = twin.metadata.name
            if wishes.get(local) == name:
                continue
            if twin.deleting or await self._delete(twin):
                left[local] = terminating(name)
        return left

    async def _delete(self, twin: Object) -> bool:
        """Ask for a twin's end; whether it is still there. One that may not be deleted costs only itself."""
        try:
            return bool(await self.client.delete(NAMESPACES, twin.metadata.name, uid=twin.metadata.uid))
        except (BadRequest, Forbidden, Invalid) as error:
            message = f"Cannot delete the twin namespace {twin.metadata.name}: {error}"
            self.events.record(NAMESPACES, twin, "NamespaceNotDeleted", message, "Warning")
            return True

    async def _let_go(self, map_: NamespaceMap, left: dict[str, RemoteNamespace]) -> float | None:
        """Release a deleted map once nothing of it is left, or time is up."""
        wait = DELETION_BOUND - deleting_for(map_)
        if wait <= 0:
            await self._drop_finalizer(map_)
            return None
        return min(wait, RETRY) if left else await self._release(map_)

    async def _write_status(self, map_: NamespaceMap, current: dict[str, RemoteNamespace]) -> None:
        if current == map_.status.current_mapping:
            return
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": map_.metadata.uid},
            {"op": "add", "path": "/status", "value": {"currentMapping": msgspec.to_builtins(current)}},
        ]
        try:
            await self.client.patch(
                NAMESPACE_MAPS,
                map_.metadata.name,
                patch,
                map_.metadata.namespace,
                type="json",
                subresource="status",
            )
        except NotFound:
            return

    async def _release(self, map_: NamespaceMap) -> float | None:
        """Let the map go once the API server itself, not only the cache, has no twin of it any more."""
        selector = f"{labels.REMOTE_CLUSTER_ID}={origin_of(map_)}"
        page = await self.client.list(NAMESPACES.partial(), label_selector=selector)
        if any(map_key_of(namespace) == map_.key for namespace in page.items):
            return LATER
        await self._drop_finalizer(map_)
        return None

    async def _drop_finalizer(self, map_: NamespaceMap) -> None:
        if labels.FINALIZER_NAMESPACE_MAP not in map_.metadata.finalizers:
            return
        patch = remove_finalizer(map_, labels.FINALIZER_NAMESPACE_MAP)
        try:
            await self.client.patch(NAMESPACE_MAPS, map_.metadata.name, patch, map_.metadata.namespace)
        except NotFound:
            pass


def _owner(object: Object) -> Iterable[Key]:
    key = map_key_of(object)
    return () if key is None else (key,)


def _labels_of(map_: NamespaceMap, local: str, remote: str) -> dict[str, object]:
    return {"labels": forge_twin(map_, local, remote)["metadata"]["labels"]}

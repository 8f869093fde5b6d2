"""A small API server in the tests' own process: objects with resourceVersions, watches, finalizers, generations.

It keeps what the reconcilers rely on: preconditions on uid and resourceVersion, a status subresource, a generation
that only the spec moves, deletion that waits for finalizers, collection of what is owned.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from tests.kube.fake import Exchange, FakeServer

Json = dict[str, Any]
Place = tuple[str, str, str]
"""Plural, namespace and name."""

KINDS = {
    "networks": ("ipam.liqo.io/v1alpha1", "Network"),
    "ips": ("ipam.liqo.io/v1alpha1", "IP"),
    "configurations": ("networking.liqo.io/v1beta1", "Configuration"),
    "services": ("v1", "Service"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
    "events": ("v1", "Event"),
    "namespaces": ("v1", "Namespace"),
    "pods": ("v1", "Pod"),
    "virtualnodes": ("offloading.liqo.io/v1beta1", "VirtualNode"),
    "shadowpods": ("offloading.liqo.io/v1beta1", "ShadowPod"),
    "internalnodes": ("networking.liqo.io/v1beta1", "InternalNode"),
    "internalfabrics": ("networking.liqo.io/v1beta1", "InternalFabric"),
    "gatewayclients": ("networking.liqo.io/v1beta1", "GatewayClient"),
    "publickeies": ("networking.liqo.io/v1beta1", "PublicKey"),
    "connections": ("networking.liqo.io/v1beta1", "Connection"),
    "firewallconfigurations": ("networking.liqo.io/v1beta1", "FirewallConfiguration"),
    "routeconfigurations": ("networking.liqo.io/v1beta1", "RouteConfiguration"),
    "nodes": ("v1", "Node"),
    "leases": ("coordination.k8s.io/v1", "Lease"),
}


class ApiServer:
    """The objects, and a way to wait for them to be as they should."""

    def __init__(self) -> None:
        self.objects: dict[Place, Json] = {}
        self.version = 0
        self.lose_next: Callable[[Json], bool] | None = None
        """Has the answer of the next status write that it is true of lost after the write was done."""
        self._changed = asyncio.Condition()
        self._watchers: set[tuple[str, asyncio.Queue[tuple[str, Json]]]] = set()

    def create(self, plural: str, manifest: Json) -> Json:
        """An object as a user would create it."""
        meta = manifest["metadata"]
        place = (plural, meta.get("namespace", ""), meta["name"])
        if place in self.objects:
            raise FileExistsError(place)
        value = copy.deepcopy(manifest)
        value["apiVersion"], value["kind"] = KINDS[plural]
        self.version += 1
        value["metadata"] |= {
            "uid": f"uid-{self.version}",
            "generation": 1,
            "creationTimestamp": f"2026-01-01T{self.version // 3600:02}:{self.version // 60 % 60:02}"
            f":{self.version % 60:02}Z",
        }
        self._store(place, value, "ADDED")
        owners = {owner["uid"] for owner in value["metadata"].get("ownerReferences", [])}
        if owners and not owners & {one["metadata"]["uid"] for one in self.objects.values()}:
            self.delete(*place)  # As the garbage collector does with what came after its owner had gone.
        return value

    def merge(self, plural: str, namespace: str, name: str, patch: Json, *, status: bool = False) -> Json:
        """A merge patch; raises LookupError for a precondition that fails."""
        place = (plural, namespace, name)
        old = self.objects[place]
        given = patch.get("metadata", {})
        for field in ("uid", "resourceVersion"):
            if given.get(field, old["metadata"][field]) != old["metadata"][field]:
                raise LookupError(field)
        allowed = (
            {"status": patch.get("status")} if status else {k: v for k, v in patch.items() if k != "status"}
        )
        value: Json = _merged(old, allowed)
        value["metadata"]["uid"] = old["metadata"]["uid"]
        if value.get("spec") != old.get("spec"):
            value["metadata"]["generation"] += 1
        if value != old:
            self._store(place, value, "MODIFIED")
            self._reap(place)
        return value

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """A deletion as a user would ask for it."""
        place = (plural, namespace, name)
        value = copy.deepcopy(self.objects[place])
        value["metadata"].setdefault("deletionTimestamp", "2026-02-01T00:00:00Z")
        self._store(place, value, "MODIFIED")
        self._reap(place)

    def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """An object, None where it is not there."""
        return self.objects.get((plural, namespace, name))

    def named(self, plural: str) -> set[str]:
        """The names of all objects of a kind."""
        return {name for kind, _, name in self.objects if kind == plural}

    def events(self, reason: str) -> list[str]:
        """The messages of the events with that reason."""
        return [value["message"] for place, value in self.objects.items() if value.get("reason") == reason]

    async def until(self, true: Callable[[], Any], timeout: float = 30.0) -> Any:
        """Wait until something holds; its value."""
        async with asyncio.timeout(timeout), self._changed:
            return await self._changed.wait_for(true)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        plural, namespace, name, subresource = _parts(exchange.path)
        if exchange.method == "GET" and "watch" in exchange.query:
            await self._watch(exchange, plural)
            return
        try:
            value = await self._act(exchange, (plural, namespace, name), subresource)
        except KeyError:
            await exchange.fail(404, "NotFound", "not found")
        except FileExistsError:
            await exchange.fail(409, "AlreadyExists", "already exists")
        except LookupError as error:
            await exchange.fail(409, "Conflict", f"Precondition failed: {error}")
        else:
            if subresource and self.lose_next is not None and self.lose_next(value):
                self.lose_next = None
                exchange.cut()
                return
            await exchange.respond(200, value)
        async with self._changed:
            self._changed.notify_all()

    async def _act(self, exchange: Exchange, place: Place, subresource: str) -> Json:
        plural, namespace, name = place
        if exchange.method == "POST":
            body = exchange.json()
            body["metadata"].setdefault("namespace", namespace)
            return self.create(plural, body)
        if exchange.method == "PATCH":
            if "apply" in exchange.headers["content-type"] and place not in self.objects:
                return self.create(plural, exchange.json())
            if "json-patch" in exchange.headers["content-type"]:
                return self._replace_part(place, exchange.json())
            return self.merge(plural, namespace, name, exchange.json(), status=subresource == "status")
        if exchange.method == "DELETE":
            uid = exchange.json().get("preconditions", {}).get("uid")
            if uid not in (None, self.objects[place]["metadata"]["uid"]):
                raise LookupError("uid")
            self.delete(plural, namespace, name)
            return {"kind": "Status", "status": "Success"}
        if not name:
            return self._list(plural, namespace, exchange.query.get("labelSelector", ""))
        found: Json = self.objects[place]
        return found

    def _replace_part(self, place: Place, operations: list[Json]) -> Json:
        """A JSON patch as the controllers write it: a test of the uid, then a whole spec or status."""
        value = copy.deepcopy(self.objects[place])
        for one in operations:
            if one["op"] == "test":
                if one != {"op": "test", "path": "/metadata/uid", "value": value["metadata"]["uid"]}:
                    raise LookupError("uid")
            else:
                value[one["path"].removeprefix("/")] = one["value"]
        if value != self.objects[place]:
            self._store(place, value, "MODIFIED")
        return value

    def _list(self, plural: str, namespace: str, selector: str) -> Json:
        items = [
            value
            for (kind, place, _), value in self.objects.items()
            if kind == plural and namespace in ("", place) and _selected(value, selector)
        ]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    async def _watch(self, exchange: Exchange, plural: str) -> None:
        selector = exchange.query.get("labelSelector", "")
        queue: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        for (kind, _, _), value in list(self.objects.items()):
            if kind == plural:
                queue.put_nowait(("ADDED", value))
        end = {
            "metadata": {
                "resourceVersion": str(self.version),
                "annotations": {"k8s.io/initial-events-end": "true"},
            }
        }
        queue.put_nowait(("BOOKMARK", end))
        watcher = (plural, queue)
        self._watchers.add(watcher)

        async def stream() -> None:
            while True:
                type_, value = await queue.get()
                if type_ == "BOOKMARK" or _selected(value, selector):
                    await exchange.event(type_, **value)

        await exchange.start()
        task = asyncio.create_task(stream())
        try:
            await exchange.gone()
        finally:
            self._watchers.discard(watcher)
            task.cancel()
            await asyncio.wait([task])

    def _store(self, place: Place, value: Json, type_: str) -> None:
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)
        self.objects[place] = value
        self._tell(place[0], type_, value)

    def _reap(self, place: Place) -> None:
        value = self.objects[place]
        if "deletionTimestamp" not in value["metadata"] or value["metadata"].get("finalizers"):
            return
        del self.objects[place]
        self.version += 1
        gone = copy.deepcopy(value)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(place[0], "DELETED", gone)
        for owned in list(self.objects):
            owners = self.objects.get(owned, {}).get("metadata", {}).get("ownerReferences", [])
            if any(owner["uid"] == value["metadata"]["uid"] for owner in owners):
                self.delete(*owned)

    def _tell(self, plural: str, type_: str, value: Json) -> None:
        for kind, queue in self._watchers:
            if kind == plural:
                queue.put_nowait((type_, value))


@contextlib.asynccontextmanager
async def running(api: ApiServer, *setups: Callable[[Manager, Options], object]) -> AsyncIterator[None]:
    """A controller process with these modules; when the block ends it is killed where it stands."""
    async with FakeServer(api.handle) as server, Client(Credentials(server.url), attempts=1) as client:
        manager = Manager(client)
        for setup in setups:
            setup(manager, Options(cluster_id="rome"))
        task = asyncio.create_task(manager.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await server.stop()


def _parts(path: str) -> tuple[str, str, str, str]:
    """Plural, namespace, name and subresource of /api/v1/... or /apis/group/version/..."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    return (parts[0], namespace, *[*parts[1:], "", ""][:2])  # type: ignore[return-value]


def _selected(value: Json, selector: str) -> bool:
    if not selector:
        return True
    label, _, wanted = selector.partition("=")
    found = value["metadata"].get("labels", {}).get(label)
    return found is not None and wanted in ("", found)


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(old)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name, {} if isinstance(value, dict) else None), value)
    return _without_nulls(result)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return value

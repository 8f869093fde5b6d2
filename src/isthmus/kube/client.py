"""The verbs of the Kubernetes API for one API server and one identity.

A `Client` turns a verb into a `Call` value, has its `Session` send it and decodes the answer into the struct of
the `Resource`. It keeps a small pool of connections, opened at the first request; `close` ends them. It owns no
task; every method may be cancelled at any time. Errors are those of `errors`.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from isthmus.kube.calls import (
    Call,
    Query,
    encode_manifest,
    forge_purpose,
    forge_selectors,
    forge_target,
    place_of,
)
from isthmus.kube.credentials import Credentials
from isthmus.kube.decoding import WatchEvent, codec_of
from isthmus.kube.errors import ConfigurationError, Conflict, Expired, NotFound, TransportError
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource
from isthmus.kube.session import Response, Session, about
from isthmus.kube.upgrade import Upgraded, take_over
from isthmus.kube.watch import pick_duration, watch_events

__all__ = ["Client", "Page", "PatchType", "Response", "Upgraded", "WatchEvent"]

T = TypeVar("T", bound=Object)

PatchType = Literal["merge", "json", "strategic"]

PAGE_SIZE = 500
_JSON = "application/json"
_PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class Page(Struct, Generic[T], frozen=True):
    """The objects of a list and the resourceVersion they were read at."""

    items: list[T]
    resource_version: str


class Client:
    """One API server, one identity: the verbs, over a small pool of kept connections.

    Failed reads and idempotent writes are tried again with bounded, jittered back-off on connection
    errors, 429 (Retry-After honoured) and 5xx; `create` and JSON patches are retried only when the request
    surely did not reach the server or was answered 429. `timeout` bounds a request in seconds, all its attempts
    and pauses included. `webhook_patience` is how many seconds, within those, anything is tried again while an
    admission webhook gives no answer: its controller may just be starting. Errors are those of `errors`;
    unusable credentials raise ConfigurationError here.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        user_agent: str = "isthmus",
        timeout: float = 30.0,
        attempts: int = 5,
        webhook_patience: float = 0.0,
    ) -> None:
        self.credentials = credentials
        self._session = Session(
            credentials,
            user_agent=user_agent,
            timeout=timeout,
            attempts=attempts,
            webhook_patience=webhook_patience,
        )

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received so far, inside TLS; upgraded connections count up to their upgrade."""
        return self._session.traffic.sent, self._session.traffic.received

    def renew(self, credentials: Credentials) -> None:
        """Go on with renewed credentials for the same server, without interrupting anything: requests use them
        from the next one on, watches are opened anew, other streams go on as they began.

        Raises ConfigurationError where they are unusable or for another server; then nothing has changed.
        """
        if credentials.route != self.credentials.route:
            raise ConfigurationError("the renewed credentials are for another server: make a new client")
        self._session.renew(credentials)
        self.credentials = credentials

    async def close(self) -> None:
        """Close every connection; requests under way fail with TransportError."""
        await self._session.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """Read one object. Raises NotFound."""
        call = Call("GET", resource.path(namespace, name), forge_purpose("get", resource, namespace, name))
        return await self._object(resource, call)

    async def find(self, resource: Resource[T], name: str, namespace: str = "") -> T | None:
        """Read one object, None where it is not there."""
        try:
            return await self.get(resource, name, namespace)
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Page[T]:
        """Read all objects, in pages of 500; `namespace` "" is every namespace."""
        for last in (False, False, True):
            items: builtins.list[T] = []
            version = ""
            try:
                async for page in self.pages(
                    resource, namespace, label_selector=label_selector, field_selector=field_selector
                ):
                    items += page.items
                    version = page.resource_version
            except Expired:
                if last:  # A continue token went out of date three times: more changes than we can follow.
                    raise
            else:
                break
        return Page(items, version)

    async def pages(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        size: int = PAGE_SIZE,
        lenient: bool = False,
    ) -> AsyncGenerator[Page[T], None]:
        """Read all objects page by page, for those who need not hold all; `lenient` leaves out what cannot be
        read, for those whom one bad object must not stop. Raises Expired in the middle."""
        purpose = forge_purpose("list", resource, namespace)
        accept = _PARTIAL_LIST if resource.metadata_only else _JSON
        token = ""
        while True:
            query = [*forge_selectors(label_selector, field_selector), ("limit", str(size))]
            if token:
                query.append(("continue", token))
            call = Call("GET", forge_target(resource.path(namespace), query), purpose, accept=accept)
            response = await self._session.send(call)
            try:
                codec = codec_of(resource.type)
                listed = codec.readable(response.body) if lenient else codec.list(response.body)
            except TransportError as error:
                raise about(call, error) from None
            yield Page(listed.items or [], listed.metadata.resource_version or "")
            token = listed.metadata.continue_ or ""
            if not token:
                return

    async def create(
        self,
        resource: Resource[T],
        manifest: Manifest,
        namespace: str = "",
        *,
        field_manager: str = "isthmus",
    ) -> T:
        """Create an object. apiVersion and kind are filled in. Raises AlreadyExists."""
        namespace, name = place_of(manifest, namespace)
        target = forge_target(resource.path(namespace), [("fieldManager", field_manager)])
        purpose = forge_purpose("create", resource, namespace, name)
        return await self._object(
            resource, Call("POST", target, purpose, encode_manifest(resource, manifest), idempotent=False)
        )

    async def update(
        self,
        resource: Resource[T],
        manifest: Manifest,
        namespace: str = "",
        *,
        subresource: str = "",
        field_manager: str = "isthmus",
    ) -> T:
        """Replace an object (or its `subresource`, e.g. "status"). Raises Conflict, NotFound."""
        namespace, name = place_of(manifest, namespace)
        target = forge_target(resource.path(namespace, name, subresource), [("fieldManager", field_manager)])
        purpose = forge_purpose("update", resource, namespace, name, subresource)
        return await self._object(resource, Call("PUT", target, purpose, encode_manifest(resource, manifest)))

    async def apply(
        self,
        resource: Resource[T],
        manifest: Manifest,
        namespace: str = "",
        *,
        subresource: str = "",
        field_manager: str = "isthmus",
        force: bool = True,
    ) -> T:
        """Server-side apply; the name is the manifest's metadata.name. Raises Conflict when not forced."""
        namespace, name = place_of(manifest, namespace)
        query = [("fieldManager", field_manager), ("force", "true" if force else "false")]
        target = forge_target(resource.path(namespace, name, subresource), query)
        purpose = forge_purpose("apply", resource, namespace, name, subresource)
        body = encode_manifest(resource, manifest)
        return await self._object(
            resource, Call("PATCH", target, purpose, body, content_type="application/apply-patch+yaml")
        )

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "isthmus",
    ) -> T:
        """Patch an object; `patch` is JSON-ready (a dict, or a list of operations for "json")."""
        target = forge_target(resource.path(namespace, name, subresource), [("fieldManager", field_manager)])
        purpose = forge_purpose("patch", resource, namespace, name, subresource)
        body = msgspec.json.encode(patch)
        # Adding to a list twice is not adding once: JSON patches are not repeated blindly.
        call = Call(
            "PATCH", target, purpose, body, content_type=_PATCH_TYPES[type], idempotent=type != "json"
        )
        return await self._object(resource, call)

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: Literal["", "Foreground", "Background", "Orphan"] = "",
    ) -> bool:
        """Delete an object; with `uid` only that very one. True where it was there, False where not
        (NotFound, or the uid is another's). A namespace that is being deleted already counts as there."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation:
            options["propagationPolicy"] = propagation
        purpose = forge_purpose("delete", resource, namespace, name)
        call = Call(
            "DELETE", resource.path(namespace, name), purpose, msgspec.json.encode(options), accept=_PARTIAL
        )
        try:
            await self._session.send(call)
        except NotFound:
            return False
        except Conflict as error:
            if uid and "precondition" in str(error).lower():
                return False
            if resource.plural == "namespaces" and not resource.group:
                return True
            raise
        return True

    def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        send_initial_events: bool = False,
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """Stream one watch until the server ends it; raises Expired, TransportError, ApiError.

        With `send_initial_events` (WatchList) the objects there are come first, as ADDED, then a BOOKMARK with
        the annotation k8s.io/initial-events-end. `opened` is called when the server has accepted the watch.
        """
        duration = pick_duration()
        query = forge_selectors(label_selector, field_selector)
        query += [("watch", "1"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(duration))]
        if resource_version:
            query.append(("resourceVersion", resource_version))
        if send_initial_events:
            query += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
        call = Call(
            "GET",
            forge_target(resource.path(namespace), query),
            forge_purpose("watch", resource, namespace),
            accept=_PARTIAL if resource.metadata_only else _JSON,
        )
        return watch_events(self._session, call, codec_of(resource.type), duration, opened)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes = b"",
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float | None = None,
    ) -> Response:
        """Any request; an answer of 300 or above is raised as the matching ApiError. POST is not repeated."""
        call = Call(
            method,
            forge_target(path, query or []),
            f"{method} {path}",
            body,
            content_type=content_type,
            accept=accept,
            idempotent=method in ("GET", "HEAD", "PUT", "DELETE"),
        )
        return await self._session.send(call, timeout)

    async def stream(
        self, method: str, path: str, *, query: Query | None = None, timeout: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Stream the body of an answer (for instance a log that is followed).

        `timeout` bounds the wait for its head in seconds, None as any request: a kubelet sends none of a log
        that is followed before the first line.
        """
        call = Call(method, forge_target(path, query or []), f"{method} {path}", accept="*/*")
        connection = await self._session.open(call, timeout=timeout)
        try:
            while chunk := await connection.read():
                yield chunk
        except TransportError as error:
            raise TransportError(f"{call.purpose}: {error}") from None
        finally:
            self._session.end(connection)

    async def upgrade(
        self, method: str, path: str, *, query: Query, headers: builtins.list[tuple[str, str]]
    ) -> Upgraded:
        """Ask for a protocol upgrade (SPDY/3.1 or WebSocket) and hand out the raw connection.

        `headers` carries Upgrade, Connection and the protocol's own. The caller closes the writer; `close` of
        the client does not. Raises ApiError where refused.
        """
        call = Call(method, forge_target(path, query), f"{method} {path}", accept="*/*", headers=headers)
        connection = await self._session.open(call, expect=101)
        reader, writer = take_over(*connection.detach())
        self._session.hand_over(connection)
        return Upgraded(connection.headers, reader, writer)

    async def version(self) -> str:
        """The API server's gitVersion, e.g. v1.36.3."""
        body = (await self.request("GET", "/version")).body
        try:
            return str(msgspec.json.decode(body)["gitVersion"])
        except (msgspec.DecodeError, KeyError, TypeError):
            raise TransportError("GET /version: the answer is not that of a Kubernetes API server") from None

    async def pause(self, seconds: float) -> None:
        """Wait so long after a TransportError; less where another request finds the server back meanwhile."""
        await self._session.pause(seconds)

    async def _object(self, resource: Resource[T], call: Call) -> T:
        if resource.metadata_only:
            call = msgspec.structs.replace(call, accept=_PARTIAL)
        response = await self._session.send(call)
        try:
            return codec_of(resource.type).object(response.body)
        except TransportError as error:
            raise about(call, error) from None

"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Generic, Literal, TypeVar

from msgspec import Raw, Struct

from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource

T = TypeVar("T", bound=Object)

PatchType = Literal["merge", "json", "strategic"]


class Response(Struct, frozen=True):
    """A complete HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Page(Struct, Generic[T], frozen=True):
    """The objects of a list and the resourceVersion they were read at."""

    items: list[T]
    resource_version: str


class WatchEvent(Struct, Generic[T], frozen=True):
    """One event of a watch; `type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: T


class Client:
    """One API server, one identity: the verbs, over a small pool of kept connections.

    Failed reads and idempotent writes are tried again with bounded, jittered back-off on connection
    errors, 429 (Retry-After honoured) and 5xx; `create` is retried only when the request surely did not
    reach the server or was answered 429. Every request has a time limit. Errors are those of `errors`.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        user_agent: str = "isthmus",
        timeout: float = 30.0,
        attempts: int = 5,
    ) -> None:
        self.credentials = credentials
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection; requests under way fail with TransportError."""
        raise NotImplementedError

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """Read one object. Raises NotFound."""
        raise NotImplementedError

    async def find(self, resource: Resource[T], name: str, namespace: str = "") -> T | None:
        """Read one object, None where it is not there."""
        raise NotImplementedError

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Page[T]:
        """Read all objects, in pages of 500; `namespace` "" is every namespace."""
        raise NotImplementedError

    async def create(
        self,
        resource: Resource[T],
        manifest: Manifest,
        namespace: str = "",
        *,
        field_manager: str = "isthmus",
    ) -> T:
        """Create an object. apiVersion and kind are filled in. Raises AlreadyExists."""
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        (NotFound, or the uid is another's)."""
        raise NotImplementedError

    def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        send_initial_events: bool = False,
    ) -> AsyncIterator[WatchEvent[T]]:
        """Stream one watch until the server ends it; raises Expired, TransportError, ApiError."""
        raise NotImplementedError

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float | None = None,
    ) -> Response:
        """Any request; an answer of 400 or above is raised as the matching ApiError."""
        raise NotImplementedError

    def stream(
        self, method: str, path: str, *, query: list[tuple[str, str]] | None = None
    ) -> AsyncIterator[bytes]:
        """Stream the body of an answer (for instance a log that is followed)."""
        raise NotImplementedError

    async def upgrade(
        self, method: str, path: str, *, query: list[tuple[str, str]], headers: list[tuple[str, str]]
    ) -> Upgraded:
        """Ask for a protocol upgrade (SPDY/3.1 or WebSocket) and hand out the raw connection.

        `headers` carries Upgrade, Connection and the protocol's own. Raises ApiError where refused.
        """
        raise NotImplementedError

    async def version(self) -> str:
        """The API server's gitVersion, e.g. v1.36.3."""
        raise NotImplementedError


class Upgraded(Struct):
    """A connection after 101: the answer's headers and the two raw byte directions."""

    headers: list[tuple[str, str]]
    reader: Any
    """Has `async read(n) -> bytes`; b"" at the end (asyncio.StreamReader's contract)."""
    writer: Any
    """Has `write(bytes)`, `async drain()`, `write_eof()`, `close()` (asyncio.StreamWriter's contract)."""


RAW_EMPTY = Raw(b"{}")

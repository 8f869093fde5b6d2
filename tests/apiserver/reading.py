"""Lists in pages and watches over the objects of one kind, as an API server with WatchList answers them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.apiserver.errors import StatusError, bad_request, expired
from tests.apiserver.kinds import Kind
from tests.apiserver.requests import Request
from tests.apiserver.selectors import Selects, selection
from tests.apiserver.store import Change, Json, Store

_PARTIAL = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}
INITIAL_END = {"annotations": {"k8s.io/initial-events-end": "true"}}

Show = Callable[[Json], Json]


def shown(request: Request) -> Show:
    """How objects are shown to whoever asks: whole, or their metadata."""
    return partial if request.metadata_only else lambda value: value


def partial(value: Json) -> Json:
    """PartialObjectMetadata of an object."""
    return {**_PARTIAL, "metadata": value["metadata"]}


def selected_by(kind: Kind, request: Request) -> Selects:
    """What a list or watch is about."""
    query = request.query
    return selection(kind, request.namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def seen_as(change: Change, selects: Selects) -> tuple[str, Json] | None:
    """A change as a watch with a selector tells it: an object comes and goes as its labels do."""
    before = change.old is not None and selects(change.old)
    after = change.type != "DELETED" and selects(change.new)
    if after:
        return ("MODIFIED" if before else "ADDED"), change.new
    if not before or change.old is None:
        return None
    if change.type == "DELETED":
        return "DELETED", change.new
    version = change.new["metadata"]["resourceVersion"]
    return "DELETED", {**change.old, "metadata": {**change.old["metadata"], "resourceVersion": version}}


@dataclass(eq=False)
class Watch:
    """One open watch. What is put into the queue is sent; None ends it, an exception cuts it."""

    plural: str
    namespace: str
    selects: Selects
    show: Show
    after: int = 0
    """The version up to which nothing is told, which may be one to come."""
    queue: asyncio.Queue[tuple[str, Json] | ConnectionError | None] = field(default_factory=asyncio.Queue)

    def tell(self, change: Change) -> None:
        """Send a change, where it is about what is watched."""
        known = change.version <= self.after
        if change.place.plural == self.plural and not known and (seen := seen_as(change, self.selects)):
            type_, value = seen
            self.queue.put_nowait((type_, self.show(value)))


@dataclass
class Reader:
    """The lists and watches of one store; with `watch_list` False those of a server before Kubernetes 1.32."""

    store: Store
    watch_list: bool = True
    watches: set[Watch] = field(default_factory=set)
    _pages: dict[str, tuple[int, list[Json]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store.listeners.append(self._tell)

    def _tell(self, change: Change) -> None:
        for watch in self.watches:
            watch.tell(change)

    def forget(self) -> None:
        """Have the history and the rest of lists that are read in pages forgotten; open watches end with 410."""
        self.store.forget()
        self._pages.clear()
        for watch in self.watches:
            watch.queue.put_nowait(("ERROR", expired().body()))
            watch.queue.put_nowait(None)

    def list(self, kind: Kind, request: Request) -> Json:
        """One page. Raises 410 for a token that is forgotten."""
        limit, token = int(request.query.get("limit") or 0), request.query.get("continue", "")
        if token:
            if not re.fullmatch(r"\d+-\d+", token):
                raise bad_request("invalid continue token: continue key is not valid")
            if token not in self._pages:
                raise expired(
                    "The provided continue parameter is too old to display a consistent list result."
                )
            version, items = self._pages[token]
        else:
            selects = selected_by(kind, request)
            version = self.store.version
            items = [value for _, value in self.store.of_kind(request.plural) if selects(value)]
        metadata: Json = {"resourceVersion": str(version)}
        if limit and len(items) > limit:
            following = f"{version}-{len(self._pages) + 1}"
            self._pages[following] = (version, items[limit:])
            metadata |= {"continue": following, "remainingItemCount": len(items) - limit}
            items = items[:limit]
        if request.metadata_only:
            head = {**_PARTIAL, "kind": "PartialObjectMetadataList"}
            return {**head, "metadata": metadata, "items": [partial(one) for one in items]}
        head = {"apiVersion": kind.api_version, "kind": f"{kind.name}List"}
        if not kind.custom:  # Go's lists of built-in kinds leave out what their type says already.
            items = [{k: v for k, v in one.items() if k not in ("apiVersion", "kind")} for one in items]
        return {**head, "metadata": metadata, "items": items}

    async def watch(self, kind: Kind, request: Request) -> None:
        """Serve a watch until it ends: by its time limit, by `queue`, or because the client left."""
        exchange = request.exchange
        after = int(request.query.get("resourceVersion") or 0)
        watch = Watch(request.plural, request.namespace, selected_by(kind, request), shown(request), after)
        for event in self._first(kind, request, watch):
            watch.queue.put_nowait(event)
        self.watches.add(watch)
        sending = None
        try:
            await exchange.start()
            sending = asyncio.create_task(self._send(request, watch))
            leaving = asyncio.create_task(exchange.gone())
            seconds = float(request.query.get("timeoutSeconds") or 1800)
            await asyncio.wait({sending, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done():
                await _cancelled(leaving)
                await self._finish(request, sending)
        finally:
            self.watches.discard(watch)
            if sending is not None:
                await _cancelled(sending)

    def _first(self, kind: Kind, request: Request, watch: Watch) -> list[tuple[str, Json]]:
        """What a watch begins with: the state, or what happened since. Raises 410 and 422."""
        query = request.query
        version = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents") == "true"
        if initial and not self.watch_list:
            why = "sendInitialEvents: Forbidden: is forbidden for watch unless the WatchList feature gate is enabled"
            raise _invalid_options(why)
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise _invalid_options(f"resourceVersionMatch: Forbidden: {why}")
        if version not in ("", "0") and not initial:
            if int(version) < self.store.forgotten:
                raise expired(f"too old resource version: {version} ({self.store.forgotten})")
            told = (seen_as(one, watch.selects) for one in self._since(int(version), watch.plural))
            return [(type_, watch.show(value)) for type_, value in filter(None, told)]
        found = self.store.of_kind(request.plural)
        events = [("ADDED", watch.show(value)) for _, value in found if watch.selects(value)]
        if initial:
            head = _PARTIAL if request.metadata_only else {"apiVersion": kind.api_version, "kind": kind.name}
            mark = {"resourceVersion": str(self.store.version), **INITIAL_END}
            events.append(("BOOKMARK", {**head, "metadata": mark}))
        return events

    def _since(self, version: int, plural: str) -> list[Change]:
        return [one for one in self.store.since(version) if one.place.plural == plural]

    async def _send(self, request: Request, watch: Watch) -> None:
        while (event := await watch.queue.get()) is not None:
            if isinstance(event, ConnectionError):
                raise event
            line: dict[str, Any] = {"type": event[0], "object": event[1]}
            await request.exchange.chunk(msgspec.json.encode(line) + b"\n")

    async def _finish(self, request: Request, sending: asyncio.Task[None]) -> None:
        if not sending.done():
            await _cancelled(sending)
        if not sending.cancelled() and sending.exception() is not None:
            request.exchange.cut()
        else:
            await request.exchange.finish()


def _invalid_options(why: str) -> StatusError:
    return StatusError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {why}')


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionError):
        await task

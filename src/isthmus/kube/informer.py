"""A local copy of the objects of one kind, kept up to date by one watch, and who shares it.

An `Informer` fills its cache with WatchList (the server streams what is there, then what changes) and falls back
to paged lists for a server that refuses it. Its one task is run by the `InformerSet` that made it, or by whoever
calls `run`. A watch that ends is continued from its last resourceVersion; where the server has forgotten that
one (410) everything is read anew and handlers are told only of the differences, vanished objects included.
Errors never end it: it tries again with bounded, jittered back-off, and logs only the first of failures in a row.
The cache keeps its last content meanwhile; `connected` says whether it is being followed at present.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from isthmus.kube.cache import Cache
from isthmus.kube.client import Client
from isthmus.kube.decoding import WatchEvent, intern_labels
from isthmus.kube.errors import (
    BadRequest,
    Expired,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    ServerError,
    TransportError,
    Unauthorized,
)
from isthmus.kube.objects import Key, Object
from isthmus.kube.resource import Resource
from isthmus.kube.retry import backoff, bounded_retry_after, jitter

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

Handler = Callable[[T | None, T | None], None]
"""Called with (old, new): (None, x) added, (x, y) changed, (x, None) gone."""

INITIAL_END = "k8s.io/initial-events-end"
PAGE_SIZE = 100
"""Objects a page of the fallback list; a page is held in memory whole (python-stack.md 6)."""
REFUSALS = (Forbidden, NotFound, Unauthorized)
"""What only a change of permissions or of the served kinds can mend."""
FORGET_AFTER = 8
"""Refusals in a row after which everything is read anew."""
STABLE_AFTER = 5.0
"""Seconds a watch must have been open for its end to be no failure."""
SILENCE = 60.0
"""Seconds a WatchList may be silent before its end: an old server takes it for a plain watch and never says so."""


class Informer(Generic[T]):
    """A cache of the objects of one kind under one selector, kept by list and watch.

    `transform` may slim an object down before it is cached. `observer` is told how each attempt to follow went:
    None when a watch is open, else the error. Handlers are called in the informer's task, in
    order, and must not block; what they raise is logged. `run` never ends by itself.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Callable[[T], T] | None = None,
        observer: Callable[[KubeError | None], None] = lambda outcome: None,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self._client = client
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform
        self._observer = observer
        self._cache: Cache[T] = Cache()
        self._handlers: dict[object, Handler[T]] = {}
        self._synced = asyncio.Event()
        self._version = ""
        self._watch_list = True
        self._connected = False
        self._progress = False
        self._complained = False
        self._opened_at: float | None = None
        self._refused_at: float | None = None

    @property
    def synced(self) -> asyncio.Event:
        """Set once the first full list is in the cache."""
        return self._synced

    @property
    def connected(self) -> bool:
        """Whether a watch is open now and the cache follows it; the last known state stays cached when not."""
        return self._connected

    @property
    def refused_for(self) -> float:
        """Seconds for which the server has not let us follow (401, 403, 404), 0 while it does."""
        return 0.0 if self._refused_at is None else asyncio.get_running_loop().time() - self._refused_at

    def get(self, key: Key) -> T | None:
        """The cached object."""
        return self._cache.get(key)

    def list(self, namespace: str = "") -> Iterable[T]:
        """The cached objects of one namespace, or all."""
        return self._cache.list(namespace)

    def add_index(self, name: str, keys: Callable[[T], Iterable[str]]) -> None:
        """Index objects by the strings `keys` gives for each; an index of that name is replaced."""
        self._cache.add_index(name, keys)

    def by_index(self, name: str, value: str) -> Iterable[T]:
        """The cached objects that `keys` of that index gave `value` for."""
        return self._cache.by_index(name, value)

    def add_handler(self, handler: Handler[T]) -> Callable[[], None]:
        """Call `handler` on every change, at once for what is cached already; the result removes it."""
        token = object()
        self._handlers[token] = handler
        for value in self._cache.list():
            self._call(handler, None, value)

        def remove() -> None:
            self._handlers.pop(token, None)

        return remove

    async def run(self) -> None:
        """Keep the cache until cancelled."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            self._progress = False
            error: KubeError | None = None
            try:
                await self._follow()
            except KubeError as caught:
                error = caught
                self._observer(caught)
                if isinstance(error, REFUSALS) and self._refused_at is None:
                    self._refused_at = loop.time()
            finally:
                if self._opened_at is not None and loop.time() - self._opened_at > STABLE_AFTER:
                    self._progress = True
                self._opened_at = None
                self._connected = False
            if isinstance(error, Expired):
                self._version = ""
            elif isinstance(error, BadRequest | Invalid) and not self._version and self._watch_list:
                logger.info("WatchList is refused, listing instead: resource=%s", self.resource.plural)
                self._watch_list = False
                continue
            elif error is not None:
                self._complain(error)
            failures = 0 if self._progress else failures
            if error is None and self._progress:
                continue
            if failures >= FORGET_AFTER and isinstance(error, BadRequest | Invalid | ServerError):
                self._version = ""  # It may be one the server never had: its data was restored from a backup.
            pause = plan_pause(error, failures, jitter())
            failures += 1
            await (self._client.pause(pause) if isinstance(error, TransportError) else asyncio.sleep(pause))

    async def _follow(self) -> None:
        """One connection's worth: the full state where it is not known, then changes until the watch ends."""
        if not self._version and not self._watch_list:
            await self._list()
        initial = not self._version
        events = self._client.watch(
            self.resource,
            self.namespace,
            resource_version=self._version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            send_initial_events=initial,
            opened=self._opened,
        )
        async with aclosing(events):
            if initial:
                await self._take_initial(events)
            async for event in events:
                self._take(event)

    def _opened(self) -> None:
        """The watch is answered."""
        self._opened_at = asyncio.get_running_loop().time()
        self._connected = bool(self._version)
        self._refused_at = None
        self._observer(None)
        if self._complained:
            self._complained = False
            logger.info("following again: resource=%s, namespace=%s", self.resource.plural, self.namespace)

    async def _list(self) -> None:
        seen: set[Key] = set()
        version = ""
        pages = self._client.pages(
            self.resource,
            self.namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            size=PAGE_SIZE,
            lenient=True,
        )
        async with aclosing(pages):
            async for page in pages:
                for value in page.items:
                    seen.add(value.key)
                    self._put(value)
                version = page.resource_version
        self._complete(seen, version)

    async def _take_initial(self, events: Any) -> None:
        """The events of a WatchList up to its end mark."""
        seen: set[Key] = set()
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    event: WatchEvent[T] = await anext(events)
            except TimeoutError:
                raise BadRequest("WatchList gave no end mark") from None
            except StopAsyncIteration:
                raise KubeError(
                    "the server ended the watch before the initial events were complete"
                ) from None
            if event.type == "BOOKMARK":
                if event.object.metadata.annotations.get(INITIAL_END) == "true":
                    self._complete(seen, event.object.metadata.resource_version)
                    self._connected = True
                    return
            elif event.type == "DELETED":
                seen.discard(event.object.key)
                self._remove(event.object.key, event.object)
            else:
                seen.add(event.object.key)
                self._put(event.object)

    def _complete(self, seen: set[Key], version: str) -> None:
        """The full state is in: what is cached beyond it has vanished."""
        for key in self._cache.keys() - seen:
            self._remove(key, None)
        self._version = version
        self._progress = True
        if not self._synced.is_set():
            self._synced.set()

    def _take(self, event: WatchEvent[T]) -> None:
        self._progress = True
        if event.type in ("ADDED", "MODIFIED"):
            self._put(event.object)
        elif event.type == "DELETED":
            self._remove(event.object.key, event.object)
        elif event.type != "BOOKMARK":
            return
        if event.object.metadata.resource_version:
            self._version = event.object.metadata.resource_version

    def _put(self, value: T) -> None:
        intern_labels(value)
        if self._transform is not None:
            value = self._transform(value)
        old = self._cache.get(value.key)
        if old is not None and _same(old, value):
            return
        self._cache.put(value)
        self._tell(old, value)

    def _remove(self, key: Key, last: T | None) -> None:
        old = self._cache.pop(key)
        if old is not None:
            # The deletion's own object is the last state there was, and the newer of the two.
            self._tell(last if last is not None and self._transform is None else old, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        for handler in list(self._handlers.values()):
            self._call(handler, old, new)

    def _call(self, handler: Handler[T], old: T | None, new: T | None) -> None:
        try:
            handler(old, new)
        except Exception:
            about = new if new is not None else old
            key = about.key if about is not None else ""
            logger.exception("a handler failed: resource=%s, key=%s", self.resource.plural, key)

    def _complain(self, error: KubeError) -> None:
        if not self._complained:
            self._complained = True
            logger.warning("following is interrupted, trying again: %s", error)


def _same(old: Object, new: Object) -> bool:
    """Whether the object is the one cached already, so that a full read tells of differences only."""
    version = new.metadata.resource_version
    return bool(version) and version == old.metadata.resource_version and new.metadata.uid == old.metadata.uid


def plan_pause(error: KubeError | None, failures: int, random: float) -> float:
    """Seconds until the next attempt after `failures` earlier ones in a row.

    What only a change of permissions or of the served kinds can mend is asked for less often than a server that
    is merely away; 30 s at most either way. A watch that ended at once without an error counts as a failure.
    """
    asked = bounded_retry_after(error) if error is not None else None
    if isinstance(error, REFUSALS):
        pause = backoff(failures, first=0.5, longest=10.0, random=random)
    else:
        pause = backoff(failures, first=0.2, longest=30.0, factor=1.5, random=random)
    return max(pause, min(asked or 0.0, 30.0))


class InformerSet:
    """The informers of one process towards one API server: asked for twice, watched once.

    Each informer runs as a task of the set. `release` counts down; the last one stops the watch.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[Any, Informer[Any]] = {}
        self._tasks: dict[Any, asyncio.Task[None]] = {}
        self._uses: dict[Any, int] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def get(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer[T]:
        """The shared informer, made and started at its first use (needs a running event loop)."""
        identity = (resource, namespace, label_selector, field_selector)
        informer = self._informers.get(identity)
        if informer is None:
            informer = Informer(
                self._client,
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
            )
            self._informers[identity] = informer
            self._tasks[identity] = asyncio.create_task(informer.run(), name=f"informer {resource.plural}")
        self._uses[identity] = self._uses.get(identity, 0) + 1
        return informer

    def release(self, informer: Informer[Any]) -> None:
        """Give up one use of an informer got with `get`."""
        for identity, held in self._informers.items():
            if held is informer:
                self._uses[identity] -= 1
                if self._uses[identity] <= 0:
                    self._stop(identity)
                return

    async def synced(self) -> None:
        """Wait until every informer of the set has its first list."""
        for informer in list(self._informers.values()):
            await informer.synced.wait()

    async def close(self) -> None:
        """Stop every watch."""
        for identity in list(self._informers):
            self._stop(identity)
        while self._ending:
            await asyncio.wait(self._ending)

    def _stop(self, identity: Any) -> None:
        task = self._tasks.pop(identity)
        del self._informers[identity], self._uses[identity]
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        task.cancel()

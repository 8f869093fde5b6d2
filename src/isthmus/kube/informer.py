"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from isthmus.kube.client import Client
from isthmus.kube.objects import Key, Object
from isthmus.kube.resource import Resource

T = TypeVar("T", bound=Object)

Handler = Callable[[T | None, T | None], None]
"""Called with (old, new): (None, x) added, (x, y) changed, (x, None) gone."""


class Informer(Generic[T]):
    """A cache of the objects of one kind under one selector, kept by list and watch.

    Prefers WatchList, falls back to paged lists; survives disconnects, restarts of the API server, 410 and
    403 (a Role that is not there yet) with bounded back-off, and tells handlers of what changed meanwhile,
    also of what vanished. `run` never ends by itself.
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
    ) -> None:
        raise NotImplementedError

    @property
    def synced(self) -> asyncio.Event:
        """Set once the first full list is in the cache."""
        raise NotImplementedError

    def get(self, key: Key) -> T | None:
        """The cached object."""
        raise NotImplementedError

    def list(self, namespace: str = "") -> Iterable[T]:
        """The cached objects of one namespace, or all."""
        raise NotImplementedError

    def add_index(self, name: str, keys: Callable[[T], Iterable[str]]) -> None:
        """Index objects by the strings `keys` gives for each; must precede `run`."""
        raise NotImplementedError

    def by_index(self, name: str, value: str) -> Iterable[T]:
        """The cached objects that `keys` of that index gave `value` for."""
        raise NotImplementedError

    def add_handler(self, handler: Handler[T]) -> Callable[[], None]:
        """Call `handler` on every change, at once for what is cached already; the result removes it."""
        raise NotImplementedError

    async def run(self) -> None:
        """Keep the cache until cancelled."""
        raise NotImplementedError


class InformerSet:
    """The informers of one process towards one API server: asked for twice, watched once.

    Each informer runs as a task of the set. `release` counts down; the last one stops the watch.
    """

    def __init__(self, client: Client) -> None:
        raise NotImplementedError

    def get(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer[T]:
        """The shared informer, made and started at its first use (needs a running event loop)."""
        raise NotImplementedError

    def release(self, informer: Informer[Any]) -> None:
        """Give up one use of an informer got with `get`."""
        raise NotImplementedError

    async def synced(self) -> None:
        """Wait until every informer of the set has its first list."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop every watch."""
        raise NotImplementedError

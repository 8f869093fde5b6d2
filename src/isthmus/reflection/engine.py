"""One generic reconciler that keeps the objects of a kind in a twin namespace equal to the local ones.

A `ReflectedKind` says, in pure functions, what is particular to a kind; `Reflector` does the rest: it borrows a
local informer and one of what we have reflected already, compares, applies, deletes. It owns no state but what
keeps it from repeating itself (which faults were told, which repairs keep being undone). Every write is guarded
against foreign objects (`guarded.py`). Where a copy depends on more than its original, the kind names the `Source`s:
they are watched as well, and a change of theirs has the local objects that depend on it looked at again.

How it fails: a provider that is away raises, and the key is tried again with back-off; a refusal that only
people can mend (a foreign object in the way, an object the provider finds invalid) is told once by an event and
looked at again every few minutes; a repair that somebody over there keeps undoing is made ever more slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from isthmus.kube.errors import ApiError, Forbidden, Invalid
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.reconcile import Controller
from isthmus.kube.resource import Resource
from isthmus.reflection import guarded
from isthmus.reflection.metadata import forge_metadata, is_ours, is_wanted, same_metadata, selector
from isthmus.reflection.repairs import Repairs
from isthmus.reflection.session import ReflectionSession, ReflectorOptions

Cache = Informer[Any]
L = TypeVar("L", bound=Object)
R = TypeVar("R", bound=Object)

TOO_LARGE = 413
UNMENDED = 120.0
"""Seconds until a fault that only people can mend is looked at again."""

PATIENCE = 3.0
"""Seconds in which what a copy lacks may still come by itself, before anybody is told."""


class NotReflectableError(Exception):
    """A local object cannot be reflected as it is; the text says why, for people."""


class Source(Struct, frozen=True, kw_only=True):
    """Objects of this cluster on which copies depend beside their originals."""

    resource: Resource[Any]
    in_namespace: bool = False
    """Whether only those of the local namespace count."""
    label_selector: str = ""
    links: Callable[[Any], Iterable[str]]
    """Under which names local objects refer to it: those that the kind's own `links` gives."""


class ReflectedKind(Struct, Generic[L, R], frozen=True, kw_only=True):
    """What is particular to one kind. Every function is pure."""

    name: str
    """By which a session's options name it."""
    local: Resource[L]
    """How the local objects are read and cached."""
    whole: Resource[L]
    """How a local object is read to be copied, where `complete` says that the cached one is not enough."""
    remote: Resource[R]
    """How what was reflected is read and cached."""
    workers: int = 3
    field_selector: str = ""
    """Which local objects are not worth watching at all."""
    remote_name: Callable[[str], str] = str
    """The name of the copy."""
    local_name: Callable[[str], str | None] = str
    """The name of the original of a copy; None for a name that no original can lead to."""
    takes: Callable[[L, ReflectorOptions], bool] = lambda local, options: is_wanted(
        local.metadata, options.type
    )
    """Whether a local object is to be reflected."""
    remote_selector: str = ""
    """What else than our marks selects the copies of this kind, as a label selector."""
    owns: Callable[[R], bool] = lambda remote: True
    """Whether a copy belongs to this kind rather than to another one of the same resource."""
    sources: tuple[Source, ...] = ()
    links: Callable[[L], Iterable[str]] = lambda local: ()
    """What of `sources` a local object depends on; also an index of their caches."""
    prepare: Callable[[L, tuple[Cache, ...]], L] | None = None
    """Make of a local object what is to be copied, from the caches of `sources` in their order; every other function
    but `links` gets the result. For kinds whose objects are cached whole. Raises NotReflectableError."""
    shortcoming: Callable[[L], str] = lambda local: ""
    """What of a prepared object cannot be reflected yet though the rest is, "" for nothing."""
    complete: Callable[[L], bool] = lambda local: True
    same: Callable[[L, R], bool]
    """Whether original and copy are equal but for their metadata."""
    immovable: Callable[[L, R], bool] = lambda local, remote: False
    """Whether the copy cannot be changed into what it should be, and must be made anew."""
    forge: Callable[[L], Manifest]
    """The copy but for its metadata."""


def index_name(kind: str) -> str:
    """The index by `links` that every cache read by the kind of that name has."""
    return f"reflection of {kind}"


class Reflector(Generic[L, R]):
    """One kind in one namespace, from here to a provider."""

    def __init__(
        self,
        session: ReflectionSession,
        kind: ReflectedKind[L, R],
        local_namespace: str,
        remote_namespace: str,
    ) -> None:
        self._session = session
        self._kind = kind
        self._local_namespace = local_namespace
        self._remote_namespace = remote_namespace
        self._options = session.reflectors.get(kind.name, ReflectorOptions())
        self._locals: Informer[L] | None = None
        self._remotes: Informer[R] | None = None
        self._caches: tuple[Cache, ...] = ()
        self._lacking: dict[Key, float] = {}
        self._told: dict[Key, str] = {}
        self._repairs = Repairs()

    async def run(self) -> None:
        """Reflect until cancelled; with no workers, do nothing at all."""
        workers = self._kind.workers if self._options.workers is None else self._options.workers
        if workers <= 0:
            return
        session, kind = self._session, self._kind
        locals_ = session.local_informers.get(
            kind.local, self._local_namespace, field_selector=kind.field_selector
        )
        remotes = session.remote_informers.get(
            kind.remote, self._remote_namespace, label_selector=selector(session, kind.remote_selector)
        )
        self._locals, self._remotes = locals_, remotes
        name = f"reflection of {kind.name} {self._local_namespace} to {session.provider_id}"
        controller = Controller(name, self.reconcile, workers=workers)
        controller.watch(locals_)
        controller.watch(remotes, self._originals)
        self._watch_sources(controller, locals_)
        try:
            await controller.run()
        finally:
            for informer in (locals_, *self._caches):
                session.local_informers.release(informer)
            session.remote_informers.release(remotes)

    def _watch_sources(self, controller: Controller, locals_: Informer[L]) -> None:
        """Have local objects looked at again when what they depend on changes."""
        index = index_name(self._kind.name)
        self._caches = ()
        locals_.add_index(index, self._kind.links)
        for source in self._kind.sources:
            cache = self._session.local_informers.get(
                source.resource,
                self._local_namespace if source.in_namespace else "",
                label_selector=source.label_selector,
            )
            cache.add_index(index, source.links)
            self._caches += (cache,)

            def dependents(object: Object, links: Callable[[Any], Iterable[str]] = source.links) -> set[Key]:
                return {local.key for link in links(object) for local in locals_.by_index(index, link)}

            controller.watch(cache, dependents)

    def _originals(self, remote: R) -> tuple[Key, ...]:
        name = self._kind.local_name(remote.metadata.name) if self._kind.owns(remote) else None
        return () if name is None else (Key(self._local_namespace, name),)

    async def reconcile(self, key: Key) -> float | None:
        """Make the copy of one local object what it should be, or be gone."""
        assert self._locals is not None
        assert self._remotes is not None
        kind = self._kind
        local = self._locals.get(key)
        remote_name = kind.remote_name(key.name)
        if kind.local_name(remote_name) != key.name:
            return None if local is None else self._fault(local, f"{remote_name} is the name of another copy")
        remote = self._remotes.get(Key(self._remote_namespace, remote_name))
        if remote is not None and not kind.owns(remote):
            remote = None
        if local is not None and kind.prepare is not None:
            try:
                local = kind.prepare(local, self._caches)
            except NotReflectableError as error:
                return self._fault(local, str(error))
        if local is None or not kind.takes(local, self._options):
            await self._remove(key, local, remote)
            return None
        if remote is not None and self._equal(local, remote):
            return self._done(local)
        pause = self._repairs.pause(key, self._version(local), _now())
        if pause > 0:
            return pause
        return await self._write(key, local, remote)

    def _equal(self, local: L, remote: R) -> bool:
        return same_metadata(local.metadata, remote.metadata, self._session) and self._kind.same(
            local, remote
        )

    def _version(self, local: L) -> str:
        """What a copy is made of: a copy that has to follow anything of that is not one that was meddled with."""
        version = local.metadata.resource_version
        if self._kind.prepare is None:
            return version
        return f"{version} {hash(msgspec.json.encode((self._kind.forge(local), local.metadata)))}"

    def _ours(self, remote: R) -> bool:
        return is_ours(remote.metadata, self._session) and self._kind.owns(remote)

    async def _remove(self, key: Key, local: L | None, remote: R | None) -> None:
        self._told.pop(key, None)
        self._lacking.pop(key, None)
        self._repairs.forget(key)
        if remote is None:
            return
        await guarded.delete(self._session.remote_client, self._kind.remote, remote)
        if local is not None:
            self._session.events.record(
                self._kind.local, local, "ReflectionDisabled", "Reflection to the provider is disabled here"
            )

    async def _write(self, key: Key, local: L, remote: R | None) -> float | None:
        if not self._kind.complete(local):
            whole = await self._session.local_client.find(self._kind.whole, key.name, key.namespace)
            if whole is None or whole.metadata.uid != local.metadata.uid:
                return None  # Gone or new: the informer is about to say so.
            local = whole
        try:
            written = await self._bring(key, local, remote)
        except Forbidden as error:  # The twin is ending, or its role is not bound yet: both pass.
            self._tell(local, str(error))
            raise
        except ApiError as error:
            if not isinstance(error, Invalid) and error.code != TOO_LARGE:
                raise
            return self._fault(local, str(error))
        if not written:
            name = self._kind.remote_name(key.name)
            return self._fault(local, f"{self._remote_namespace}/{name} already exists at the provider")
        return self._done(local)

    async def _bring(self, key: Key, local: L, remote: R | None) -> bool:
        """Make the copy what it should be; False where a foreign object is in its place."""
        client, kind = self._session.remote_client, self._kind
        name = kind.remote_name(key.name)
        metadata = forge_metadata(local.metadata, self._session, self._remote_namespace, name)
        manifest = kind.forge(local) | {"metadata": metadata}
        if remote is None:
            outcome = await guarded.create(client, kind.remote, manifest, self._ours)
            remote = outcome.present
            if remote is None or self._equal(local, remote):
                return bool(outcome.version) or remote is not None
        self._repairs.note(key, self._version(local), _now())
        if kind.immovable(local, remote):
            await guarded.delete(client, kind.remote, remote)
            outcome = await guarded.create(client, kind.remote, manifest, self._ours)
            return bool(outcome.version) or outcome.present is not None
        await guarded.change(client, kind.remote, manifest, remote)
        return True

    def _done(self, local: L) -> float | None:
        """The copy is what it can be; seconds until to look again at what it lacks."""
        shortcoming = self._kind.shortcoming(local)
        if not shortcoming:
            self._told.pop(local.key, None)
            self._lacking.pop(local.key, None)
            return None
        left = self._lacking.setdefault(local.key, _now()) + PATIENCE - _now()
        return left if left > 0 else self._fault(local, shortcoming)

    def _fault(self, local: L, message: str) -> float:
        self._tell(local, message)
        return UNMENDED

    def _tell(self, local: Any, message: str) -> None:
        if self._told.get(local.key) != message:
            self._told[local.key] = message
            self._session.events.record(
                self._kind.local, local, "FailedReflection", f"Not reflected: {message}", "Warning"
            )


def _now() -> float:
    return asyncio.get_running_loop().time()

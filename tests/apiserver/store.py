"""The objects of one cluster, their versions and their history; every write of whatever origin ends in `commit`.

Stored objects are never changed in place: who got one keeps what it read. What a write means (which fields it may
touch, what it is refused for) is in `writes`, what follows from one (collection, ends of namespaces) in `controllers`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.apiserver.apply import Managers
from tests.apiserver.kinds import Kinds

Json = dict[str, Any]

_uids = itertools.count(1)
"""For all clusters: no two objects have the same."""


class Place(NamedTuple):
    """Where an object is: the key of its kind (see `Kinds`), its namespace ("" for cluster-scoped) and name."""

    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Change:
    """One step of the history: `old` is None for a creation; a deletion's `new` is the last state, newly versioned."""

    version: int
    type: str
    place: Place
    new: Json
    old: Json | None


class Store:
    """Objects by place, the current version, and the changes that a watch may be continued over."""

    def __init__(self, kinds: Kinds, clock: Callable[[], float] = time.time) -> None:
        self.kinds = kinds
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.version = 1
        """As etcd counts: no object has the first one."""
        self.history: list[Change] = []
        self.forgotten = 0
        """The version up to which no watch can be continued any more."""
        self.managers: dict[str, Managers] = {}
        """By uid."""
        self.listeners: list[Callable[[Change], None]] = []
        self._clock = clock

    def commit(self, type_: str, place: Place, value: Json) -> Json:
        """Make a new state of an object the current one and tell everybody; `value` must be the caller's own."""
        old = self.objects.get(place)
        self.version += 1
        value["metadata"] = {**value["metadata"], "resourceVersion": str(self.version)}
        if type_ == "DELETED":
            del self.objects[place]
            self.managers.pop(value["metadata"]["uid"], None)
        else:
            self.objects[place] = value
        change = Change(self.version, type_, place, value, old)
        self.history.append(change)
        for listener in self.listeners:
            listener(change)
        return value

    def begin_like(self, other: Store) -> None:
        """Take over the state of another store, uids and versions included."""
        self.kinds.begin_like(other.kinds)
        self.objects, self.version = dict(other.objects), other.version
        self.forgotten = self.version
        for uid, managers in other.managers.items():
            fields = {who: set(owned) for who, owned in managers.fields.items()}
            self.managers[uid] = Managers(fields)

    def managers_of(self, value: Json) -> Managers:
        """Who manages the fields of an object."""
        return self.managers.setdefault(value["metadata"]["uid"], Managers())

    def of_kind(self, plural: str) -> Iterator[tuple[Place, Json]]:
        """The objects of a kind, by namespace and name."""
        for place in sorted(one for one in self.objects if one[0] == plural):
            yield Place(*place), self.objects[place]

    def since(self, version: int) -> list[Change]:
        """What happened after a version."""
        return [one for one in self.history if one.version > version]

    def forget(self) -> None:
        """Forget the history, as etcd does when it is compacted: watches of today's version and before are too old."""
        self.version += 1
        self.forgotten = self.version
        self.history.clear()

    def next_uid(self) -> str:
        """A uid nobody had before, in this cluster or any other."""
        return f"uid-{next(_uids)}"

    def now(self, later: float = 0.0) -> str:
        """The time of this server, or so many seconds later, as objects carry it."""
        return datetime.fromtimestamp(self._clock() + later, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""The objects an informer holds, by key and by index. Plain and synchronous; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from isthmus.kube.objects import Key, Object

T = TypeVar("T", bound=Object)


class Cache(Generic[T]):
    """Objects by key, with indexes that follow every change."""

    def __init__(self) -> None:
        self._objects: dict[Key, T] = {}
        self._functions: dict[str, Callable[[T], Iterable[str]]] = {}
        self._indexes: dict[str, dict[str, set[Key]]] = {}

    def get(self, key: Key) -> T | None:
        """The object of that key."""
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Iterable[T]:
        """A snapshot of the objects of one namespace, or of all."""
        if not namespace:
            return list(self._objects.values())
        return [value for key, value in self._objects.items() if key.namespace == namespace]

    def keys(self) -> set[Key]:
        """A snapshot of the keys."""
        return set(self._objects)

    def add_index(self, name: str, function: Callable[[T], Iterable[str]]) -> None:
        """Add an index, or replace the one of that name; what is cached already is indexed at once."""
        self._functions[name] = function
        self._indexes[name] = {}
        for key, value in self._objects.items():
            self._enter(name, function, key, value)

    def by_index(self, name: str, value: str) -> Iterable[T]:
        """A snapshot of the objects that the index has under `value`. Raises KeyError on an unknown index."""
        return [self._objects[key] for key in self._indexes[name].get(value, ())]

    def put(self, value: T) -> T | None:
        """Add or replace; the object that was there before."""
        key = value.key
        old = self._objects.get(key)
        if old is not None:
            self._leave(key, old)
        self._objects[key] = value
        for name, function in self._functions.items():
            self._enter(name, function, key, value)
        return old

    def pop(self, key: Key) -> T | None:
        """Remove; the object that was there."""
        old = self._objects.pop(key, None)
        if old is not None:
            self._leave(key, old)
        return old

    def _enter(self, name: str, function: Callable[[T], Iterable[str]], key: Key, value: T) -> None:
        index = self._indexes[name]
        for entry in function(value):
            index.setdefault(entry, set()).add(key)

    def _leave(self, key: Key, value: T) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for entry in function(value):
                keys = index.get(entry)
                if keys is not None:
                    keys.discard(key)
                    if not keys:
                        del index[entry]

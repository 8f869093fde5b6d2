"""ConfigMaps and Secrets as reflection caches them: metadata, and a digest in place of large contents.

A namespace may hold megabytes that nobody looks at until they change, so what is cached of a local object beyond
`HELD` bytes, and of every remote object, is the digest by which both sides are compared. What is large is read
again in the moment it is written. Contents never appear in a representation, so they cannot reach a log.
"""

from __future__ import annotations

import hashlib

from msgspec import field
from msgspec.structs import force_setattr

from isthmus.kube.builtin import CONFIG_MAPS, SECRETS
from isthmus.kube.objects import Object

HELD = 4096
"""Bytes of content kept in memory with a local object; a pod's usual ConfigMap fits."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's memory of a local object; untrue of its copy, and as large as the content."""


def digest(*maps: dict[str, str]) -> bytes:
    """A digest that is equal exactly where the maps are, in whatever order their keys came."""
    total = hashlib.blake2b(digest_size=16)
    for map_ in maps:
        total.update(b"%d;" % len(map_))
        for key in sorted(map_):
            for text in (key.encode(), map_[key].encode("utf-8", "surrogatepass")):
                total.update(b"%d:" % len(text))
                total.update(text)
    return total.digest()


def _size(map_: dict[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in map_.items())


class Content(Object, frozen=True, kw_only=True):
    """An object that is all content. `held` says whether `data` is here or was too large to keep."""

    data: dict[str, str] = field(default_factory=dict)
    binary_data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None
    type: str = ""
    digest: bytes = b""
    keys: frozenset[str] = frozenset()
    """The keys of `data`."""
    held: bool = True

    def __post_init__(self) -> None:
        """Replace what is not worth its memory by its digest."""
        force_setattr(self, "digest", digest(self.data, self.binary_data))
        force_setattr(self, "keys", frozenset(self.data))
        held = self._holds(_size(self.data) + _size(self.binary_data))
        force_setattr(self, "held", held)
        if not held:
            force_setattr(self, "data", {})
            force_setattr(self, "binary_data", {})
        self.metadata.annotations.pop(LAST_APPLIED, None)

    def _holds(self, size: int) -> bool:
        return size <= HELD

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key}, {len(self.keys)} keys)"


class RemoteContent(Content, frozen=True, kw_only=True):
    """The same on the provider, where only whether it is equal matters."""

    def _holds(self, size: int) -> bool:
        return False


class WholeContent(Content, frozen=True, kw_only=True):
    """The same with its data whatever its size, read to be written at once."""

    def _holds(self, size: int) -> bool:
        return True


LOCAL_CONFIG_MAPS = CONFIG_MAPS.view(Content)
REMOTE_CONFIG_MAPS = CONFIG_MAPS.view(RemoteContent)
LOCAL_SECRETS = SECRETS.view(Content)
REMOTE_SECRETS = SECRETS.view(RemoteContent)

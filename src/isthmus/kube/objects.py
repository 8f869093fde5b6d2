"""The shapes of Kubernetes objects as they are read: typed metadata, the rest as raw bytes.

Only the fields that are used are decoded; what an object is copied from stays `Raw`, so that nothing
unknown is lost (python-stack 2.1: 4.6 us and 4 KB a pod instead of 80 us and 28 KB). All structs are
frozen and leave the garbage collector alone: they hold no cycles.

What is written to the API server is a plain `Manifest`: the JSON of the object as a dict.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Raw, Struct, field

Manifest = dict[str, Any]
"""An object to be written, as the JSON the API server takes."""


class Key(NamedTuple):
    """The name of an object within its kind; `namespace` is "" for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Base(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, rename="camel"):
    """The settings every struct read from the API shares."""


class OwnerReference(Base, frozen=True, kw_only=True):
    """A reference to the object this one is collected with."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Base, frozen=True, kw_only=True):
    """The part of an object that the API machinery keeps; timestamps are RFC 3339 text."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    finalizers: list[str] = field(default_factory=list)
    owner_references: list[OwnerReference] = field(default_factory=list)


class Object(Base, frozen=True, kw_only=True):
    """Any object of which only the metadata is used; the base of every kind."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = field(default_factory=ObjectMeta)

    @property
    def key(self) -> Key:
        """The namespace and name."""
        return Key(self.metadata.namespace, self.metadata.name)

    @property
    def deleting(self) -> bool:
        """Whether deletion was asked for and waits for finalizers or the grace period."""
        return self.metadata.deletion_timestamp is not None


EMPTY_OBJECT = Raw(b"{}")


class RawObject(Object, frozen=True, kw_only=True):
    """An object kept whole enough to be copied: spec and status as the server sent them."""

    spec: Raw = EMPTY_OBJECT
    status: Raw = EMPTY_OBJECT

"""Which kind a request is about, and into which struct its answers are decoded.

A `Resource` is a value: group, version, plural, scope and the type to decode into. The built-in kinds in
use are in `builtin.py`, the liqo.io kinds beside their structs in `isthmus.api`.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from urllib.parse import quote

from isthmus.kube.objects import Object

T = TypeVar("T", bound=Object)
U = TypeVar("U", bound=Object)


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A served kind and the struct its objects are decoded into.

    `metadata_only` asks the server for PartialObjectMetadata: no spec, no status, a third of the bytes.
    """

    group: str
    version: str
    plural: str
    kind: str
    type: builtins.type[T]
    namespaced: bool = True
    metadata_only: bool = False

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` for the core group, as in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def view(self, type_: builtins.type[U]) -> Resource[U]:
        """The same kind decoded into another struct, one with other fields of interest."""
        return replace(self, type=type_)  # type: ignore[return-value, arg-type]

    def partial(self) -> Resource[Object]:
        """The same kind with metadata only."""
        return replace(self, type=Object, metadata_only=True)  # type: ignore[arg-type, return-value]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of one object or of its subresource.

        Names are percent-encoded: one that came from another cluster cannot lead out of its place.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=":"))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

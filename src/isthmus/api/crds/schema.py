"""The notation the kinds are written in: functions for the types of a structural schema, and `Kind`.

A schema is the JSON of an OpenAPI v3 schema as the API server takes it. In the fields of an object a name that
ends in `*` is required; everything else is said by the arguments. Every function returns a new value, so no
schema is shared by reference unless its author shares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from isthmus.kube.objects import Manifest

Schema = dict[str, Any]

QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
"""What a Kubernetes quantity looks like as text (resource.Quantity)."""


class Rule(NamedTuple):
    """A CEL rule and what is said when it is broken."""

    rule: str
    message: str


def _described(schema: Schema, doc: str) -> Schema:
    return {"description": doc, **schema} if doc else schema


def structure(
    doc: str, fields: Mapping[str, Schema], *, rules: tuple[Rule, ...] = (), atomic: bool = False
) -> Schema:
    """An object with the given fields; `atomic` for a reference that server-side apply replaces whole."""
    schema: Schema = {
        "type": "object",
        "properties": {name.removesuffix("*"): value for name, value in fields.items()},
    }
    required = [name.removesuffix("*") for name in fields if name.endswith("*")]
    if required:
        schema["required"] = required
    if rules:
        schema["x-kubernetes-validations"] = [rule._asdict() for rule in rules]
    if atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    return _described(schema, doc)


def text(doc: str = "", *, format: str = "", pattern: str = "", default: str | None = None) -> Schema:
    """A string; `format` is one the API server checks, such as cidr, ipv4, byte or date-time."""
    schema: Schema = {"type": "string"}
    if format:
        schema["format"] = format
    if pattern:
        schema["pattern"] = pattern
    if default is not None:
        schema["default"] = default
    return _described(schema, doc)


def choice(doc: str, *values: str, default: str | None = None) -> Schema:
    """A string that is one of the values."""
    schema: Schema = {"type": "string", "enum": list(values)}
    if default is not None:
        schema["default"] = default
    return _described(schema, doc)


def integer(
    doc: str = "", *, format: str = "", minimum: int | None = None, default: int | None = None
) -> Schema:
    """A whole number; `format` int32 or int64 bounds it."""
    schema: Schema = {"type": "integer"}
    if format:
        schema["format"] = format
    if minimum is not None:
        schema["minimum"] = minimum
    if default is not None:
        schema["default"] = default
    return _described(schema, doc)


def flag(doc: str = "", *, default: bool | None = None) -> Schema:
    """A boolean."""
    schema: Schema = {"type": "boolean"}
    if default is not None:
        schema["default"] = default
    return _described(schema, doc)


def int_or_string(doc: str = "") -> Schema:
    """A port given by number or by name."""
    return _described(
        {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}, doc
    )


def quantity(doc: str = "") -> Schema:
    """A Kubernetes quantity: a number, or text such as 500m or 4Gi."""
    return {**int_or_string(doc), "pattern": QUANTITY_PATTERN}


def list_of(
    item: Schema, doc: str = "", *, min_items: int | None = None, max_items: int | None = None
) -> Schema:
    """A list."""
    schema: Schema = {"type": "array", "items": item}
    if min_items is not None:
        schema["minItems"] = min_items
    if max_items is not None:
        schema["maxItems"] = max_items
    return _described(schema, doc)


def texts(doc: str = "") -> Schema:
    """A list of strings."""
    return list_of(text(), doc)


def map_of(value: Schema, doc: str = "") -> Schema:
    """An object with free keys and values of one type."""
    return _described({"type": "object", "additionalProperties": value}, doc)


def text_map(doc: str = "") -> Schema:
    """An object of strings, such as labels."""
    return map_of(text(), doc)


def free_form(doc: str) -> Schema:
    """An object whose fields are somebody else's: accepted and kept as they come.

    For the large types of Kubernetes this is on purpose: a schema of one release would drop the fields of the
    next one, and cost every API server and every client that reads it hundreds of kilobytes.
    """
    return _described({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, doc)


def immutable(schema: Schema) -> Schema:
    """The same schema, refusing a change once a value is there."""
    return {
        **schema,
        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "the value cannot be changed"}],
    }


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; `wide` ones show with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False

    def manifest(self) -> Manifest:
        """The entry of additionalPrinterColumns."""
        column: Manifest = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**column, "priority": 1} if self.wide else column


AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True, slots=True)
class Kind:
    """One liqo.io kind; with a `status` it also has the status subresource."""

    group: str
    version: str
    name: str
    plural: str
    doc: str
    spec: Schema
    status: Schema | None = None
    short_names: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    namespaced: bool = True
    spec_required: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def _schema(self) -> Schema:
        fields = {
            "apiVersion": text("The group and version of this object's schema."),
            "kind": text("The kind of this object."),
            "metadata": {"type": "object"},
            "spec*" if self.spec_required else "spec": self.spec,
        }
        if self.status is not None:
            fields["status"] = self.status
        return structure(self.doc, fields)

    def manifest(self) -> Manifest:
        """The CustomResourceDefinition."""
        names = {
            "kind": self.name,
            "listKind": f"{self.name}List",
            "plural": self.plural,
            "singular": self.name.lower(),
            "categories": ["liqo"],
        }
        if self.short_names:
            names["shortNames"] = list(self.short_names)
        version: Manifest = {
            "name": self.version,
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": self._schema()},
        }
        if self.columns:
            version["additionalPrinterColumns"] = [column.manifest() for column in self.columns]
        if self.status is not None:
            version["subresources"] = {"status": {}}
        metadata: Manifest = {"name": f"{self.plural}.{self.group}"}
        if self.labels:
            metadata["labels"] = dict(self.labels)
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": metadata,
            "spec": {
                "group": self.group,
                "names": names,
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "versions": [version],
            },
        }

"""Requests to an API server as values, and what their parts are made of. Pure; `session` does the I/O."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from isthmus.kube.objects import Manifest
from isthmus.kube.resource import Resource

Query = list[tuple[str, str]]


class Call(Struct, frozen=True):
    """A request; `purpose` says in an error what was asked for, `idempotent` whether it may be repeated."""

    method: str
    target: str
    purpose: str
    body: bytes = b""
    content_type: str = "application/json"
    accept: str = "application/json"
    idempotent: bool = True
    headers: list[tuple[str, str]] = []


def forge_purpose(
    verb: str, resource: Resource[Any], namespace: str = "", name: str = "", subresource: str = ""
) -> str:
    """What an error says was asked for: verb, resource and name."""
    what = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f"{namespace}/{name}" if namespace and name else name or namespace
    return f"{verb} {what} {where}".rstrip()


def forge_target(path: str, query: Query) -> str:
    """The request target."""
    return f"{path}?{urlencode(query)}" if query else path


def forge_selectors(label_selector: str, field_selector: str) -> Query:
    """The query of a list or watch that is narrowed."""
    query = []
    if label_selector:
        query.append(("labelSelector", label_selector))
    if field_selector:
        query.append(("fieldSelector", field_selector))
    return query


def place_of(manifest: Manifest, namespace: str) -> tuple[str, str]:
    """Namespace (the argument before the manifest's own) and name, "" where they are not given."""
    metadata = manifest.get("metadata") or {}
    return namespace or metadata.get("namespace", ""), metadata.get("name", "")


def encode_manifest(resource: Resource[Any], manifest: Manifest) -> bytes:
    """The JSON of a manifest, apiVersion and kind filled in."""
    return msgspec.json.encode({**manifest, "apiVersion": resource.api_version, "kind": resource.kind})

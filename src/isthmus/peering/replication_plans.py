"""What is copied to a provider and what comes back (wire.md 6). Pure.

Specs and statuses are compared as JSON and copied as the bytes they came in: nothing that we do not know is lost.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from isthmus.api import labels
from isthmus.kube.objects import Manifest, Object, RawObject

MAXIMUM_STATUS = 512 * 1024
"""Bytes of a status that are taken from a provider."""

MAXIMUM_ANNOUNCEMENT = 2048
"""Characters of an announcement of networking that are carried over."""


def is_local(object_: Object, provider: str) -> bool:
    """Whether the object is ours and to be copied to that provider."""
    marks = object_.metadata.labels
    return marks.get(labels.REPLICATION) == labels.TRUE and marks.get(labels.REMOTE_ID) == provider


def is_copy(object_: Object, own_id: str) -> bool:
    """Whether the object at a provider is the copy of one of ours."""
    marks = object_.metadata.labels
    return marks.get(labels.ORIGIN_ID) == own_id and marks.get(labels.REPLICATED) == labels.TRUE


def forge_copy(local: RawObject, own_id: str) -> Manifest:
    """The copy of a local object, without namespace: neither owners nor finalizers nor status travel."""
    marks = {
        **local.metadata.labels,
        labels.REPLICATION: labels.FALSE,
        labels.REPLICATED: labels.TRUE,
        labels.ORIGIN_ID: own_id,
        labels.REMOTE_CLUSTER_ID: own_id,
    }
    marks.pop(labels.OWNERSHIP, None)
    annotations = dict(local.metadata.annotations)
    annotations.pop(labels.PROVIDER_NETWORK, None)  # The provider's to write.
    return {
        "metadata": {
            "name": local.metadata.name,
            "labels": marks,
            "annotations": annotations,
        },
        "spec": local.spec,
    }


def plan_spec(local: RawObject, remote: RawObject) -> list[Manifest] | None:
    """The JSON patch that makes the copy's spec ours again, None where it is."""
    return None if same(local.spec, remote.spec) else _replace(remote, "/spec", local.spec)


def plan_status(local: RawObject, remote: RawObject) -> list[Manifest] | None:
    """The JSON patch that takes the provider's status over, None where we have it or there is none yet.

    Raises ValueError where it is larger than is taken from a provider.
    """
    if is_empty(remote.status) or same(local.status, remote.status):
        return None
    if len(bytes(remote.status)) > MAXIMUM_STATUS:
        raise ValueError(f"the provider's status is over {MAXIMUM_STATUS} bytes")
    return _replace(local, "/status", remote.status)


def plan_announcement(source: Object, target: Object, annotation: str) -> Manifest | None:
    """The merge patch that carries one annotation over, its end included, None where the target has it.

    Raises ValueError where it is longer than is carried. No other annotation travels after the copy was made.
    """
    text = source.metadata.annotations.get(annotation)
    if text == target.metadata.annotations.get(annotation):
        return None
    if text is not None and len(text) > MAXIMUM_ANNOUNCEMENT:
        raise ValueError(f"annotation {annotation} has over {MAXIMUM_ANNOUNCEMENT} characters")
    return {"metadata": {"uid": target.metadata.uid, "annotations": {annotation: text}}}


def same(one: Raw, other: Raw) -> bool:
    """Whether two values are equal as JSON; none and {} are."""
    return bytes(one) == bytes(other) or _canonical(one) == _canonical(other)


def is_empty(value: Raw) -> bool:
    """Whether the value is missing or has no field."""
    return not _decode(value)


def _canonical(value: Raw) -> bytes:
    # Not compared as Python values: there, 1 equals true.
    return msgspec.json.encode(_decode(value), order="sorted")


def _decode(value: Raw) -> Any:
    return msgspec.json.decode(value) or {}


def _replace(object_: RawObject, path: str, value: Raw) -> list[Manifest]:
    # `add` also replaces; the test keeps it from an object made anew under the name.
    return [
        {"op": "test", "path": "/metadata/uid", "value": object_.metadata.uid},
        {"op": "add", "path": path, "value": value},
    ]

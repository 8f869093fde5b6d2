"""The patches that put a finalizer on an object and take it off, each bound to the version that was read."""

from __future__ import annotations

from isthmus.kube.objects import Manifest, Object


def add_finalizer(object: Object, finalizer: str) -> Manifest:
    """The merge patch that adds a finalizer; fails with Conflict where the object changed meanwhile."""
    return _patch(object, [*object.metadata.finalizers, finalizer])


def remove_finalizer(object: Object, finalizer: str) -> Manifest:
    """The merge patch that removes a finalizer; fails with Conflict where the object changed meanwhile."""
    return _patch(object, [f for f in object.metadata.finalizers if f != finalizer])


def _patch(object: Object, finalizers: list[str]) -> Manifest:
    metadata = object.metadata
    return {
        "metadata": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
            "finalizers": finalizers,
        }
    }

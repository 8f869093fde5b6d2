"""Owner references and finalizers of this module's objects. The plans are pure; the writes are guarded.

A write names the uid and resourceVersion that were read; the Conflict of one that came too late is left to the
caller's controller, which tries again with what is there by then.
"""

from __future__ import annotations

from typing import Any, TypeVar

from isthmus.kube.client import Client
from isthmus.kube.errors import NotFound
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.resource import Resource

T = TypeVar("T", bound=Object)


def forge_controller(resource: Resource[Any], owner: Object) -> Manifest:
    """The reference that makes `owner` the controller of an object in its namespace."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_controlled_by(object_: Object, owner: Object) -> bool:
    """Whether the owner is the controller of the object."""
    return any(one.controller and one.uid == owner.metadata.uid for one in object_.metadata.owner_references)


def controller_keys(object_: Object, resource: Resource[Any]) -> list[Key]:
    """The object's controller, where it is of that kind: one key or none."""
    return [
        Key(object_.metadata.namespace, one.name)
        for one in object_.metadata.owner_references
        if one.controller and one.kind == resource.kind and one.api_version.startswith(f"{resource.group}/")
    ]


def guard(object_: Object) -> Manifest:
    """The metadata of a patch that is for this object as it was read, and no later one."""
    return {"uid": object_.metadata.uid, "resourceVersion": object_.metadata.resource_version}


async def drop_finalizer(client: Client, resource: Resource[T], object_: Object, finalizer: str) -> None:
    """Take the finalizer off; harmless where the object or the finalizer is gone. Raises Conflict."""
    meta = object_.metadata
    if finalizer not in meta.finalizers:
        return
    left = [name for name in meta.finalizers if name != finalizer]
    try:
        await client.patch(
            resource, meta.name, {"metadata": guard(object_) | {"finalizers": left}}, meta.namespace
        )
    except NotFound:
        pass

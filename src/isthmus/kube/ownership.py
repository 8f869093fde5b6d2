"""Owner references: who an object is collected with, and whether it is ours to change. Pure."""

from __future__ import annotations

from typing import Any

from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.resource import Resource


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

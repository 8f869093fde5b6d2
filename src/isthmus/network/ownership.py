"""Guarded writes to this module's objects, finalizers among them.

A write names the uid and resourceVersion that were read; the Conflict of one that came too late is left to the
caller's controller, which tries again with what is there by then.
"""

from __future__ import annotations

from typing import TypeVar

from isthmus.kube.client import Client
from isthmus.kube.errors import NotFound
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource

T = TypeVar("T", bound=Object)


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

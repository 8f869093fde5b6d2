"""Adding and removing a finalizer, guarded by the object's resourceVersion.

A Conflict (the object changed meanwhile) is left to the caller's controller, which tries again.
"""

from __future__ import annotations

from typing import TypeVar

from isthmus.kube.client import Client
from isthmus.kube.errors import NotFound
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource

T = TypeVar("T", bound=Object)


async def add_finalizer(client: Client, resource: Resource[T], object_: Object, finalizer: str) -> None:
    """Put the finalizer on the object where it is missing. Raises Conflict, NotFound."""
    present = object_.metadata.finalizers
    if finalizer not in present:
        await _write(client, resource, object_, [*present, finalizer])


async def drop_finalizer(client: Client, resource: Resource[T], object_: Object, finalizer: str) -> None:
    """Take the finalizer off; harmless where the object or the finalizer is gone. Raises Conflict."""
    present = object_.metadata.finalizers
    if finalizer in present:
        try:
            await _write(client, resource, object_, [name for name in present if name != finalizer])
        except NotFound:
            pass


def forge_finalizers(object_: Object, finalizers: list[str]) -> Manifest:
    """The merge patch that sets the finalizers, of exactly the object that was read."""
    return {
        "metadata": {
            "uid": object_.metadata.uid,
            "resourceVersion": object_.metadata.resource_version,
            "finalizers": finalizers,
        }
    }


async def _write(client: Client, resource: Resource[T], object_: Object, finalizers: list[str]) -> None:
    meta = object_.metadata
    await client.patch(resource, meta.name, forge_finalizers(object_, finalizers), meta.namespace)

"""Writing where others write too, never over what is not ours, however the races fall.

- An object that seems absent is applied with resourceVersion "1", which no stored object has (etcd and its kin
  count on from there): the API server creates it, or refuses with a conflict. Server-side apply has no other
  "only if absent", and a POST would leave fields behind that a later apply could not take back.
- An object that is ours is applied with its uid: recreated by another meanwhile, it is refused as well.
- A deletion carries the uid.

After a refusal the object itself is asked whose it is. Answers carry metadata only: what was written is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from isthmus.api import labels
from isthmus.kube.client import Client
from isthmus.kube.errors import Conflict, Invalid
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource

R = TypeVar("R", bound=Object)

ABSENT = "1"
"""A resourceVersion no stored object has."""


class Outcome(Struct, Generic[R], frozen=True):
    """What became of a creation: `version` is the resourceVersion written, "" where something was there before;
    `present` is that if it is ours, None if it is foreign."""

    version: str
    present: R | None


async def create(
    client: Client,
    resource: Resource[R],
    manifest: Manifest,
    ours: Callable[[R], bool],
    *,
    field_manager: str = labels.REFLECTION_MANAGER,
) -> Outcome[R]:
    """Create an object where there is none of its name.

    Raises Conflict where what was there is gone again, and the errors of `Client.apply`.
    """
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    try:
        version = await _apply(client, resource, manifest, field_manager, resourceVersion=ABSENT)
        return Outcome(version, None)
    except Conflict:
        found = await client.find(resource, name, namespace)
    if found is None:
        raise Conflict(f"{resource.plural} {namespace}/{name} came and went", code=409)
    return Outcome("", found if ours(found) else None)


async def change(
    client: Client,
    resource: Resource[R],
    manifest: Manifest,
    present: R,
    *,
    field_manager: str = labels.REFLECTION_MANAGER,
) -> str:
    """Change an object of ours; the resourceVersion written.

    Raises Conflict where it is not that very one any more, and the errors of `Client.apply`.
    """
    try:
        return await _apply(client, resource, manifest, field_manager, uid=present.metadata.uid)
    except Invalid as error:
        if "metadata.uid" not in str(error):
            raise
        raise Conflict(str(error), code=error.code, reason="Conflict") from error


async def delete(client: Client, resource: Resource[R], present: R) -> None:
    """Delete an object of ours, and only that very one."""
    metadata = present.metadata
    await client.delete(resource, metadata.name, metadata.namespace, uid=metadata.uid)


async def _apply(
    client: Client, resource: Resource[Any], manifest: Manifest, field_manager: str, **preconditions: str
) -> str:
    metadata: Manifest = manifest["metadata"]
    guarded = manifest | {"metadata": metadata | preconditions}
    written = await client.apply(
        resource.partial(), guarded, metadata["namespace"], field_manager=field_manager
    )
    return written.metadata.resource_version

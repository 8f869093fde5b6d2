"""Writing an object as the least-privilege peering user can: get, then create or update (wire.md 7, 9).

No patch, no server-side apply, no watch. Writing what is there already changes nothing, so a command may be run
again at any time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from isthmus.cli.errors import CommandError
from isthmus.cli.marks import marked
from isthmus.cli.progress import format_seconds
from isthmus.cli.waiting import Deadline
from isthmus.kube.client import Client
from isthmus.kube.errors import AlreadyExists, Conflict, TransportError
from isthmus.kube.objects import Manifest, RawObject
from isthmus.kube.resource import Resource

FIELD_MANAGER = "isthmus-cli"


async def write(
    client: Client,
    resource: Resource[Any],
    manifest: Manifest,
    deadline: Deadline,
    *,
    kept: frozenset[str] = frozenset(),
) -> bool:
    """Create the object or replace its spec, keeping the fields `kept` of the spec that others fill in.

    Labels and annotations are added to what is there. An object that is being deleted is waited for and made
    anew. True where something was written. Raises KubeError, or CommandError at the deadline.
    """
    manifest = marked(resource, manifest)
    try:
        async with asyncio.timeout(deadline.left()):
            while True:
                try:
                    return await _write_once(client, resource, manifest, kept)
                except (AlreadyExists, Conflict):
                    await asyncio.sleep(0.1)
    except TimeoutError:
        metadata = manifest["metadata"]
        raise CommandError(
            f"{resource.kind} {metadata.get('namespace', '')}/{metadata['name']} could not be written within "
            f"{format_seconds(deadline.seconds)}: it is being deleted, something else keeps changing it, or its "
            "admission webhook gives no answer",
            "look whether it is going and whether the controller is ready, then run this again",
        ) from None


async def _write_once(
    client: Client, resource: Resource[Any], manifest: Manifest, kept: frozenset[str]
) -> bool:
    name, namespace = manifest["metadata"]["name"], manifest["metadata"].get("namespace", "")
    present = await client.find(resource.view(RawObject), name, namespace)
    if present is None:
        try:
            await client.create(resource, manifest, field_manager=FIELD_MANAGER)
        except TransportError:
            # Whether it was created is not known: look before giving up.
            if await client.find(resource.partial(), name, namespace) is None:
                raise
        return True
    if present.deleting:
        raise Conflict(f"{resource.plural} {name} is being deleted")
    changed = merge(present, manifest, kept)
    if changed is None:
        return False
    await client.update(resource, changed, namespace, field_manager=FIELD_MANAGER)
    return True


def merge(present: RawObject, manifest: Manifest, kept: frozenset[str]) -> Manifest | None:
    """What to replace the present object by to have what the manifest says; None where it says so already."""
    metadata: dict[str, Any] = msgspec.to_builtins(present.metadata)
    wanted = manifest["metadata"]
    labels = {**present.metadata.labels, **wanted.get("labels", {})}
    annotations = {**present.metadata.annotations, **wanted.get("annotations", {})}
    before: dict[str, Any] = msgspec.json.decode(present.spec)
    spec = {**{key: before[key] for key in kept if key in before}, **manifest.get("spec", {})}
    if spec == before and labels == present.metadata.labels and annotations == present.metadata.annotations:
        return None
    return {"metadata": {**metadata, "labels": labels, "annotations": annotations}, "spec": spec}

"""Writing the objects of gateways, and only when they differ.

What was applied last is remembered by its digest and the version it led to, so that a reconcile that changes nothing
asks nothing; what somebody else changed has another version and is applied again. The memory may be lost at any time:
an apply of what is there changes nothing either.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from isthmus.kube.client import Client
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.resource import Resource

T = TypeVar("T", bound=Object)


class Writer:
    """Applies manifests of several kinds; owned by one reconciler."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._written: dict[tuple[str, Key], tuple[str, str, str]] = {}

    async def apply(self, resource: Resource[T], manifest: Manifest, live: Object | None) -> None:
        """Apply the manifest unless `live` is what it led to before. Raises what the API server refuses."""
        metadata = manifest["metadata"]
        place = (resource.plural, Key(metadata.get("namespace", ""), metadata["name"]))
        digest = hashlib.sha256(msgspec.json.encode(manifest, order="sorted")).hexdigest()
        if live is not None and self._written.get(place) == (digest, live.metadata.uid, _stamp(live)):
            return
        result = await self._client.apply(resource.partial(), manifest, place[1].namespace)
        self._written[place] = (digest, result.metadata.uid, _stamp(result))

    def forget(self, resource: Resource[Any], key: Key) -> None:
        """The object is gone, or nobody's concern any more."""
        self._written.pop((resource.plural, key), None)


def _stamp(live: Object) -> str:
    """What changes with the content: the generation where the kind has one, else the version."""
    metadata = live.metadata
    return str(metadata.generation) if metadata.generation else metadata.resource_version

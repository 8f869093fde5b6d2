"""Objects in memory with the answers an API server gives to a guarded write: enough to watch loops at work.

Nothing is validated or defaulted here; what a real API server makes of the same writes is shown in tests/cluster.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from isthmus.kube.errors import Conflict
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.resource import Resource


class MemoryCluster:
    """Stands for client, informers and events of one cluster."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, Key], Manifest] = {}
        self.informers: dict[Any, tuple[Informer[Any], dict[str, str | None]]] = {}
        self.recorded: list[tuple[str, str]] = []
        self.writes: list[tuple[str, str]] = []
        """Verb and field manager of every write that was asked for."""
        self._versions = itertools.count(10)

    def get(
        self,
        resource: Resource[Any],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer[Any]:
        identity = (resource, namespace, label_selector)
        if identity not in self.informers:
            informer: Informer[Any] = Informer(self, resource, namespace)  # type: ignore[arg-type]
            informer.synced.set()
            pairs = (part.partition("=") for part in label_selector.split(",") if part)
            self.informers[identity] = informer, {key: value if eq else None for key, eq, value in pairs}
            for (plural, key), manifest in self.objects.items():
                self._show(plural, key, manifest)
        return self.informers[identity][0]

    def release(self, informer: Informer[Any]) -> None:
        """Nothing is given back."""

    def record(self, resource: Any, object: Any, reason: str, message: str, type: str = "Normal") -> None:
        self.recorded.append((reason, message))

    def put(self, plural: str, manifest: Manifest) -> Manifest:
        """Create or replace an object."""
        metadata = manifest["metadata"]
        key = Key(metadata.get("namespace", ""), metadata["name"])
        version = str(next(self._versions))
        old = self.objects.get((plural, key))
        uid = old["metadata"]["uid"] if old else f"uid-{version}"
        stored = manifest | {"metadata": {"uid": uid} | metadata | {"resourceVersion": version}}
        self.objects[plural, key] = stored
        self._show(plural, key, stored)
        return stored

    def remove(self, plural: str, namespace: str, name: str) -> None:
        key = Key(namespace, name)
        self.objects.pop((plural, key), None)
        self._show(plural, key, None)

    def _show(self, plural: str, key: Key, manifest: Manifest | None) -> None:
        for informer, wanted in self.informers.values():
            if informer.resource.plural != plural or informer.namespace not in ("", key.namespace):
                continue
            found = {} if manifest is None else manifest["metadata"].get("labels", {})
            shown = manifest is not None and all(
                label[1:] not in found
                if label.startswith("!")
                else label in found and value in (None, found[label])
                for label, value in wanted.items()
            )
            if shown:
                informer._put(msgspec.json.decode(msgspec.json.encode(manifest), type=informer.resource.type))
            else:
                informer._remove(key, None)

    async def apply(
        self, resource: Resource[Any], manifest: Manifest, namespace: str = "", *, field_manager: str = ""
    ) -> Any:
        self.writes.append(("apply", field_manager))
        metadata = dict(manifest["metadata"])
        present = self.objects.get((resource.plural, Key(namespace, metadata["name"])))
        if metadata.pop("resourceVersion", "") and present is not None:
            raise Conflict("the object has been modified", code=409)
        uid = metadata.pop("uid", "")
        if uid and (present is None or present["metadata"]["uid"] != uid):
            raise Conflict("the uid is another", code=409)
        stored = self.put(resource.plural, manifest | {"metadata": metadata})
        return msgspec.convert({"metadata": stored["metadata"]}, resource.type)

    async def find(self, resource: Resource[Any], name: str, namespace: str = "") -> Any:
        found = self.objects.get((resource.plural, Key(namespace, name)))
        return None if found is None else msgspec.json.decode(msgspec.json.encode(found), type=resource.type)

    async def delete(self, resource: Resource[Any], name: str, namespace: str = "", *, uid: str = "") -> bool:
        self.writes.append(("delete", ""))
        found = self.objects.get((resource.plural, Key(namespace, name)))
        if found is None or (uid and found["metadata"]["uid"] != uid):
            return False
        self.remove(resource.plural, namespace, name)
        return True

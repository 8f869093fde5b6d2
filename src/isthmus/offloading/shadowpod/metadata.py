"""Labels and annotations of a running pod follow its ShadowPod: set what is wished, remove what was taken away.

The provider's own components add labels and annotations to pods as well; which came from the ShadowPod is
told by the managed fields, which are asked of the API server only when a label is there that is not wished,
once, or when an annotation was seen to go.
"""

from __future__ import annotations

import msgspec

from isthmus.api import labels
from isthmus.api.offloading import ShadowPod
from isthmus.kube.client import Client
from isthmus.kube.errors import Conflict, NotFound
from isthmus.offloading.shadowpod.forge import (
    SHADOWED_PODS,
    ManagedObject,
    PodPhase,
    keys_set_by,
    plan_metadata,
    surplus_labels,
)


class MetadataKeeper:
    """Keeps pods' labels and annotations; what it remembers, by the ShadowPod's uid, only spares requests."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._dropped: set[str] = set()
        self._examined: dict[str, frozenset[str]] = {}

    def note_change(self, old: ShadowPod, new: ShadowPod | None) -> None:
        """Learn of a ShadowPod's change: annotations that go leave no other trace in the caches."""
        uid = old.metadata.uid
        if new is None or new.metadata.uid != uid:
            self._dropped.discard(uid)
            self._examined.pop(uid, None)
        elif old.metadata.annotations.keys() - new.metadata.annotations.keys():
            self._dropped.add(uid)

    async def update(self, shadow: ShadowPod, pod: PodPhase) -> None:
        """Bring labels and annotations of the pod to the ShadowPod's."""
        patch = plan_metadata(shadow, pod, await self._set_by_us(shadow, pod))
        if patch is None:
            return
        found = pod.metadata
        try:
            await self.client.patch(
                SHADOWED_PODS.partial(),
                found.name,
                patch,
                found.namespace,
                field_manager=labels.SHADOW_POD_MANAGER,
            )
        except (NotFound, Conflict):
            return  # it is gone, or another now has its name: there is an event for either

    async def _set_by_us(self, shadow: ShadowPod, pod: PodPhase) -> set[tuple[str, str]]:
        """The pod's keys that came from its ShadowPod, where some may be obsolete; else none."""
        uid, surplus = shadow.metadata.uid, surplus_labels(shadow, pod)
        if uid not in self._dropped and self._examined.get(uid, frozenset()) == surplus:
            return set()
        try:
            path = SHADOWED_PODS.path(pod.metadata.namespace, pod.metadata.name)
            answer = await self.client.request("GET", path)
        except NotFound:
            return set()
        self._dropped.discard(uid)
        self._examined[uid] = surplus
        return keys_set_by(msgspec.json.decode(answer.body, type=ManagedObject), labels.SHADOW_POD_MANAGER)

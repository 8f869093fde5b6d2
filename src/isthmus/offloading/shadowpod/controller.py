"""The controller that keeps one Pod for each ShadowPod, as long as it has not finished.

One key is the name both share. A Pod is made by one create; what the API server refuses is told as an event
and tried again with growing pauses, key by key. A pod that is not the ShadowPod's own is never touched.
What finished is never run again: a pod that may come to its own end carries our finalizer and so stays, whoever
deletes it while we are down, until its end stands in the ShadowPod's status or nobody asks for it any more.
Before a pod is made again, the API server and not the cache says that the ShadowPod has not finished.
"""

from __future__ import annotations

import time

from isthmus.api import labels
from isthmus.api.offloading import SHADOW_PODS, ShadowPod
from isthmus.kube.builtin import NAMESPACES, PODS
from isthmus.kube.errors import AlreadyExists, BadRequest, Conflict, Forbidden, Invalid, NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.reconcile import Controller
from isthmus.offloading.shadowpod.forge import (
    FINISHED,
    SHADOWED_PODS,
    PodPhase,
    forge_pod,
    forge_release,
    has_finished,
    kept_here,
    may_release,
    may_stray,
    owner_uid,
    phase_of,
)
from isthmus.offloading.shadowpod.host_aliases import HomeNetwork, NetworkPendingError
from isthmus.offloading.shadowpod.inplace import ChangeKeeper
from isthmus.offloading.shadowpod.metadata import update_metadata

WORKERS = 10
COLLECTION_GRACE = 2.0
"""Seconds the cluster's garbage collector gets to delete the pod of a ShadowPod that is gone."""
CACHE_GRACE = 5.0
"""Seconds a created pod may take to be seen in the cache before it is asked for."""
TAKEN = "a pod of that name exists and was not made for this ShadowPod"
UNTOLD = "Unknown"
"""The phase of a ShadowPod that never was told of a pod."""
PENDING_GRACE = 30.0
"""Seconds a new pod may be Pending before its ShadowPod says so: most run by then, and each write is an event that
crosses to the consumer."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between attempts to create a pod that the API server refuses."""


class ShadowPodController:
    """Keeps pods; what it remembers, by the ShadowPod's uid, spares requests or bridges a cache's lag."""

    def __init__(
        self, manager: Manager, home: HomeNetwork | None = None, taint_effect: str = labels.TAINT_EFFECT
    ) -> None:
        self.client = manager.client
        self.events = manager.events
        self.changes = ChangeKeeper(manager.client, manager.events)
        self.home = home
        self.taint_effect = taint_effect
        self.shadows = manager.informers.get(SHADOW_PODS)
        self.pods = manager.informers.get(
            SHADOWED_PODS, label_selector=f"{labels.MANAGED_BY}={labels.MANAGED_BY_SHADOW_POD}"
        )
        self._finished: dict[str, str] = {}
        self._refusals: dict[str, int] = {}
        self._told: dict[str, tuple[str, str]] = {}
        self._awaited: dict[str, float] = {}
        self._pending: dict[str, float] = {}
        self._orphans: dict[str, float] = {}
        self.pods.add_handler(self._note_pod)
        self.shadows.add_handler(self._note_shadow)

    def controller(self) -> Controller:
        """The loop, fed by ShadowPods and the pods made for them."""
        controller = Controller("shadowpod", self.reconcile, workers=WORKERS)
        controller.watch(self.shadows)
        controller.watch(self.pods)
        if self.home is not None:
            self.home.feed(controller)
        return controller

    def _note_pod(self, old: PodPhase | None, new: PodPhase | None) -> None:
        """Learn that a created pod is seen, or how a pod ended that its ShadowPod was not told of."""
        if new is not None:
            self._awaited.pop(owner_uid(new), None)
        elif old is not None:
            self._orphans.pop(old.metadata.uid, None)
            shadow = self.shadows.get(old.key)
            if shadow is not None and shadow.metadata.uid == owner_uid(old) and has_finished(old, shadow):
                self._finished[shadow.metadata.uid] = old.status.phase

    def _note_shadow(self, old: ShadowPod | None, new: ShadowPod | None) -> None:
        """Forget what is gone."""
        if old is None:
            return
        self.changes.note_change(old, new)
        uid = old.metadata.uid
        if new is None or new.metadata.uid != uid:
            self._finished.pop(uid, None)
            self._refusals.pop(uid, None)
            self._told.pop(uid, None)
            self._awaited.pop(uid, None)
            self._pending.pop(uid, None)
            if new is None and self.home is not None:
                self.home.forget(old.key)

    async def reconcile(self, key: Key) -> float | None:
        """Have the pod of one ShadowPod and tell its phase."""
        shadow, pod = self.shadows.get(key), self.pods.get(key)
        if pod is not None and (shadow is None or owner_uid(pod) != shadow.metadata.uid):
            return await self._part(pod, shadow)
        if shadow is None:
            return None
        if pod is None:
            return None if shadow.deleting else await self._create(shadow)
        phase = "" if shadow.deleting else phase_of(pod, shadow)
        grace = self._pending_grace(shadow, phase)
        recorded = bool(phase) and not grace and await self._tell(shadow, phase)
        if may_release(pod, shadow, recorded=recorded):
            await self._release(pod)
        elif not (shadow.deleting or pod.deleting or phase in FINISHED):
            await update_metadata(self.client, shadow, pod)
            later = await self.changes.update(shadow, pod)
            return min((each for each in (grace or None, later) if each is not None), default=None)
        return None

    def _pending_grace(self, shadow: ShadowPod, phase: str) -> float:
        """Seconds until the phase is worth a write, 0 for now."""
        if phase != "Pending" or shadow.status.phase not in ("", UNTOLD):
            return 0.0
        now = time.monotonic()
        return max(0.0, self._pending.setdefault(shadow.metadata.uid, now) + PENDING_GRACE - now)

    async def _part(self, pod: PodPhase, shadow: ShadowPod | None) -> float | None:
        """There is a pod that is not, or not any more, that of the ShadowPod of its name."""
        if pod.deleting and labels.FINALIZER_SHADOWED_POD in pod.metadata.finalizers:
            await self._release(pod)  # nobody is left to be told of its end
        if shadow is not None and not owner_uid(pod):
            return self._refused(shadow, TAKEN)
        return await self._collect(pod)

    async def _release(self, pod: PodPhase) -> None:
        found = pod.metadata
        patch = forge_release(pod)
        try:
            await self.client.patch(
                SHADOWED_PODS.partial(),
                found.name,
                patch,
                found.namespace,
                type="strategic",
                field_manager=labels.SHADOW_POD_MANAGER,
            )
        except (NotFound, Conflict):
            return  # it is gone, or another now has its name: there is an event for either

    async def _has_finished(self, shadow: ShadowPod) -> bool:
        """Whether the pod has finished already, asked of the API server if it ever had one: caches lag."""
        if shadow.status.phase in FINISHED:
            return True
        if shadow.status.phase in ("", UNTOLD) and shadow.metadata.uid not in self._told:
            return False
        found = await self.client.find(SHADOW_PODS, shadow.metadata.name, shadow.metadata.namespace)
        return found is None or found.metadata.uid != shadow.metadata.uid or found.status.phase in FINISHED

    async def _create(self, shadow: ShadowPod) -> float | None:
        uid = shadow.metadata.uid
        if uid in self._finished:
            await self._tell(shadow, self._finished[uid])
            return None
        wait = self._awaited.get(uid, 0.0) - time.monotonic()
        if wait > 0:
            return wait
        if await self._has_finished(shadow):
            return None  # or is gone or replaced: its event is under way
        try:
            made = await self.client.create(
                PODS,
                await self._forge(shadow),
                shadow.metadata.namespace,
                field_manager=labels.SHADOW_POD_MANAGER,
            )
        except AlreadyExists:
            return await self._meet(shadow)
        except (BadRequest, Forbidden, Invalid, NotFound, NetworkPendingError) as error:
            return self._refused(shadow, str(error))
        self._awaited[uid] = time.monotonic() + CACHE_GRACE
        self._refusals.pop(uid, None)
        await self.changes.note_rewritten(shadow, made)
        self.events.record(SHADOW_PODS, shadow, "CreatedPod", f"Created pod {shadow.metadata.name}")
        return CACHE_GRACE

    async def _forge(self, shadow: ShadowPod) -> Manifest:
        """The Pod for this cluster. Raises NetworkPendingError."""
        pod = forge_pod(shadow)
        if self.home is not None:
            pod["spec"] = self.home.adapt(shadow, pod["spec"])
        if may_stray(pod["spec"], self.taint_effect) and not await self._is_extended(
            shadow.metadata.namespace
        ):
            pod["spec"] = kept_here(pod["spec"])
        return pod

    async def _is_extended(self, namespace: str) -> bool:
        """Whether the twin namespace is in its turn offloaded from here."""
        found = await self.client.find(NAMESPACES.partial(), namespace)
        return found is not None and found.metadata.labels.get(labels.SCHEDULING_ENABLED) == labels.TRUE

    async def _meet(self, shadow: ShadowPod) -> float | None:
        """A pod of that name is there but not in the cache: our own, or a stranger's."""
        pod = await self.client.find(SHADOWED_PODS, shadow.metadata.name, shadow.metadata.namespace)
        if pod is None:
            return FIRST_PAUSE
        if owner_uid(pod) == shadow.metadata.uid:
            await update_metadata(self.client, shadow, pod)  # gives back the label it is watched by
            return CACHE_GRACE
        if pod.deleting:
            return FIRST_PAUSE
        return self._refused(shadow, TAKEN)

    def _refused(self, shadow: ShadowPod, reason: str) -> float:
        """Tell why there is no pod; seconds until the next attempt."""
        count = self._refusals.get(shadow.metadata.uid, 0)
        self._refusals[shadow.metadata.uid] = count + 1
        message = f"Cannot create the pod: {reason}"
        self.events.record(SHADOW_PODS, shadow, "FailedCreatePod", message, "Warning")
        return float(min(FIRST_PAUSE * 2 ** min(count, 16), LONGEST_PAUSE))

    async def _tell(self, shadow: ShadowPod, phase: str) -> bool:
        """Write the phase, unless it stands there, was written to this very version or an end stands there.

        Tells whether that is so now.
        """
        metadata = shadow.metadata
        note = (metadata.resource_version, phase)
        if shadow.status.phase in (phase, *FINISHED) or self._told.get(metadata.uid) == note:
            return True
        patch = {"metadata": {"uid": metadata.uid}, "status": {"phase": phase}}
        try:
            await self.client.patch(
                SHADOW_PODS.partial(), metadata.name, patch, metadata.namespace, subresource="status"
            )
        except (NotFound, Conflict):
            return False  # it is gone, or another now has its name: there is an event for either
        self._told[metadata.uid] = note
        return True

    async def _collect(self, pod: PodPhase) -> float | None:
        """Delete the pod of a ShadowPod that is gone, where the cluster's garbage collector is slow to."""
        found, uid = pod.metadata, owner_uid(pod)
        if pod.deleting or not uid:
            return None
        wait = self._orphans.setdefault(found.uid, time.monotonic() + COLLECTION_GRACE) - time.monotonic()
        if wait > 0:
            return wait
        shadow = await self.client.find(SHADOW_PODS.partial(), found.name, found.namespace)
        if shadow is None or shadow.metadata.uid != uid:
            await self.client.delete(SHADOWED_PODS, found.name, found.namespace, uid=found.uid)
        return None

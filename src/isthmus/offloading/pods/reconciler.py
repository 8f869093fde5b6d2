"""One pod: what is at the provider follows what is here, the status here follows what is there.

Called with the local namespace and name whenever something about the pod may have changed on either side. Reads
both caches, and the API server itself before anything irreversible is concluded from an absence (`orphans`).
What the provider is to be told waits while it does not answer; what is local goes on.
"""

from __future__ import annotations

import msgspec

from isthmus.api import labels
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.errors import Conflict, NotFound
from isthmus.kube.objects import Key
from isthmus.kube.times import deleting_for
from isthmus.offloading.pods.creation import create_shadow, find_shadow, is_shadow_of, recorded_phase
from isthmus.offloading.pods.fallback import REFLECTION_DISABLED, Verdict, barred, plan_fallback
from isthmus.offloading.pods.inplace import follow_changes
from isthmus.offloading.pods.local import remove, write_status
from isthmus.offloading.pods.memory import Memories, PodMemory, newer
from isthmus.offloading.pods.metadata import (
    POD_UID,
    forge_metadata,
    plan_metadata_patch,
    removed_keys,
)
from isthmus.offloading.pods.mirror import give_up, mark_unavailable, may_have_ended, mirror_status
from isthmus.offloading.pods.provider import PodContext
from isthmus.offloading.pods.status import TERMINAL, phase_of
from isthmus.offloading.pods.twin import SHADOWS, Shadow, TwinNamespace
from isthmus.offloading.pods.unbound import find_unbound

LATER = 1.0
UNACCEPTED_GRACE = 60.0
"""Seconds past its grace period that a deleted pod waits for a namespace the provider has not accepted again."""


class _NodeName(msgspec.Struct, rename="camel"):
    node_name: str = ""


class PodReconciler:
    """Reconciles the pods of one virtual node; `twins` holds its offloaded namespaces by local name."""

    def __init__(self, context: PodContext, twins: dict[str, TwinNamespace], memories: Memories) -> None:
        self._context = context
        self._twins = twins
        self._memories = memories

    async def reconcile(self, key: Key) -> float | None:
        """Bring one pod to what it should be; returns the seconds after which to look again, if at all."""
        twin = self._twins.get(key.namespace)
        cached = self._context.pods.get(key)
        if cached is None:
            self._memories.forget(key)
            return await self._without_local(twin, key) if twin is not None and twin.ready else None
        memory = self._memories.of(cached)
        pod = newer(cached, memory)
        if twin is None:
            return await self._fall_back(pod, memory)
        if not twin.ready or not self._context.health.reachable:
            # Called again for every pod once the caches are filled, or the provider is back.
            if self._context.health.lost and not pod.deleting:
                await mark_unavailable(self._context, pod, memory)
            elif twin.barred and not pod.deleting:
                await self._say(pod, memory, barred(pod.metadata, phase_of(pod.status), twin.remote))
            return None
        shadow = twin.shadow(key.name)
        if shadow is not None:
            memory.seen()
            uid = shadow.metadata.annotations.get(POD_UID)
            if uid is not None and uid != pod.metadata.uid:
                return await self._remove_orphan(twin, shadow)
        if pod.deleting:
            return await self._delete(twin, pod, shadow, memory)
        if phase_of(pod.status) in TERMINAL:
            await self._end(twin, shadow, memory)
            return None
        return await self._run(twin, pod, shadow, memory)

    async def _run(
        self, twin: TwinNamespace, pod: Pod, shadow: Shadow | None, memory: PodMemory
    ) -> float | None:
        remote = twin.pod(pod.metadata.name)
        if shadow is None:
            if remote is not None and remote.deleting:
                return None
            if may_have_ended(pod):
                found = await find_shadow(self._context, twin, pod.metadata.name)
                if found is not None and is_shadow_of(found, pod, self._context):
                    return LATER
                await give_up(self._context, pod, memory)
                return None
            return await create_shadow(self._context, twin, pod, memory)
        again = unbound = None
        if remote is not None:
            memory.unbound_asks = 0
        elif not shadow.deleting:
            remote, unbound = await find_unbound(self._context, shadow, memory)
        if not shadow.deleting:
            await self._follow_metadata(pod, shadow, memory)
            again = await follow_changes(self._context, pod, shadow, remote, memory)
        after = await mirror_status(self._context, pod, shadow, remote, memory)
        return min((each for each in (unbound, again, after) if each is not None), default=None)

    async def _end(self, twin: TwinNamespace, shadow: Shadow | None, memory: PodMemory) -> None:
        """The pod has ended here; a ShadowPod that would still run it there has to go, as a kubelet would
        stop its containers. One that knows of the end stays, for its logs."""
        if shadow is None or shadow.deleting:
            return
        remote = twin.pod(shadow.metadata.name)
        if remote is not None and phase_of(remote.status) in TERMINAL:
            return
        if await recorded_phase(self._context, shadow, memory) not in TERMINAL:
            await self._delete_shadow(twin, shadow)

    async def _follow_metadata(self, pod: Pod, shadow: Shadow, memory: PodMemory) -> None:
        wanted = forge_metadata(pod.metadata, self._context.terms().identity)
        memory.given_up -= wanted.labels.keys() | wanted.annotations.keys()
        patch = plan_metadata_patch(shadow.metadata, wanted, given_up=memory.given_up)
        if not patch:
            return
        memory.given_up |= removed_keys(patch)
        place = shadow.metadata
        try:
            await self._context.remote.patch(
                SHADOWS.partial(),
                place.name,
                patch,
                place.namespace,
                field_manager=labels.REFLECTION_MANAGER,
            )
        except (NotFound, Conflict):
            return  # Gone or replaced: its event is under way.

    async def _delete(
        self, twin: TwinNamespace, pod: Pod, shadow: Shadow | None, memory: PodMemory
    ) -> float | None:
        if shadow is None and memory.created:
            # Created a moment ago, or perhaps so: ask rather than leave it behind.
            shadow = await find_shadow(self._context, twin, pod.metadata.name)
            if shadow is not None and shadow.metadata.annotations.get(POD_UID) != pod.metadata.uid:
                shadow = None
        remote = twin.pod(pod.metadata.name)
        if shadow is not None:
            if not shadow.deleting:
                await self._delete_shadow(twin, shadow)
            memory.created = False
        elif remote is None:
            await remove(self._context.local, pod, memory)
            return None
        if remote is not None and phase_of(pod.status) not in TERMINAL:
            await mirror_status(self._context, pod, shadow, remote, memory)
        return None

    async def _without_local(self, twin: TwinNamespace, key: Key) -> float | None:
        shadow = twin.shadow(key.name)
        if shadow is None or shadow.deleting or not self._context.health.reachable:
            return None
        return await self._remove_orphan(twin, shadow)

    async def _remove_orphan(self, twin: TwinNamespace, shadow: Shadow) -> float | None:
        """Delete a ShadowPod whose pod the cache does not show, if the API server does not know it either."""
        if shadow.deleting:
            return None
        local = await self._context.local.find(PODS, shadow.metadata.name, twin.local)
        if local is not None:
            node = msgspec.json.decode(local.spec, type=_NodeName).node_name
            uid = shadow.metadata.annotations.get(POD_UID, local.metadata.uid)
            if node == self._context.node_name and uid == local.metadata.uid:
                return LATER
        await self._delete_shadow(twin, shadow)
        return None

    async def _delete_shadow(self, twin: TwinNamespace, shadow: Shadow) -> None:
        await self._context.remote.delete(SHADOWS, shadow.metadata.name, twin.remote, uid=shadow.metadata.uid)

    async def _fall_back(self, pod: Pod, memory: PodMemory) -> float | None:
        """The pod's namespace is not offloaded, or not accepted yet."""
        wished = self._context.wished(pod.metadata.namespace)
        verdict = plan_fallback(pod.metadata, phase_of(pod.status), wished=wished)
        if verdict.action == "remove":
            if wished and labels.SHADOW_POD in pod.metadata.labels:
                left = deleting_for(pod)
                if left < UNACCEPTED_GRACE:
                    return UNACCEPTED_GRACE - left
            await remove(self._context.local, pod, memory)
        else:
            await self._say(pod, memory, verdict)
        return None

    async def _say(self, pod: Pod, memory: PodMemory, verdict: Verdict) -> None:
        """Set phase, reason and message as a verdict has it, and tell of it once."""
        if verdict.action != "set":
            return
        status = msgspec.json.decode(pod.status)
        said = {"phase": verdict.phase, "reason": verdict.reason, "message": verdict.message}
        if await write_status(self._context.local, pod, memory, {**status, **said}):
            self._context.events.record(PODS, pod, REFLECTION_DISABLED, verdict.message, "Warning")

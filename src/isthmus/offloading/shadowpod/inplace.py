"""Changes in place: what a consumer changed in a running pod is done to the provider's Pod (`offloading/inplace.py`).

Each kind of change has the subresource Kubernetes has for it. A Pod that is behind its ShadowPod's revision is read
whole, brought to it and marked; all steps may be repeated. What the API server refuses is told as an event of the
ShadowPod and tried again with growing pauses.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec

from isthmus.api import labels
from isthmus.api.offloading import SHADOW_PODS, ShadowPod
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.client import Client
from isthmus.kube.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from isthmus.kube.events import EventRecorder
from isthmus.kube.objects import Manifest, Object
from isthmus.offloading.inplace import (
    APPLIED,
    REWRITTEN,
    Changes,
    MutableContainer,
    MutablePart,
    mutable_part,
    read_changes,
    rewritten_images,
)
from isthmus.offloading.shadowpod.forge import applied_mark

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds between attempts at a change that the API server refuses."""


class Step(NamedTuple):
    """One strategic merge patch of a Pod, or of one of its subresources."""

    subresource: str
    patch: Manifest


class ChangeKeeper:
    """Keeps Pods at their ShadowPods' revision; what it remembers, by the ShadowPod's uid, only paces attempts."""

    def __init__(self, client: Client, events: EventRecorder) -> None:
        self.client = client
        self.events = events
        self._refused: dict[str, tuple[int, str, float]] = {}

    def note_change(self, old: ShadowPod, new: ShadowPod | None) -> None:
        """Forget what is gone."""
        if new is None or new.metadata.uid != old.metadata.uid:
            self._refused.pop(old.metadata.uid, None)

    async def note_rewritten(self, shadow: ShadowPod, made: Pod) -> None:
        """Note on a Pod just made which of its images a policy of this cluster has made others of."""
        rewritten = rewritten_images(mutable_part(shadow.spec.pod), mutable_part(made.spec))
        if rewritten:
            note = msgspec.json.encode(rewritten, order="sorted").decode()
            await self._take(made, Step("", {"metadata": {"annotations": {REWRITTEN: note}}}))

    async def update(self, shadow: ShadowPod, pod: Object) -> float | None:
        """Bring the pod to what its ShadowPod wants now; returns when to try again."""
        mark = applied_mark(shadow)
        if not mark or pod.metadata.annotations.get(APPLIED) == mark[APPLIED]:
            return None
        _, revision, until = self._refused.get(shadow.metadata.uid, (0, "", 0.0))
        if revision == mark[APPLIED] and until > time.monotonic():
            return until - time.monotonic()
        place = pod.metadata
        found = await self.client.find(PODS, place.name, place.namespace)
        if found is None or found.metadata.uid != place.uid:
            return None
        problem = ""
        for step in plan_steps(shadow, found):
            problem = await self._take(found, step) or problem
        if problem:
            return self._refuse(shadow, mark[APPLIED], problem)
        await self._take(found, Step("", {"metadata": {"annotations": mark}}))
        self._refused.pop(shadow.metadata.uid, None)
        return None

    async def _take(self, pod: Pod, step: Step) -> str:
        """Send one patch; why it was refused, "" where it was not."""
        place = pod.metadata
        patch = {**step.patch, "metadata": {"uid": place.uid, **step.patch.get("metadata", {})}}
        try:
            await self.client.patch(
                PODS.partial(),
                place.name,
                patch,
                place.namespace,
                type="strategic",
                subresource=step.subresource,
                field_manager=labels.SHADOW_POD_MANAGER,
            )
        except (BadRequest, Forbidden, Invalid) as error:
            return str(error)
        except NotFound:
            return f"there is no pod, or this cluster has no pods/{step.subresource}"
        except Conflict:
            return "the pod was changed at the same time"
        return ""

    def _refuse(self, shadow: ShadowPod, revision: str, problem: str) -> float:
        count, earlier, _ = self._refused.get(shadow.metadata.uid, (0, "", 0.0))
        count = count + 1 if earlier == revision else 1
        pause = float(min(FIRST_PAUSE * 2 ** min(count - 1, 16), LONGEST_PAUSE))
        self._refused[shadow.metadata.uid] = (count, revision, time.monotonic() + pause)
        message = f"Cannot change the running pod: {problem}"
        self.events.record(SHADOW_PODS, shadow, "FailedUpdatePod", message, "Warning")
        return pause


def plan_steps(shadow: ShadowPod, pod: Pod) -> list[Step]:
    """What has to be sent to bring a running pod to what its ShadowPod wants; an empty list for nothing."""
    wanted, found, changes = mutable_part(shadow.spec.pod), mutable_part(pod.spec), read_changes(shadow)
    # A spec that was never changed says nothing new; what differs then is the provider's doing.
    plans = (
        ("", _plan_spec(wanted, found, _rewritten(pod)) if shadow.metadata.generation > 1 else {}),
        ("resize", _plan_resize(changes, found)),
        ("ephemeralcontainers", _plan_ephemeral(changes, found)),
    )
    return [Step(subresource, {"spec": spec}) for subresource, spec in plans if spec]


def _rewritten(pod: Pod) -> dict[str, str]:
    """The images asked for that the provider has made others of; none where the note cannot be read."""
    try:
        return msgspec.json.decode(pod.metadata.annotations.get(REWRITTEN, "{}"), type=dict[str, str])
    except msgspec.DecodeError:
        return {}


def _plan_spec(wanted: MutablePart, found: MutablePart, rewritten: dict[str, str]) -> dict[str, Any]:
    plan: dict[str, Any] = {}
    for kind, new, old in (
        ("containers", wanted.containers, found.containers),
        ("initContainers", wanted.init_containers, found.init_containers),
    ):
        present = {container.name: container.image for container in old}
        images = [
            {"name": each.name, "image": each.image}
            for each in new
            if each.image and each.image not in (present.get(each.name, each.image), rewritten.get(each.name))
        ]
        if images:
            plan[kind] = images
    deadline, present_deadline = wanted.active_deadline_seconds, found.active_deadline_seconds
    if deadline is not None and (present_deadline is None or deadline < present_deadline):
        plan["activeDeadlineSeconds"] = deadline  # it may only be set or shortened
    more = [each for each in wanted.tolerations if each not in found.tolerations]
    if more:
        plan["tolerations"] = [*found.tolerations, *more]
    return plan


def _plan_resize(changes: Changes, found: MutablePart) -> dict[str, Any]:
    def resized(containers: list[MutableContainer]) -> list[Manifest]:
        return [
            {"name": each.name, "resources": _replacement(each.amounts(), changes.resources[each.name])}
            for each in containers
            if each.name in changes.resources and changes.resources[each.name] != each.amounts()
        ]

    kinds = {"containers": resized(found.containers), "initContainers": resized(found.init_containers)}
    return {kind: plan for kind, plan in kinds.items() if plan}


def _replacement(present: dict[str, Any], wanted: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Requests and limits as a patch, with what is not wanted any more taken away."""
    return {
        kind: {
            **dict.fromkeys(present.get(kind, {}).keys() - wanted.get(kind, {}).keys()),
            **wanted.get(kind, {}),
        }
        for kind in sorted(present.keys() | wanted.keys())
    }


def _plan_ephemeral(changes: Changes, found: MutablePart) -> dict[str, Any]:
    present = {each.get("name") for each in found.ephemeral_containers}
    more = [each for each in changes.ephemeral_containers if each["name"] not in present]
    return {"ephemeralContainers": more} if more else {}

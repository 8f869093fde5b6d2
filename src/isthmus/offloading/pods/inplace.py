"""Changes in place: what is changed in a running local pod is carried to its ShadowPod (`offloading/inplace.py`).

Decided by comparing a digest, so that a pod nobody touches costs nothing but that; the ShadowPod's spec is only
fetched when it differs. What the provider refuses, or has not done after a while, is told as an event.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from isthmus.api import labels
from isthmus.api.offloading import SHADOW_PODS, OffloadingPatch, ShadowPod
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from isthmus.kube.objects import Manifest
from isthmus.offloading.inplace import (
    APPLIED,
    CHANGES,
    REVISION,
    Changes,
    MutablePart,
    mutable_part,
    read_changes,
    revision_of,
)
from isthmus.offloading.pods.affinity import forge_tolerations
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.provider import PodContext
from isthmus.offloading.pods.status import FAILED_REFLECTION
from isthmus.offloading.pods.twin import SHADOWS, RemotePod, Shadow

PATIENCE = 30.0
"""Seconds a provider may take to apply a change before the user is told that it has not."""
REFUSED_PAUSE = 60.0
"""Seconds until a change that the provider refused is tried again."""
UNAPPLIED = "ChangeNotApplied"


async def follow_changes(
    context: PodContext, pod: Pod, shadow: Shadow, remote: RemotePod | None, memory: PodMemory
) -> float | None:
    """Carry over what changed in the pod's spec; returns when to look again."""
    part = mutable_part(pod.spec)
    wanted = revision_of(part)
    if shadow.metadata.annotations.get(REVISION) == wanted:
        return _tell_unapplied(context, pod, shadow, remote, memory)
    left = memory.change_retry_at - time.monotonic()
    if memory.refused_change == wanted and left > 0:
        return left
    place = shadow.metadata
    full = await context.remote.find(SHADOW_PODS, place.name, place.namespace)
    if full is None or full.metadata.uid != place.uid:
        return None
    patch = plan_change(full, part, context.terms().patch)
    try:
        await context.remote.patch(
            SHADOWS.partial(), place.name, patch, place.namespace, field_manager=labels.REFLECTION_MANAGER
        )
    except NotFound:
        return None
    except (BadRequest, Forbidden, Invalid) as error:
        memory.refused_change, memory.change_retry_at = wanted, time.monotonic() + REFUSED_PAUSE
        message = f"The provider refuses a change of the running pod: {error}"
        context.events.record(PODS, pod, FAILED_REFLECTION, message, "Warning")
        return REFUSED_PAUSE
    except Conflict:
        return 1.0
    memory.changed_at = time.monotonic()
    return PATIENCE


def plan_change(shadow: ShadowPod, part: MutablePart, patch: OffloadingPatch) -> Manifest:
    """The merge patch that tells a ShadowPod what its local pod is like now; `patch` is the virtual node's."""
    metadata = shadow.metadata
    annotations = {REVISION: revision_of(part)}
    changes = plan_changes(shadow, part)
    if changes.resources or changes.ephemeral_containers:
        annotations[CHANGES] = msgspec.json.encode(changes, order="sorted").decode()
    spec = _plan_spec(msgspec.json.decode(shadow.spec.pod), part, patch)
    return {
        "metadata": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
            "annotations": annotations,
        },
        **({"spec": {"pod": spec}} if spec else {}),
    }


def plan_changes(shadow: ShadowPod, part: MutablePart) -> Changes:
    """What the ShadowPod's spec cannot say: resources other than it was made with, or ever were."""
    made = {
        container.name: container.amounts() for container in mutable_part(shadow.spec.pod).each_container()
    }
    before = read_changes(shadow).resources
    resources = {
        container.name: container.amounts()
        for container in part.each_container()
        if container.name in made
        and (container.name in before or container.amounts() != made[container.name])
    }
    return Changes(resources=resources, ephemeral_containers=part.ephemeral_containers)


def _plan_spec(spec: dict[str, Any], part: MutablePart, patch: OffloadingPatch) -> dict[str, Any]:
    """What changes in the ShadowPod's spec: images, the deadline, more tolerations."""
    changed: dict[str, Any] = {}
    for kind, containers in (("containers", part.containers), ("initContainers", part.init_containers)):
        images = {container.name: container.image for container in containers}
        present = spec.get(kind) or []
        wanted = [{**each, "image": images.get(each.get("name"), each.get("image"))} for each in present]
        if any(one["image"] != each.get("image") for one, each in zip(wanted, present, strict=True)):
            changed[kind] = wanted
    deadline = part.active_deadline_seconds
    if deadline is not None and deadline != spec.get("activeDeadlineSeconds"):
        changed["activeDeadlineSeconds"] = deadline
    present = spec.get("tolerations") or []
    more = [each for each in forge_tolerations(part.tolerations, patch) if each not in present]
    if more:
        changed["tolerations"] = [*present, *more]
    return changed


def _tell_unapplied(
    context: PodContext, pod: Pod, shadow: Shadow, remote: RemotePod | None, memory: PodMemory
) -> float | None:
    """Tell once that the provider has not applied a change, as a stock one never does."""
    revision = shadow.metadata.annotations[REVISION]
    changed = shadow.metadata.generation > 1 or CHANGES in shadow.metadata.annotations
    if not changed or remote is None or remote.deleting or memory.unapplied == revision:
        return None
    if remote.metadata.annotations.get(APPLIED) == revision:
        return None
    memory.changed_at = memory.changed_at or time.monotonic()
    left = memory.changed_at + PATIENCE - time.monotonic()
    if left > 0:
        return left
    memory.unapplied = revision
    message = (
        f"The provider of node {context.node_name} has not applied a change of the running pod (images, deadline, "
        "tolerations, resources or ephemeral containers): it runs stock Liqo, which cannot, or its API server "
        "refuses it. Delete the pod to have it made anew as it is wanted now"
    )
    context.events.record(PODS, pod, UNAPPLIED, message, "Warning")
    return None

"""Copying the state of the remote pod into the local pod's status, and what to say while there is none."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from isthmus.api import labels
from isthmus.kube.builtin import Pod
from isthmus.kube.objects import ObjectMeta
from isthmus.offloading.inplace import APPLIED, mutable_part, revision_of
from isthmus.offloading.pods.containers import containers_of
from isthmus.offloading.pods.creation import recorded_phase
from isthmus.offloading.pods.local import write_status
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.metadata import REMOTE_POD_UID, REMOTE_RECREATIONS
from isthmus.offloading.pods.provider import PodContext
from isthmus.offloading.pods.status import (
    REMOTE_POD_MISSING,
    REMOTE_UNAVAILABLE,
    TERMINAL,
    Facts,
    Status,
    cut_off_status,
    lost_status,
    map_status,
    terminated_status,
    unready_status,
)
from isthmus.offloading.pods.trouble import calm, explain, is_in_trouble
from isthmus.offloading.pods.twin import RemotePod, Shadow

STEP = 3.0
"""Seconds between two writes about a pod that has not started: each is a request, and what starts says so anyway."""


async def mirror_status(
    context: PodContext, pod: Pod, shadow: Shadow | None, remote: RemotePod | None, memory: PodMemory
) -> float | None:
    """Write the local status that the remote pod (or its absence) calls for; returns when to look again."""
    present: Status = msgspec.json.decode(pod.status)
    if remote is None:
        phase = await recorded_phase(context, shadow, memory)
        await _without_remote(context, pod, present, phase, memory)
        return (
            None if phase in TERMINAL or pod.deleting else await explain(context, pod, shadow, None, memory)
        )
    killed = remote.deleting and not pod.deleting
    if killed and await recorded_phase(context, shadow, memory) not in TERMINAL:
        # It is being deleted there, not here: it comes again, so whatever end it reports is none.
        wanted = unready_status(
            present, REMOTE_POD_MISSING, "The provider is making the remote pod again", _now()
        )
        await write_status(context.local, pod, memory, wanted)
        return None
    status: Status = msgspec.json.decode(remote.status)
    recreations = count_recreations(pod.metadata, remote.metadata.uid)
    observed = observed_generation(pod, present, remote, status)
    facts = Facts(context.host_ip, containers_of(pod.spec), recreations, observed)
    wanted = map_status(status, present, facts, context.translation())
    cut_off = context.cut_off()
    if cut_off:
        message = f"The network to the provider of node {context.node_name} is not connected"
        wanted = cut_off_status(wanted, present, message, _now())
    unsettled = context.health.unsettled()
    if unsettled and not cut_off and present.get("phase") == "Running" and wanted.get("phase") == "Running":
        return unsettled
    marks = forge_marks(pod.metadata, remote.metadata.uid, recreations)
    if not marks and (starting := _starting(present, wanted, memory)):
        return starting
    await write_status(context.local, pod, memory, wanted, marks, metadata_alone="hostIP" in status)
    if not pod.deleting and is_in_trouble(status):
        return await explain(context, pod, shadow, remote, memory)
    calm(memory)
    return None


def observed_generation(pod: Pod, present: Status, remote: RemotePod, status: Status) -> int | None:
    """The local pod's generation, once the provider's kubelet has seen what it says; None until then.

    A provider that does not say which of our changes it has applied, as stock, never gets there.
    """
    generation = pod.metadata.generation
    if not generation or pod.deleting or status.get("observedGeneration") != remote.metadata.generation:
        return None
    if present.get("observedGeneration") == generation:
        return generation
    applied = remote.metadata.annotations.get(APPLIED)
    return generation if applied == revision_of(mutable_part(pod.spec)) else None


def _starting(present: Status, wanted: Status, memory: PodMemory) -> float:
    """Seconds that a step of a pod on its way to its start may wait for the next, which mostly follows soon."""
    if present == wanted or present.get("phase") != "Pending" or wanted.get("phase") != "Pending":
        return 0.0
    return max(0.0, memory.written_at + STEP - time.monotonic())


async def mark_unavailable(context: PodContext, pod: Pod, memory: PodMemory) -> None:
    """The provider has been away for so long that the node is not ready: neither is the pod, and it says why."""
    present: Status = msgspec.json.decode(pod.status)
    if present.get("phase") != "Running":
        return
    message = f"The provider of node {context.node_name} does not answer"
    wanted = unready_status(present, REMOTE_UNAVAILABLE, message, _now())
    marks = {"labels": {labels.REMOTE_UNAVAILABLE: labels.TRUE}}
    marked = pod.metadata.labels.get(labels.REMOTE_UNAVAILABLE) == labels.TRUE
    await write_status(context.local, pod, memory, wanted, {} if marked else marks, metadata_alone=True)


def may_have_ended(pod: Pod) -> bool:
    """Whether the pod is of a kind that ends and was seen at the provider: without a trace of it there, only whoever
    made it can know whether it is to run again."""
    return REMOTE_POD_UID in pod.metadata.annotations and containers_of(pod.spec).restart_policy != "Always"


async def give_up(context: PodContext, pod: Pod, memory: PodMemory) -> None:
    """End a pod of which the provider has nothing left."""
    present: Status = msgspec.json.decode(pod.status)
    await write_status(context.local, pod, memory, lost_status(present, _now()))


async def _without_remote(
    context: PodContext, pod: Pod, present: Status, phase: str, memory: PodMemory
) -> None:
    if phase in TERMINAL:
        wanted = terminated_status(present, phase, _now())
    elif present.get("phase") == "Running":
        message = "The remote pod is not there; the provider makes it again"
        wanted = unready_status(present, REMOTE_POD_MISSING, message, _now())
    else:
        return
    await write_status(context.local, pod, memory, wanted)


def count_recreations(pod: ObjectMeta, remote_uid: str) -> int:
    """How often the provider made the pod again, this remote pod included."""
    text = pod.annotations.get(REMOTE_RECREATIONS, "0")
    earlier = int(text) if text.isdecimal() and len(text) < 7 else 0
    return earlier + (pod.annotations.get(REMOTE_POD_UID, remote_uid) != remote_uid)


def forge_marks(pod: ObjectMeta, remote_uid: str, recreations: int) -> dict[str, Any]:
    """The metadata to be set on the local pod beside its status; {} where it is there already."""
    annotations = {REMOTE_POD_UID: remote_uid}
    if recreations:
        annotations[REMOTE_RECREATIONS] = str(recreations)
    marks: dict[str, Any] = {}
    if any(pod.annotations.get(key) != value for key, value in annotations.items()):
        marks["annotations"] = annotations
    own: dict[str, str | None] = {}
    if pod.labels.get(labels.SHADOW_POD) != labels.TRUE:
        own[labels.SHADOW_POD] = labels.TRUE
    if labels.REMOTE_UNAVAILABLE in pod.labels:
        own[labels.REMOTE_UNAVAILABLE] = None
    return {**marks, "labels": own} if own else marks


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

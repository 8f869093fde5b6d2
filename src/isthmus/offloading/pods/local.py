"""Writes about the local pod: its status, and its end.

Status goes through the status subresource as a merge patch of what differs, with the pod's UID as precondition.
The mark of an offloaded pod (label `liqo.io/shadowPod`) and our bookkeeping travel in the same request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.client import Client
from isthmus.kube.errors import Conflict, Invalid, NotFound
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.status import TERMINAL, Status, phase_of, plan_status_patch

logger = logging.getLogger(__name__)

_RISKY = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


async def write_status(
    client: Client,
    pod: Pod,
    memory: PodMemory,
    wanted: Status,
    metadata: Mapping[str, Any] | None = None,
    *,
    metadata_alone: bool = False,
) -> bool:
    """Bring the local pod's status to what is wanted; True where something was written.

    `metadata` (labels, annotations) goes with a status that changes, or on its own if `metadata_alone`. A pod
    that is gone or replaced meanwhile is no error: its event is under way.
    """
    patch = plan_status_patch(msgspec.json.decode(pod.status), wanted)
    if patch == memory.refused:
        patch = {}
    if not patch and not (metadata and metadata_alone):
        return False
    body = {"metadata": {"uid": pod.metadata.uid, **(metadata or {})}, "status": patch}
    try:
        answer = await _patch_status(client, pod, body)
    except (NotFound, Conflict):
        return False
    memory.newest = answer
    memory.written_at = time.monotonic()
    memory.refused = plan_status_patch(msgspec.json.decode(answer.status), wanted)
    return True


async def _patch_status(client: Client, pod: Pod, body: dict[str, Any]) -> Pod:
    place = pod.metadata
    try:
        return await client.patch(PODS, place.name, body, place.namespace, subresource="status")
    except Invalid as error:
        # A container state that may not follow the present one: the rest of the status still counts.
        rest = {key: value for key, value in body["status"].items() if key not in _RISKY}
        if len(rest) == len(body["status"]):
            raise
        logger.warning("a part of the status of pod %s is refused: %s", pod.key, error)
        return await client.patch(
            PODS, place.name, {**body, "status": rest}, place.namespace, subresource="status"
        )


async def remove(client: Client, pod: Pod, memory: PodMemory) -> None:
    """Take the local pod out of the API, now that nothing of it runs any more (as a kubelet does last)."""
    if memory.removed:
        return
    if pod.metadata.finalizers and phase_of(pod.status) not in TERMINAL:
        # Whoever set the finalizer (the Job controller) waits for a pod that ended.
        status = msgspec.json.decode(pod.status)
        await write_status(client, pod, memory, {**status, "phase": "Failed"})
    if pod.metadata.finalizers and pod.metadata.deletion_grace_period_seconds == 0:
        return
    place = pod.metadata
    await client.delete(PODS, place.name, place.namespace, uid=place.uid, grace_period_seconds=0)
    memory.removed = True

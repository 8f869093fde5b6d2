"""Creating the ShadowPod of a local pod: once, whatever fails in between, and visibly when it is refused.

The API server's uniqueness of names makes it once; POD_UID on the ShadowPod tells whose it is. A refusal is shown
where users look: the pod's status and an event; it is tried again with growing pauses.
"""

from __future__ import annotations

import time

import msgspec

from isthmus.api import labels
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.errors import AlreadyExists, ApiError, Forbidden, NotFound, ServerError, TransportError
from isthmus.offloading.pods.affinity import InvalidPodError
from isthmus.offloading.pods.api_server import api_server_support
from isthmus.offloading.pods.local import write_status
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.metadata import POD_UID
from isthmus.offloading.pods.provider import PodContext
from isthmus.offloading.pods.spec import forge_shadow_pod
from isthmus.offloading.pods.status import (
    FAILED_REFLECTION,
    REMOTE_POD_MISSING,
    Status,
    failed_reflection_status,
    phase_of,
    unready_status,
)
from isthmus.offloading.pods.turns import shadow_turn
from isthmus.offloading.pods.twin import SHADOW_PHASES, SHADOWS, Shadow, TwinNamespace

PATIENCE = 3
"""Refusals in a row that may be a moment's (permissions still being granted, a webhook starting)."""
LATER = 1.0
NO_PODS = (
    "node {} takes no more pods: its VkOptionsTemplate has spec.reflectorsConfig.pod.workers: 0. Give it more than 0, "
    "or move the pod"
)
NO_HOME = (
    "this cluster's API server has no address for the provider's pods yet: see the events of IP api-server, or set "
    f"annotation {labels.API_SERVER_SUPPORT}=disabled"
)


async def create_shadow(
    context: PodContext, twin: TwinNamespace, pod: Pod, memory: PodMemory
) -> float | None:
    """Create the ShadowPod of a pod that has none; returns when to look again.

    Raises TransportError where the outcome is not known.
    """
    waiting = max(memory.unseen(), memory.pausing())
    if waiting:
        return waiting
    terms = context.terms()
    if not terms.takes_pods:
        return await _report(context, pod, memory, NO_PODS.format(context.node_name))
    try:
        manifest = forge_shadow_pod(pod, twin.remote, terms)
        if terms.lacks_home and api_server_support(pod.metadata.annotations) == "home":
            return await _report(context, pod, memory, NO_HOME)
    except InvalidPodError as error:
        return await _report(context, pod, memory, str(error))
    if waiting := shadow_turn(context, pod, memory):
        return waiting
    memory.creating()
    try:
        created = await context.remote.create(
            SHADOWS, manifest, twin.remote, field_manager=labels.REFLECTION_MANAGER
        )
    except AlreadyExists:
        return await _take_over(context, twin, pod, memory)
    except TransportError as error:
        if not error.sent:
            memory.created = False
        raise
    except ApiError as error:
        if _may_pass(error) and memory.failures < PATIENCE:
            return memory.failed()
        return await _report(context, pod, memory, str(error))
    memory.created_version = created.metadata.resource_version
    return None


async def recorded_phase(context: PodContext, shadow: Shadow | None, memory: PodMemory) -> str:
    """The phase that the provider recorded in a ShadowPod, "" for none; asked for once after each of its changes."""
    if shadow is None or shadow.metadata.resource_version == memory.created_version:
        return ""
    version, phase = memory.recorded
    if version != shadow.metadata.resource_version:
        place = shadow.metadata
        found = await context.remote.find(SHADOW_PHASES, place.name, place.namespace)
        if found is None or found.metadata.uid != place.uid:
            return ""
        phase = found.status.phase
        memory.recorded = (found.metadata.resource_version, phase)
    return phase


async def _take_over(context: PodContext, twin: TwinNamespace, pod: Pod, memory: PodMemory) -> float | None:
    """There is a ShadowPod of that name, which the cache does not show (yet)."""
    found = await find_shadow(context, twin, pod.metadata.name)
    if found is None:
        memory.created = False
        return LATER
    if is_shadow_of(found, pod, context):
        return memory.unseen()
    if found.metadata.labels.get(labels.ORIGIN) == context.terms().identity.home_id:
        # That of a predecessor, perhaps on another virtual node; whoever is in charge of it removes it.
        if memory.failures < PATIENCE:
            return memory.failed()
        message = f"a ShadowPod of an earlier pod of this name is still at the provider, in {twin.remote}"
    else:
        message = (
            f"a ShadowPod {twin.remote}/{pod.metadata.name} that is not ours already exists at the provider"
        )
    return await _report(context, pod, memory, message)


async def find_shadow(context: PodContext, twin: TwinNamespace, name: str) -> Shadow | None:
    """The ShadowPod of that name as the API server knows it, whoever made it."""
    return await context.remote.find(SHADOWS, name, twin.remote)


def is_shadow_of(shadow: Shadow, pod: Pod, context: PodContext) -> bool:
    """Whether a ShadowPod stands for that very pod, through this virtual node."""
    identity = context.terms().identity
    found = shadow.metadata
    return (
        found.labels.get(labels.ORIGIN) == identity.home_id
        and found.labels.get(labels.NODE_NAME) == identity.node_name
        and found.annotations.get(POD_UID, pod.metadata.uid) == pod.metadata.uid
    )


def _may_pass(error: ApiError) -> bool:
    if isinstance(error, NotFound | ServerError):
        return True
    return isinstance(error, Forbidden) and "admission webhook" not in str(error)


async def _report(context: PodContext, pod: Pod, memory: PodMemory, message: str) -> float:
    memory.failures = max(memory.failures, PATIENCE)
    pause = memory.failed()
    context.events.record(PODS, pod, FAILED_REFLECTION, message, "Warning")
    present: Status = msgspec.json.decode(pod.status)
    if phase_of(pod.status) in ("", "Pending"):
        await write_status(context.local, pod, memory, failed_reflection_status(present, message))
    elif phase_of(pod.status) == "Running":
        # It ran once: the provider took it away, and will not have it again.
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        await write_status(
            context.local, pod, memory, unready_status(present, REMOTE_POD_MISSING, message, now)
        )
    return pause

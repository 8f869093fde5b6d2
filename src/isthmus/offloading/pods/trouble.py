"""Why a pod does not get on at the provider: its Warning events over there, told here (behaviour.md 4.5).

Stock watches all events of every twin namespace. Here they are asked for when they are wanted: for a pod that has
not started, or whose container waits after a failure, for `FIRST_LOOK` seconds; then ever more rarely. A pod that gets
on costs nothing. What the provider says is untrusted: it is bounded, and only ever the text of an event.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import field

from isthmus.kube.builtin import EVENTS, PODS, Pod
from isthmus.kube.errors import ApiError
from isthmus.kube.objects import Base, Object
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.metadata import REMOTE_POD_UID
from isthmus.offloading.pods.provider import PodContext

FIRST_LOOK = 12.0
"""Seconds a pod may be in trouble before the provider is asked why; what passes by itself is not worth it, and by then
the remote pod is known even if no node was found for it (`unbound.py`)."""
LOOKS = (20.0, 60.0, 300.0)
"""Seconds between the next looks; the last holds for all that follow."""
MOST = 5
"""Events told at one look, the latest."""
ORDINARY = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Why containers wait while all is well."""

_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_STATUSES = ("initContainerStatuses", "containerStatuses")


class Involved(Base, frozen=True, kw_only=True):
    """What an event is about."""

    kind: str = ""
    uid: str = ""


class RemoteEvent(Object, frozen=True, kw_only=True):
    """An event at the provider."""

    involved_object: Involved = field(default_factory=Involved)
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int | None = None
    last_timestamp: str | None = None


REMOTE_EVENTS = EVENTS.view(RemoteEvent)


def is_in_trouble(status: Mapping[str, Any]) -> bool:
    """Whether a remote pod's status calls for an explanation if it stays so."""
    if status.get("phase", "Pending") in ("", "Pending"):
        return True
    if status.get("phase") != "Running":
        return False
    return any(
        ((container.get("state") or {}).get("waiting") or {}).get("reason", "") not in ORDINARY
        for kind in _STATUSES
        for container in status.get(kind) or []
    )


def plan_told(
    events: Iterable[RemoteEvent], uids: set[str], told: Mapping[str, int]
) -> tuple[list[RemoteEvent], dict[str, int]]:
    """Which events are to be told now, oldest first, and how often each of the latest has happened by then.

    `uids` are those of the ShadowPod and the remote pod; `told` what this returned before.
    """
    about = [
        event
        for event in events
        if event.involved_object.kind in ("Pod", "ShadowPod")
        and event.involved_object.uid in uids
        and event.type == "Warning"
        and _REASON.fullmatch(event.reason)
    ]
    about.sort(key=lambda event: event.last_timestamp or "")
    latest = about[-MOST:]
    counts = {event.metadata.uid: event.count or 1 for event in latest}
    return [event for event in latest if told.get(event.metadata.uid) != counts[event.metadata.uid]], counts


async def explain(
    context: PodContext, pod: Pod, shadow: Object | None, remote: Object | None, memory: PodMemory
) -> float | None:
    """Tell what the provider says of a pod in trouble; returns when to look again.

    What keeps the provider from answering is no trouble of the pod's, and is told elsewhere.
    """
    if shadow is None:
        return None
    now = time.monotonic()
    if not memory.explain_at:
        memory.explain_at = now + FIRST_LOOK
    if now < memory.explain_at:
        return memory.explain_at - now
    if waiting := context.looks.wait(pod.metadata.uid):
        return waiting
    pause = LOOKS[min(memory.explained, len(LOOKS) - 1)]
    memory.explained += 1
    memory.explain_at = now + pause
    selector = f"involvedObject.name={pod.metadata.name},type=Warning"
    try:
        page = await context.remote.list(REMOTE_EVENTS, shadow.metadata.namespace, field_selector=selector)
    except ApiError:
        return pause  # a courtesy: a provider that does not give its events away is within its rights
    known = pod.metadata.annotations.get(REMOTE_POD_UID) if remote is None else remote.metadata.uid
    uids = {shadow.metadata.uid} | ({known} if known else set())
    new, memory.told = plan_told(page.items, uids, memory.told)
    provider = context.terms().identity.provider_id
    for event in new:
        context.events.record(PODS, pod, event.reason, f"{provider}: {event.message}", "Warning")
    return pause


def calm(memory: PodMemory) -> None:
    """The pod gets on: the next trouble is a new one."""
    memory.explain_at, memory.explained = 0.0, 0

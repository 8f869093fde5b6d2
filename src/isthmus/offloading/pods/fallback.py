"""What becomes of a pod on a virtual node whose namespace is not offloaded (behaviour.md 4.4).

A DaemonSet that tolerates everything is the usual case. The pod waits, or ends when it ran already, and its
status and one event say why and what to do.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from isthmus.api import labels
from isthmus.kube.objects import ObjectMeta
from isthmus.offloading.pods.status import TERMINAL

OFFLOADING_BACK_OFF = "OffloadingBackOff"
OFFLOADING_ABORTED = "OffloadingAborted"
REFLECTION_DISABLED = "ReflectionDisabled"


class Verdict(Struct, frozen=True):
    """What to do with the pod: nothing, set phase and reason, or remove it."""

    action: Literal["leave", "set", "remove"]
    phase: str = ""
    reason: str = ""
    message: str = ""


LEAVE = Verdict("leave")
REMOVE = Verdict("remove")


def plan_fallback(pod: ObjectMeta, phase: str, *, wished: bool) -> Verdict:
    """The verdict on a pod; `wished` when the namespace is to be offloaded and only waits for the provider."""
    if pod.deletion_timestamp is not None:
        return REMOVE
    if phase in TERMINAL:
        return LEAVE
    if phase == "Pending" or not phase:
        return Verdict("set", "Pending", OFFLOADING_BACK_OFF, _waiting(pod, wished))
    if wished:
        return LEAVE
    message = (
        f"Namespace {pod.namespace} is no longer offloaded to this node; its controller will replace the pod"
    )
    return Verdict("set", "Failed", OFFLOADING_ABORTED, message)


def barred(pod: ObjectMeta, phase: str, remote: str) -> Verdict:
    """The verdict on a pod while the provider accepted its namespace but gives no access to the twin `remote`."""
    if phase not in ("", "Pending"):
        return LEAVE
    message = f"The provider gives no access to namespace {remote} (twin of {pod.namespace}) yet"
    return Verdict("set", "Pending", OFFLOADING_BACK_OFF, message)


def _waiting(pod: ObjectMeta, wished: bool) -> str:
    if wished:
        return f"The provider has not accepted namespace {pod.namespace} yet"
    message = f"Namespace {pod.namespace} is not offloaded to this node"
    owners = [owner.name for owner in pod.owner_references if owner.kind == "DaemonSet"]
    if owners:
        return (
            f"{message}. To keep DaemonSet {owners[0]} off virtual nodes, give its pods a required node "
            f"affinity: {labels.NODE_TYPE} NotIn [{labels.NODE_TYPE_VIRTUAL}]"
        )
    return f"{message}; offload it (isthmus offload namespace {pod.namespace}) or move the pod"

"""Why the pods of a gateway are not ready: their status tells of an image or a node, they themselves of the kernel."""

from __future__ import annotations

import msgspec

from isthmus.api import labels
from isthmus.cli.cluster import Cluster
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.errors import KubeError
from isthmus.network.gateways.default_templates import HEALTH_PORT

PATIENCE = 3.0
"""Seconds for a pod to say what it lacks."""
LONGEST = 1000
"""Characters of it that are shown."""


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _State(msgspec.Struct, frozen=True):
    waiting: _Waiting | None = None


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    state: _State = _State()


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    conditions: list[_Condition] = []
    container_statuses: list[_Container] = []


async def find_pod_trouble(cluster: Cluster, namespace: str, gateway: str, *, ask: bool = False) -> str:
    """What holds the pods of the gateway up, "" where nothing does or they may not be read, as by a peering user.

    With `ask` the pods that run are asked themselves, which takes seconds where one does not answer.
    """
    selector = f"{labels.GATEWAY_NAME}={gateway}"
    try:
        pods = (await cluster.client.list(PODS, namespace, label_selector=selector)).items
    except KubeError:
        return ""
    for pod in pods:
        if trouble := describe_trouble(pod) or (await _ask(cluster, pod) if ask else ""):
            return trouble
    return ""


async def _ask(cluster: Cluster, pod: Pod) -> str:
    """What a running pod lacks in its own words, "" where it cannot be asked, as by a peering user."""
    place = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}:{HEALTH_PORT}/proxy/faults"
    try:
        answer = await cluster.client.request("GET", place, accept="text/plain", timeout=PATIENCE)
    except KubeError:
        return ""
    said = answer.body.decode(errors="replace").strip()[:LONGEST]
    return f"pod {pod.metadata.name}: {said}" if said else ""


def is_lasting(trouble: str) -> bool:
    """Whether waiting longer is no use: a kernel that lacks something goes on lacking it."""
    return ": this kernel " in trouble


def describe_trouble(pod: Pod) -> str:
    """What holds one pod up, "" where nothing does."""
    status = msgspec.json.decode(pod.status, type=_Status)
    for container in status.container_statuses:
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
            return f"pod {pod.metadata.name}: {waiting.reason} {waiting.message}".rstrip()
    for condition in status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"pod {pod.metadata.name}: {condition.reason} {condition.message}".rstrip()
    return ""

"""Why the pods of a gateway are not ready, as far as their status tells: an image that cannot be had, no node."""

from __future__ import annotations

import msgspec

from isthmus.api import labels
from isthmus.cli.cluster import Cluster
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.errors import KubeError


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


async def find_pod_trouble(cluster: Cluster, namespace: str, gateway: str) -> str:
    """What holds the pods of the gateway up, "" where nothing does or they may not be read, as by a peering user."""
    selector = f"{labels.GATEWAY_NAME}={gateway}"
    try:
        pods = (await cluster.client.list(PODS, namespace, label_selector=selector)).items
    except KubeError:
        return ""
    return next((trouble for pod in pods if (trouble := describe_trouble(pod))), "")


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

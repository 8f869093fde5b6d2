"""/pods and /runningpods: the pods of the virtual nodes, whole, or only what of them runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import field, json

from isthmus.kube.builtin import Pod
from isthmus.kube.objects import Base, Manifest


class _State(Base, frozen=True, kw_only=True):
    running: dict[str, Any] | None = None


class _Container(Base, frozen=True, kw_only=True):
    name: str = ""
    image: str = ""
    state: _State = field(default_factory=_State)


class _Status(Base, frozen=True, kw_only=True):
    init_container_statuses: list[_Container] = field(default_factory=list)
    container_statuses: list[_Container] = field(default_factory=list)
    ephemeral_container_statuses: list[_Container] = field(default_factory=list)


def encode_pods(pods: Iterable[Pod | Manifest]) -> bytes:
    """A PodList."""
    return json.encode({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(pods)})


def running_pods(pods: Iterable[Pod]) -> list[Manifest]:
    """The pods of which a container runs, each with who it is and its running containers."""
    return [forged for pod in pods if (forged := _forge_running(pod))["spec"]["containers"]]


def _forge_running(pod: Pod) -> Manifest:
    status = msgspec.json.decode(pod.status, type=_Status)
    every = (
        *status.init_container_statuses,
        *status.container_statuses,
        *status.ephemeral_container_statuses,
    )
    containers = [
        {"name": each.name, "image": each.image} for each in every if each.state.running is not None
    ]
    metadata = pod.metadata
    return {
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
        "spec": {"containers": containers},
        "status": {},
    }

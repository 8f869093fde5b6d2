"""/stats/summary: what the provider's metrics API says of the offloaded pods, as a kubelet would.

Asked for each twin namespace once a request, all at the same time; a provider that serves no metrics, or does not
answer in time, leaves its pods without figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from msgspec import DecodeError, Struct, field, json

from isthmus.api.quantity import NANO, parse_quantity
from isthmus.kube.builtin import Pod
from isthmus.kube.client import Client
from isthmus.kube.errors import KubeError
from isthmus.kube.objects import Base, Manifest, ObjectMeta
from isthmus.offloading.kubelet.locations import OffloadedPods

TIMEOUT = 5.0


class ContainerUsage(Base, frozen=True, kw_only=True):
    """What one container uses; quantities."""

    name: str = ""
    usage: dict[str, Any] = field(default_factory=dict)


class PodUsage(Base, frozen=True, kw_only=True):
    """A PodMetrics of metrics.k8s.io."""

    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    timestamp: str = ""
    containers: list[ContainerUsage] = field(default_factory=list)


class _Usages(Base, frozen=True, kw_only=True):
    items: list[PodUsage] | None = None


class Placed(Struct, frozen=True):
    """A local pod and the twin namespace it runs in."""

    pod: Pod
    client: Client
    remote_namespace: str


def forge_container(container: ContainerUsage, timestamp: str) -> Manifest:
    """The statistics of a container; what the provider said and is not a valid quantity is left out."""
    stats: Manifest = {"name": container.name}
    try:
        cpu = parse_quantity(container.usage.get("cpu", ""))
        stats["cpu"] = {"time": timestamp, "usageNanoCores": cpu}
    except ValueError:
        pass
    try:
        memory = parse_quantity(container.usage.get("memory", "")) // NANO
        stats["memory"] = {"time": timestamp, "workingSetBytes": memory}
    except ValueError:
        pass
    return stats


def forge_pod(pod: Pod, usage: PodUsage) -> Manifest:
    """The statistics of a pod under its local name."""
    metadata = pod.metadata
    return {
        "podRef": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
        "startTime": metadata.creation_timestamp,
        "containers": [forge_container(container, usage.timestamp) for container in usage.containers],
    }


async def summarize(pods: OffloadedPods, nodes: Iterable[str]) -> Manifest:
    """The summary of all pods on these virtual nodes."""
    names = list(nodes)
    placed = [found for node in names for pod in pods.pods_on(node) if (found := _place(pods, pod))]
    sources = {(id(p.client), p.remote_namespace): p for p in placed}
    answers = await asyncio.gather(*(_usages(p.client, p.remote_namespace) for p in sources.values()))
    usages = dict(zip(sources, answers, strict=True))
    return {
        "node": {"nodeName": names[0] if len(names) == 1 else ""},
        "pods": [
            forge_pod(p.pod, usage)
            for p in placed
            if (usage := usages[(id(p.client), p.remote_namespace)].get(p.pod.metadata.name))
        ],
    }


def _place(pods: OffloadedPods, pod: Pod) -> Placed | None:
    location = pods.locate(pod.metadata.namespace, pod.metadata.name)
    return None if location is None else Placed(pod, location.client, location.remote_namespace)


async def _usages(client: Client, namespace: str) -> dict[str, PodUsage]:
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
    try:
        answer = await client.request("GET", path, timeout=TIMEOUT)
        items = json.decode(answer.body, type=_Usages).items or ()
    except (KubeError, DecodeError):
        return {}
    return {usage.metadata.name: usage for usage in items}

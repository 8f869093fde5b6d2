"""How full a virtual node is and which pods wait because of it, for `info peer`.

Reading is bounded to the pods of virtual nodes, those without a node, and the ShadowPods of one consumer. Deciding is
pure. Who may not list one of these is told nothing about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from msgspec import field

from isthmus.api import labels, names
from isthmus.api.authentication import ResourceSlice
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, SHADOW_PODS, VirtualNode
from isthmus.api.quantity import format_quantity, parse_resources
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.client import Client
from isthmus.kube.errors import Forbidden
from isthmus.kube.objects import Base
from isthmus.offloading.pods.status import FAILED_REFLECTION, TERMINAL
from isthmus.offloading.quota.ledger import amounts_of
from isthmus.offloading.quota.requests import Amounts, add, pod_requests, read_pod

T = TypeVar("T")


class PodCondition(Base, frozen=True, kw_only=True):
    """A condition of a Pod."""

    type: str = ""
    reason: str = ""


class PodStatus(Base, frozen=True, kw_only=True):
    """What of a Pod's status is looked at."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[PodCondition] = field(default_factory=list)


class Occupancy(Base, frozen=True, kw_only=True):
    """The pods of each virtual node, and those of extended namespaces that no node has room for."""

    pods: dict[str, list[Pod]] = field(default_factory=dict)
    unscheduled: list[Pod] = field(default_factory=list)
    provided: dict[str, Amounts] = field(default_factory=dict)
    """What consumers use of the slices they have here, by the user of the slice."""


async def read_occupancy(
    client: Client, virtual: list[VirtualNode], slices: list[ResourceSlice]
) -> Occupancy:
    """Read what is needed for the peers asked about. Raises KubeError."""
    nodes = [one.metadata.name for one in virtual]
    users = [
        names.resource_slice_user(one.metadata.name, one.spec.consumer_cluster_id)
        for one in slices
        if labels.REPLICATED in one.metadata.labels
    ]
    found = await asyncio.gather(*(_pods(client, f"spec.nodeName={name}") for name in nodes))
    used = await asyncio.gather(*(_provided(client, user) for user in users))
    return Occupancy(
        pods=dict(zip(nodes, found, strict=True)),
        unscheduled=await _unscheduled(client) if nodes else [],
        provided=dict(zip(users, used, strict=True)),
    )


async def _pods(client: Client, selector: str) -> list[Pod]:
    page = await _allowed(client.list(PODS, field_selector=selector))
    return page.items if page is not None else []


async def _unscheduled(client: Client) -> list[Pod]:
    pods, offloadings = await asyncio.gather(
        _pods(client, "spec.nodeName=,status.phase=Pending"), _allowed(client.list(NAMESPACE_OFFLOADINGS))
    )
    extended = {
        one.metadata.namespace
        for one in (offloadings.items if offloadings is not None else [])
        if one.spec.pod_offloading_strategy != "Local"
    }
    return [pod for pod in pods if pod.metadata.namespace in extended and is_unschedulable(pod)]


async def _provided(client: Client, user: str) -> Amounts:
    page = await _allowed(client.list(SHADOW_PODS, label_selector=f"{labels.CREATOR_USER}={user}"))
    total: Amounts = {}
    for shadow in page.items if page is not None else []:
        if shadow.status.phase not in TERMINAL:
            total = add(total, amounts_of(shadow))
    return total


async def _allowed(work: Coroutine[Any, Any, T]) -> T | None:
    try:
        return await work
    except Forbidden:
        return None


def status_of(pod: Pod) -> PodStatus:
    """What of a pod's status is looked at."""
    return msgspec.json.decode(pod.status, type=PodStatus)


def is_unschedulable(pod: Pod) -> bool:
    """Whether the scheduler found no node for a pod."""
    return any(
        one.type == "PodScheduled" and one.reason == "Unschedulable" for one in status_of(pod).conditions
    )


def requests_of(pod: Pod) -> Amounts:
    """What a pod takes, nothing where that cannot be read."""
    try:
        return pod_requests(read_pod(pod.spec))
    except (ValueError, msgspec.DecodeError):
        return {}


def sum_requests(pods: list[Pod]) -> Amounts:
    """What pods that have not finished take together."""
    total: Amounts = {}
    for pod in pods:
        if status_of(pod).phase not in TERMINAL:
            total = add(total, requests_of(pod))
    return total


def limits_of(resources: dict[str, Any]) -> Amounts:
    """A ResourceList as amounts, empty where it cannot be read."""
    try:
        return parse_resources(resources)
    except ValueError:
        return {}


def report_used(used: Amounts, resources: dict[str, Any]) -> dict[str, str]:
    """How much is in use of each resource that was granted."""
    return {name: format_quantity(used.get(name, 0)) for name in resources}


def refusal_alerts(node: str, peer: str, slice_: str, pods: list[Pod], own_id: str) -> list[str]:
    """The pods that a provider refuses, one line for each way to mend it."""
    refused: dict[tuple[bool, bool], list[Pod]] = {}
    for pod in pods:
        status = status_of(pod)
        if status.phase in ("", "Pending") and status.reason == FAILED_REFLECTION:
            refused.setdefault(("quota" in status.message, "cordoned" in status.message), []).append(pod)
    lines = []
    for found in refused.values():
        message = status_of(found[0]).message
        lines.append(
            f"{_count(found)} on virtual node {node} {'waits' if len(found) == 1 else 'wait'}: {peer} refuses "
            f"{found[0].key} ({message}): {_mend(message, peer, slice_, found[0], own_id)}"
        )
    return lines


def _mend(message: str, peer: str, slice_: str, pod: Pod, own_id: str) -> str:
    if "quota" in message:
        return ask_for_more(peer, slice_)
    if "cordoned" in message:
        return (
            f"its operator lets pods in again with isthmus uncordon tenant {own_id}, or isthmus uncordon "
            f"resourceslice {slice_} --remote-cluster-id {own_id}"
        )
    return f"kubectl describe pod {pod.metadata.name} -n {pod.metadata.namespace} tells more"


def ask_for_more(peer: str, slice_: str) -> str:
    """What to do where a share is used up."""
    return (
        f"end pods that run there, or ask for more with isthmus create resourceslice {slice_ or peer} "
        f"--remote-cluster-id {peer} --cpu N --memory N --pods N"
    )


def shortage_alert(
    node: str, peer: str, slice_: str, limits: Amounts, used: Amounts, unscheduled: list[Pod]
) -> str:
    """The pods that would fit on a virtual node but for what is used of it already, "" where there are none."""
    short = [(pod, lack) for pod in unscheduled if (lack := lacking(limits, used, requests_of(pod)))]
    if not short:
        return ""
    pod, lack = short[0]
    asked = requests_of(pod)
    parts = ", ".join(
        f"{name} {format_quantity(asked[name])} of {format_quantity(max(limits[name] - used.get(name, 0), 0))} free"
        for name in lack
    )
    return (
        f"virtual node {node} is full: {_count([one for one, _ in short])} "
        f"{'waits' if len(short) == 1 else 'wait'} for room, such as {pod.key}, which asks for {parts}: "
        f"{ask_for_more(peer, slice_)}"
    )


def lacking(limits: Amounts, used: Amounts, asked: Amounts) -> list[str]:
    """The resources of which less is free than is asked for."""
    return sorted(
        name for name, amount in asked.items() if name in limits and amount > limits[name] - used.get(name, 0)
    )


def _count(pods: list[Pod]) -> str:
    return f"{len(pods)} pod{'' if len(pods) == 1 else 's'}"

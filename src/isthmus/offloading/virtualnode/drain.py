"""Emptying a virtual node before it goes: cordon, evict, and in the end remove what is left.

One call is one pass and is bounded; the controller calls again until nothing is left. Evictions respect disruption
budgets and the pods' grace periods; the task of the virtual node then ends the remote pods and removes the local
ones. Only when the provider cannot be told any more, or time is up, local pods are removed by force: the
provider's ShadowPods go with its twin namespaces.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from isthmus.kube.builtin import NODES, PODS
from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError, KubeError, NotFound, TooManyRequests
from isthmus.kube.objects import Object

logger = logging.getLogger(__name__)

CONCURRENCY = 50
EVICTION_TIMEOUT = 5.0
PATIENCE = 600.0
"""Seconds after which pods that may not be evicted are deleted all the same."""
LAST_RESORT = 720.0
"""Seconds after which pods that do not end are removed by force."""

_EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction"}
_MIRROR = "kubernetes.io/config.mirror"


def is_tied_to_node(pod: Object) -> bool:
    """Whether a drain leaves the pod alone because its owner would only make it again on the same node."""
    return _MIRROR in pod.metadata.annotations or any(
        owner.kind == "DaemonSet" and owner.controller for owner in pod.metadata.owner_references
    )


def is_held_by_others(pod: Object) -> bool:
    """Whether nothing of the pod is left but somebody's finalizer: no deletion of ours can end it."""
    meta = pod.metadata
    return pod.deleting and meta.deletion_grace_period_seconds == 0 and bool(meta.finalizers)


async def list_pods(client: Client, node: str) -> list[Object]:
    """The pods bound to a node, metadata only."""
    page = await client.list(PODS.partial(), field_selector=f"spec.nodeName={node}")
    return page.items


async def cordon(client: Client, node: str) -> None:
    """Mark the Node unschedulable; none is fine."""
    try:
        await client.patch(NODES.partial(), node, {"spec": {"unschedulable": True}})
    except NotFound:
        return


async def evict_all(client: Client, pods: Iterable[Object]) -> dict[str, str]:
    """Evict what is not going already; returns by pod why some may not go yet."""
    gate = asyncio.Semaphore(CONCURRENCY)
    blocked: dict[str, str] = {}

    async def evict(pod: Object) -> None:
        async with gate:
            reason = await _evict(client, pod)
        if reason:
            blocked[str(pod.key)] = reason

    await asyncio.gather(*(evict(pod) for pod in pods if not pod.deleting))
    return blocked


async def delete_all(client: Client, pods: Iterable[Object], *, force: bool) -> None:
    """Delete pods, by `force` without any grace; failures are left to the next pass."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def delete(pod: Object) -> None:
        place = pod.metadata
        async with gate:
            try:
                grace = 0 if force else None
                await client.delete(
                    PODS, place.name, place.namespace, uid=place.uid, grace_period_seconds=grace
                )
            except KubeError as error:
                logger.warning("pod %s could not be deleted: %s", pod.key, error)

    await asyncio.gather(*(delete(pod) for pod in pods if force or not pod.deleting))


async def _evict(client: Client, pod: Object) -> str:
    place = pod.metadata
    body = _EVICTION | {
        "metadata": {"name": place.name, "namespace": place.namespace},
        "deleteOptions": {"preconditions": {"uid": place.uid}},
    }
    path = PODS.path(place.namespace, place.name, "eviction")
    try:
        async with asyncio.timeout(EVICTION_TIMEOUT):
            await client.request("POST", path, body=msgspec.json.encode(body), timeout=EVICTION_TIMEOUT)
    except NotFound:
        return ""
    except TooManyRequests:
        return "a disruption budget does not allow it yet"
    except TimeoutError:
        return "its eviction was not answered"
    except ApiError as error:
        return "" if error.code == 409 else str(error)
    except KubeError as error:
        return str(error)
    return ""

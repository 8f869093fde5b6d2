"""The end of a VirtualNode: its node drained and removed, its task stopped, its finalizer dropped.

Each call does what can be done now and says when to call again. The order keeps what is needed: the task that ends
the remote pods runs until none is left, and the Node stands until its pods are gone. Everything is bounded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from isthmus.api import labels
from isthmus.api.offloading import VirtualNode
from isthmus.kube.builtin import NODES
from isthmus.kube.objects import Object
from isthmus.kube.times import deleting_for
from isthmus.offloading.virtualnode.conditions import State
from isthmus.offloading.virtualnode.drain import (
    LAST_RESORT,
    PATIENCE,
    cordon,
    delete_all,
    evict_all,
    is_over,
    is_tied_to_node,
    list_pods,
)
from isthmus.offloading.virtualnode.node import is_cordoned, is_ours
from isthmus.offloading.virtualnode.runtime import Runtime

AGAIN, UNHURRIED = 0.5, 3.0
"""Seconds between passes: at first, and once a drain has been waiting for `HURRY` seconds, or for as long as it takes
because nobody waits for its end."""
HURRY = 30.0
Report = Callable[[State], Awaitable[None]]


class Situation(Struct, frozen=True):
    """What a drain has to reckon with."""

    elapsed: float
    """Seconds since the deletion was asked for."""
    hopeless: bool
    """Whether the provider cannot be told any more."""

    @property
    def pause(self) -> float:
        """Seconds until the next pass."""
        return AGAIN if self.elapsed < HURRY else UNHURRIED


async def drain(runtime: Runtime, virtual_node: VirtualNode, situation: Situation, report: Report) -> bool:
    """One pass of emptying the node; True once only pods tied to the node are left, or held by finalizers alone."""
    client = runtime.manager.client
    name = virtual_node.metadata.name
    node = await client.find(NODES.partial(), name)
    if node is not None:
        if not is_ours(node, virtual_node):
            return True
        cached = runtime.nodes.get(node.key)
        if cached is None or not is_cordoned(cached):
            await cordon(client, name)
    pods = [pod for pod in await list_pods(client, name) if not is_tied_to_node(pod) and not is_over(pod)]
    by_force = situation.hopeless or situation.elapsed > LAST_RESORT
    if not pods:
        return True
    blocked: dict[str, str] = {}
    if by_force:
        await delete_all(client, pods, force=True)
    elif situation.elapsed > PATIENCE:
        await delete_all(client, pods, force=False)
    else:
        blocked = await evict_all(client, pods)
    await report(State("Draining", "Draining", _message(pods, blocked)))
    return False


async def remove_node(runtime: Runtime, virtual_node: VirtualNode) -> None:
    """Delete the Node if it is ours, then what a drain leaves on it: nothing else would run those pods."""
    client = runtime.manager.client
    name = virtual_node.metadata.name
    node = await client.find(NODES.partial(), name)
    if node is not None and not is_ours(node, virtual_node):
        return
    if node is not None:
        await client.delete(NODES, name, uid=node.metadata.uid)
    await delete_all(client, await list_pods(client, name), force=True)


def situation_of(runtime: Runtime, virtual_node: VirtualNode, *, has_task: bool) -> Situation:
    """How long a deletion has been going on, and whether the provider can still be told: it takes the virtual
    node's task, that the provider answers or may do so again, and that it lets us in."""
    session = runtime.registry.session(virtual_node.metadata.name)
    peer = runtime.foreign_cluster(virtual_node)
    declared_dead = peer is not None and peer.metadata.annotations.get(labels.PERMANENTLY_UNREACHABLE) == (
        labels.TRUE
    )
    silent = session is not None and session.health.probed and not session.health.reachable
    shut_out = session is not None and session.shut_out()
    hopeless = not has_task or shut_out or (declared_dead and silent)
    return Situation(deleting_for(virtual_node), hopeless)


def has_leftovers(runtime: Runtime, virtual_node: VirtualNode, situation: Situation) -> bool:
    """Whether ShadowPods are still to be deleted, and it is worth waiting for that."""
    session = runtime.registry.session(virtual_node.metadata.name)
    if session is None or situation.hopeless or situation.elapsed > LAST_RESORT:
        return False
    return session.health.reachable and session.leftovers() > 0


def _message(pods: list[Object], blocked: dict[str, str]) -> str:
    shown = ", ".join(f"{pod} ({reason})" for pod, reason in sorted(blocked.items())[:3])
    waiting = "Waiting for 1 pod to end" if len(pods) == 1 else f"Waiting for {len(pods)} pods to end"
    return f"{waiting}; not evicted: {shown}" if shown else waiting

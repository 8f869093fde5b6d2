"""The agents of nodes as installation sees them: waiting until all work, and ending them once their nodes are clean.

An agent takes everything of ours off its node when its InternalNode is gone, and looks for that once more when it
ends: so InternalNodes go first, then the DaemonSet, and a pod that has ended has left its node clean. Whoever made
the InternalNodes, the controller with the networking module, must not run by then.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from isthmus.api import labels
from isthmus.install.errors import InstallError
from isthmus.install.networking import FABRIC, FABRIC_SELECTOR, GRACE
from isthmus.install.progress import Step
from isthmus.install.readiness import PodStatus, last_event, pod_fault
from isthmus.install.usage import liqo_resources, list_served
from isthmus.install.waiting import Deadline, wait_until
from isthmus.kube.builtin import NODES, PODS, Node
from isthmus.kube.client import Client
from isthmus.kube.errors import KubeError
from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource

LEAVING_PATIENCE = GRACE + 30.0
"""Seconds the agents have for leaving their nodes, all at the same time."""


class DaemonSetStatus(Base, frozen=True, kw_only=True):
    """What of a DaemonSet's status is read."""

    observed_generation: int = 0
    desired_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_ready: int = 0
    conditions: list[dict[str, Any]] = field(default_factory=list)


class DaemonSet(Object, frozen=True, kw_only=True):
    """A DaemonSet and how far it got."""

    status: DaemonSetStatus = field(default_factory=DaemonSetStatus)


class AgentSpec(Base, frozen=True, kw_only=True):
    """Where an agent runs."""

    node_name: str = ""


class Agent(Object, frozen=True, kw_only=True):
    """The pod of an agent."""

    spec: AgentSpec = field(default_factory=AgentSpec)
    status: PodStatus = field(default_factory=PodStatus)


DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", DaemonSet)
_AGENTS = PODS.view(Agent)
_SELECTOR = ",".join(f"{key}={value}" for key, value in FABRIC_SELECTOR.items())


def fabric_gap(fabric: DaemonSet, agents: list[Agent], down: set[str]) -> str:
    """Which node lags and why, "" where every one that is not `down` has a ready agent of the version applied."""
    status = fabric.status
    if status.observed_generation < fabric.metadata.generation:
        return "the rollout has not begun"
    awaited = [one for one in agents if one.spec.node_name not in down]
    for one in sorted(awaited, key=lambda agent: agent.spec.node_name):
        if not one.deleting and (fault := pod_fault(one.status)):
            return f"node {one.spec.node_name or '(none)'}: pod {one.metadata.name}: {fault}"
    excused = len([one for one in agents if one.spec.node_name in down])
    if status.updated_number_scheduled + excused < status.desired_number_scheduled:
        done, wanted = status.updated_number_scheduled, status.desired_number_scheduled
        return f"{done} of {wanted} nodes have an agent that is up to date"
    if status.number_ready + excused < status.desired_number_scheduled:
        return f"{status.number_ready} of {status.desired_number_scheduled} nodes have a ready agent"
    return ""


def down_nodes(nodes: list[Node]) -> set[str]:
    """The nodes whose kubelet does not say that they are ready: nothing can be awaited of them."""
    return {
        node.metadata.name
        for node in nodes
        if not any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)
    }


async def wait_for_fabric(client: Client, namespace: str, deadline: Deadline, step: Step) -> list[str]:
    """Wait until every node has a ready agent; returns the nodes that are down, of which none is awaited.

    Raises InstallError naming the node that lags and why.
    """
    down: set[str] = set()

    async def missing() -> str:
        nonlocal down
        fabric = await client.get(DAEMON_SETS, FABRIC, namespace)
        agents = await _agents(client, namespace)
        real = (
            await client.list(NODES, label_selector=f"{labels.NODE_TYPE}!={labels.NODE_TYPE_VIRTUAL}")
        ).items
        down = down_nodes(real)
        return fabric_gap(fabric, agents, down)

    if await wait_until(missing, deadline, step):
        return sorted(down)
    gap = await missing()
    event = await _event(client, namespace, gap)
    raise InstallError(
        f"the network of nodes was not ready within {deadline.seconds:.0f} s: {gap}{event}",
        "everything else is installed: fix this and run isthmus install again",
    )


async def has_fabric(client: Client, namespace: str) -> bool:
    """Whether an earlier installation brought the agents."""
    return await client.find(DAEMON_SETS.partial(), FABRIC, namespace) is not None


async def end_fabric(client: Client, namespace: str, deadline: Deadline, step: Step) -> list[str]:
    """Have every agent leave its node and end; returns the nodes whose agent did not end in time.

    What is left on those is harmless without InternalNodes, and goes with a restart of the node.
    """
    internal = liqo_resources()["InternalNode"]
    for found in await list_served(client, internal):
        await client.delete(internal, found.metadata.name, uid=found.metadata.uid)
        stocks = [each for each in found.metadata.finalizers if each != labels.FINALIZER_INTERNAL_NODE]
        if stocks != found.metadata.finalizers:
            await client.patch(internal, found.metadata.name, {"metadata": {"finalizers": stocks}})
    await client.delete(DAEMON_SETS.partial(), FABRIC, namespace, propagation="Foreground")
    left: list[str] = []

    async def missing() -> str:
        nonlocal left
        left = sorted({one.spec.node_name for one in await _agents(client, namespace)})
        return f"the agent of node {left[0]} is still there" if left else ""

    await wait_until(missing, deadline.within(LEAVING_PATIENCE), step)
    return left


async def _agents(client: Client, namespace: str) -> list[Agent]:
    return list((await client.list(_AGENTS, namespace, label_selector=_SELECTOR)).items)


async def _event(client: Client, namespace: str, gap: str) -> str:
    _, _, rest = gap.partition("pod ")
    try:
        event = await last_event(client, namespace, rest.partition(":")[0]) if rest else ""
    except KubeError:
        return ""
    return f" (last event: {event})" if event else ""

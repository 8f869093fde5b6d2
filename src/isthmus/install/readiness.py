"""Waiting until an installation works: the controller's pod is ready and the API server reaches its webhooks.

When time runs out, the answer says which pod is not ready and why, as far as the cluster knows.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from isthmus.api import names
from isthmus.install.errors import InstallError
from isthmus.install.progress import Step
from isthmus.install.values import Values
from isthmus.install.waiting import Deadline, wait_until
from isthmus.install.webhooks import enabled_webhooks
from isthmus.install.workload import SELECTOR
from isthmus.kube.builtin import DEPLOYMENTS, EVENTS, PODS
from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError, KubeError, NotFound
from isthmus.kube.objects import Base, Manifest, Object


class DeploymentSpec(Base, frozen=True, kw_only=True):
    """What of a Deployment's spec is read."""

    replicas: int = 1


class DeploymentStatus(Base, frozen=True, kw_only=True):
    """What of a Deployment's status is read."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    conditions: list[dict[str, Any]] = field(default_factory=list)


class Rollout(Object, frozen=True, kw_only=True):
    """A Deployment and how far it got."""

    spec: DeploymentSpec = field(default_factory=DeploymentSpec)
    status: DeploymentStatus = field(default_factory=DeploymentStatus)


class ContainerStatus(Base, frozen=True, kw_only=True):
    """The state of one container."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_state: dict[str, dict[str, Any]] = field(default_factory=dict)


class PodStatus(Base, frozen=True, kw_only=True):
    """What of a pod's status is read."""

    phase: str = ""
    conditions: list[dict[str, Any]] = field(default_factory=list)
    container_statuses: list[ContainerStatus] = field(default_factory=list)


class Pod(Object, frozen=True, kw_only=True):
    """A pod of the controller."""

    status: PodStatus = field(default_factory=PodStatus)


class Event(Object, frozen=True, kw_only=True):
    """An event about a pod."""

    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None


_ROLLOUTS = DEPLOYMENTS.view(Rollout)
_PODS = PODS.view(Pod)
_EVENTS = EVENTS.view(Event)


def rollout_gap(rollout: Rollout) -> str:
    """What a rollout still lacks, "" where it is complete.

    Of several replicas only the one that leads is ever ready, so one ready pod is all there will be.
    """
    status = rollout.status
    if status.observed_generation < rollout.metadata.generation:
        return "the rollout has not begun"
    if status.updated_replicas < rollout.spec.replicas:
        return f"{status.updated_replicas} of {rollout.spec.replicas} pods are up to date"
    if status.replicas > status.updated_replicas:
        return "pods of the earlier version are ending"
    if status.ready_replicas < 1:
        return "no pod is ready"
    return ""


def pod_fault(status: PodStatus) -> str:
    """Why a pod is not ready, as its own status has it; "" where it is."""
    conditions = {condition.get("type"): condition for condition in status.conditions}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"not scheduled: {scheduled.get('message', '')}"
    for container in status.container_statuses:
        fault = _container_fault(container)
        if fault:
            return fault
    return f"phase {status.phase or 'unknown'}, not ready"


def _container_fault(container: ContainerStatus) -> str:
    waiting = container.state.get("waiting", {})
    ended = container.state.get("terminated") or container.last_state.get("terminated") or {}
    how = f"exit code {ended.get('exitCode')}" if "exitCode" in ended else ""
    if waiting.get("reason") == "CrashLoopBackOff" or (ended and not container.ready):
        last = (ended.get("message") or "").strip().rpartition("\n")[2]
        said = f": {last}" if last else ""
        return (
            f"it ended {container.restart_count + 1} times, the last time with {how or 'no exit code'}{said}"
        )
    if waiting:
        return ": ".join(filter(None, (waiting.get("reason", ""), waiting.get("message", ""))))
    return "" if container.ready else "it runs but does not say that it is ready"


async def wait_for_controller(client: Client, namespace: str, deadline: Deadline, step: Step) -> None:
    """Wait until the controller runs in the version applied. Raises InstallError when out of time."""

    async def missing() -> str:
        rollout = await client.get(_ROLLOUTS, names.CONTROLLER, namespace)
        gap = rollout_gap(rollout)
        if not gap:
            return ""
        fault = await _first_fault(client, namespace)
        return f"{gap}; {fault}" if fault else gap

    if not await wait_until(missing, deadline, step):
        fault = await explain(client, namespace)
        raise InstallError(
            f"the controller was not ready within {deadline.seconds:.0f} s: {fault}",
            "everything else is installed: fix this and run isthmus install again",
        )


async def is_running(client: Client, namespace: str) -> bool:
    """Whether a controller is there to do anything."""
    rollout = await client.find(_ROLLOUTS, names.CONTROLLER, namespace)
    return rollout is not None and rollout.status.ready_replicas > 0


async def _pods(client: Client, namespace: str) -> list[Pod]:
    selector = ",".join(f"{key}={value}" for key, value in SELECTOR.items())
    listed = await client.list(_PODS, namespace, label_selector=selector)
    return sorted(listed.items, key=lambda pod: pod.metadata.creation_timestamp or "", reverse=True)


async def _first_fault(client: Client, namespace: str) -> str:
    for pod in await _pods(client, namespace):
        fault = pod_fault(pod.status)
        if fault and not pod.deleting:
            return f"pod {pod.metadata.name}: {fault}"
    return ""


async def explain(client: Client, namespace: str) -> str:
    """Which pod of the controller is not ready and why, its last event included."""
    try:
        fault = await _first_fault(client, namespace)
        if not fault:
            return await _explain_without_pod(client, namespace)
        pod = fault.split()[1].rstrip(":")
        event = await last_event(client, namespace, pod)
    except KubeError as error:
        return f"and the cluster cannot be asked why ({error})"
    return f"{fault} (last event: {event})" if event else fault


async def _explain_without_pod(client: Client, namespace: str) -> str:
    rollout = await client.get(_ROLLOUTS, names.CONTROLLER, namespace)
    for condition in rollout.status.conditions:
        if condition.get("type") == "ReplicaFailure":
            return f"no pod could be made: {condition.get('message', '')}"
    return rollout_gap(rollout) or "it became ready a moment too late"


async def last_event(client: Client, namespace: str, pod: str) -> str:
    """The newest event about a pod, "" where there is none."""
    listed = await client.list(_EVENTS, namespace, field_selector=f"involvedObject.name={pod}")
    latest = max(listed.items, key=_event_time, default=None)
    return f"{latest.reason}: {latest.message}" if latest else ""


def _event_time(event: Event) -> str:
    return event.last_timestamp or event.event_time or event.metadata.creation_timestamp or ""


async def wait_for_webhooks(
    client: Client, values: Values, namespace: str, deadline: Deadline, step: Step
) -> None:
    """Wait until the API server gets answers from the webhooks. Raises InstallError when out of time."""

    async def missing() -> str:
        for probe in webhook_probes(values, namespace):
            unanswered = await _unanswered(client, probe)
            if unanswered:
                return unanswered
        return ""

    if not await wait_until(missing, deadline, step):
        last = await missing()
        raise InstallError(
            f"the API server cannot reach the admission webhooks within {deadline.seconds:.0f} s: {last}",
            f"it has to reach the controller's pods on port {values.webhook.port} (firewall, network policy?)",
        )


def webhook_probes(values: Values, namespace: str) -> list[tuple[str, Manifest]]:
    """Objects whose creation, tried with dry run, concerns webhooks of both kinds: path and manifest.

    They are denied or not, as the controller sees fit: what counts is that it was asked.
    """
    probed = {webhook.plural: webhook for webhook in enabled_webhooks(values)}
    bodies: dict[str, Manifest] = {
        "tenants": {"kind": "Tenant", "spec": {"clusterID": "installation-probe"}},
        "virtualnodes": {"kind": "VirtualNode", "spec": {}},
        "namespaceoffloadings": {"kind": "NamespaceOffloading", "spec": {}},
    }
    found: list[tuple[str, Manifest]] = []
    for plural, body in bodies.items():
        webhook = probed.get(plural)
        if webhook is not None:
            api_version = f"{webhook.group}/{webhook.version}"
            manifest = {"apiVersion": api_version, "metadata": {"name": "installation-probe"}, **body}
            found.append((f"/apis/{api_version}/namespaces/{namespace}/{plural}", manifest))
    return found


async def _unanswered(client: Client, probe: tuple[str, Manifest]) -> str:
    path, manifest = probe
    body = msgspec.json.encode(manifest)
    try:
        await client.request("POST", path, query=[("dryRun", "All")], body=body)
    except NotFound as error:
        return str(error)
    except ApiError as error:
        # A webhook that answers may well deny; one that does not makes the API server say so.
        return str(error) if "failed calling webhook" in str(error) else ""
    return ""

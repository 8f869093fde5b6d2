"""What a local pod's status must be, given what the provider says of it.

The remote status is taken over whole, but for what only means something on the provider. Pure: the reconciler
decides when to write. A status is a plain dict as decoded from JSON; none of the arguments is changed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from isthmus.offloading.pods.containers import Containers
from isthmus.offloading.pods.readiness import with_gates

Status = dict[str, Any]

TERMINAL = frozenset({"Succeeded", "Failed"})
REMOTE_POD_TERMINATED = "RemotePodTerminated"
REMOTE_POD_LOST = "RemotePodLost"
REMOTE_POD_MISSING = "RemotePodMissing"
REMOTE_UNAVAILABLE = "RemoteUnavailable"
NETWORK_UNAVAILABLE = "NetworkUnavailable"
FAILED_REFLECTION = "FailedReflection"

_OBSERVED = "observedGeneration"
_KEPT_LOCAL = frozenset({"qosClass", "nominatedNodeName", "resize", _OBSERVED})
"""Fields that the API server refuses to see changed, or that speak of the other pod object."""

_KUBELET_CONDITIONS = frozenset(
    {
        "ContainersReady",
        "Initialized",
        "PodReadyToStartContainers",
        "PodResizeInProgress",
        "PodResizePending",
        "Ready",
    }
)
_READINESS = ("Ready", "ContainersReady")
_CONTAINER_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


class _Phase(Struct):
    phase: str = ""


def phase_of(status: Raw) -> str:
    """The phase in a raw status, "" where there is none."""
    return msgspec.json.decode(status, type=_Phase).phase


class Facts(Struct, frozen=True):
    """What of this cluster goes into a mapped status."""

    host_ip: str
    """The address virtual nodes advertise: where the API server finds their kubelet API."""
    containers: Containers
    """Those of the local pod: the provider may have added its own to the remote one."""
    recreations: int = 0
    """How often the provider made the pod again; each counts as a restart of every container."""
    observed_generation: int | None = None
    """The local pod's generation, once the remote pod is as it says; None before."""


def map_status(
    remote: Mapping[str, Any],
    local: Mapping[str, Any],
    facts: Facts,
    translate: Callable[[str], str] | None = None,
) -> Status:
    """The local status that mirrors a remote one; `translate` maps a remote pod IP, to "" where it is not known
    here yet; None keeps it."""
    mapped: Status = {key: value for key, value in remote.items() if key not in _KEPT_LOCAL}
    mapped.update({key: value for key, value in local.items() if key in _KEPT_LOCAL})
    if "hostIP" in mapped:
        mapped["hostIP"] = facts.host_ip
        mapped["hostIPs"] = [{"ip": facts.host_ip}]
    _map_addresses(mapped, translate)
    observed = facts.observed_generation
    if observed is not None:
        mapped[_OBSERVED] = observed
    present = local.get("conditions") or []
    mapped["conditions"] = _map_conditions(remote.get("conditions") or [], present, observed)
    if gates := facts.containers.gates():
        former: Mapping[str, Any] = next((one for one in present if one.get("type") == "Ready"), {})
        mapped["conditions"] = with_gates(mapped["conditions"], gates, former)
    if not mapped["conditions"]:
        del mapped["conditions"]
    for kind in _CONTAINER_STATUSES:
        mapped.pop(kind, None)
        if containers := _map_containers(remote.get(kind) or [], local.get(kind) or [], facts):
            mapped[kind] = containers
    return mapped


def unready_status(local: Mapping[str, Any], reason: str, message: str, now: str) -> Status:
    """The local status while the remote pod is gone or going and will be made again: not ready, else as it is."""
    conditions = [
        {**condition, "status": "False", "reason": reason, "message": message, "lastTransitionTime": now}
        if condition.get("type") in _READINESS and condition.get("status") == "True"
        else condition
        for condition in local.get("conditions") or []
    ]
    return {**local, "conditions": conditions} if conditions else dict(local)


def cut_off_status(mapped: Status, local: Mapping[str, Any], message: str, now: str) -> Status:
    """A mirrored status while nothing here reaches the pod: not ready. What says so already is kept as it is.

    The node is not ready then, and its controller would answer every pod that reports Ready with Ready=False.
    """
    before = {condition.get("type"): condition for condition in local.get("conditions") or []}
    down = unready_status(mapped, NETWORK_UNAVAILABLE, message, now)
    conditions = [
        old
        if condition.get("reason") == NETWORK_UNAVAILABLE
        and (old := before.get(condition.get("type"), {})).get("status") == "False"
        else condition
        for condition in down.get("conditions") or []
    ]
    return {**down, "conditions": conditions} if conditions else down


def terminated_status(local: Mapping[str, Any], phase: str, now: str) -> Status:
    """The local status once the ShadowPod says that its pod ended, and the pod itself is not there to ask."""
    message = "The remote pod ended and was removed before its last status could be read"
    status = unready_status(local, REMOTE_POD_TERMINATED, message, now)
    return {**status, "phase": phase, "reason": REMOTE_POD_TERMINATED, "message": message}


def lost_status(local: Mapping[str, Any], now: str) -> Status:
    """The local status of a pod that may have ended, once the provider knows nothing of it any more."""
    message = "The provider has nothing left of the remote pod, which may have ended: it is not run again"
    status = unready_status(local, REMOTE_POD_LOST, message, now)
    return {**status, "phase": "Failed", "reason": REMOTE_POD_LOST, "message": message}


def failed_reflection_status(local: Mapping[str, Any], message: str) -> Status:
    """The local status while the provider refuses the pod."""
    return {**local, "phase": "Pending", "reason": FAILED_REFLECTION, "message": message}


def plan_status_patch(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch of `status` that turns `present` into `wanted`; {} where they are equal."""
    patch: dict[str, Any] = {key: value for key, value in wanted.items() if present.get(key) != value}
    patch.update({key: None for key in present if key not in wanted})
    return patch


def _map_addresses(status: Status, translate: Callable[[str], str] | None) -> None:
    """The pod's addresses, but for those no pod can have: what the provider claims becomes an endpoint here."""
    entries = status.pop("podIPs", None) or [{"ip": status.get("podIP")}]
    addresses = [
        translate(entry["ip"]) if translate is not None else entry["ip"]
        for entry in entries
        if is_pod_address(entry.get("ip"))
    ]
    mapped = [{"ip": address} for address in addresses if address]
    status.pop("podIP", None)
    if mapped:
        status["podIP"] = mapped[0]["ip"]
        status["podIPs"] = mapped


def is_pod_address(address: object) -> bool:
    """Whether a pod may have that address: a valid one that is nobody's own and not a group's."""
    if not isinstance(address, str):
        return False
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified)


def _map_conditions(
    remote: list[dict[str, Any]], local: list[dict[str, Any]], observed: int | None
) -> list[dict[str, Any]]:
    """The remote conditions, then the local ones that no kubelet sets (scheduling, disruption, gates)."""
    present = {condition.get("type"): condition for condition in local}
    mapped = []
    for condition in remote:
        own = present.pop(condition.get("type"), {})
        scheduled = condition.get("type") == "PodScheduled" and _same_state(own, condition)
        kept = {key: value for key, value in (own if scheduled else condition).items() if key != _OBSERVED}
        known = observed is not None and _OBSERVED in condition
        generation = observed if known else own.get(_OBSERVED)
        mapped.append(kept if generation is None else {**kept, _OBSERVED: generation})
    mapped += [own for type_, own in present.items() if type_ not in _KUBELET_CONDITIONS]
    return mapped


def _same_state(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("status", "reason", "message"))


def _map_containers(
    remote: list[dict[str, Any]], local: list[dict[str, Any]], facts: Facts
) -> list[dict[str, Any]]:
    present = {container.get("name"): container for container in local}
    names = facts.containers.names()
    mapped = []
    for container in remote:
        if container.get("name") not in names:
            continue
        own = present.get(container.get("name"))
        if own is not None and _must_stay_terminated(own, container, facts.containers):
            mapped.append(own)
            continue
        if facts.recreations:
            count = container.get("restartCount", 0) + facts.recreations
            container = {**container, "restartCount": count}
        mapped.append(container)
    return mapped


def _must_stay_terminated(own: Mapping[str, Any], remote: Mapping[str, Any], containers: Containers) -> bool:
    """Whether the API server would refuse that a container which ended here runs again: a remote pod that is
    made again starts all containers anew."""
    ended = (own.get("state") or {}).get("terminated")
    if ended is None or (remote.get("state") or {}).get("terminated"):
        return False
    return not containers.may_run_again(str(own.get("name")), ended.get("exitCode", 0))

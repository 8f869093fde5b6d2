"""The Node object of a VirtualNode: what it must be (behaviour.md 4.6). Pure functions.

The provider's slice gives capacity, labels and classes; this cluster gives the address and port of the kubelet
API and the version, so that its own API server finds what it expects of a kubelet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from isthmus.api import labels
from isthmus.api.offloading import VirtualNode
from isthmus.kube.builtin import NODES
from isthmus.kube.objects import EMPTY_OBJECT, Base, Manifest, Object
from isthmus.offloading.pods.provider import ProviderHealth

TAINTS = "isthmus.liqo.io/taints"
"""Annotation of a virtual Node: the taints it got from its VirtualNode, so that those taken away there go."""

DRAINING = "isthmus.liqo.io/draining"
"""Annotation of a virtual Node that was cordoned because it is to go, and not by a person."""

HEARTBEAT_REASON = "KubeletReady"
PROVIDER_UNREACHABLE = "ProviderUnreachable"

_EXCLUDED = (
    "node.kubernetes.io/exclude-from-external-load-balancers",
    "alpha.service-controller.kubernetes.io/exclude-balancer",
)
_ZERO = re.compile(r"0*(\.0*)?([a-zA-Z]*|[eE][0-9]+)")
NETWORK_UNAVAILABLE = "NetworkUnavailable"
_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory"),
    ("DiskPressure", "KubeletHasNoDiskPressure"),
    ("PIDPressure", "KubeletHasSufficientPID"),
)


class NodeObject(Object, frozen=True, kw_only=True):
    """A Node with what is compared as the server sent it."""

    spec: Raw = EMPTY_OBJECT
    status: Raw = EMPTY_OBJECT


VIRTUAL_NODE_OBJECTS = NODES.view(NodeObject)
SELECTOR = f"{labels.NODE_TYPE}={labels.NODE_TYPE_VIRTUAL}"


class _Schedulable(Base, frozen=True, kw_only=True):
    unschedulable: bool = False


class NodeFacts(Struct, frozen=True):
    """What this cluster contributes."""

    version: str
    """gitVersion of this cluster's API server."""
    host_ip: str
    kubelet_port: int
    taint_effect: str = labels.TAINT_EFFECT
    """Of the taint that every virtual node has."""


class Condition(Struct, frozen=True):
    """A node condition without its times."""

    type: str
    status: str
    reason: str
    message: str


def creates_node(virtual_node: VirtualNode) -> bool:
    """Whether the VirtualNode wants a Node (the default)."""
    return virtual_node.spec.create_node is not False


def is_ours(node: Object, virtual_node: VirtualNode) -> bool:
    """Whether a Node of the VirtualNode's name is its own, not a real one or another provider's.

    By its label, or, where somebody changed that, by the annotation we set on every Node of ours.
    """
    found = node.metadata
    return found.labels.get(labels.REMOTE_CLUSTER_ID) == virtual_node.spec.cluster_id or (
        TAINTS in found.annotations
    )


def forge_labels(virtual_node: VirtualNode) -> dict[str, str]:
    """All labels of the Node; the VirtualNode's own may say more, but not who it is."""
    spec = virtual_node.spec
    return {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        **spec.labels,
        "kubernetes.io/hostname": virtual_node.metadata.name,
        "kubernetes.io/role": "agent",
        "type": "virtual-kubelet",
        labels.NODE_TYPE: labels.NODE_TYPE_VIRTUAL,
        labels.REMOTE_CLUSTER_ID: spec.cluster_id,
        labels.STORAGE_AVAILABLE: labels.TRUE if spec.storage_classes else labels.FALSE,
        **dict.fromkeys(_EXCLUDED, labels.TRUE),
    }


def forge_annotations(virtual_node: VirtualNode) -> dict[str, str]:
    """All annotations of the Node that are ours."""
    taints = ",".join(sorted(_taint_id(taint) for taint in virtual_node.spec.taints))
    return {**virtual_node.spec.annotations, TAINTS: taints}


def forge_node(
    virtual_node: VirtualNode, taints: list[dict[str, Any]], version: str, uid: str = ""
) -> Manifest:
    """What is applied of the Node, to that resourceVersion of it: all that it shall have but the status.

    `uid` is that of a Node that is there: without it, an apply would make one anew that has gone meanwhile.
    """
    return {
        "metadata": {
            "name": virtual_node.metadata.name,
            "resourceVersion": version,
            **({"uid": uid} if uid else {}),
            "labels": forge_labels(virtual_node),
            "annotations": forge_annotations(virtual_node),
        },
        "spec": {"taints": taints},
    }


def wanted_taints(virtual_node: VirtualNode, effect: str) -> list[dict[str, Any]]:
    """The taints the VirtualNode asks for, the one that every virtual node has first."""
    own = _own_taint(effect)
    return [own, *(taint for taint in virtual_node.spec.taints if _taint_id(taint) != _taint_id(own))]


def plan_taints(
    present: list[dict[str, Any]], node: Object, virtual_node: VirtualNode, facts: NodeFacts
) -> list[dict[str, Any]]:
    """The taints the Node must have: those of others as they are, ours as the VirtualNode says."""
    wanted = wanted_taints(virtual_node, facts.taint_effect)
    kept_ids = {_taint_id(taint) for taint in wanted}
    former = {_taint_id(_own_taint(effect)) for effect in labels.TAINT_EFFECTS}
    dropped_ids = (former | set(node.metadata.annotations.get(TAINTS, "").split(","))) - kept_ids
    by_id = {_taint_id(taint): taint for taint in wanted}
    planned = []
    for taint in present:
        id_ = _taint_id(taint)
        if id_ in dropped_ids:
            continue
        own = by_id.pop(id_, None)
        if own is None or all(taint.get(key) == value for key, value in own.items() if value):
            planned.append(taint)
        else:
            planned.append(own)
    return planned + list(by_id.values())


def forge_status(virtual_node: VirtualNode, facts: NodeFacts) -> dict[str, Any]:
    """The Node's status but for its conditions."""
    spec = virtual_node.spec
    capacity = {name: str(quantity) for name, quantity in spec.resource_quota.hard.items()}
    every_label = forge_labels(virtual_node)
    status: dict[str, Any] = {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": facts.host_ip}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": facts.kubelet_port}},
        "nodeInfo": {
            "architecture": every_label["kubernetes.io/arch"],
            "operatingSystem": every_label["kubernetes.io/os"],
            "kubeletVersion": facts.version,
            "containerRuntimeVersion": "",
            "kernelVersion": "",
            "osImage": "Isthmus virtual node",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kubeProxyVersion": "",
        },
    }
    if spec.images:
        status["images"] = spec.images
    return status


def forge_conditions(
    virtual_node: VirtualNode, health: ProviderHealth, *, networking: bool | None
) -> list[Condition]:
    """The Node's conditions; `networking` is None where it does not matter, else whether the tunnel is up."""
    hard = virtual_node.spec.resource_quota.hard
    resources = not any(_is_zero(hard.get(name)) for name in ("cpu", "memory"))
    provider = virtual_node.spec.cluster_id
    if health.lost or not health.probed:
        message = f"The API server of cluster {provider} {health.detail or 'was not asked yet'}"
        ready = Condition("Ready", "False", PROVIDER_UNREACHABLE, message)
    elif not resources:
        message = f"Cluster {provider} grants no CPU or no memory"
        ready = Condition("Ready", "False", "NoResources", message)
    elif networking is False:
        message = f"The network to cluster {provider} is not connected"
        ready = Condition("Ready", "False", "NetworkUnavailable", message)
    else:
        ready = Condition("Ready", "True", HEARTBEAT_REASON, f"Cluster {provider} answers and has resources")
    conditions = [ready]
    for type_, sufficient in _PRESSURES:
        reason, message = (sufficient, "") if resources else ("NoResources", ready.message)
        conditions.append(Condition(type_, "False" if resources else "True", reason, message))
    if networking is not None:
        status = "False" if networking else "True"
        reason = "Connected" if networking else "NotConnected"
        conditions.append(Condition(NETWORK_UNAVAILABLE, status, reason, ""))
    return conditions


def plan_status(
    present: Mapping[str, Any],
    wanted: Mapping[str, Any],
    conditions: Iterable[Condition],
    now: str,
    *,
    heartbeat: bool,
) -> dict[str, Any]:
    """The merge patch of the Node's status; {} where it is right and no `heartbeat` is due."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        if isinstance(value, dict):
            change = _dict_change(present.get(key) or {}, value, whole=key in ("capacity", "allocatable"))
            if change:
                patch[key] = change
        elif present.get(key) != value:
            patch[key] = value
    before = present.get("conditions") or []
    merged, changed = merge_conditions(before, _with_network(before, conditions), now)
    if changed or heartbeat:
        patch["conditions"] = merged
    return patch


def _with_network(present: Iterable[Mapping[str, Any]], wanted: Iterable[Condition]) -> list[Condition]:
    """The conditions with a network that others call unavailable put right, where the network is not looked at.

    Route controllers of clouds report it of every Node they make no route for, which keeps pods off.
    """
    found = list(wanted)
    own = any(one.type == NETWORK_UNAVAILABLE for one in found)
    if not own and any(
        one.get("type") == NETWORK_UNAVAILABLE and one.get("status") == "True" for one in present
    ):
        found.append(Condition(NETWORK_UNAVAILABLE, "False", "NotChecked", ""))
    return found


def merge_conditions(
    present: list[dict[str, Any]], wanted: Iterable[Condition], now: str
) -> tuple[list[dict[str, Any]], bool]:
    """The conditions with our own brought up to date, the others kept; and whether anything but times changed."""
    before = {condition.get("type"): condition for condition in present}
    merged: list[dict[str, Any]] = []
    changed = False
    for condition in wanted:
        old = before.pop(condition.type, {})
        new = {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        if old.get("status") == condition.status:
            new["lastTransitionTime"] = old.get("lastTransitionTime") or now
        changed = changed or any(old.get(key, "") != new[key] for key in ("status", "reason", "message"))
        merged.append(new)
    return merged + list(before.values()), changed


def is_cordoned(node: NodeObject) -> bool:
    """Whether a Node takes no new pods."""
    return bool(msgspec.json.decode(node.spec, type=_Schedulable).unschedulable)


def readiness(status: Mapping[str, Any]) -> str:
    """The status of a Node's condition Ready, "" where it was never told."""
    conditions = status.get("conditions") or []
    return next((str(c.get("status")) for c in conditions if c.get("type") == "Ready"), "")


def _dict_change(present: Mapping[str, Any], wanted: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    change = {key: value for key, value in wanted.items() if present.get(key) != value}
    if whole:
        change.update({key: None for key in present if key not in wanted})
    return change


def _own_taint(effect: str) -> dict[str, Any]:
    return {"key": labels.VIRTUAL_NODE_TAINT, "value": labels.TRUE, "effect": effect}


def _taint_id(taint: Mapping[str, Any]) -> str:
    return f"{taint.get('key')}:{taint.get('effect')}"


def _is_zero(quantity: object) -> bool:
    return quantity is None or _ZERO.fullmatch(str(quantity)) is not None

"""What a ShadowPod's Pod is like, and what its state means for the ShadowPod: pure functions (wire.md 8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import field

from isthmus.api import labels
from isthmus.api.offloading import GROUP, VERSION, ShadowPod
from isthmus.kube.builtin import PODS
from isthmus.kube.objects import Base, Manifest, Object

FINISHED = frozenset({"Succeeded", "Failed"})
"""The phases nothing follows on."""


class PodPhaseStatus(Base, frozen=True, kw_only=True):
    """The part of a Pod's status a ShadowPod mirrors."""

    phase: str = ""


class PodPhase(Object, frozen=True, kw_only=True):
    """A Pod, of which only metadata and phase are kept."""

    status: PodPhaseStatus = field(default_factory=PodPhaseStatus)


SHADOWED_PODS = PODS.view(PodPhase)


class ManagedFields(Base, frozen=True, kw_only=True):
    """The fields one manager set."""

    manager: str = ""
    fields_v1: dict[str, Any] = field(default_factory=dict, name="fieldsV1")


class ManagedMetadata(Base, frozen=True, kw_only=True):
    """Who set which field."""

    managed_fields: list[ManagedFields] = field(default_factory=list)


class ManagedObject(Base, frozen=True, kw_only=True):
    """An object of which only the managers of its fields are read."""

    metadata: ManagedMetadata = field(default_factory=ManagedMetadata)


class _RestartPolicy(Base, frozen=True, kw_only=True):
    restart_policy: str = "Always"


def forge_pod(shadow: ShadowPod) -> Manifest:
    """The Pod of a ShadowPod. Host aliases pass as they are: with networking off no address is translated."""
    metadata = shadow.metadata
    return {
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": pod_labels(shadow),
            "annotations": metadata.annotations,
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": "ShadowPod",
                    "name": metadata.name,
                    "uid": metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": shadow.spec.pod,
    }


def pod_labels(shadow: ShadowPod) -> dict[str, str]:
    """The labels the Pod has from its ShadowPod."""
    return {**shadow.metadata.labels, labels.MANAGED_BY: labels.MANAGED_BY_SHADOW_POD}


def owner_uid(pod: Object) -> str:
    """The uid of the ShadowPod that controls the pod, "" where none does."""
    for owner in pod.metadata.owner_references:
        if owner.controller and owner.kind == "ShadowPod" and owner.api_version.startswith(f"{GROUP}/"):
            return owner.uid
    return ""


def has_finished(pod: PodPhase, shadow: ShadowPod) -> bool:
    """Whether the pod came to its own end, so that it must never run again.

    The kubelet also gives a last phase to a pod that was deleted while it ran: that one was killed and is
    to come back, unless it is of a kind that ends (restartPolicy other than Always) and succeeded.
    """
    if pod.status.phase not in FINISHED:
        return False
    return not pod.deleting or (pod.status.phase == "Succeeded" and not _runs_forever(shadow))


def _runs_forever(shadow: ShadowPod) -> bool:
    return msgspec.json.decode(shadow.spec.pod, type=_RestartPolicy).restart_policy == "Always"


def phase_of(pod: PodPhase, shadow: ShadowPod) -> str:
    """The phase to be shown on the ShadowPod, "" for none: a killed pod's last phase is not told."""
    phase = pod.status.phase
    return phase if phase not in FINISHED or has_finished(pod, shadow) else ""


def plan_metadata(shadow: ShadowPod, pod: Object, obsolete: Iterable[tuple[str, str]]) -> Manifest | None:
    """The merge patch that brings labels and annotations of the Pod to the ShadowPod's, None for none.

    `obsolete` are (labels or annotations, key) that once came from the ShadowPod and are not wished any more.
    """
    changes: dict[str, dict[str, str | None]] = {}
    for kind, wished, found in (
        ("labels", pod_labels(shadow), pod.metadata.labels),
        ("annotations", shadow.metadata.annotations, pod.metadata.annotations),
    ):
        change: dict[str, str | None] = {k: v for k, v in wished.items() if found.get(k) != v}
        change |= {key: None for of, key in obsolete if of == kind and key in found and key not in wished}
        if change:
            changes[kind] = change
    return {"metadata": {"uid": pod.metadata.uid, **changes}} if changes else None


def surplus_labels(shadow: ShadowPod, pod: Object) -> frozenset[str]:
    """The labels of the Pod that its ShadowPod does not ask for (any more)."""
    return frozenset(pod.metadata.labels.keys() - pod_labels(shadow).keys())


def keys_set_by(pod: ManagedObject, manager: str) -> set[tuple[str, str]]:
    """The (labels or annotations, key) a field manager set on an object."""
    return {
        (kind, key.removeprefix("f:"))
        for entry in pod.metadata.managed_fields
        if entry.manager == manager
        for kind in ("labels", "annotations")
        for key in entry.fields_v1.get("f:metadata", {}).get(f"f:{kind}", {})
        if key.startswith("f:")
    }

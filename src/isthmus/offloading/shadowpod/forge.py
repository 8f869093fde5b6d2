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
from isthmus.offloading.inplace import APPLIED, OWN_ANNOTATIONS, REVISION, resized_spec

FINISHED = frozenset({"Succeeded", "Failed"})
"""The phases nothing follows on."""


DEADLINE_EXCEEDED = "DeadlineExceeded"
"""The reason of a Pod that the kubelet ended because its activeDeadlineSeconds were over."""


class PodPhaseStatus(Base, frozen=True, kw_only=True):
    """The part of a Pod's status a ShadowPod mirrors, and what tells why the Pod ended, and before what."""

    phase: str = ""
    reason: str = ""
    observed_generation: int = 0


class PodPhase(Object, frozen=True, kw_only=True):
    """A Pod, of which only metadata and the facts of its end are kept."""

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


class _Ending(Base, frozen=True, kw_only=True):
    restart_policy: str = "Always"
    active_deadline_seconds: int | None = None


def forge_pod(shadow: ShadowPod) -> Manifest:
    """The Pod of a ShadowPod, its host aliases as they are (`host_aliases.py` maps those of its home).

    A Pod that may come to an end of its own carries our finalizer: it stays until its end has been recorded.
    """
    metadata = shadow.metadata
    return {
        "metadata": {
            **({"finalizers": [labels.FINALIZER_SHADOWED_POD]} if may_end(shadow) else {}),
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": pod_labels(shadow),
            "annotations": {**pod_annotations(shadow), **applied_mark(shadow)},
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
        "spec": resized_spec(shadow),
    }


def pod_labels(shadow: ShadowPod) -> dict[str, str]:
    """The labels the Pod has from its ShadowPod."""
    return {**shadow.metadata.labels, labels.MANAGED_BY: labels.MANAGED_BY_SHADOW_POD}


def pod_annotations(shadow: ShadowPod) -> dict[str, str]:
    """The annotations the Pod has from its ShadowPod."""
    return {key: value for key, value in shadow.metadata.annotations.items() if key not in OWN_ANNOTATIONS}


def applied_mark(shadow: ShadowPod) -> dict[str, str]:
    """The annotation that says that the Pod is as the ShadowPod wants it now; none for a stock consumer's."""
    revision = shadow.metadata.annotations.get(REVISION)
    return {} if revision is None else {APPLIED: revision}


def owner_uid(pod: Object) -> str:
    """The uid of the ShadowPod that controls the pod, "" where none does."""
    for owner in pod.metadata.owner_references:
        if owner.controller and owner.kind == "ShadowPod" and owner.api_version.startswith(f"{GROUP}/"):
            return owner.uid
    return ""


def may_end(shadow: ShadowPod) -> bool:
    """Whether the pod may come to its own end, after which it must not run again: a job's pod, say."""
    ending = _ending(shadow)
    return ending.restart_policy != "Always" or ending.active_deadline_seconds is not None


def has_finished(pod: PodPhase, shadow: ShadowPod) -> bool:
    """Whether the pod came to its own end, so that it must never run again.

    The kubelet also gives a last phase to a pod that was deleted while it ran: that one was killed and is
    to come back, unless it is of a kind that ends (restartPolicy other than Always) and succeeded nevertheless
    or had failed before it was deleted.
    """
    status = pod.status
    if status.phase not in FINISHED:
        return False
    if not pod.deleting or status.reason == DEADLINE_EXCEEDED:
        return True
    if _ending(shadow).restart_policy == "Always":
        return False
    return status.phase == "Succeeded" or _ended_before_deletion(pod)


def may_release(pod: PodPhase, shadow: ShadowPod, *, recorded: bool) -> bool:
    """Whether our finalizer has done its work: the pod's own end is `recorded`, or none will come.

    None will come of a pod that was killed, and of one nobody waits for any more: grace 0 means that the
    kubelet has reported its last, that there never was one, or that somebody forced it.
    """
    if labels.FINALIZER_SHADOWED_POD not in pod.metadata.finalizers:
        return False
    if has_finished(pod, shadow):
        return recorded
    forced = pod.metadata.deletion_grace_period_seconds == 0
    return pod.deleting and (shadow.deleting or forced or pod.status.phase in FINISHED)


def forge_release(pod: Object) -> Manifest:
    """The strategic merge patch that takes our finalizer, and no other, off the very pod."""
    finalizers = {"$deleteFromPrimitiveList/finalizers": [labels.FINALIZER_SHADOWED_POD]}
    return {"metadata": {"uid": pod.metadata.uid, **finalizers}}


def _ending(shadow: ShadowPod) -> _Ending:
    return msgspec.json.decode(shadow.spec.pod, type=_Ending)


def _ended_before_deletion(pod: PodPhase) -> bool:
    """Whether the kubelet reported the end before it knew of the deletion, which counts the generation up.

    In doubt (a cluster that does not tell the observed generation) it did: what may have ended is not run again.
    """
    observed = pod.status.observed_generation
    return observed == 0 or observed < pod.metadata.generation


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
        ("annotations", pod_annotations(shadow), pod.metadata.annotations),
    ):
        change: dict[str, str | None] = {k: v for k, v in wished.items() if found.get(k) != v}
        gone = {key for of, key in obsolete if of == kind and key in found} - OWN_ANNOTATIONS
        change |= {key: None for key in gone if key not in wished}
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

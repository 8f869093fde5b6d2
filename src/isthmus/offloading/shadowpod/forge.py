"""What a ShadowPod's Pod is like, and what its state means for the ShadowPod: pure functions (wire.md 8)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, field

from isthmus.api import labels
from isthmus.api.offloading import GROUP, VERSION, ShadowPod
from isthmus.kube.builtin import PODS
from isthmus.kube.objects import Base, Manifest, Object
from isthmus.offloading.inplace import APPLIED, OWN_ANNOTATIONS, REFLECTED, REVISION, resized_spec
from isthmus.offloading.placement import PodSpec, kept_off_virtual_nodes, may_be_virtual

FINISHED = frozenset({"Succeeded", "Failed"})
"""The phases nothing follows on."""


DEADLINE_EXCEEDED = "DeadlineExceeded"
"""The reason of a Pod that the kubelet ended because its activeDeadlineSeconds were over."""


class PodPhaseStatus(Base, frozen=True, kw_only=True):
    """The part of a Pod's status a ShadowPod mirrors, what tells why the Pod ended and before what, its address."""

    phase: str = ""
    reason: str = ""
    observed_generation: int = 0
    pod_ip: str = field(default="", name="podIP")


class PodPhase(Object, frozen=True, kw_only=True):
    """A Pod, of which only metadata and the facts of its end are kept."""

    status: PodPhaseStatus = field(default_factory=PodPhaseStatus)


SHADOWED_PODS = PODS.view(PodPhase)

_EVERY_PODS = frozenset({labels.ORIGIN, labels.DESTINATION, labels.NODE_NAME, labels.CREATOR_USER})
"""The labels that no offloaded Pod ever loses."""


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
            "annotations": {
                **pod_annotations(shadow),
                **applied_mark(shadow),
                REFLECTED: forge_record(shadow),
            },
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


def may_stray(spec: Raw | dict[str, Any], taint_effect: str = labels.TAINT_EFFECT) -> bool:
    """Whether a consumer's pod may come to the virtual nodes of this cluster, which are others' machines: one that
    tolerates everything may, and would wait on one for ever, for its namespace is not offloaded there."""
    return may_be_virtual(_placed(spec), taint_effect)


def kept_here(spec: Raw | dict[str, Any]) -> dict[str, Any]:
    """The PodSpec with an affinity that keeps it off virtual nodes."""
    whole: dict[str, Any] = spec if isinstance(spec, dict) else msgspec.json.decode(spec)
    return {**whole, "affinity": kept_off_virtual_nodes(whole.get("affinity"))}


def _placed(spec: Raw | dict[str, Any]) -> PodSpec:
    """What of a spec says where it may run; one that cannot be read is the API server's to refuse."""
    try:
        if isinstance(spec, dict):
            return msgspec.convert(spec, type=PodSpec)
        return msgspec.json.decode(spec, type=PodSpec)
    except msgspec.ValidationError:
        return PodSpec()


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
    """The strategic merge patch that takes our finalizer, and no other, off the very pod.

    It is refused where the pod has changed since it was seen: what was forced away may have ended meanwhile.
    """
    seen = {"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version}
    return {"metadata": {**seen, "$deleteFromPrimitiveList/finalizers": [labels.FINALIZER_SHADOWED_POD]}}


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


def forge_record(shadow: ShadowPod) -> str:
    """Which keys of the Pod came from its ShadowPod: labels, a semicolon, annotations, each with commas between.

    Managed fields would tell as well, but these Pods have none (admission/managedfields.py). Those that every
    offloaded Pod has are left out.
    """
    own = sorted(shadow.metadata.labels.keys() - _EVERY_PODS)
    return ",".join(own) + ";" + ",".join(sorted(pod_annotations(shadow)))


def read_record(pod: Object) -> dict[str, set[str]]:
    """The keys that `forge_record` noted on a Pod, of labels and of annotations; none where there is no note."""
    own, _, annotations = pod.metadata.annotations.get(REFLECTED, "").partition(";")
    return {
        "labels": {key for key in own.split(",") if key},
        "annotations": set(annotations.split(",")) - {""},
    }


def plan_metadata(shadow: ShadowPod, pod: Object) -> Manifest | None:
    """The merge patch that brings labels and annotations of the Pod to the ShadowPod's, None for none.

    What once came from the ShadowPod and is not wished any more goes; what the provider's own components added stays.
    """
    record, before = forge_record(shadow), read_record(pod)
    changes: dict[str, dict[str, str | None]] = {}
    for kind, wished, found in (
        ("labels", pod_labels(shadow), pod.metadata.labels),
        ("annotations", {**pod_annotations(shadow), REFLECTED: record}, pod.metadata.annotations),
    ):
        change: dict[str, str | None] = {k: v for k, v in wished.items() if found.get(k) != v}
        change |= {key: None for key in before[kind] - wished.keys() - OWN_ANNOTATIONS if key in found}
        if change:
            changes[kind] = change
    return {"metadata": {"uid": pod.metadata.uid, **changes}} if changes else None

"""Where a pod may run, in the words of a PodSpec: virtual nodes or not. Pure, for admission and the provider's pods."""

from __future__ import annotations

from typing import Any

from msgspec import field

from isthmus.api import labels
from isthmus.kube.objects import Base
from isthmus.offloading.namespaces.selector import Term, cross_product, terms_of

VIRTUAL: Term = {"key": labels.NODE_TYPE, "operator": "In", "values": [labels.NODE_TYPE_VIRTUAL]}
NOT_VIRTUAL: Term = {"key": labels.NODE_TYPE, "operator": "NotIn", "values": [labels.NODE_TYPE_VIRTUAL]}
ADVICE = "PreferNoSchedule"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class PodSpec(Base, frozen=True, kw_only=True):
    """What of a PodSpec decides where the pod may run."""

    runtime_class_name: str | None = None
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    affinity: dict[str, Any] | None = None


def needed_tolerations(effect: str = labels.TAINT_EFFECT) -> list[dict[str, Any]]:
    """What a pod has to tolerate to come to virtual nodes whose taint has that effect: nothing where it only advises.

    Stock's toleration for stock's effect. For NoSchedule it names no effect, so that the pods that have it stay when
    the effect becomes NoExecute.
    """
    if effect == ADVICE:
        return []
    tolerated = {"key": labels.VIRTUAL_NODE_TAINT, "operator": "Exists"}
    return [{**tolerated, "effect": effect} if effect == labels.TAINT_EFFECT else tolerated]


def may_be_virtual(pod: PodSpec, effect: str = labels.TAINT_EFFECT) -> bool:
    """Whether a pod may come to a virtual node whose taint has that effect; one that only advises keeps none away."""
    return effect == ADVICE or any(_tolerates(each, effect) for each in pod.tolerations)


def _tolerates(toleration: dict[str, Any], effect: str) -> bool:
    if toleration.get("effect") not in (None, "", effect):
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    return toleration["key"] == labels.VIRTUAL_NODE_TAINT and (
        exists or toleration.get("value") == labels.TRUE
    )


def merge_terms(present: dict[str, Any] | None, terms: list[Term]) -> dict[str, Any]:
    """A pod's affinity that also requires one of the terms of its node."""
    affinity = dict(present or {})
    node_affinity = dict(affinity.get("nodeAffinity") or {})
    required = dict(node_affinity.get(REQUIRED) or {})
    required["nodeSelectorTerms"] = cross_product(terms_of(required), terms)
    node_affinity[REQUIRED] = required
    affinity["nodeAffinity"] = node_affinity
    return affinity


def kept_off_virtual_nodes(affinity: dict[str, Any] | None) -> dict[str, Any]:
    """A pod's affinity that also forbids virtual nodes."""
    return merge_terms(affinity, [{"matchExpressions": [NOT_VIRTUAL]}])

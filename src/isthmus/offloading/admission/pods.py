"""/mutate/pods: send a new pod where its namespace's NamespaceOffloading says (behaviour.md 7)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from isthmus.api import labels, names
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, NamespaceOffloading
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Base, Key
from isthmus.offloading.admission.review import AdmissionRequest, Operations, Verdict, deny
from isthmus.offloading.namespaces.selector import Term, cross_product, terms_of

TOLERATION = {"key": labels.VIRTUAL_NODE_TAINT, "operator": "Exists", "effect": "NoExecute"}
VIRTUAL: Term = {"key": labels.NODE_TYPE, "operator": "In", "values": [labels.NODE_TYPE_VIRTUAL]}
NOT_VIRTUAL: Term = {"key": labels.NODE_TYPE, "operator": "NotIn", "values": [labels.NODE_TYPE_VIRTUAL]}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class PodSpec(Base, frozen=True, kw_only=True):
    """What of a PodSpec decides where the pod may run."""

    runtime_class_name: str | None = None
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    affinity: dict[str, Any] | None = None


class Pod(Base, frozen=True, kw_only=True):
    """A pod as it is asked for."""

    spec: PodSpec = field(default_factory=PodSpec)


class PodMutator:
    """Answers for pods; on a cache miss the API server is asked, for `offload` may have just returned."""

    def __init__(self, manager: Manager, runtime_class: str) -> None:
        self.client = manager.client
        self.runtime_class = runtime_class
        self.offloadings = manager.informers.get(NAMESPACE_OFFLOADINGS)

    async def mutate(self, request: AdmissionRequest) -> Verdict:
        """The verdict on one new pod."""
        key = Key(request.namespace, names.NAMESPACE_OFFLOADING)
        offloading = self.offloadings.get(key) or await self.client.find(
            NAMESPACE_OFFLOADINGS, key.name, key.namespace
        )
        if offloading is None:
            return deny(
                f"namespace {request.namespace} is labelled {labels.SCHEDULING_ENABLED}=true but has no "
                f"NamespaceOffloading named {names.NAMESPACE_OFFLOADING}: offload the namespace again, "
                "or remove the label"
            )
        pod = msgspec.json.decode(request.object, type=Pod)
        return Verdict(patch=plan_placement(pod.spec, offloading, self.runtime_class))


def plan_placement(pod: PodSpec, offloading: NamespaceOffloading, runtime_class: str = "liqo") -> Operations:
    """The patch that lets the pod go, or makes it go, to the virtual nodes the namespace is extended to.

    A pod of the runtime class for virtual nodes is left as it is: the class brings node selector and toleration.
    """
    strategy = offloading.spec.pod_offloading_strategy
    if strategy == "Local" or offloading.deleting or pod.runtime_class_name == runtime_class:
        return []
    return _plan_toleration(pod) + _plan_affinity(
        pod, placement_terms(strategy, terms_of(offloading.spec.cluster_selector))
    )


def placement_terms(strategy: str, selector: list[Term]) -> list[Term]:
    """The required node affinity a strategy adds to every pod; an empty list where it adds none."""
    if strategy == "Remote":
        return cross_product(selector, [{"matchExpressions": [VIRTUAL]}])
    return [*selector, {"matchExpressions": [NOT_VIRTUAL]}] if selector else []


def _plan_toleration(pod: PodSpec) -> Operations:
    if TOLERATION in pod.tolerations:
        return []
    if not pod.tolerations:
        return [{"op": "add", "path": "/spec/tolerations", "value": [TOLERATION]}]
    return [{"op": "add", "path": "/spec/tolerations/-", "value": TOLERATION}]


def _plan_affinity(pod: PodSpec, terms: list[Term]) -> Operations:
    if not terms:
        return []
    return [{"op": "add", "path": "/spec/affinity", "value": merge_terms(pod.affinity, terms)}]


def merge_terms(present: dict[str, Any] | None, terms: list[Term]) -> dict[str, Any]:
    """A pod's affinity that also requires one of the terms of its node."""
    affinity = dict(present or {})
    node_affinity = dict(affinity.get("nodeAffinity") or {})
    required = dict(node_affinity.get(REQUIRED) or {})
    required["nodeSelectorTerms"] = cross_product(terms_of(required), terms)
    node_affinity[REQUIRED] = required
    affinity["nodeAffinity"] = node_affinity
    return affinity

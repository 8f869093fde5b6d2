"""/mutate/pods: send a new pod where its namespace's NamespaceOffloading says (behaviour.md 7)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from isthmus.api import labels, names
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, NamespaceOffloading
from isthmus.kube.admission import AdmissionRequest, Operations, Verdict, deny
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Base, Key
from isthmus.kube.options import Options
from isthmus.offloading.namespaces.selector import Term, cross_product, terms_of
from isthmus.offloading.placement import NOT_VIRTUAL, VIRTUAL, PodSpec, merge_terms, needed_tolerations


class Pod(Base, frozen=True, kw_only=True):
    """A pod as it is asked for."""

    spec: PodSpec = field(default_factory=PodSpec)


class PodMutator:
    """Answers for pods; on a cache miss the API server is asked, for `offload` may have just returned."""

    def __init__(self, manager: Manager, options: Options) -> None:
        self.client = manager.client
        self.options = options
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
        patch = plan_placement(pod.spec, offloading, self.options.runtime_class, self.options.taint_effect)
        return Verdict(patch=patch)


def plan_placement(
    pod: PodSpec,
    offloading: NamespaceOffloading,
    runtime_class: str = "liqo",
    taint_effect: str = labels.TAINT_EFFECT,
) -> Operations:
    """The patch that lets the pod go, or makes it go, to the virtual nodes the namespace is extended to.

    The runtime class for virtual nodes brings node selector and toleration; a pod of it is only kept off providers
    that the namespace is not extended to, where it would wait for ever. Stock leaves it as it is.
    """
    strategy = offloading.spec.pod_offloading_strategy
    if strategy == "Local" or offloading.deleting:
        return []
    selector = terms_of(offloading.spec.cluster_selector)
    if pod.runtime_class_name == runtime_class:
        return _plan_affinity(pod, placement_terms("Remote", selector)) if selector else []
    return _plan_tolerations(pod, needed_tolerations(taint_effect)) + _plan_affinity(
        pod, placement_terms(strategy, selector)
    )


def placement_terms(strategy: str, selector: list[Term]) -> list[Term]:
    """The required node affinity a strategy adds to every pod; an empty list where it adds none."""
    if strategy == "Remote":
        return cross_product(selector, [{"matchExpressions": [VIRTUAL]}])
    return [*selector, {"matchExpressions": [NOT_VIRTUAL]}] if selector else []


def _plan_tolerations(pod: PodSpec, needed: list[dict[str, Any]]) -> Operations:
    missing = [each for each in needed if each not in pod.tolerations]
    if missing and not pod.tolerations:
        return [{"op": "add", "path": "/spec/tolerations", "value": missing}]
    return [{"op": "add", "path": "/spec/tolerations/-", "value": each} for each in missing]


def _plan_affinity(pod: PodSpec, terms: list[Term]) -> Operations:
    if not terms:
        return []
    return [{"op": "add", "path": "/spec/affinity", "value": merge_terms(pod.affinity, terms)}]

"""/validate/namespaceoffloadings: faults told at once rather than by a status (behaviour.md 7). Pure."""

from __future__ import annotations

import msgspec

from isthmus.api import names
from isthmus.api.offloading import NamespaceOffloading, NamespaceOffloadingSpec
from isthmus.kube.admission import ALLOWED, AdmissionRequest, Verdict, deny
from isthmus.offloading.namespaces.mapping import DEFAULT_NAME, SELECTED_NAME, remote_name
from isthmus.offloading.namespaces.selector import selector_problems


def validate(request: AdmissionRequest, cluster_id: str) -> Verdict:
    """The verdict on a NamespaceOffloading created or updated; `cluster_id` is this cluster's."""
    offloading = msgspec.json.decode(request.object, type=NamespaceOffloading)
    if offloading.deleting:
        return ALLOWED
    problem = _problem(offloading, cluster_id)
    if problem:
        return deny(problem)
    if request.operation != "UPDATE":
        return ALLOWED
    old = msgspec.json.decode(request.old_object, type=NamespaceOffloading).spec
    return _validate_change(old, offloading.spec)


def _problem(offloading: NamespaceOffloading, cluster_id: str) -> str:
    spec = offloading.spec
    if offloading.metadata.name != names.NAMESPACE_OFFLOADING:
        return (
            f"metadata.name is {offloading.metadata.name!r}: "
            f"a NamespaceOffloading must be named {names.NAMESPACE_OFFLOADING!r}"
        )
    if spec.namespace_mapping_strategy == SELECTED_NAME and not spec.remote_namespace_name:
        return f"spec.remoteNamespaceName must be set with the mapping strategy {SELECTED_NAME}"
    name = remote_name(offloading, cluster_id)
    if not names.is_dns_label(name):
        mend = (
            f"use {SELECTED_NAME} with a spec.remoteNamespaceName of your own"
            if spec.namespace_mapping_strategy == DEFAULT_NAME
            else "use at most 63 lower-case letters, digits and dashes"
        )
        return f"the remote namespace name {name!r} is not a valid namespace name: {mend}"
    problems = selector_problems(spec.cluster_selector)
    return f"spec.clusterSelector.{problems[0]}" if problems else ""


def _validate_change(old: NamespaceOffloadingSpec, new: NamespaceOffloadingSpec) -> Verdict:
    if old.namespace_mapping_strategy != new.namespace_mapping_strategy:
        return deny("spec.namespaceMappingStrategy is immutable: unoffload the namespace and offload it anew")
    if old.remote_namespace_name != new.remote_namespace_name:
        return deny("spec.remoteNamespaceName is immutable: unoffload the namespace and offload it anew")
    before, after = old.pod_offloading_strategy, new.pod_offloading_strategy
    if before != after and after != "LocalAndRemote":
        return Verdict(
            warnings=[
                f"the pod offloading strategy was changed from {before} to {after}: "
                "pods that run already stay where they are"
            ]
        )
    return ALLOWED

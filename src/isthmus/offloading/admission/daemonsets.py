"""/mutate/daemonsets: keep daemons off virtual nodes, whose machines are another cluster's (docs/offloading.md).

The taint of virtual nodes keeps most DaemonSets away. One that tolerates everything (kube-proxy, a CNI, a log
collector) is bound to them by name, and its pods there wait for ever, so that its rollout never ends. It gets the
node affinity its author would have to write, when it is made or its template changes anyway: a DaemonSet that is
there already is not restarted for it. Not asked where the namespace is offloaded, where an affinity or selector
speaks of liqo.io/type, or where the DaemonSet has the label liqo.io/webhook-skip=true. Pure.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, field

from isthmus.api import labels
from isthmus.kube.admission import ALLOWED, AdmissionRequest, Verdict
from isthmus.kube.objects import EMPTY_OBJECT, Base
from isthmus.offloading.placement import REQUIRED, PodSpec, kept_off_virtual_nodes, may_be_virtual


class _DaemonSetSpec(Base, frozen=True, kw_only=True):
    template: Raw = EMPTY_OBJECT


class _DaemonSet(Base, frozen=True, kw_only=True):
    spec: _DaemonSetSpec = field(default_factory=_DaemonSetSpec)


class _TemplateSpec(PodSpec, frozen=True, kw_only=True):
    node_selector: dict[str, str] = field(default_factory=dict)


class _Template(Base, frozen=True, kw_only=True):
    spec: _TemplateSpec = field(default_factory=_TemplateSpec)


async def mutate_daemon_set(request: AdmissionRequest, taint_effect: str = labels.TAINT_EFFECT) -> Verdict:
    """The verdict on a DaemonSet created or updated, where the taint of virtual nodes has that effect."""
    daemon_set = msgspec.json.decode(request.object, type=_DaemonSet)
    if request.operation == "UPDATE":
        old = msgspec.json.decode(request.old_object, type=_DaemonSet)
        if bytes(old.spec.template) == bytes(daemon_set.spec.template):
            return ALLOWED
    pod = msgspec.json.decode(daemon_set.spec.template, type=_Template).spec
    if not may_be_virtual(pod, taint_effect) or _is_decided(pod):
        return ALLOWED
    affinity = kept_off_virtual_nodes(pod.affinity)
    return Verdict(patch=[{"op": "add", "path": "/spec/template/spec/affinity", "value": affinity}])


def _is_decided(pod: _TemplateSpec) -> bool:
    """Whether the template itself says how it stands to virtual nodes."""
    required = ((pod.affinity or {}).get("nodeAffinity") or {}).get(REQUIRED) or {}
    keys = {
        expression.get("key")
        for term in required.get("nodeSelectorTerms") or []
        for expression in term.get("matchExpressions") or []
    }
    return labels.NODE_TYPE in keys or labels.NODE_TYPE in pod.node_selector

"""Where on the provider an offloaded pod may run: OffloadingPatch, anti-affinity presets, runtime class.

The pod's own node selection spoke of this cluster's nodes and has done its work, so it is not copied. What the
provider's scheduler is told comes from the VirtualNode's OffloadingPatch and the pod's preset annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.api import labels
from isthmus.api.offloading import OffloadingPatch
from isthmus.offloading.pods.spread import without_merged_keys

_HOSTNAME = "kubernetes.io/hostname"
_CONTROLLER_LABELS = frozenset(
    {
        "controller-revision-hash",
        "pod-template-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
    }
)
_PRESETS = ("propagate", "soft", "hard")


class InvalidPodError(ValueError):
    """A pod cannot be offloaded as it is; the message names the field, the value and the mend."""


def forge_affinity(
    affinity: Mapping[str, Any] | None,
    pod_labels: Mapping[str, str],
    annotations: Mapping[str, str],
    patch: OffloadingPatch,
) -> dict[str, Any]:
    """The affinity on the provider, {} for none. Raises InvalidPodError on an unknown preset."""
    forged: dict[str, Any] = {}
    node_affinity = (patch.affinity or {}).get("nodeAffinity")
    if node_affinity:
        forged["nodeAffinity"] = node_affinity
    anti_affinity = _anti_affinity(affinity, pod_labels, annotations)
    if anti_affinity:
        forged["podAntiAffinity"] = anti_affinity
    return forged


def forge_tolerations(
    tolerations: list[dict[str, Any]] | None, patch: OffloadingPatch
) -> list[dict[str, Any]]:
    """The pod's tolerations without the one of virtual nodes, then the patch's."""
    kept = [t for t in tolerations or [] if t.get("key") != labels.VIRTUAL_NODE_TAINT]
    return kept + [t for t in patch.tolerations if t not in kept]


def forge_runtime_class(own: str | None, annotations: Mapping[str, str], patch: OffloadingPatch) -> str:
    """The runtime class on the provider, "" for its default: annotation, else the pod's, else the patch's."""
    return annotations.get(labels.REMOTE_RUNTIME_CLASS) or own or patch.runtime_class_name or ""


def _anti_affinity(
    affinity: Mapping[str, Any] | None, pod_labels: Mapping[str, str], annotations: Mapping[str, str]
) -> dict[str, Any] | None:
    preset = annotations.get(labels.ANTI_AFFINITY_PRESET)
    if not preset:
        return None
    if preset not in _PRESETS:
        raise InvalidPodError(
            f"annotation {labels.ANTI_AFFINITY_PRESET}={preset!r}: use one of {', '.join(_PRESETS)}"
        )
    if preset == "propagate":
        return _propagated((affinity or {}).get("podAntiAffinity"))
    selected = _selected_labels(pod_labels, annotations.get(labels.ANTI_AFFINITY_LABELS))
    if not selected:
        return None
    term = {"labelSelector": {"matchLabels": selected}, "topologyKey": _HOSTNAME}
    if preset == "hard":
        return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}


def _propagated(anti_affinity: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The pod's own anti-affinity as another API server takes it."""
    if not anti_affinity:
        return None
    forged = dict(anti_affinity)
    if required := forged.get("requiredDuringSchedulingIgnoredDuringExecution"):
        forged["requiredDuringSchedulingIgnoredDuringExecution"] = [
            without_merged_keys(one) for one in required
        ]
    if preferred := forged.get("preferredDuringSchedulingIgnoredDuringExecution"):
        forged["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {**one, "podAffinityTerm": without_merged_keys(one.get("podAffinityTerm") or {})}
            for one in preferred
        ]
    return forged


def _selected_labels(pod_labels: Mapping[str, str], wanted: str | None) -> dict[str, str]:
    if wanted is not None:
        keys = {key.strip() for key in wanted.split(",")}
        return {key: value for key, value in pod_labels.items() if key in keys}
    return {key: value for key, value in pod_labels.items() if key not in _CONTROLLER_LABELS}

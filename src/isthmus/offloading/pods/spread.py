"""How a pod's copies are spread over the provider's nodes, from the constraints that were held to at home already.

A topology of this cluster's nodes says little of the provider's: nodes that lack the label are no place at all under a
hard constraint, and the pod would wait for ever. So what was hard here is a preference there, except over host names,
which every node has. The API server at home has written the values of `matchLabelKeys` into the selector when the pod
was made (Kubernetes 1.34), and refuses to have both: in the copy the selector alone is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_HOSTNAME = "kubernetes.io/hostname"
_KEYS = ("matchLabelKeys", "mismatchLabelKeys")


def forge_spread(constraints: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The topology spread constraints on the provider."""
    return [_softened(without_merged_keys(constraint)) for constraint in constraints]


def without_merged_keys(term: Mapping[str, Any]) -> dict[str, Any]:
    """A spread constraint or pod affinity term without the label keys that its selector speaks of already."""
    selector = term.get("labelSelector") or {}
    selected = {one.get("key") for one in selector.get("matchExpressions") or []}
    selected |= set(selector.get("matchLabels") or {})
    forged = dict(term)
    for name in _KEYS:
        if name in forged:
            left = [key for key in forged[name] if key not in selected]
            forged.pop(name)
            forged |= {name: left} if left else {}
    return forged


def _softened(constraint: dict[str, Any]) -> dict[str, Any]:
    if constraint.get("topologyKey") == _HOSTNAME or constraint.get("whenUnsatisfiable") != "DoNotSchedule":
        return constraint
    # A minimum of domains can only be asked for where it is hard.
    kept = {key: value for key, value in constraint.items() if key != "minDomains"}
    return {**kept, "whenUnsatisfiable": "ScheduleAnyway"}

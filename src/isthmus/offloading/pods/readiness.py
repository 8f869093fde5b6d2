"""The condition Ready of a local pod that has readiness gates.

Gates are conditions that somebody here sets, such as a load balancer's controller, so they are weighed here, by the
rules of a kubelet: the remote pod has none, and says whether its containers are ready. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_NOT_READY = "ReadinessGatesNotReady"
_CONTAINERS_READY = "ContainersReady"

Condition = dict[str, Any]


def with_gates(
    conditions: Sequence[Condition], gates: Iterable[str], former: Mapping[str, Any]
) -> list[Condition]:
    """The conditions, with Ready as containers and gates together say; `former` is Ready as it is now, {} for none."""
    found = {str(condition.get("type")): condition for condition in conditions}
    if "Ready" not in found or found.get(_CONTAINERS_READY, {}).get("status") != "True":
        return list(conditions)
    gates = list(gates)
    waiting = [text for gate in gates if (text := _waited_for(gate, found))]
    stated = {"reason": _NOT_READY, "message": "; ".join(waiting)} if waiting else {}
    status = "False" if waiting else "True"
    since = former.get("lastTransitionTime") if former.get("status") == status else None
    since = since or max(
        (
            str(found[type_].get("lastTransitionTime") or "")
            for type_ in (_CONTAINERS_READY, *gates)
            if type_ in found
        ),
        default="",
    )
    kept: Condition = {
        key: found["Ready"][key] for key in ("lastProbeTime", "observedGeneration") if key in found["Ready"]
    }
    ready: Condition = {"type": "Ready", "status": status}
    ready |= kept
    ready |= stated
    if since:
        ready["lastTransitionTime"] = since
    return [ready if condition.get("type") == "Ready" else condition for condition in conditions]


def _waited_for(gate: str, found: Mapping[str, Condition]) -> str:
    """What a kubelet says of a gate that is not open; "" of one that is."""
    condition = found.get(gate)
    if condition is None:
        return f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    if condition.get("status") != "True":
        return f'the status of pod readiness gate "{gate}" is not "True", but {condition.get("status")}'
    return ""

"""The conditions of a VirtualNode: how far its Node and the task that serves it (`VirtualKubelet`) are."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from isthmus.api.offloading import VirtualNode

VIRTUAL_KUBELET = "VirtualKubelet"
NODE = "Node"


class State(Struct, frozen=True):
    """One condition: status None, Creating, Running, Draining or Deleting, and why."""

    status: str
    reason: str = ""
    message: str = ""


def plan_conditions(virtual_node: VirtualNode, kubelet: State, node: State, now: str) -> list[dict[str, Any]]:
    """The conditions to write; [] where they say so already."""
    before = {condition.type: condition for condition in virtual_node.status.conditions}
    planned = []
    changed = False
    for type_, state in ((VIRTUAL_KUBELET, kubelet), (NODE, node)):
        old = before.get(type_)
        since = now
        if old is not None and old.status == state.status:
            since = old.last_transition_time or now
        same = old is not None and (old.status, old.reason, old.message) == (
            state.status,
            state.reason,
            state.message,
        )
        changed = changed or not same
        planned.append(
            {
                "type": type_,
                "status": state.status,
                "reason": state.reason,
                "message": state.message,
                "lastTransitionTime": since,
            }
        )
    return planned if changed else []

"""A pod with readiness gates is ready when its containers abroad are and its gates at home are open."""

from __future__ import annotations

from typing import Any

from isthmus.offloading.pods.containers import Container, Containers, ReadinessGate
from isthmus.offloading.pods.status import Facts, map_status

GATE = "lb.example.com/registered"
GATED = Containers(containers=[Container(name="main")], readiness_gates=[ReadinessGate(condition_type=GATE)])


def condition(type_: str, status: str, at: str = "2026-11-23T15:00:00Z", **more: str) -> dict[str, Any]:
    return {"type": type_, "status": status, "lastTransitionTime": at, **more}


def ready(
    local: list[dict[str, Any]], *, remote_ready: str = "True", containers: str = "True"
) -> dict[str, Any]:
    """The condition Ready that a local pod gets."""
    remote = [condition("Ready", remote_ready, reason="R"), condition("ContainersReady", containers)]
    mapped = map_status({"conditions": remote}, {"conditions": local}, Facts("172.16.0.1", GATED))
    return next(one for one in mapped["conditions"] if one["type"] == "Ready")


def test_it_waits_for_the_gate_and_says_so() -> None:
    found = ready([])
    assert (found["status"], found["reason"]) == ("False", "ReadinessGatesNotReady")
    assert GATE in found["message"]
    closed = ready([condition(GATE, "False")])
    assert closed["message"] == f'the status of pod readiness gate "{GATE}" is not "True", but False'


def test_it_is_ready_from_when_the_last_of_both_was() -> None:
    opened = condition(GATE, "True", "2026-11-23T15:07:00Z")
    found = ready([opened])
    assert (found["status"], found["lastTransitionTime"]) == ("True", "2026-11-23T15:07:00Z")
    assert "reason" not in found
    again = ready([opened, condition("Ready", "True", "2026-11-23T15:09:00Z")])
    assert again["lastTransitionTime"] == "2026-11-23T15:09:00Z", "the time of a state that lasts stays"


def test_a_remote_pod_that_was_made_with_the_gate_is_ready_too() -> None:
    assert ready([condition(GATE, "True")], remote_ready="False")["status"] == "True"


def test_containers_that_are_not_ready_keep_the_reason_of_the_provider() -> None:
    found = ready([condition(GATE, "True")], remote_ready="False", containers="False")
    assert (found["status"], found["reason"]) == ("False", "R")

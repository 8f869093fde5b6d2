"""What the history of pods finds, from the events a watch would give."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.kills.history import PodLife, count_made, decode_events, find_faults, note


def event(
    uid: str,
    phase: str,
    *,
    kind: str = "MODIFIED",
    job: str = "",
    of: str = "",
    restarts: int = 0,
    run: str = "",
) -> dict[str, Any]:
    meta: dict[str, Any] = {"uid": uid, "name": f"pod-{uid}"}
    if job:
        meta["ownerReferences"] = [{"kind": "Job", "name": job}]
    if of:
        meta["annotations"] = {"isthmus.liqo.io/pod-uid": of}
    status: dict[str, Any] = {"phase": phase}
    if run:
        status["containerStatuses"] = [{"restartCount": restarts, "containerID": run}]
    return {"type": kind, "object": {"metadata": meta, "status": status}}


def lives(*events: dict[str, Any]) -> list[PodLife]:
    found: dict[str, PodLife] = {}
    for one in events:
        note(found, one)
    return list(found.values())


HOME = lives(event("a", "Pending", job="early"), event("a", "Running"), event("a", "Succeeded"))
ABROAD = (
    event("x", "Pending", of="a"),
    event("x", "Running", run="c1"),
    event("x", "Succeeded", run="c1"),
    event("x", "Succeeded", run="c1", kind="DELETED"),
)


def test_a_pod_that_ran_once_is_no_fault() -> None:
    assert find_faults(HOME, lives(*ABROAD), {"early": 1}) == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ([event("y", "Pending", of="a")], "pod-a of job early had 2 remote pods"),
        ([event("x", "Running", run="c1")], "pod-x went on after its end"),
        ([event("x", "Succeeded", run="c2")], "pod-x was started again"),
        ([event("x", "Succeeded", run="c1", restarts=1)], "pod-x was started again: 1 restarts"),
        (
            [event("y", "Pending", of="b"), event("z", "Pending", of="b")],
            "local pod b has 2 remote pods",
        ),
    ],
)
def test_what_must_not_happen_abroad_is_found(more: list[dict[str, Any]], fault: str) -> None:
    found = find_faults(HOME, lives(*ABROAD, *more), {"early": 1})
    assert any(one.startswith(fault) for one in found), found


def test_a_job_whose_pod_was_made_anew_is_found() -> None:
    home = [*HOME, *lives(event("b", "Pending", job="early"))]
    assert "job early had 2 pods, not 1" in find_faults(home, lives(*ABROAD), {"early": 1})
    assert find_faults([], [], {"early": 1}) == [], "its pods are still to come"
    assert count_made(home, "Job/early") == 2


def test_a_pod_made_again_after_the_first_is_gone_is_no_duplicate() -> None:
    there = lives(
        event("x", "Running", of="b"),
        event("x", "Failed", kind="DELETED"),
        event("y", "Running", of="b"),
    )
    assert find_faults([], there, {}) == []


def test_the_stream_of_kubectl_is_taken_apart() -> None:
    first, second = event("a", "Pending"), event("b", "Running")
    text = "\n".join(json.dumps(one, indent=4) for one in (first, second)) + "\n"
    assert list(decode_events(text.splitlines(keepends=True))) == [first, second]

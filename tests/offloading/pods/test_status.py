"""The local status mirrors the remote one: nothing lost, nothing the API server would refuse."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.kube.builtin import Pod
from isthmus.kube.objects import ObjectMeta
from isthmus.offloading.inplace import APPLIED, mutable_part, revision_of
from isthmus.offloading.pods.containers import Container, Containers, containers_of
from isthmus.offloading.pods.metadata import REMOTE_POD_UID, REMOTE_RECREATIONS
from isthmus.offloading.pods.mirror import count_recreations, forge_marks, observed_generation
from isthmus.offloading.pods.status import (
    Facts,
    failed_reflection_status,
    map_status,
    plan_status_patch,
    terminated_status,
    unready_status,
)
from isthmus.offloading.pods.twin import RemotePod

MAIN = Containers(containers=[Container(name="main")])
FACTS = Facts("172.16.0.1", MAIN)
CHANGED = msgspec.Raw(b'{"containers":[{"name":"main","image":"new"}]}')
NOW = "2026-11-23T16:00:00Z"


RESTART_ON_42 = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}


def parsed(spec: dict[str, Any]) -> Containers:
    return containers_of(msgspec.Raw(msgspec.json.encode(spec)))


def condition(type_: str, status: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": status, "lastTransitionTime": "2026-11-23T15:00:00Z", **more}


LOCAL: dict[str, Any] = {
    "phase": "Pending",
    "qosClass": "Burstable",
    "conditions": [condition("PodScheduled"), condition("DisruptionTarget")],
}
REMOTE: dict[str, Any] = {
    "phase": "Running",
    "qosClass": "Guaranteed",
    "observedGeneration": 3,
    "resize": "Proposed",
    "nominatedNodeName": "milan-worker-1",
    "hostIP": "10.0.0.9",
    "hostIPs": [{"ip": "10.0.0.9"}],
    "podIP": "10.244.1.5",
    "podIPs": [{"ip": "10.244.1.5"}, {"ip": "fd00::5"}],
    "startTime": "2026-11-23T15:30:00Z",
    "reason": "Something",
    "aFieldOfTomorrow": [1],
    "conditions": [
        condition("Ready", observedGeneration=3),
        {**condition("PodScheduled"), "lastTransitionTime": "2026-11-23T15:31:00Z"},
        condition("example.com/gate", "False"),
    ],
    "containerStatuses": [{"name": "main", "restartCount": 2, "state": {"running": {}}, "ready": True}],
}


def test_the_remote_state_is_taken_over_whole() -> None:
    mapped = map_status(REMOTE, LOCAL, FACTS)
    for field in ("phase", "podIP", "podIPs", "startTime", "reason", "aFieldOfTomorrow", "containerStatuses"):
        assert mapped[field] == REMOTE[field]


def test_what_is_of_this_cluster_stays() -> None:
    mapped = map_status(REMOTE, LOCAL, FACTS)
    assert mapped["hostIP"] == "172.16.0.1"
    assert mapped["hostIPs"] == [{"ip": "172.16.0.1"}]
    assert mapped["qosClass"] == "Burstable"
    for field in ("observedGeneration", "resize", "nominatedNodeName"):
        assert field not in mapped


def test_conditions_are_merged() -> None:
    conditions = map_status(REMOTE, LOCAL, FACTS)["conditions"]
    by_type = {c["type"]: c for c in conditions}
    assert len(by_type) == len(conditions)
    assert by_type["Ready"] == condition("Ready")
    assert by_type["PodScheduled"] == LOCAL["conditions"][0], "scheduled here, and there: nothing to say"
    assert by_type["DisruptionTarget"] == condition("DisruptionTarget")
    assert by_type["example.com/gate"]["status"] == "False"


def test_a_pod_the_provider_cannot_place_says_so() -> None:
    unschedulable = condition("PodScheduled", "False", reason="Unschedulable", message="Insufficient cpu")
    mapped = map_status({"phase": "Pending", "conditions": [unschedulable]}, LOCAL, FACTS)
    assert unschedulable in mapped["conditions"]


def test_before_the_remote_kubelet_acts_nothing_changes() -> None:
    fresh = {"phase": "Pending", "qosClass": "Burstable"}
    assert plan_status_patch(LOCAL, map_status(fresh, LOCAL, FACTS)) == {}


def test_the_generation_the_provider_has_come_to_is_told_by_status_and_conditions() -> None:
    scheduled = {**condition("PodScheduled"), "observedGeneration": 4}
    local = {**LOCAL, "observedGeneration": 4, "conditions": [scheduled]}
    mapped = map_status(REMOTE, local, msgspec.structs.replace(FACTS, observed_generation=5))
    told = {each["type"]: each.get("observedGeneration") for each in mapped["conditions"]}
    assert mapped["observedGeneration"] == told["Ready"] == 5
    behind = map_status(REMOTE, local, FACTS)
    assert behind["observedGeneration"] == 4
    assert [each.get("observedGeneration") for each in behind["conditions"]] == [None, 4, None]


def applying(generation: int, revision: str, observed: int, **metadata: Any) -> int | None:
    """What is told of a pod whose provider has applied a revision and seen a generation of its own, 7 being it."""
    pod = Pod(metadata=ObjectMeta(generation=generation, **metadata), spec=CHANGED)
    theirs = ObjectMeta(generation=7, annotations={APPLIED: revision})
    status = {"observedGeneration": observed}
    return observed_generation(pod, {"observedGeneration": 1}, RemotePod(metadata=theirs), status)


def test_a_generation_counts_as_observed_once_the_provider_has_applied_and_seen_it() -> None:
    revision = revision_of(mutable_part(CHANGED))
    assert applying(2, revision, 7) == 2
    assert applying(2, revision, 6) is None, "its kubelet has yet to see it"
    assert applying(2, "before", 7) is None, "it has yet to be applied"
    assert applying(1, "before", 7) == 1, "told before"
    assert applying(3, revision, 7, deletion_timestamp=NOW) is None
    assert applying(0, revision, 7) is None, "a cluster that does not count"


def test_recreations_count_as_restarts() -> None:
    facts = Facts("172.16.0.1", MAIN, recreations=3)
    (container,) = map_status(REMOTE, LOCAL, facts)["containerStatuses"]
    assert container["restartCount"] == 5
    assert REMOTE["containerStatuses"][0]["restartCount"] == 2


@pytest.mark.parametrize(
    ("policy", "own", "exit_code", "kept"),
    [
        ("Never", {}, 0, True),
        ("Never", {}, 1, True),
        ("OnFailure", {}, 0, True),
        ("OnFailure", {}, 1, False),
        ("Always", {}, 0, False),
        ("Never", {"restartPolicy": "OnFailure"}, 1, False),
        ("Always", {"restartPolicy": "Never"}, 1, True),
        ("Never", {"restartPolicyRules": [RESTART_ON_42]}, 42, False),
        ("Never", {"restartPolicyRules": [RESTART_ON_42]}, 1, True),
        ("Never", {"restartPolicyRules": [{**RESTART_ON_42, "action": "RestartAllContainers"}]}, 1, False),
        ("Never", {"restartPolicyRules": [{"exitCodes": {"operator": "NotIn", "values": [42]}}]}, 1, False),
    ],
)
def test_a_container_that_ended_for_good_does_not_run_again(
    policy: str, own: dict[str, Any], exit_code: int, kept: bool
) -> None:
    ended = {"name": "main", "restartCount": 0, "state": {"terminated": {"exitCode": exit_code}}}
    local = {**LOCAL, "containerStatuses": [ended]}
    spec = {"restartPolicy": policy, "containers": [{"name": "main", **own}]}
    mapped = map_status(REMOTE, local, Facts("172.16.0.1", parsed(spec)))
    assert (mapped["containerStatuses"] == [ended]) is kept


def test_a_sidecar_restarts_in_a_pod_that_never_does_and_a_debug_container_does_not() -> None:
    ended = {"restartCount": 1, "state": {"terminated": {"exitCode": 1}}}
    again = {"restartCount": 2, "state": {"running": {}}}
    names = {"initContainerStatuses": "proxy", "ephemeralContainerStatuses": "debug"}
    before, after = (
        {kind: [{"name": name, **state}] for kind, name in names.items()} for state in (ended, again)
    )
    spec = {
        "restartPolicy": "Never",
        "initContainers": [{"name": "proxy", "restartPolicy": "Always"}],
        "containers": [{"name": "main"}],
        "ephemeralContainers": [{"name": "debug"}],
    }
    mapped = map_status({"phase": "Running", **after}, {**LOCAL, **before}, Facts("172.16.0.1", parsed(spec)))
    assert mapped["initContainerStatuses"] == after["initContainerStatuses"]
    assert mapped["ephemeralContainerStatuses"] == before["ephemeralContainerStatuses"]


def test_containers_that_the_provider_added_are_not_told_of() -> None:
    injected = {"name": "mesh-proxy", "restartCount": 0, "state": {"running": {}}}
    remote = {
        **REMOTE,
        "containerStatuses": [*REMOTE["containerStatuses"], injected],
        "initContainerStatuses": [injected],
    }
    mapped = map_status(remote, LOCAL, FACTS)
    assert mapped["containerStatuses"] == REMOTE["containerStatuses"]
    assert "initContainerStatuses" not in mapped


def test_addresses_are_translated() -> None:
    mapped = map_status(REMOTE, LOCAL, FACTS, lambda ip: ip.replace("10.244.", "10.245."))
    assert mapped["podIP"] == mapped["podIPs"][0]["ip"] == "10.245.1.5"


def test_an_address_that_is_not_known_here_yet_is_not_shown() -> None:
    mapped = map_status(REMOTE, LOCAL, FACTS, lambda ip: "")
    assert "podIP" not in mapped
    assert "podIPs" not in mapped


@pytest.mark.parametrize(
    "claimed", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "::", "::1", "kubernetes", 5, None]
)
def test_an_address_no_pod_can_have_is_not_taken_over(claimed: object) -> None:
    mapped = map_status({**REMOTE, "podIP": claimed, "podIPs": [{"ip": claimed}]}, LOCAL, FACTS)
    assert "podIP" not in mapped
    assert "podIPs" not in mapped
    mapped = map_status({**REMOTE, "podIPs": [{"ip": claimed}, {"ip": "10.0.0.4"}]}, LOCAL, FACTS)
    assert mapped["podIP"] == "10.0.0.4"


def test_a_missing_remote_pod_is_not_ready_and_still_running() -> None:
    local = {"phase": "Running", "conditions": [condition("Ready"), condition("Initialized")]}
    status = unready_status(local, "RemotePodMissing", "gone", NOW)
    assert status["phase"] == "Running"
    assert [c["status"] for c in status["conditions"]] == ["False", "True"]
    assert unready_status(status, "RemotePodMissing", "gone", "later") == status, (
        "said once, it is not said again"
    )


def test_the_end_of_a_vanished_pod_is_told() -> None:
    status = terminated_status({"phase": "Running", "conditions": [condition("Ready")]}, "Succeeded", NOW)
    assert (status["phase"], status["reason"]) == ("Succeeded", "RemotePodTerminated")
    assert status["conditions"][0]["status"] == "False"


def test_a_refusal_goes_away_with_the_first_remote_status() -> None:
    refused = failed_reflection_status(LOCAL, "no quota")
    assert (refused["phase"], refused["reason"]) == ("Pending", "FailedReflection")
    patch = plan_status_patch(refused, map_status({"phase": "Pending"}, refused, FACTS))
    assert patch == {"reason": None, "message": None}


values = st.sampled_from([1, "a", None, [1], {"b": 2}])
statuses = st.dictionaries(st.sampled_from(["phase", "podIP", "conditions", "reason", "x"]), values)


@given(statuses, statuses)
def test_a_patch_leads_to_what_is_wanted(present: dict[str, Any], wanted: dict[str, Any]) -> None:
    present = {key: value for key, value in present.items() if value is not None}
    wanted = {
        key: value for key, value in wanted.items() if value is not None and not isinstance(value, dict)
    }
    before = copy.deepcopy((present, wanted))
    patch = plan_status_patch(present, wanted)
    after = {key: value for key, value in {**present, **patch}.items() if value is not None}
    assert after == wanted
    assert (present, wanted) == before


def test_recreations_are_counted_across_restarts_of_ours() -> None:
    new = ObjectMeta()
    assert count_recreations(new, "a") == 0
    assert forge_marks(new, "a", 0) == {
        "annotations": {REMOTE_POD_UID: "a"},
        "labels": {"liqo.io/shadowPod": "true"},
    }
    marked = ObjectMeta(annotations={REMOTE_POD_UID: "a"}, labels={"liqo.io/shadowPod": "true"})
    assert count_recreations(marked, "a") == 0
    assert forge_marks(marked, "a", 0) == {}
    assert count_recreations(marked, "b") == 1
    twice = ObjectMeta(annotations={REMOTE_POD_UID: "b", REMOTE_RECREATIONS: "1"})
    assert count_recreations(twice, "b") == 1
    assert count_recreations(twice, "c") == 2
    assert count_recreations(ObjectMeta(annotations={REMOTE_RECREATIONS: "many"}), "c") == 0

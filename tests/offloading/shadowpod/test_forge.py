"""The pod a ShadowPod stands for, and when it has come to its end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api import labels
from isthmus.api.offloading import ShadowPod
from isthmus.kube.objects import Object
from isthmus.offloading.inplace import REFLECTED
from isthmus.offloading.shadowpod.forge import (
    PodPhase,
    forge_pod,
    has_finished,
    kept_here,
    may_stray,
    owner_uid,
    phase_of,
    plan_metadata,
    read_record,
)


def shadow(restart_policy: str = "Always", **metadata: Any) -> ShadowPod:
    manifest = {
        "metadata": {"name": "web", "namespace": "demo-rome", "uid": "s1", **metadata},
        "spec": {"pod": {"restartPolicy": restart_policy, "containers": [{"name": "c", "future": {"x": 1}}]}},
    }
    return msgspec.json.decode(msgspec.json.encode(manifest), type=ShadowPod)


def pod(phase: str, *, deleting: bool = False, **metadata: Any) -> PodPhase:
    """A Pod; a deletion is known to the kubelet that reports the phase, unless `observedGeneration` says less."""
    status = {"phase": phase, "observedGeneration": metadata.pop("observedGeneration", 1 + deleting)}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    metadata = {"uid": "p1", "generation": 1 + deleting, **metadata}
    return msgspec.convert({"metadata": metadata, "status": status}, PodPhase)


def test_the_pod_is_the_shadow_pods_and_keeps_what_we_do_not_know() -> None:
    found = msgspec.json.decode(
        msgspec.json.encode(forge_pod(shadow(labels={"app": "web"}, annotations={"a": "b"})))
    )
    assert found["spec"]["containers"] == [{"name": "c", "future": {"x": 1}}]
    assert found["metadata"]["labels"] == {"app": "web", labels.MANAGED_BY: "shadowpod"}
    assert found["metadata"]["annotations"] == {"a": "b", REFLECTED: "app;a"}
    made = msgspec.convert(found, Object)
    assert (made.key.namespace, made.key.name) == ("demo-rome", "web")
    assert owner_uid(made) == "s1"


def test_only_a_controlling_shadow_pod_owns() -> None:
    owner = {"apiVersion": "offloading.liqo.io/v1beta1", "kind": "ShadowPod", "name": "web", "uid": "s1"}
    other = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r1", "controller": True}
    assert owner_uid(pod("Running", ownerReferences=[owner, other])) == ""
    assert owner_uid(pod("Running", ownerReferences=[{**owner, "controller": True}])) == "s1"


@pytest.mark.parametrize(
    ("phase", "deleting", "restart_policy", "finished"),
    [
        ("Running", False, "Always", False),
        ("Failed", False, "Always", True),
        ("Succeeded", False, "Never", True),
        # The kubelet writes these as it kills a pod that somebody deleted: it has to come back ...
        ("Failed", True, "Always", False),
        ("Succeeded", True, "Always", False),
        ("Failed", True, "Never", False),
        # ... but a job's pod that still did its work has done it.
        ("Succeeded", True, "OnFailure", True),
    ],
)
def test_the_end_of_a_pod(phase: str, deleting: bool, restart_policy: str, finished: bool) -> None:
    found = pod(phase, deleting=deleting)
    assert has_finished(found, shadow(restart_policy)) is finished
    killed = phase != "Running" and not finished
    assert phase_of(found, shadow(restart_policy)) == ("" if killed else phase)


@pytest.mark.parametrize(("observed", "finished"), [(1, True), (2, False), (0, True)])
def test_a_failure_counts_if_it_was_reported_before_the_deletion(observed: int, finished: bool) -> None:
    found = pod("Failed", deleting=True, observedGeneration=observed)
    assert has_finished(found, shadow("Never")) is finished
    assert has_finished(found, shadow("Always")) is False, "a server comes again"


def test_metadata_follows_the_shadow_pod_and_leaves_the_clusters_own() -> None:
    wish = shadow(labels={"app": "web", "v": "2"}, annotations={"note": "new"})
    found = pod(
        "Running",
        labels={"app": "web", "v": "1", "gone": "x", "cni": "y", labels.MANAGED_BY: "shadowpod"},
        annotations={
            "note": "old",
            "cni/ip": "10.0.0.1",
            "dropped": "z",
            REFLECTED: "app,gone,v;dropped,note",
        },
    )
    patch = plan_metadata(wish, found)
    assert patch == {
        "metadata": {
            "uid": "p1",
            "labels": {"v": "2", "gone": None},
            "annotations": {"note": "new", "dropped": None, REFLECTED: "app,v;note"},
        }
    }


def test_nothing_to_do_is_no_patch() -> None:
    found = pod(
        "Running",
        labels={"app": "web", labels.MANAGED_BY: "shadowpod"},
        annotations={"cni": "x", REFLECTED: "app;"},
    )
    assert plan_metadata(shadow(labels={"app": "web"}), found) is None


def test_a_consumer_cannot_have_the_clusters_own_labels_removed() -> None:
    wish = shadow(labels={"app": "web"}, annotations={REFLECTED: "cni;cni/ip"})
    found = pod("Running", labels={"app": "web", "cni": "y", labels.MANAGED_BY: "shadowpod"})
    patch = plan_metadata(wish, found)
    assert patch == {"metadata": {"uid": "p1", "annotations": {REFLECTED: "app;"}}}
    assert plan_metadata(wish, pod("Running", **forge_pod(wish)["metadata"])) is None


@given(
    st.dictionaries(st.sampled_from(["app", "v", labels.ORIGIN, labels.CREATOR_USER]), st.just("x")),
    st.dictionaries(st.sampled_from(["note", "a/b"]), st.just("x")),
)
def test_the_record_on_a_pod_says_what_came_from_its_shadow_pod(
    own: dict[str, str], annotations: dict[str, str]
) -> None:
    made = msgspec.convert(forge_pod(shadow(labels=own, annotations=annotations)), Object)
    record = read_record(made)
    assert record == {
        "labels": own.keys() - {labels.ORIGIN, labels.CREATOR_USER},
        "annotations": set(annotations),
    }


def spec(**fields: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"containers": [], **fields}))


NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "strays"),
    [
        ([], False),
        ([NOT_READY], False),
        ([{"operator": "Exists", "effect": "NoSchedule"}], False),
        ([NOT_READY, {"operator": "Exists"}], True),
        ([{"key": "virtual-node.liqo.io/not-allowed", "operator": "Exists"}], True),
        ([{"key": "virtual-node.liqo.io/not-allowed", "value": "true", "effect": "NoExecute"}], True),
        ([{"key": "virtual-node.liqo.io/not-allowed", "value": "other"}], False),
    ],
)
def test_a_consumers_pod_that_tolerates_our_virtual_nodes_is_found(
    tolerations: list[Any], strays: bool
) -> None:
    assert may_stray(spec(tolerations=tolerations)) is strays
    assert may_stray({"tolerations": tolerations}) is strays


def test_where_the_taint_only_advises_any_consumers_pod_may_come_to_our_virtual_nodes() -> None:
    assert may_stray(spec(), "PreferNoSchedule")
    assert may_stray(spec(tolerations=[{"operator": "Exists", "effect": "NoSchedule"}]), "NoSchedule")
    assert not may_stray(spec(tolerations=[NOT_READY]), "NoSchedule")


def test_what_cannot_be_read_is_left_to_the_api_server() -> None:
    assert not may_stray(spec(tolerations="all"))


def test_a_pod_kept_here_keeps_its_own_affinity() -> None:
    own = {"podAntiAffinity": {"x": 1}}
    kept = kept_here(spec(affinity=own, tolerations=[{"operator": "Exists"}], future=1))
    required = kept["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"] == [
        {"matchExpressions": [{"key": "liqo.io/type", "operator": "NotIn", "values": ["virtual-node"]}]}
    ]
    assert kept["affinity"]["podAntiAffinity"] == {"x": 1}
    assert kept["future"] == 1

"""The Node of a VirtualNode: labels, taints, status and conditions a scheduler and a user see."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isthmus.api.offloading import ResourceQuotaSpec, VirtualNode, VirtualNodeSpec
from isthmus.kube.objects import Object, ObjectMeta
from isthmus.offloading.pods.provider import ProviderHealth
from isthmus.offloading.virtualnode.node import (
    TAINTS,
    NodeFacts,
    forge_conditions,
    forge_labels,
    forge_status,
    is_ours,
    merge_conditions,
    plan_status,
    plan_taints,
    wanted_taints,
)

FACTS = NodeFacts("v1.36.3", "172.16.0.1", 10250)
HEALTHY = ProviderHealth(probed=True, reachable=True)
NOW = "2026-11-23T16:00:00Z"
OWN_TAINT = {"key": "virtual-node.liqo.io/not-allowed", "value": "true", "effect": "NoExecute"}


def virtual_node(**spec: Any) -> VirtualNode:
    quota = ResourceQuotaSpec(hard=spec.pop("hard", {"cpu": "4", "memory": "8Gi", "pods": "110"}))
    return VirtualNode(
        metadata=ObjectMeta(name="milan", namespace="liqo-tenant-milan", generation=1),
        spec=VirtualNodeSpec(cluster_id="milan", resource_quota=quota, **spec),
    )


def by_type(node: VirtualNode, health: ProviderHealth, networking: bool | None = None) -> dict[str, str]:
    return {c.type: c.status for c in forge_conditions(node, health, networking=networking)}


def test_labels_say_what_it_is() -> None:
    labels = forge_labels(virtual_node(labels={"region": "north", "liqo.io/type": "real"}))
    assert labels["liqo.io/type"] == "virtual-node", "a VirtualNode cannot pass for a real node"
    assert labels["type"] == "virtual-kubelet"
    assert labels["liqo.io/remote-cluster-id"] == "milan"
    assert labels["kubernetes.io/hostname"] == "milan"
    assert labels["kubernetes.io/arch"] == "amd64"
    assert labels["region"] == "north"
    assert labels["storage.liqo.io/available"] == "false"
    assert labels["node.kubernetes.io/exclude-from-external-load-balancers"] == "true"
    assert wanted_taints(virtual_node(), FACTS.taint_effect) == [OWN_TAINT]


def test_a_real_node_of_the_same_name_is_not_taken_for_ours() -> None:
    assert not is_ours(Object(metadata=ObjectMeta(name="milan")), virtual_node())
    other = Object(metadata=ObjectMeta(name="milan", labels={"liqo.io/remote-cluster-id": "paris"}))
    assert not is_ours(other, virtual_node())
    ours = Object(metadata=ObjectMeta(name="milan", labels={"liqo.io/remote-cluster-id": "milan"}))
    assert is_ours(ours, virtual_node())
    relabelled = Object(metadata=ObjectMeta(name="milan", annotations={TAINTS: ""}))
    assert is_ours(relabelled, virtual_node())


def test_the_providers_architecture_is_shown_where_it_is_known() -> None:
    node = virtual_node(labels={"kubernetes.io/arch": "arm64"}, storage_classes=[{"storageClassName": "x"}])
    status = forge_status(node, FACTS)
    assert status["nodeInfo"]["architecture"] == "arm64"
    assert forge_labels(node)["storage.liqo.io/available"] == "true"


def test_capacity_is_the_slice() -> None:
    status = forge_status(virtual_node(hard={"cpu": 4, "nvidia.com/gpu": "1"}), FACTS)
    assert status["capacity"] == status["allocatable"] == {"cpu": "4", "nvidia.com/gpu": "1"}
    assert status["addresses"] == [{"type": "InternalIP", "address": "172.16.0.1"}]
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    assert status["nodeInfo"]["kubeletVersion"] == "v1.36.3"


def test_ready_when_the_provider_answers() -> None:
    conditions = by_type(virtual_node(), HEALTHY)
    assert conditions == {
        "Ready": "True",
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
    }


@pytest.mark.parametrize(
    "hard", [{"cpu": "0", "memory": "8Gi"}, {"cpu": "4"}, {"cpu": "4", "memory": "0.0Gi"}]
)
def test_not_ready_without_resources(hard: dict[str, str]) -> None:
    conditions = by_type(virtual_node(hard=hard), HEALTHY)
    assert (conditions["Ready"], conditions["MemoryPressure"]) == ("False", "True")


def test_a_lost_provider_is_named_with_what_it_answered() -> None:
    health = ProviderHealth(probed=True, lost=True, detail="does not answer: connection refused")
    ready = forge_conditions(virtual_node(), health, networking=None)[0]
    assert (ready.status, ready.reason) == ("False", "ProviderUnreachable")
    assert "milan" in ready.message
    assert "connection refused" in ready.message


def test_the_network_counts_where_it_matters() -> None:
    assert by_type(virtual_node(), HEALTHY, networking=False)["NetworkUnavailable"] == "True"
    assert by_type(virtual_node(), HEALTHY, networking=False)["Ready"] == "False"
    assert by_type(virtual_node(), HEALTHY, networking=True)["NetworkUnavailable"] == "False"


def test_a_network_that_others_call_unavailable_is_put_right_where_it_is_not_looked_at() -> None:
    node = virtual_node()
    wanted = forge_status(node, FACTS)
    conditions = forge_conditions(node, HEALTHY, networking=None)
    merged, _ = merge_conditions([], conditions, NOW)
    reported = {"type": "NetworkUnavailable", "status": "True", "reason": "NoRouteCreated"}
    patch = plan_status(
        {**wanted, "conditions": [*merged, reported]}, wanted, conditions, "later", heartbeat=False
    )
    found = {one["type"]: one["status"] for one in patch["conditions"]}
    assert found["NetworkUnavailable"] == "False"
    fine = {**reported, "status": "False"}
    assert (
        plan_status({**wanted, "conditions": [*merged, fine]}, wanted, conditions, "later", heartbeat=False)
        == {}
    )


def test_status_is_patched_only_where_it_differs() -> None:
    node = virtual_node()
    wanted = forge_status(node, FACTS)
    conditions = forge_conditions(node, HEALTHY, networking=None)
    merged, _ = merge_conditions([], conditions, NOW)
    present = {**wanted, "conditions": merged}
    assert plan_status(present, wanted, conditions, "later", heartbeat=False) == {}
    beat = plan_status(present, wanted, conditions, "later", heartbeat=True)
    assert list(beat) == ["conditions"]
    assert {c["lastTransitionTime"] for c in beat["conditions"]} == {NOW}
    assert {c["lastHeartbeatTime"] for c in beat["conditions"]} == {"later"}


def test_a_resource_taken_back_vanishes_from_the_node() -> None:
    wanted = forge_status(virtual_node(hard={"cpu": "2", "memory": "1Gi"}), FACTS)
    present = {**wanted, "capacity": {**wanted["capacity"], "nvidia.com/gpu": "1"}}
    patch = plan_status(present, wanted, [], NOW, heartbeat=False)
    assert patch == {"capacity": {"nvidia.com/gpu": None}}


def test_conditions_of_others_stay() -> None:
    other = {"type": "KernelDeadlock", "status": "False"}
    conditions = forge_conditions(virtual_node(), HEALTHY, networking=None)
    merged, changed = merge_conditions([other], conditions, NOW)
    assert changed
    assert other in merged


def test_taints_of_others_stay_and_ours_are_repaired() -> None:
    theirs = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "timeAdded": NOW}
    stale = {"key": "old", "effect": "NoSchedule"}
    extra = {"key": "gpu", "value": "only", "effect": "NoSchedule"}
    node = Object(metadata=ObjectMeta(name="milan", annotations={TAINTS: "old:NoSchedule"}))
    planned = plan_taints([theirs, stale], node, virtual_node(taints=[extra]), FACTS)
    assert planned == [theirs, OWN_TAINT, extra]
    assert plan_taints(planned, node, virtual_node(taints=[extra]), FACTS) == planned


def test_the_taint_has_the_chosen_effect_also_where_it_had_another() -> None:
    chosen = msgspec.structs.replace(FACTS, taint_effect="PreferNoSchedule")
    softened = {**OWN_TAINT, "effect": "PreferNoSchedule"}
    theirs = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    assert wanted_taints(virtual_node(), chosen.taint_effect) == [softened]
    node = Object(metadata=ObjectMeta(name="milan", annotations={TAINTS: ""}))
    assert plan_taints([OWN_TAINT, theirs], node, virtual_node(), chosen) == [theirs, softened]
    assert plan_taints([softened], node, virtual_node(), FACTS) == [OWN_TAINT]

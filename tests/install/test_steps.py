"""The decisions of installation and removal that need no cluster."""

from __future__ import annotations

import pytest

from isthmus.install.errors import InstallError
from isthmus.install.readiness import (
    ContainerStatus,
    DeploymentSpec,
    DeploymentStatus,
    Pod,
    PodStatus,
    Rollout,
    pod_fault,
    rollout_gap,
    webhook_probes,
)
from isthmus.install.steps import changed_values, choose_cluster_id
from isthmus.install.usage import describe_usage
from isthmus.install.values import Values, tree
from isthmus.kube.objects import ObjectMeta


def test_the_cluster_id_given_is_taken() -> None:
    assert choose_cluster_id(Values().with_cluster_id("rome"), "").cluster_id == "rome"


def test_the_cluster_id_installed_is_kept() -> None:
    assert choose_cluster_id(Values(), "rome").cluster_id == "rome"
    assert choose_cluster_id(Values().with_cluster_id("rome"), "rome").cluster_id == "rome"


def test_the_cluster_id_cannot_change() -> None:
    with pytest.raises(InstallError, match='--cluster-id milan: this cluster is installed as "rome"'):
        choose_cluster_id(Values().with_cluster_id("milan"), "rome")


def test_a_cluster_without_id_gets_a_random_one() -> None:
    first, second = choose_cluster_id(Values(), ""), choose_cluster_id(Values(), "")
    assert first.cluster_id != second.cluster_id
    assert first.cluster_id.startswith("cluster-")


def test_an_upgrade_tells_which_values_change() -> None:
    before = tree(Values().with_cluster_id("rome"))
    before["apiServer"]["address"] = "https://1.2.3.4"
    before["common"]["globalLabels"]["team"] = "a"
    told = changed_values(before, tree(Values().with_cluster_id("rome")))
    assert told == [
        "value apiServer.address: https://1.2.3.4 becomes unset",
        "value common.globalLabels.team: a becomes unset",
    ]
    assert changed_values({}, tree(Values())) == []


def rollout(*, observed: int = 2, updated: int = 2, replicas: int = 2, ready: int = 0) -> Rollout:
    status = DeploymentStatus(
        observed_generation=observed, updated_replicas=updated, replicas=replicas, ready_replicas=ready
    )
    return Rollout(metadata=ObjectMeta(generation=2), spec=DeploymentSpec(replicas=2), status=status)


@pytest.mark.parametrize(
    ("found", "gap"),
    [
        (rollout(observed=1), "the rollout has not begun"),
        (rollout(updated=1), "1 of 2 pods are up to date"),
        (rollout(replicas=3), "pods of the earlier version are ending"),
        (rollout(), "no pod is ready"),
        (rollout(ready=1), ""),
    ],
)
def test_what_a_rollout_lacks(found: Rollout, gap: str) -> None:
    assert rollout_gap(found) == gap


def pod(status: PodStatus) -> Pod:
    return Pod(metadata=ObjectMeta(name="p"), status=status)


def test_why_a_pod_is_not_ready() -> None:
    assert pod_fault(PodStatus(conditions=[{"type": "Ready", "status": "True"}])) == ""
    unscheduled = PodStatus(
        conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}]
    )
    assert pod_fault(unscheduled) == "not scheduled: 0/2 nodes are available"
    pulling = ContainerStatus(state={"waiting": {"reason": "ErrImagePull", "message": "no such image"}})
    assert pod_fault(PodStatus(container_statuses=[pulling])) == "ErrImagePull: no such image"
    crashing = ContainerStatus(
        restart_count=2,
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        last_state={"terminated": {"exitCode": 2}},
    )
    assert pod_fault(PodStatus(container_statuses=[crashing])) == (
        "it ended 3 times, the last time with exit code 2"
    )
    spoken = ContainerStatus(state={"terminated": {"exitCode": 1, "message": "first\nport 9 is taken\n"}})
    assert pod_fault(PodStatus(container_statuses=[spoken])).endswith("exit code 1: port 9 is taken")
    running = ContainerStatus(state={"running": {}})
    assert "does not say that it is ready" in pod_fault(PodStatus(container_statuses=[running]))
    assert pod_fault(PodStatus(phase="Pending")) == "phase Pending, not ready"


def test_what_is_in_use_and_how_to_end_it() -> None:
    problems, mends = describe_usage(
        ["demo", "shop"],
        {
            "milan": ["Identity", "VirtualNode"],
            "oslo": ["Tenant", "Configuration"],
            "bonn": ["Tenant", "Identity"],
            "rome": ["GatewayClient"],
        },
    )
    assert problems == [
        "namespaces extended to other clusters: demo, shop",
        "clusters that this one uses: bonn (Tenant, Identity), milan (Identity, VirtualNode)",
        "consumers of this cluster: bonn (Tenant, Identity), oslo (Tenant, Configuration)",
        "joined networks: rome (GatewayClient)",
    ]
    assert mends == [
        "isthmus unoffload namespace demo shop",
        "isthmus unpeer --remote-kubeconfig FILE",
        "isthmus unpeer, run there with this cluster as the remote one",
        "isthmus network reset --remote-kubeconfig FILE",
        "for a cluster that is gone for good, isthmus force unpeer ID",
    ]
    assert describe_usage([], {}) == ([], [])


def test_webhooks_of_both_kinds_are_probed() -> None:
    paths = [path for path, _ in webhook_probes(Values(), "liqo")]
    assert paths == [
        "/apis/authentication.liqo.io/v1beta1/namespaces/liqo/tenants",
        "/apis/offloading.liqo.io/v1beta1/namespaces/liqo/virtualnodes",
        "/apis/offloading.liqo.io/v1beta1/namespaces/liqo/namespaceoffloadings",
    ]

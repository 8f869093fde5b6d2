"""A provider's say over its consumer: cordoned it gets nothing new, drained it has nothing, activated all is back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

AWAY = "liqo-tenant-rome"
Pair = tuple[Cluster, Cluster]


def provider(milan: Cluster, *arguments: str, check: bool = True) -> str:
    """A command of the provider's operator; returns what it said."""
    done = isthmus(*arguments, "--kubeconfig", str(milan.kubeconfig), check=check)
    return done.stdout + done.stderr


@pytest.fixture
def consumer(installed: Pair) -> Iterator[tuple[Cluster, Cluster, str]]:
    """Rome with a pod in milan, in a namespace of its own; the tenant Active afterwards."""
    rome, milan = installed
    both = ("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig))
    isthmus("peer", *both, "--networking-disabled")
    name = f"test-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    scale(rome, name, 1)
    eventually(lambda: len(ready_pods(rome, name)) == 1, within=90, what="the pod")
    yield rome, milan, name
    provider(milan, "activate", "tenant", "rome", "--skip-confirm")
    rome.kubectl("delete", "namespace", name, "--wait=false")
    isthmus("unpeer", *both, "--skip-confirm", timeout=180)


def scale(rome: Cluster, namespace: str, replicas: int) -> None:
    """So many pods in milan."""
    wanted = deployment("away", replicas=replicas, remote_only=True)
    wanted["metadata"]["namespace"] = namespace
    rome.apply(wanted)


def quota_is_cordoned(milan: Cluster) -> bool:
    """Whether the Quota of rome's only slice is."""
    (quota,) = milan.items("quotas", "-n", AWAY)
    return bool(quota["spec"].get("cordoned"))


def test_a_cordoned_consumer_keeps_its_pods_and_gets_no_more(consumer: tuple[Cluster, Cluster, str]) -> None:
    rome, milan, name = consumer
    twin = f"{name}-rome"
    provider(milan, "cordon", "tenant", "rome")
    assert quota_is_cordoned(milan)
    scale(rome, name, 2)
    eventually(lambda: len(rome.items("pods", "-n", name)) == 2, within=60, what="the second pod")
    assert len(ready_pods(rome, name)) == 1
    assert len(milan.items("shadowpods", "-n", twin)) == 1
    provider(milan, "uncordon", "tenant", "rome")
    assert not quota_is_cordoned(milan)
    eventually(lambda: len(ready_pods(rome, name)) == 2, within=120, what="the second pod Ready")


def test_a_cordoned_slice_is_marked_and_freed(consumer: tuple[Cluster, Cluster, str]) -> None:
    _, milan, _ = consumer
    provider(milan, "cordon", "resourceslice", "milan", "--remote-cluster-id", "rome")
    assert quota_is_cordoned(milan)
    provider(milan, "uncordon", "resourceslice", "milan", "--remote-cluster-id", "rome")
    assert not quota_is_cordoned(milan)
    said = provider(milan, "cordon", "resourceslice", "other", "--remote-cluster-id", "rome", check=False)
    assert 'no resource slice "other" of rome: its slices are milan' in said


def test_a_drained_consumer_has_nothing_until_it_is_let_in(consumer: tuple[Cluster, Cluster, str]) -> None:
    rome, milan, name = consumer
    provider(milan, "drain", "tenant", "rome", "--skip-confirm")
    assert milan.get("namespace", f"{name}-rome") is None
    assert milan.items("rslice", "-n", AWAY) == []
    said = provider(milan, "uncordon", "tenant", "rome", check=False)
    assert "is Drained" in said
    assert "isthmus activate tenant" in said
    provider(milan, "activate", "tenant", "rome")
    eventually(lambda: milan.get("namespace", f"{name}-rome"), within=60, what="the twin namespace")
    eventually(lambda: len(ready_pods(rome, name)) == 1, within=120, what="the pod Ready again")

"""A provider's say over its consumer: cordoned it gets nothing new, drained it has nothing, activated all is back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.peering import Pair
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"


def provider(milan: Cluster, *arguments: str, check: bool = True) -> str:
    """A command of the provider's operator; returns what it said."""
    done = isthmus(*arguments, "--kubeconfig", str(milan.kubeconfig), check=check)
    return done.stdout + done.stderr


@pytest.fixture
def consumer(peered: Pair, namespace: str) -> Iterator[tuple[Cluster, Cluster, str]]:
    """Rome with a pod in milan, in a namespace of its own; the tenant Active afterwards."""
    rome, milan = peered
    scale(rome, namespace, 1)
    eventually(lambda: len(ready_pods(rome, namespace)) == 1, within=90, what="the pod")
    yield rome, milan, namespace
    provider(milan, "activate", "tenant", "rome", "--skip-confirm")


def scale(rome: Cluster, namespace: str, replicas: int) -> None:
    """So many pods in milan."""
    wanted = deployment("away", replicas=replicas, remote_only=True)
    wanted["metadata"]["namespace"] = namespace
    rome.apply(wanted)


def cordoned_quotas(milan: Cluster) -> set[bool]:
    """Whether rome's Quotas are cordoned, each of them."""
    return {bool(quota["spec"].get("cordoned")) for quota in milan.items("quotas", "-n", AWAY)}


def ask_for_more(rome: Cluster) -> None:
    """One more slice of milan, without a virtual node."""
    first = rome.get("rslice", "milan", "-n", HOME)
    marks = {key: value for key, value in first["metadata"]["labels"].items() if key.startswith("liqo.io/")}
    more = {"apiVersion": first["apiVersion"], "kind": first["kind"], "spec": {"class": "default"}}
    rome.apply({**more, "metadata": {"name": "more", "namespace": HOME, "labels": marks}})


def ruling(rome: Cluster, name: str) -> str:
    """What milan says to a slice of rome: Accepted, Denied, or "" where it says nothing."""
    found = (rome.get("rslice", name, "-n", HOME) or {}).get("status", {}).get("conditions", [])
    return next((one["status"] for one in found if one["type"] == "Authentication"), "")


def test_a_cordoned_consumer_keeps_what_it_has_and_gets_no_more(
    consumer: tuple[Cluster, Cluster, str],
) -> None:
    rome, milan, name = consumer
    provider(milan, "cordon", "tenant", "rome")
    assert cordoned_quotas(milan) == {True}
    ask_for_more(rome)
    scale(rome, name, 2)

    def refused() -> bool:
        events = rome.items("events", "-n", name, "--field-selector=reason=FailedReflection")
        return any("user is cordoned" in event["message"] for event in events)

    eventually(refused, within=60, what="the refusal of the second pod")
    eventually(lambda: ruling(rome, "more") == "Denied", within=60, what="the second slice denied")
    assert len(ready_pods(rome, name)) == 1
    assert len(milan.items("shadowpods", "-n", f"{name}-rome")) == 1
    assert ruling(rome, "milan") == "Accepted"
    provider(milan, "uncordon", "tenant", "rome")
    eventually(lambda: len(ready_pods(rome, name)) == 2, within=120, what="the second pod Ready")
    eventually(lambda: ruling(rome, "more") == "Accepted", within=60, what="the second slice accepted")
    rome.kubectl("delete", "rslice", "more", "-n", HOME, "--timeout=60s", timeout=70)
    assert milan.get("rslice", "more", "-n", AWAY) is None

    provider(milan, "cordon", "resourceslice", "milan", "--remote-cluster-id", "rome")
    assert cordoned_quotas(milan) == {True}
    provider(milan, "uncordon", "resourceslice", "milan", "--remote-cluster-id", "rome")
    assert cordoned_quotas(milan) == {False}
    said = provider(milan, "cordon", "resourceslice", "other", "--remote-cluster-id", "rome", check=False)
    assert 'no resource slice "other" of rome: its slices are milan' in said


def test_a_drained_consumer_has_nothing_until_it_is_let_in(consumer: tuple[Cluster, Cluster, str]) -> None:
    rome, milan, name = consumer
    permissions = ("rolebinding", "liqo-binding-liqo-remote-controlplane", "-n", AWAY)
    provider(milan, "drain", "tenant", "rome", "--skip-confirm")
    assert milan.get("namespace", f"{name}-rome") is None
    assert milan.items("rslice", "-n", AWAY) == []
    assert milan.get(*permissions) is None
    said = provider(milan, "uncordon", "tenant", "rome", check=False)
    assert "is Drained" in said
    assert "isthmus activate tenant" in said
    provider(milan, "activate", "tenant", "rome")
    eventually(lambda: milan.get(*permissions), within=60, what="the permissions given")
    eventually(lambda: len(ready_pods(rome, name)) == 1, within=120, what="the pod Ready again")

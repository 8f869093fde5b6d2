"""A provider that is gone for good: while nothing of it answers the consumer gets rid of all of it.

Should it come back after all, a later `peer` or `unpeer` clears what it still holds.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator

import pytest

from isthmus import lab
from tests.cluster.endings import Endings
from tests.cluster.peering import Pair, between, left, separate
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods
from tests.processes import halted

GUARD = 120.0
FORCE_UNPEER, RETURN = 30.0, 60.0
"""Seconds that are promised, and held where a test is alone on the machine."""


def away(rome: Cluster, namespace: str) -> None:
    """Run three pods of rome in milan."""
    manifest = deployment("away", replicas=3, remote_only=True)
    manifest["metadata"]["namespace"] = namespace
    rome.apply(manifest)
    eventually(lambda: len(ready_pods(rome, namespace)) == 3, within=90, what="the pods")


def assert_nothing_is_left(rome: Cluster, namespace: str) -> None:
    """Nothing of milan is in rome, and what ran there does not keep its namespace."""
    assert left(rome) == []
    assert rome.get("namespace", "liqo-tenant-milan") is None
    assert rome.get("node", "milan") is None
    pods = rome.items("pods", "-n", namespace)
    assert all(pod["spec"].get("nodeName", "") != "milan" for pod in pods)
    rome.kubectl("delete", "namespace", namespace, "--wait=false")
    eventually(lambda: rome.get("namespace", namespace) is None, within=60, what="the end of the namespace")


@contextlib.contextmanager
def stopped(cluster: str) -> Iterator[None]:
    """Nothing listens where the API server was."""
    lab.stop_api_server(cluster)
    try:
        yield
    finally:
        lab.start_api_server(cluster)


def wait_until_namespaces_end(cluster: Cluster) -> None:
    """Return once namespaces end again.

    Kubernetes' controller manager returns to an API server that was away with a delay of its own, up to a minute:
    until then no namespace ends in that cluster, whoever deletes it.
    """
    name = f"probe-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    eventually(
        lambda: cluster.get("namespace", name) is None, within=120, what="the end of an empty namespace"
    )


def test_nothing_is_left_of_a_provider_that_hangs_and_unpeer_clears_it_when_it_is_back(
    peered: Pair, namespace: str
) -> None:
    rome, milan = peered
    away(rome, namespace)
    with halted(lab.pids("milan")["kube-apiserver"]):
        isthmus("force", "unpeer", "milan", "--kubeconfig", str(rome.kubeconfig), "--skip-confirm")
        assert_nothing_is_left(rome, namespace)
    assert milan.items("pods", "-n", f"{namespace}-rome"), "nobody has told the provider yet"
    isthmus("unpeer", *between(rome, milan), "--skip-confirm")
    eventually(
        lambda: milan.get("namespace", f"{namespace}-rome") is None and not left(milan),
        within=GUARD,
        what="the provider clean",
        instead=lambda: left(milan),
    )


@pytest.fixture
def plain(installed: Pair, endings: Endings) -> Iterator[str]:
    """A namespace of rome that is offloaded to milan, in a peering without networks; neither is left."""
    rome, milan = installed
    separate(rome, milan)
    isthmus("peer", *between(rome, milan), "--networking-disabled")
    name = f"test-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    yield name
    endings.delete(rome, name)
    endings.expect(milan, f"{name}-rome")
    separate(rome, milan)


@pytest.mark.figures
def test_a_provider_whose_api_server_is_gone_costs_half_a_minute_and_its_return_a_minute(
    installed: Pair, plain: str
) -> None:
    rome, milan = installed
    away(rome, plain)
    with stopped("milan"):
        started = time.monotonic()
        isthmus("force", "unpeer", "milan", "--kubeconfig", str(rome.kubeconfig), "--skip-confirm")
        assert time.monotonic() - started < FORCE_UNPEER
        assert_nothing_is_left(rome, plain)
    assert milan.items("pods", "-n", f"{plain}-rome"), "nobody has told the provider yet"
    wait_until_namespaces_end(milan)
    started = time.monotonic()
    isthmus("peer", *between(rome, milan), "--networking-disabled", timeout=RETURN)
    eventually(
        lambda: milan.get("namespace", f"{plain}-rome") is None,
        within=RETURN - (time.monotonic() - started),
        what="the end of what the provider held",
    )


def test_a_cluster_that_is_unknown_is_told_so(installed: Pair) -> None:
    rome, _ = installed
    done = isthmus(
        "force", "unpeer", "nowhere", "--kubeconfig", str(rome.kubeconfig), "--skip-confirm", check=False
    )
    assert done.returncode == 1
    assert 'has nothing to do with "nowhere"' in done.stderr

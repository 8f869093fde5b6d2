"""The lab as fixtures: two real clusters for the whole session, Isthmus installed, peered, a namespace offloaded.

A healthy lab that is up already is used and left up (development); otherwise one is made and taken down at the
end. Each fixture builds on the one before, so a test asks for just the state it starts from.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.support import Cluster, eventually, isthmus, lab_cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs the clusters; without root they cannot be made."""
    for item in items:
        if "tests/cluster" not in item.path.as_posix():
            continue
        item.add_marker(pytest.mark.cluster)
        # Fixtures may build Kubernetes; what they run has limits of its own.
        item.add_marker(pytest.mark.timeout(600, func_only=True))
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="real clusters need root"))


def _lab_is_up() -> bool:
    done = isthmus("lab", "status", "-o", "json", check=False)
    clusters = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return len(clusters) >= 2 and all(cluster["phase"] == "up" for cluster in clusters)


@pytest.fixture(scope="session")
def lab() -> Iterator[None]:
    """Two healthy clusters with the current source's image on every node."""
    found = _lab_is_up()
    if not found:
        isthmus("lab", "down", timeout=120)
        isthmus("lab", "up", timeout=2400)
    if not os.environ.get("ISTHMUS_TEST_KEEP_IMAGE"):
        isthmus("lab", "images", "build", timeout=900)
    yield
    if not found:
        isthmus("lab", "down", timeout=120)


@pytest.fixture(scope="session")
def rome(lab: None) -> Cluster:
    """The cluster that consumes."""
    return lab_cluster("rome")


@pytest.fixture(scope="session")
def milan(lab: None) -> Cluster:
    """The cluster that provides."""
    return lab_cluster("milan")


@pytest.fixture(scope="session")
def installed(rome: Cluster, milan: Cluster) -> tuple[Cluster, Cluster]:
    """Isthmus, as built from the checkout, installed in both."""
    for cluster in (rome, milan):
        isthmus(
            "install",
            "--kubeconfig",
            str(cluster.kubeconfig),
            "--cluster-id",
            cluster.name,
            "--api-server-url",
            cluster.server,
        )
        # The image's tag does not change between builds, so a controller of an earlier run must start anew.
        cluster.kubectl("rollout", "restart", "-n", "liqo", "deployment/liqo-controller-manager")
        cluster.kubectl(
            "rollout",
            "status",
            "-n",
            "liqo",
            "deployment/liqo-controller-manager",
            "--timeout=90s",
            timeout=100,
        )
    return rome, milan


@pytest.fixture
def peered(installed: tuple[Cluster, Cluster]) -> tuple[Cluster, Cluster]:
    """Rome may use milan; peering again is harmless, so each test starts from it whatever the last one did."""
    rome, milan = installed
    both = ("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig))
    isthmus("peer", *both, "--gw-server-service-type", "NodePort")  # The lab has no load balancers.
    return rome, milan


@pytest.fixture
def namespace(peered: tuple[Cluster, Cluster]) -> Iterator[str]:
    """A fresh namespace of rome, offloaded, gone afterwards on both sides."""
    rome, milan = peered
    name = f"test-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    yield name
    rome.kubectl("delete", "namespace", name, "--wait=false")
    eventually(
        lambda: rome.get("namespace", name) is None and milan.get("namespace", f"{name}-rome") is None,
        within=240,  # There may be a hundred pods in it.
        what=f"the end of namespace {name} and its twin",
    )

"""The lab as fixtures: two real clusters for each worker, Isthmus installed, peered, a namespace offloaded.

A healthy lab that is up already is used and left up (development); otherwise one is made and taken down at the
end. Each fixture builds on the one before, so a test asks for just the state it starts from. What a fixture finds as
it should be it leaves alone, so that modules that need the same state follow one another without a command.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from isthmus.lab import status
from isthmus.lab.errors import LabError
from isthmus.lab.plan import site_from_environment
from tests.cluster import peering
from tests.cluster.endings import Endings
from tests.cluster.peering import Pair
from tests.cluster.support import Cluster, eventually, isthmus, lab_cluster

PROCESSES = ("deployment/liqo-controller-manager", "daemonset/liqo-fabric")
GATEWAYS = ("pods", "-A", "-l", "networking.liqo.io/component=gateway")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here needs the clusters."""
    for item in items:
        if "tests/cluster" in item.path.as_posix():
            item.add_marker(pytest.mark.cluster)
            # Fixtures may build Kubernetes; what they run has limits of its own.
            item.add_marker(pytest.mark.timeout(240, func_only=True))


def _lab_is_up() -> bool:
    done = isthmus("lab", "status", "-o", "json", check=False)
    clusters = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return len(clusters) >= 2 and all(one["phase"] == "up" and len(one["nodes"]) >= 2 for one in clusters)


@pytest.fixture(scope="session")
def lab() -> Iterator[bool]:
    """Two healthy clusters with the current source's image on every node; whether they were up before."""
    found = _lab_is_up()
    if not found:
        isthmus("lab", "down", timeout=120)
        isthmus("lab", "up", timeout=2400)
    if not os.environ.get("ISTHMUS_TEST_KEEP_IMAGE"):
        isthmus("lab", "images", "build", timeout=900)
    yield found
    if not found:
        isthmus("lab", "down", timeout=120)


@pytest.fixture(scope="session")
def rome(lab: bool) -> Cluster:
    """The cluster that consumes."""
    return lab_cluster("rome")


@pytest.fixture(scope="session")
def milan(lab: bool) -> Cluster:
    """The cluster that provides."""
    return lab_cluster("milan")


@pytest.fixture(scope="session")
def endings() -> Endings:
    """Namespaces that end in the background: all are gone at the end of each module."""
    return Endings()


@pytest.fixture(scope="module", autouse=True)
def _settled(endings: Endings) -> Iterator[None]:
    """Nothing of a module is left behind it; a lab in which programs have died ends the run at once."""
    yield
    try:
        dead = [name for cluster in status.read(site_from_environment()) for name in cluster.dead]
    except LabError:
        return  # No test of this worker has needed the shared clusters so far.
    if dead:
        pytest.exit(f"programs of the lab have died, so no further test can tell anything: {', '.join(dead)}")
    endings.settle()


def _install(cluster: Cluster, stood_before: bool) -> None:
    name, kubeconfig = cluster.name, str(cluster.kubeconfig)
    isthmus("install", "--kubeconfig", kubeconfig, "--cluster-id", name, "--api-server-url", cluster.server)
    if not stood_before:
        return
    # The image's tag does not change between builds, so what an earlier run has started must start anew.
    cluster.kubectl("rollout", "restart", "-n", "liqo", *PROCESSES)
    cluster.kubectl("delete", *GATEWAYS, "--wait=false")
    for process in PROCESSES:
        cluster.kubectl("rollout", "status", "-n", "liqo", process, "--timeout=90s", timeout=100)
    eventually(
        lambda: all(_ready(pod) for pod in cluster.items(*GATEWAYS)),
        within=90,
        what="the gateways of this build",
    )


def _ready(pod: dict[str, object]) -> bool:
    status_ = pod.get("status")
    conditions = status_.get("conditions", []) if isinstance(status_, dict) else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.fixture(scope="session")
def installed(lab: bool, rome: Cluster, milan: Cluster) -> Pair:
    """Isthmus, as built from the checkout, installed in both: controllers, agents and gateways."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(_install, cluster, lab) for cluster in (rome, milan)]:
            done.result()
    return rome, milan


@pytest.fixture
def peered(installed: Pair, endings: Endings) -> Pair:
    """Rome may use milan and their networks are joined, whatever the last test did."""
    peering.establish(*installed)
    return installed


@pytest.fixture
def apart(installed: Pair, endings: Endings) -> Iterator[Pair]:
    """Neither cluster peers with the other and their networks are not joined, before; nothing reversed after."""
    rome, milan = installed
    endings.settle()
    peering.separate(rome, milan)
    yield rome, milan
    peering.end_reverse(rome, milan)


@pytest.fixture
def namespace(peered: Pair, endings: Endings) -> Iterator[str]:
    """A fresh namespace of rome, offloaded; its end and its twin's are looked at with the module's."""
    rome, milan = peered
    name = f"test-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    yield name
    endings.delete(rome, name)
    endings.expect(milan, f"{name}-rome")

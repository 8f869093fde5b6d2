"""What users delete by hand, on either side and while pods run abroad: it ends, and `peer` mends it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from isthmus import lab
from tests.cluster.endings import Endings
from tests.cluster.peering import Pair, between, separate
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods
from tests.processes import halted, mains

HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"
KINDS = "virtualnodes,rslice,identities,renews,namespacemaps"
Site = tuple[Cluster, Cluster, str]


@pytest.fixture(name="site", scope="module")
def site_fixture(installed: Pair, endings: Endings) -> Iterator[Site]:
    """Rome with two pods in milan, in a namespace of its own, without a network between the two."""
    rome, milan = installed
    separate(rome, milan)
    name = f"test-{uuid.uuid4().hex[:8]}"
    isthmus("peer", *between(rome, milan), "--networking-disabled")
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    wanted = deployment("away", replicas=2, remote_only=True)
    wanted["metadata"]["namespace"] = name
    rome.apply(wanted)
    yield rome, milan, name
    endings.delete(rome, name)
    endings.expect(milan, f"{name}-rome")
    separate(rome, milan)


@pytest.fixture(name="running")
def running_fixture(site: Site) -> Site:
    """The site with its pods running, whatever the last test deleted."""
    rome, milan, name = site
    peering = ("identity", "controlplane-milan", "-n", HOME), ("tenant", "rome", "-n", AWAY)
    stands = all(cluster.get(*one) for cluster, one in zip((rome, milan), peering, strict=True))
    if not stands or len(ready_pods(rome, name)) != 2:
        isthmus("peer", *between(rome, milan), "--networking-disabled")
        eventually(lambda: len(ready_pods(rome, name)) == 2, within=120, what="the pods")
    return site


def uids(cluster: Cluster, kind: str, namespace: str) -> set[str]:
    return {found["metadata"]["uid"] for found in cluster.items(kind, "-n", namespace)}


def condition(rome: Cluster, type_: str) -> dict[str, Any]:
    """A condition of the authentication module towards milan."""
    found = rome.get("foreigncluster", "milan")
    conditions = found["status"]["modules"]["authentication"].get("conditions", []) if found else []
    return next((one for one in conditions if one["type"] == type_), {})


def consumer_is_clean(rome: Cluster) -> bool:
    return (
        not rome.items(KINDS, "-A")
        and rome.get("node", "milan") is None
        and rome.get("foreigncluster", "milan") is None
    )


def assert_nothing_of_rome_in(milan: Cluster, name: str) -> None:
    """Wait for the end of all that rome had in milan but its Tenant."""
    eventually(
        lambda: (
            not milan.items("rslice,namespacemaps,renews,quotas", "-n", AWAY)
            and milan.get("namespace", f"{name}-rome") is None
        ),
        within=60,
        what="nothing of rome's in milan",
        instead=lambda: milan.about("rome"),
    )


def test_a_foreign_cluster_that_is_deleted_comes_back_and_costs_no_pod(running: Site) -> None:
    rome, milan, name = running
    before = uids(milan, "pods", f"{name}-rome")
    first = rome.get("foreigncluster", "milan")["metadata"]["uid"]
    rome.kubectl("delete", "foreigncluster", "milan", "--timeout=20s")

    def is_back() -> bool:
        found = rome.get("foreigncluster", "milan")
        return bool(found) and found["metadata"]["uid"] != first and found["status"]["role"] == "Provider"

    eventually(is_back, within=60, what="the ForeignCluster again")
    assert uids(milan, "pods", f"{name}-rome") == before
    assert len(ready_pods(rome, name)) == 2


def test_a_control_plane_identity_that_is_deleted_is_had_again_by_peering(running: Site) -> None:
    rome, milan, name = running
    before = uids(milan, "pods", f"{name}-rome")
    rome.kubectl("delete", "identity", "controlplane-milan", "-n", HOME, "--timeout=20s")
    isthmus("peer", *between(rome, milan), "--networking-disabled", timeout=60)
    secret = ("secret", "kubeconfig-controlplane-milan", "-n", HOME)
    eventually(
        lambda: (found := rome.get(*secret)) and "deletionTimestamp" not in found["metadata"],
        within=60,
        what="the kubeconfig again",
    )
    rome.kubectl("delete", *secret[:2], "-n", HOME, "--timeout=20s")
    eventually(lambda: rome.get(*secret), within=60, what="the kubeconfig again")
    assert uids(milan, "pods", f"{name}-rome") == before
    assert len(ready_pods(rome, name)) == 2


def test_a_tenant_that_is_deleted_takes_along_what_its_consumer_has_there(running: Site) -> None:
    rome, milan, name = running
    milan.kubectl("delete", "tenant", "rome", "-n", AWAY, "--timeout=20s")
    assert_nothing_of_rome_in(milan, name)
    eventually(lambda: not ready_pods(rome, name), within=60, what="pods that are not ready")
    eventually(
        lambda: condition(rome, "AuthIdentityControlPlaneStatus").get("reason") == "IdentityRefused",
        within=60,
        what="the refusal told",
    )


def test_a_provider_is_not_uninstalled_under_its_consumer(running: Site) -> None:
    _, milan, _ = running
    done = isthmus("uninstall", "--kubeconfig", str(milan.kubeconfig), "--skip-confirm", check=False)
    assert done.returncode == 1
    assert "consumers of this cluster: rome" in done.stderr
    assert "run there with this cluster as the remote one" in done.stderr
    assert milan.get("deployment", "liqo-controller-manager", "-n", "liqo")


def test_the_tenant_namespace_deleted_at_the_consumer(running: Site) -> None:
    rome, milan, name = running
    rome.kubectl("delete", "namespace", HOME, "--timeout=90s", timeout=100)
    eventually(lambda: consumer_is_clean(rome), within=60, what="nothing of milan in rome")
    assert all(pod["spec"].get("nodeName") != "milan" for pod in rome.items("pods", "-n", name))
    assert_nothing_of_rome_in(milan, name)


@pytest.mark.endurance
def test_the_tenant_namespace_deleted_at_the_consumer_its_secret_first(running: Site) -> None:
    # Kubernetes deletes the kinds of a namespace in random order; here the one comes first that tells the provider.
    rome, milan, name = running
    secret = ("secret", "kubeconfig-controlplane-milan", "-n", HOME)
    with halted(lab.pids("rome")["kube-controller-manager"]):
        rome.kubectl("delete", "namespace", HOME, "--wait=false")
        done = rome.kubectl("delete", *secret, "--timeout=5s", check=False)
        assert "timed out" in done.stderr, "nobody can tell milan any more"
    eventually(
        lambda: rome.get("namespace", HOME) is None, within=120, what="the end of the tenant namespace"
    )
    eventually(lambda: consumer_is_clean(rome), within=60, what="nothing of milan in rome")
    assert_nothing_of_rome_in(milan, name)


def test_the_tenant_namespace_deleted_at_the_provider(running: Site) -> None:
    rome, milan, name = running
    milan.kubectl("delete", "namespace", AWAY, "--timeout=90s", timeout=100)
    eventually(lambda: milan.get("namespace", f"{name}-rome") is None, within=60, what="the twin's end")
    eventually(lambda: milan.get("foreigncluster", "rome") is None, within=60, what="the summary's end")
    assert not milan.items("clusterrolebindings", "-l", "liqo.io/remote-cluster-id=rome")
    eventually(lambda: not ready_pods(rome, name), within=60, what="pods that are not ready")


@pytest.mark.endurance
def test_the_tenant_namespaces_deleted_at_both_the_provider_first(running: Site) -> None:
    rome, milan, name = running
    milan.kubectl("delete", "namespace", AWAY, "--wait=false")
    rome.kubectl("delete", "namespace", HOME, "--timeout=120s", timeout=130)
    eventually(lambda: consumer_is_clean(rome), within=60, what="nothing of milan in rome")
    eventually(
        lambda: milan.get("namespace", AWAY) is None and milan.get("namespace", f"{name}-rome") is None,
        within=60,
        what="nothing of rome in milan",
    )


@contextlib.contextmanager
def without_api_server(cluster: str) -> Iterator[None]:
    lab.stop_api_server(cluster)
    try:
        yield
    finally:
        lab.start_api_server(cluster)


@pytest.mark.endurance
def test_a_tenant_goes_though_its_consumer_does_not_answer(running: Site) -> None:
    _, milan, name = running
    with without_api_server("rome"):
        milan.kubectl("delete", "tenant", "rome", "-n", AWAY, "--timeout=20s")
        eventually(lambda: milan.get("namespace", f"{name}-rome") is None, within=60, what="the twin's end")
        assert not milan.items("rslice,namespacemaps,renews,quotas", "-n", AWAY)


@contextlib.contextmanager
def shut_out_unseen(milan: Cluster, twin: str) -> Iterator[None]:
    """Milan deletes the Tenant and the twin namespace ends while rome's controller sees nothing of it."""
    [controller] = mains("controller", "rome")
    with controller.stopped():
        with without_api_server("milan"):
            pass  # Whoever followed milan's objects has to ask anew, and the twin is not for rome to see any more.
        milan.kubectl("delete", "tenant", "rome", "-n", AWAY, "--timeout=20s")
        eventually(lambda: milan.get("namespace", twin) is None, within=120, what="the twin's end")
        yield


@pytest.mark.endurance
def test_a_virtual_node_goes_though_its_provider_shut_us_out_unseen(running: Site) -> None:
    rome, milan, name = running
    with shut_out_unseen(milan, f"{name}-rome"):
        pass
    rome.kubectl("delete", "virtualnode", "milan", "-n", HOME, "--timeout=100s", timeout=110)


@pytest.mark.endurance
@pytest.mark.timeout(1300)
def test_everything_of_a_silent_provider_can_be_deleted_in_bounded_time(running: Site) -> None:
    rome, milan, name = running
    with without_api_server("milan"):
        rome.kubectl("delete", "namespaceoffloading", "offloading", "-n", name, "--wait=false")
        for kind in ("rslice", "virtualnodes", "identities"):
            rome.kubectl("delete", kind, "--all", "-n", HOME, "--wait=false")
        gone = ("namespaceoffloading", "offloading", "-n", name)
        eventually(lambda: rome.get(*gone) is None, within=150, every=2, what="the NamespaceOffloading's end")
        eventually(lambda: consumer_is_clean(rome), within=1000, every=5, what="nothing of milan in rome")
        assert all(pod["spec"].get("nodeName") != "milan" for pod in rome.items("pods", "-n", name))
    assert milan.items("pods", "-n", f"{name}-rome"), "nobody has told the provider yet"
    isthmus("peer", *between(rome, milan), "--networking-disabled")
    eventually(
        lambda: milan.get("namespace", f"{name}-rome") is None,
        within=60,
        what="the twin's end",
        instead=lambda: (
            milan.get("namespace", f"{name}-rome"),
            milan.items("namespacemaps", "-n", AWAY),
            rome.items("namespacemaps", "-n", HOME),
        ),
    )
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))

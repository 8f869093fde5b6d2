"""Upgrading and removing on a real API server: modules off and on, what a failure says, what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.cluster.installation.commands import (
    OURS,
    install,
    refuse,
    refuse_in_time,
    remains,
    uninstall,
    versions,
)
from tests.cluster.installation.objects import namespace_offloading
from tests.cluster.support import Cluster, eventually

OnNode = Callable[..., str]
WEBHOOKS = (
    ("mutatingwebhookconfiguration", "liqo-mutating-webhook-configuration"),
    ("validatingwebhookconfiguration", "liqo-validating-webhook-configuration"),
)


def traces(on_node: OnNode) -> list[str]:
    """Whatever of ours is in the kernel of the node."""
    lines = on_node("sh", "-c", "ip -o link show; ip rule; nft list tables").splitlines()
    return [line for line in lines if "isthmus0" in line or "6091" in line or "table ip isthmus" in line]


def is_on_node(cluster: Cluster, on_node: OnNode) -> bool:
    return cluster.items("internalnodes") != [] and len(traces(on_node)) == 3


def test_the_cluster_id_is_kept_and_there_is_one_installation(installed_small: Cluster) -> None:
    before = versions(installed_small)
    assert "oslo" in refuse(installed_small, "install", "--cluster-id", "oslo")
    assert "--namespace liqo" in refuse(installed_small, "install", "--namespace", "elsewhere")
    assert installed_small.get("namespace", "elsewhere") is None
    assert versions(installed_small) == before


def test_uninstall_asks_first(installed_small: Cluster) -> None:
    before = versions(installed_small)
    assert "--skip-confirm" in refuse(installed_small, "uninstall")
    assert versions(installed_small) == before


def test_uninstall_refuses_while_in_use(installed_small: Cluster) -> None:
    before = versions(installed_small)
    installed_small.kubectl("create", "namespace", "used")
    installed_small.apply(namespace_offloading("offloading", "used"))
    try:
        error = refuse(installed_small, "uninstall", "--skip-confirm")
        assert "used" in error
        assert "isthmus unoffload namespace used" in error
        assert versions(installed_small) == before
    finally:
        installed_small.kubectl("delete", "namespaceoffloading", "offloading", "-n", "used")
        installed_small.kubectl("delete", "namespace", "used", "--wait=false")


def test_modules_can_be_switched_off_and_on(installed_small: Cluster, on_node: OnNode) -> None:
    cluster = installed_small

    def webhooks(which: tuple[str, str]) -> dict[str, tuple[str, str]]:
        found = (cluster.get(*which) or {"webhooks": []})["webhooks"]
        return {one["name"]: (one["failurePolicy"], one["clientConfig"]["caBundle"]) for one in found}

    ranges = {item["spec"]["cidr"] for item in cluster.items("networks.ipam.liqo.io", "-n", "liqo")}
    assert {"10.244.0.0/16", "10.96.0.0/16"} <= ranges  # found out: no flag says them
    eventually(lambda: is_on_node(cluster, on_node), within=60, what="the node's part of the network")
    mutating, validating = WEBHOOKS
    before = webhooks(validating) | webhooks(mutating)
    off = ("--set", "authentication.enabled=false", "--set", "webhook.failurePolicy=Ignore")
    assert "value authentication.enabled: true becomes false" in install(cluster, *off)
    after = webhooks(validating) | webhooks(mutating)
    assert "tenants.validate.liqo.io" in before.keys() - after.keys()
    assert after == {name: ("Ignore", before[name][1]) for name in after}, "the authority survives an upgrade"
    assert webhooks(mutating)

    install(cluster, "--set", "offloading.enabled=false", "--set", "networking.enabled=false")
    assert cluster.get("runtimeclass", "liqo") is None
    assert cluster.get(*mutating) is None
    # The node is left as it was found.
    assert traces(on_node) == []
    assert cluster.items("internalnodes") == []
    assert cluster.get("daemonset", "liqo-fabric", "-n", "liqo") is None

    install(cluster)
    assert cluster.get("runtimeclass", "liqo") is not None
    assert webhooks(validating) | webhooks(mutating) == before
    eventually(lambda: is_on_node(cluster, on_node), within=60, what="the node's part of the network again")


def test_a_controller_that_does_not_start_is_explained_and_mended(installed_small: Cluster) -> None:
    absent = ("install", "--image", "localhost/absent:1")
    parts = ("liqo-controller-manager-", "ImagePull", "localhost/absent:1")
    refuse_in_time(installed_small, *absent, parts=parts)
    install(installed_small, "--timeout", "120s")


def test_an_agent_that_cannot_start_is_explained_with_its_node(installed_small: Cluster) -> None:
    # Where the kubelet says how it is: no agent can have it.
    taken = "networking.fabric.config.healthProbeBindAddressPort=10248"
    refuse_in_time(installed_small, "install", "--set", taken, parts=("node rome-worker-1", "liqo-fabric-"))
    install(installed_small, "--timeout", "120s")


def test_uninstall_leaves_the_kinds_and_purge_leaves_nothing(
    installed_small: Cluster, on_node: OnNode
) -> None:
    eventually(lambda: is_on_node(installed_small, on_node), within=60, what="the node's part of the network")
    uninstall(installed_small)
    assert traces(on_node) == []
    assert installed_small.items("internalnodes") == []
    assert installed_small.get("daemonset", "liqo-fabric", "-n", "liqo") is None
    assert {name.split("/")[0] for name in remains(installed_small)} == {
        "customresourcedefinition.apiextensions.k8s.io"
    }
    assert "nothing to remove" in uninstall(installed_small)
    uninstall(installed_small, "--purge")
    assert remains(installed_small) == []
    assert "nothing to remove" in uninstall(installed_small, "--purge")


@pytest.fixture
def without_controller(installed_small: Cluster) -> Iterator[Cluster]:
    """Isthmus installed, with finalizers of ours that no controller will ever take off."""
    cluster = installed_small
    cluster.kubectl("scale", "-n", "liqo", "deployment/liqo-controller-manager", "--replicas=0")
    cluster.kubectl("delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", "-l", OURS)
    labels = {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": "oslo"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "liqo-tenant-oslo", "labels": labels}}
    )
    cluster.apply(
        {
            "apiVersion": "offloading.liqo.io/v1beta1",
            "kind": "NamespaceMap",
            "metadata": {
                "name": "oslo",
                "namespace": "liqo-tenant-oslo",
                "finalizers": ["namespacemap-controller.liqo.io/finalizer"],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "kubeconfig-oslo",
                "namespace": "liqo-tenant-oslo",
                "labels": {"liqo.io/identity-type": "ControlPlane"},
                "finalizers": ["crdreplicator.liqo.io/operator"],
            },
        },
        {
            "apiVersion": "core.liqo.io/v1beta1",
            "kind": "ForeignCluster",
            "metadata": {"name": "oslo", "finalizers": ["api-server-checker.liqo.io/finalizer"]},
            "spec": {"clusterID": "oslo"},
        },
    )
    yield cluster
    if cluster.get("namespace", "liqo-tenant-oslo"):
        uninstall(cluster, "--purge")


def test_purge_ends_without_a_controller(without_controller: Cluster) -> None:
    uninstall(without_controller, "--purge", "--timeout", "90s")
    assert remains(without_controller) == []

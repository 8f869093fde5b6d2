"""What liqoctl's flags of install do on a real API server: what each check finds, what a provider brings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.installation.commands import install, refuse
from tests.cluster.installation.objects import forwarded, options
from tests.cluster.support import Cluster, eventually, isthmus
from tests.completion import complete_in_bash

HOST = "10.214.0.1"
"""The machine itself, as the small lab sees it: no certificate of the cluster names it."""


def test_ranges_that_pods_and_services_are_not_in(installed_small: Cluster) -> None:
    before = options(installed_small)
    error = refuse(installed_small, "install", "--pod-cidr", "10.10.0.0/16")
    assert "pods have addresses outside 10.10.0.0/16 (--pod-cidr): liqo/liqo-controller-manager-" in error
    assert "--skip-validation" in error
    error = refuse(installed_small, "install", "--service-cidr", "10.97.0.0/16")
    assert (
        "Services have addresses outside 10.97.0.0/16 (--service-cidr): default/kubernetes (10.96.0.1)"
        in error
    )
    assert options(installed_small) == before
    said = install(installed_small, "--pod-cidr", "10.10.0.0/16", "--skip-validation")
    assert "ipam.podCIDRs: ['10.244.0.0/16'] becomes ['10.10.0.0/16']" in said
    install(installed_small, "--pod-cidr", "10.244.0.0/16")


@pytest.fixture
def old_node(installed_small: Cluster) -> Iterator[Cluster]:
    """The cluster with a second node, which runs nothing, whose kernel is from 2018."""
    cluster = installed_small
    kept_free = [
        {"key": "tests", "effect": "NoSchedule"}
    ]  # Of all but the agent, which tolerates everything.
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "old"}, "spec": {"taints": kept_free}}
    cluster.apply(node)
    # With room for a pod, as any node has: else its agent would not even be bound to it.
    room = {"cpu": "1", "memory": "1Gi", "pods": "10"}
    status = {"nodeInfo": {"kernelVersion": "4.19.0-27-amd64"}, "capacity": room, "allocatable": room}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    cluster.kubectl("patch", "node", "old", *patch)
    yield cluster
    cluster.kubectl("delete", "node", "old", "--ignore-not-found")
    # No kubelet says that its agent has ended, which Kubernetes believes only after a while.
    here = ("-n", "liqo", "--field-selector", "spec.nodeName=old")
    cluster.kubectl("delete", "pod", *here, "--force", "--grace-period=0")


def test_a_node_with_an_old_kernel_is_found_before_anything_is_written(old_node: Cluster) -> None:
    error = refuse(old_node, "install", "--cluster-labels", "a=b")
    assert "Linux 5.10 or later on every node: old (4.19.0-27-amd64)" in error
    assert "--disable-kernel-version-check" in error
    assert "cluster_labels" not in options(old_node)
    said = install(old_node, "--cluster-labels", "a=b", "--disable-kernel-version-check", "--timeout", "120s")
    assert "not waited for, since they are not ready themselves: nodes old" in said
    assert options(old_node)["cluster_labels"] == {"a": "b"}


def test_an_address_that_is_no_use_to_peers(installed_small: Cluster) -> None:
    cluster = installed_small
    before = options(cluster)
    error = refuse(cluster, "install", "--api-server-url", "https://127.0.0.1:6443")
    assert (
        'API server address (--api-server-url): "https://127.0.0.1:6443" leads every peer to itself' in error
    )
    with forwarded(HOST, cluster) as url:
        error = refuse(cluster, "install", "--api-server-url", url)
        assert f'"{url}": peers would refuse its certificate' in error
        assert "--disable-api-server-sanity-check" in error
        assert options(cluster) == before
        said = install(cluster, "--api-server-url", url, "--disable-api-server-sanity-check")
    assert "does not answer" not in said
    assert options(cluster)["api_server_address"] == url
    # Peers may reach what cannot be reached from here.
    silent = cluster.server.replace(":6443", ":6444")
    assert f'"{silent}" does not answer here' in install(cluster, "--api-server-url", silent)
    assert options(cluster)["api_server_address"] == silent
    install(cluster, "--api-server-url", cluster.server)


def test_a_provider_brings_its_label_and_what_the_cluster_says(installed_small: Cluster) -> None:
    printed = isthmus("install", "k3s", "--dry-run", "--kubeconfig", str(installed_small.kubeconfig)).stdout
    manifests = list(yaml.safe_load_all(printed))
    (record,) = (one for one in manifests if one["metadata"]["name"] == "liqo-installation")
    values = yaml.safe_load(record["data"]["values"])
    assert values["discovery"]["config"]["clusterLabels"] == {"liqo.io/provider": "k3s"}
    assert values["apiServer"]["address"] == installed_small.server
    assert (values["ipam"]["podCIDRs"], values["ipam"]["serviceCIDR"]) == (["10.244.0.0/16"], "10.96.0.0/16")


def test_values_are_written_to_a_file_and_taken_from_it(installed_small: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    flags = ("--cluster-labels", "region=eu", "--only-output-values", "--dump-values-path", str(file))
    assert str(file) in install(installed_small, *flags)
    assert "cluster_labels" not in options(installed_small)
    install(installed_small, "--values", str(file))
    assert options(installed_small)["cluster_labels"] == {"region": "eu"}


def complete(cluster: Cluster, *words: str) -> list[str]:
    return complete_in_bash(*words, KUBECONFIG=str(cluster.kubeconfig))


@pytest.fixture
def acquainted(installed_small: Cluster) -> Iterator[Cluster]:
    """The cluster with all that one side can do by itself towards a peer called oslo."""
    own = ("--kubeconfig", str(installed_small.kubeconfig))
    peer = ("--remote-cluster-id", "oslo")
    ranges = ("--remote-pod-cidr", "10.20.0.0/16", "--remote-external-cidr", "10.71.0.0/16")
    isthmus("create", "nonce", *own, *peer)
    isthmus("create", "configuration", *own, *peer, *ranges)
    eventually(
        lambda: installed_small.get("foreignclusters.core.liqo.io", "oslo"),
        within=60,
        what="the ForeignCluster",
    )
    yield installed_small
    isthmus("force", "unpeer", "oslo", "--skip-confirm", *own)


def test_names_in_the_cluster_are_completed(acquainted: Cluster) -> None:
    assert "kube-system" in complete(acquainted, "isthmus", "offload", "namespace", "kube-s")
    with_flag = ("isthmus", "unoffload", "namespace", "--kubeconfig", str(acquainted.kubeconfig), "def")
    assert complete(acquainted, *with_flag) == ["default"]
    for words in (
        ("info", "peer", ""),
        ("force", "unpeer", "o"),
        ("cordon", "tenant", ""),
        ("get", "nonce", "--remote-cluster-id", "os"),
    ):
        assert complete(acquainted, "isthmus", *words) == ["oslo"]

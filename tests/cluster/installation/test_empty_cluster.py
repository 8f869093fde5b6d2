"""A cluster with nothing of Isthmus in it: what `install` refuses without a trace, and what it makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.installation.commands import install, refuse, remains, versions
from tests.cluster.installation.objects import forwarded, kubeconfig_with, namespace_offloading, options
from tests.cluster.support import Cluster, custom_kind, isthmus

WRONG = (
    (("--set", "networking.enable=true"), ("networking.enable", "networking.enabled")),
    (("--namespace", "kube-system"), ("--namespace", "kube-system")),
    (("--context", "nowhere"), ("nowhere",)),
)
"""One of each place where it is noticed; the rest is in tests/install/test_values and tests/cli/test_install."""


def test_wrong_input_is_one_error_and_leaves_nothing(empty: Cluster) -> None:
    for arguments, parts in WRONG:
        error = refuse(empty, "install", *arguments)
        assert all(part in error for part in parts), error
    assert remains(empty) == []


def test_a_cluster_that_cannot_be_reached(small: Cluster, tmp_path: Path) -> None:
    file = kubeconfig_with(small, tmp_path / "config", server=small.server.replace(":6443", ":6444"))
    for command in (["install"], ["uninstall", "--skip-confirm"]):
        done = isthmus(*command, "--kubeconfig", str(file), check=False, timeout=60)
        assert done.returncode == 1
        assert "cannot be reached" in done.stderr
        assert ":6444" in done.stderr


@pytest.fixture
def weak_token(empty: Cluster) -> Iterator[str]:
    """The token of a user who may edit what is in namespaces, and nothing else."""
    empty.kubectl("create", "serviceaccount", "weak")
    empty.kubectl(
        "create", "clusterrolebinding", "weak-account", "--clusterrole=edit", "--serviceaccount=default:weak"
    )
    yield empty.kubectl("create", "token", "weak").stdout.strip()
    empty.kubectl("delete", "serviceaccount/weak", "clusterrolebinding/weak-account")


def test_a_user_who_may_not_install(empty: Cluster, weak_token: str, tmp_path: Path) -> None:
    file = kubeconfig_with(empty, tmp_path / "config", token=weak_token)
    for command in (["install"], ["uninstall", "--skip-confirm", "--purge"]):
        done = isthmus(*command, "--kubeconfig", str(file), check=False)
        assert done.returncode == 1, done.stderr
        assert "may not" in done.stderr or "not allowed" in done.stderr
    assert remains(empty) == []


def test_an_installation_of_somebody_else_is_left_alone(empty: Cluster) -> None:
    labels = {
        "app.kubernetes.io/name": "controller-manager",
        "app.kubernetes.io/component": "controller-manager",
        "app.kubernetes.io/managed-by": "Helm",
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    empty.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "liqo-controller-manager", "namespace": "default", "labels": labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
    )
    try:
        assert "installed by Helm" in refuse(empty, "install")
        assert remains(empty) == []
    finally:
        empty.kubectl("delete", "deployment", "liqo-controller-manager", "-n", "default")


def test_install_is_ready_when_it_says_so_and_repeating_it_changes_nothing(empty: Cluster) -> None:
    printed = isthmus(
        "install", "--cluster-id", "rome", "--dry-run", "--kubeconfig", str(empty.kubeconfig)
    ).stdout
    assert remains(empty) == []
    said = install(empty, "--cluster-id", "rome", "--timeout", "120s")
    assert 'this cluster is "rome"' in said
    # The very next command works: the API server reaches the webhooks.
    denied = empty.kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(namespace_offloading("no")), check=False
    )
    assert "admission webhook" in denied.stderr
    before = versions(empty)
    manifests = list(yaml.safe_load_all(printed))
    networks = {f"Network {one['metadata']['name']}" for one in empty.items("networks.ipam.liqo.io", "-A")}
    assert before.keys() | networks == {f"{one['kind']} {one['metadata']['name']}" for one in manifests}
    install(empty)
    assert versions(empty) == before
    settings = empty.get("configmap", "liqo-clusterid-configmap", "-n", "liqo")
    assert settings["data"] == {"CLUSTER_ID": "rome"}
    # What a dry run prints, an API server takes as it is.
    arguments = ("--server-side", "--field-manager=isthmus-install", "--dry-run=server", "-f", "-")
    applied = empty.kubectl("apply", *arguments, stdin=printed)
    assert len(applied.stdout.splitlines()) == len(manifests)


@pytest.mark.endurance
def test_where_peers_reach_a_managed_cluster(empty: Cluster, tmp_path: Path) -> None:
    """As in every managed cluster, no node of the lab is part of the control plane."""
    file = tmp_path / "config"
    with forwarded("127.0.0.1", empty) as url:
        kubeconfig_with(empty, file, server=url)
        said = isthmus("install", "--kubeconfig", str(file), "--timeout", "120s").stderr
    assert f"{url} leads there from here only; give it with --api-server-url" in said
    assert "api_server_address" not in options(empty)
    assert f"peers reach the API server at {empty.server}, as this kubeconfig does" in install(empty)
    assert options(empty)["api_server_address"] == empty.server
    # Whoever repeats it from another machine does not change what peers were told.
    with forwarded("127.0.0.1", empty) as url:
        isthmus("install", "--kubeconfig", str(kubeconfig_with(empty, file, server=url)))
    assert options(empty)["api_server_address"] == empty.server


def openshift_object(kind: str, plural: str, status: dict[str, Any]) -> list[dict[str, Any]]:
    """A kind of config.openshift.io with the object `cluster`."""
    definition = custom_kind("config.openshift.io", kind, plural, "Cluster")
    made = {
        "apiVersion": "config.openshift.io/v1",
        "kind": kind,
        "metadata": {"name": "cluster"},
        "status": status,
    }
    return [definition, made]


@pytest.fixture
def openshift(empty: Cluster) -> Iterator[Cluster]:
    """The cluster with the objects in which OpenShift describes itself."""
    ranges = {"clusterNetwork": [{"cidr": "10.244.0.0/15"}], "serviceNetwork": ["10.96.0.0/16"]}
    kinds = (
        openshift_object("Network", "networks", ranges),
        openshift_object("Infrastructure", "infrastructures", {"apiServerURL": empty.server}),
    )
    names = [definition["metadata"]["name"] for definition, _ in kinds]
    empty.define(*(definition for definition, _ in kinds))
    empty.apply(*(made for _, made in kinds))
    yield empty
    empty.kubectl("delete", "crd", *names, "--ignore-not-found")


@pytest.mark.endurance
def test_openshift_is_asked_for_its_own_objects(openshift: Cluster) -> None:
    tracking = "argocd.argoproj.io/tracking-id=isthmus:${group}/${kind}:${namespace}/${name}"
    marks = ("--global-labels", "team=net", "--global-annotations", tracking)
    said = install(openshift, "openshift", "--timeout", "120s", *marks)
    assert f"peers reach the API server at {openshift.server}, as OpenShift says" in said
    assert options(openshift)["cluster_labels"] == {"liqo.io/provider": "openshift"}
    ranges = {one["spec"]["cidr"] for one in openshift.items("networks.ipam.liqo.io", "-n", "liqo")}
    assert {"10.244.0.0/15", "10.96.0.0/16"} <= ranges
    for kind, name in (("deployment.apps", "liqo-controller-manager"), ("daemonset.apps", "liqo-fabric")):
        found = openshift.get(kind, name, "-n", "liqo")
        assert found["metadata"]["labels"]["team"] == "net"
        noted = found["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"]
        assert noted == f"isthmus:apps/{found['kind']}:liqo/{name}"

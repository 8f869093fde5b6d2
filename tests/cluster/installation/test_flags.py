"""What liqoctl's flags of install do on a real API server: what each check finds, what each provider brings."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.installation.commands import install, refuse, remains
from tests.cluster.support import Cluster, custom_kind, eventually, isthmus
from tests.completion import complete_in_bash

HOST = "10.214.0.1"
"""The machine itself, as the small lab sees it: no certificate of the cluster names it."""


def options(cluster: Cluster) -> dict[str, Any]:
    """What the controller is started with."""
    deployment = cluster.get("deployment", "liqo-controller-manager", "-n", "liqo")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = json.loads(
        next(one["value"] for one in container["env"] if one["name"] == "ISTHMUS_OPTIONS")
    )
    return found


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


def test_a_node_with_an_old_kernel_is_found_before_anything_is_written(old_node: Cluster) -> None:
    error = refuse(old_node, "install", "--cluster-labels", "a=b")
    assert "Linux 5.10 or later on every node: old (4.19.0-27-amd64)" in error
    assert "--disable-kernel-version-check" in error
    assert "cluster_labels" not in options(old_node)
    said = install(old_node, "--cluster-labels", "a=b", "--disable-kernel-version-check", "--timeout", "120s")
    assert "not waited for, since they are not ready themselves: nodes old" in said
    assert options(old_node)["cluster_labels"] == {"a": "b"}


@contextmanager
def forwarded(host: str, cluster: Cluster) -> Iterator[str]:
    """The cluster's API server at another address, as behind a port forwarding; its URL."""
    host_of_it, port = cluster.server.removeprefix("https://").rsplit(":", 1)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def carry(near: socket.socket) -> None:
        with near, socket.create_connection((host_of_it, int(port))) as far:
            back = threading.Thread(target=copy, args=(far, near), daemon=True)
            back.start()
            copy(near, far)
            back.join()

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=carry, args=(near,), daemon=True).start()

    with socket.create_server((host, 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"https://{host}:{listener.getsockname()[1]}"


def test_an_address_that_is_no_use_to_peers(empty: Cluster) -> None:
    error = refuse(empty, "install", "--api-server-url", "https://127.0.0.1:6443")
    assert (
        'API server address (--api-server-url): "https://127.0.0.1:6443" leads every peer to itself' in error
    )
    with forwarded(HOST, empty) as url:
        error = refuse(empty, "install", "--api-server-url", url)
        assert f'"{url}": peers would refuse its certificate' in error
        assert "--disable-api-server-sanity-check" in error
        assert remains(empty) == []
        said = install(
            empty, "--api-server-url", url, "--disable-api-server-sanity-check", "--timeout", "120s"
        )
    assert "does not answer" not in said
    assert options(empty)["api_server_address"] == url
    # Peers may reach what cannot be reached from here.
    silent = empty.server.replace(":6443", ":6444")
    assert f'"{silent}" does not answer here' in install(empty, "--api-server-url", silent)
    assert options(empty)["api_server_address"] == silent


def kubeconfig_at(cluster: Cluster, url: str, file: Path) -> Path:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = url
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return file


def test_where_peers_reach_a_managed_cluster(empty: Cluster, tmp_path: Path) -> None:
    """As in every managed cluster, no node of the lab is part of the control plane."""
    with forwarded("127.0.0.1", empty) as url:
        file = kubeconfig_at(empty, url, tmp_path / "config")
        said = isthmus("install", "--kubeconfig", str(file), "--timeout", "120s").stderr
    assert f"{url} leads there from here only; give it with --api-server-url" in said
    assert "api_server_address" not in options(empty)
    assert f"peers reach the API server at {empty.server}, as this kubeconfig does" in install(empty)
    assert options(empty)["api_server_address"] == empty.server
    # Whoever repeats it from another machine does not change what peers were told.
    with forwarded("127.0.0.1", empty) as url:
        isthmus("install", "--kubeconfig", str(kubeconfig_at(empty, url, file)))
    assert options(empty)["api_server_address"] == empty.server


@pytest.mark.parametrize("provider", ["kubeadm", "k3s", "kind", "aks", "eks", "gke"])
def test_a_provider_brings_its_label_and_what_the_cluster_says(
    installed_small: Cluster, provider: str
) -> None:
    printed = isthmus(
        "install", provider, "--dry-run", "--kubeconfig", str(installed_small.kubeconfig)
    ).stdout
    manifests = list(yaml.safe_load_all(printed))
    (record,) = (one for one in manifests if one["metadata"]["name"] == "liqo-installation")
    values = yaml.safe_load(record["data"]["values"])
    assert values["discovery"]["config"]["clusterLabels"] == {"liqo.io/provider": provider}
    assert values["apiServer"]["address"] == installed_small.server
    assert (values["ipam"]["podCIDRs"], values["ipam"]["serviceCIDR"]) == (["10.244.0.0/16"], "10.96.0.0/16")


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


def test_values_are_written_to_a_file_and_taken_from_it(installed_small: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    said = install(
        installed_small,
        "--cluster-labels",
        "region=eu",
        "--only-output-values",
        "--dump-values-path",
        str(file),
    )
    assert str(file) in said
    assert "cluster_labels" not in options(installed_small)
    install(installed_small, "--values", str(file))
    assert options(installed_small)["cluster_labels"] == {"region": "eu"}


@pytest.mark.parametrize("flag", ["--repo-url", "--local-chart-path"])
def test_there_is_no_chart_to_fetch(installed_small: Cluster, flag: str) -> None:
    error = refuse(installed_small, "install", flag, "somewhere")
    assert error.startswith(f"error: {flag}: there is no Helm chart")


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

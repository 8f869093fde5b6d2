"""Installing, upgrading and removing on a real API server, and everything that can be wrong with the input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.installation.commands import install, refuse, remains, uninstall
from tests.cluster.support import Cluster, CommandError, eventually, isthmus

OnNode = Callable[..., str]
OURS = "app.kubernetes.io/managed-by=isthmus"
APPLIED = (
    "namespaces,customresourcedefinitions,configmaps,clusterroles,roles,serviceaccounts,clusterrolebindings,"
    "rolebindings,services,runtimeclasses,deployments,daemonsets,mutatingwebhookconfigurations,"
    "wggatewayservertemplates,wggatewayclienttemplates,validatingwebhookconfigurations,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings"
)


def versions(cluster: Cluster) -> dict[str, str]:
    """The resourceVersion of every object that installation applied; of policies, into whose status Kubernetes
    writes when it has checked them, the generation."""
    return {
        f"{item['kind']} {item['metadata']['name']}": str(
            item["metadata"][
                "generation" if item["kind"] == "ValidatingAdmissionPolicy" else "resourceVersion"
            ]
        )
        for item in cluster.items(APPLIED, "-A", "-l", OURS)
    }


def test_install_is_ready_when_it_says_so_and_repeating_it_changes_nothing(empty: Cluster) -> None:
    said = install(empty, "--cluster-id", "rome", "--timeout", "120s")
    assert 'this cluster is "rome"' in said
    # The very next command works: the API server reaches the webhooks.
    denied = empty.kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(namespace_offloading("no")), check=False
    )
    assert "admission webhook" in denied.stderr
    before = versions(empty)
    assert len([name for name in before if name.startswith("CustomResourceDefinition")]) == 28
    assert len(before) == 61
    install(empty)
    assert versions(empty) == before
    settings = empty.get("configmap", "liqo-clusterid-configmap", "-n", "liqo")
    assert settings["data"] == {"CLUSTER_ID": "rome"}


def namespace_offloading(name: str, namespace: str = "default") -> dict[str, object]:
    return {
        "apiVersion": "offloading.liqo.io/v1beta1",
        "kind": "NamespaceOffloading",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {},
    }


def test_the_webhooks_authority_survives_an_upgrade(installed_small: Cluster) -> None:
    kind, name = "mutatingwebhookconfiguration", "liqo-mutating-webhook-configuration"
    before = installed_small.get(kind, name)
    install(installed_small, "--set", "webhook.failurePolicy=Ignore")
    after = installed_small.get(kind, name)
    assert {webhook["failurePolicy"] for webhook in after["webhooks"]} == {"Ignore"}
    assert [w["clientConfig"]["caBundle"] for w in after["webhooks"]] == [
        w["clientConfig"]["caBundle"] for w in before["webhooks"]
    ]


def test_modules_can_be_switched_off_and_on(installed_small: Cluster) -> None:
    said = install(installed_small, "--set", "authentication.enabled=false")
    assert "value authentication.enabled: true becomes false" in said
    webhooks = installed_small.get("validatingwebhookconfiguration", "liqo-validating-webhook-configuration")[
        "webhooks"
    ]
    assert "tenants.validate.liqo.io" not in [webhook["name"] for webhook in webhooks]
    install(installed_small, "--set", "offloading.enabled=false")
    assert installed_small.get("runtimeclass", "liqo") is None
    assert installed_small.get("mutatingwebhookconfiguration", "liqo-mutating-webhook-configuration") is None
    install(installed_small)
    assert installed_small.get("runtimeclass", "liqo") is not None


def traces(on_node: OnNode) -> list[str]:
    """Whatever of ours is in the kernel of the node."""
    lines = [
        *on_node("ip", "-o", "link", "show").splitlines(),
        *on_node("ip", "rule").splitlines(),
        *on_node("nft", "list", "tables").splitlines(),
    ]
    return [line for line in lines if "isthmus0" in line or "6091" in line or "table ip isthmus" in line]


def is_on_node(cluster: Cluster, on_node: OnNode) -> bool:
    return cluster.items("internalnodes") != [] and len(traces(on_node)) == 3


@pytest.mark.parametrize(
    "arguments", [["install", "--set", "networking.enabled=false"], ["uninstall", "--skip-confirm"]]
)
def test_ending_the_network_leaves_nodes_as_they_were_found(
    installed_small: Cluster, on_node: OnNode, arguments: list[str]
) -> None:
    ranges = {item["spec"]["cidr"] for item in installed_small.items("networks.ipam.liqo.io", "-n", "liqo")}
    assert {"10.244.0.0/16", "10.96.0.0/16"} <= ranges  # found out: no flag says them
    eventually(lambda: is_on_node(installed_small, on_node), within=60, what="the node's part of the network")
    isthmus(*arguments, "--kubeconfig", str(installed_small.kubeconfig))
    assert traces(on_node) == []
    assert installed_small.items("internalnodes") == []
    assert installed_small.get("daemonset", "liqo-fabric", "-n", "liqo") is None


def test_an_agent_that_cannot_start_is_explained_with_its_node(installed_small: Cluster) -> None:
    # Where the kubelet says how it is: no agent can have it.
    taken = "networking.fabric.config.healthProbeBindAddressPort=10248"
    error = refuse(installed_small, "install", "--set", taken, "--timeout", "20s")
    assert "node rome-worker-1" in error
    assert "liqo-fabric-" in error
    install(installed_small, "--timeout", "120s")


def test_the_cluster_id_is_kept_and_cannot_change(installed_small: Cluster) -> None:
    before = versions(installed_small)
    error = refuse(installed_small, "install", "--cluster-id", "oslo")
    assert "oslo" in error
    assert versions(installed_small) == before


def test_one_installation_a_cluster(installed_small: Cluster) -> None:
    error = refuse(installed_small, "install", "--namespace", "elsewhere")
    assert "--namespace liqo" in error
    assert installed_small.get("namespace", "elsewhere") is None


def test_an_installation_of_somebody_else_is_left_alone(empty: Cluster) -> None:
    labels = {
        "app.kubernetes.io/name": "controller-manager",
        "app.kubernetes.io/component": "controller-manager",
        "app.kubernetes.io/managed-by": "Helm",
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    empty.kubectl("create", "namespace", "liqo")
    empty.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "liqo-controller-manager", "namespace": "liqo", "labels": labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
    )
    try:
        assert "installed by Helm" in refuse(empty, "install")
        assert empty.items("crd") == []
    finally:
        empty.kubectl("delete", "namespace", "liqo")


WRONG = [
    (["--cluster-id", "Rome"], ["--cluster-id", "Rome", "lower-case"]),
    (["--cluster-id", "-x"], ["-x"]),
    (["--set", "networking.enable=true"], ["networking.enable", "networking.enabled"]),
    (["--set", "networking.genevePort=70000"], ["networking.genevePort", "70000"]),
    (["--pod-cidr", "10.96.0.0/12", "--service-cidr", "10.97.0.0/16"], ["--pod-cidr", "--service-cidr"]),
    (["--pod-cidr", "10.0.0.0/99"], ["--pod-cidr", "10.0.0.0/99"]),
    (["--api-server-url", "ftp://x"], ["--api-server-url", "ftp://x"]),
    (["--values", "/nonexistent.yaml"], ["--values", "/nonexistent.yaml"]),
    (["--namespace", "kube-system"], ["--namespace", "kube-system"]),
    (["--timeout", "soon"], ["--timeout", "soon"]),
    (["--context", "nowhere"], ["nowhere"]),
]


@pytest.mark.parametrize(("arguments", "parts"), WRONG, ids=lambda value: " ".join(value))
def test_wrong_input_is_one_error_and_leaves_nothing(
    empty: Cluster, arguments: list[str], parts: list[str]
) -> None:
    error = refuse(empty, "install", *arguments)
    assert all(part in error for part in parts), error
    assert remains(empty) == []


def kubeconfig_with(cluster: Cluster, file: Path, *, server: str = "", token: str = "") -> Path:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    if server:
        config["clusters"][0]["cluster"]["server"] = server
    if token:
        config["users"][0]["user"] = {"token": token}
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.mark.parametrize("command", [["install"], ["uninstall", "--skip-confirm"]])
def test_a_cluster_that_cannot_be_reached(small: Cluster, tmp_path: Path, command: list[str]) -> None:
    file = kubeconfig_with(small, tmp_path / "config", server=small.server.replace(":6443", ":6444"))
    done = isthmus(*command, "--kubeconfig", str(file), check=False, timeout=30)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert ":6444" in done.stderr


def test_a_user_who_may_not_install(empty: Cluster, tmp_path: Path) -> None:
    empty.kubectl("create", "serviceaccount", "weak")
    empty.kubectl(
        "create", "clusterrolebinding", "weak-account", "--clusterrole=edit", "--serviceaccount=default:weak"
    )
    token = empty.kubectl("create", "token", "weak").stdout.strip()
    file = kubeconfig_with(empty, tmp_path / "config", token=token)
    for command in (["install"], ["uninstall", "--skip-confirm", "--purge"]):
        done = isthmus(*command, "--kubeconfig", str(file), check=False)
        assert done.returncode == 1, done.stderr
        assert "may not" in done.stderr or "not allowed" in done.stderr
    assert remains(empty) == []


def test_a_controller_that_does_not_start_is_explained_and_mended(installed_small: Cluster) -> None:
    error = refuse(installed_small, "install", "--image", "localhost/absent:1", "--timeout", "15s")
    assert "liqo-controller-manager-" in error
    assert "ErrImage" in error or "ImagePullBackOff" in error
    assert "localhost/absent:1" in error
    install(installed_small, "--timeout", "120s")


def test_dry_run_prints_manifests_that_an_api_server_takes(installed_small: Cluster) -> None:
    printed = isthmus("install", "--dry-run", "--kubeconfig", str(installed_small.kubeconfig)).stdout
    manifests = list(yaml.safe_load_all(printed))
    applied = installed_small.kubectl(
        "apply",
        "--server-side",
        "--field-manager=isthmus-install",
        "--dry-run=server",
        "-f",
        "-",
        stdin=printed,
    )
    settings = installed_small.get("configmap", "liqo-clusterid-configmap", "-n", "liqo")
    assert f"CLUSTER_ID: {settings['data']['CLUSTER_ID']}\n" in printed
    assert len(applied.stdout.splitlines()) == len(manifests) > 50


def test_uninstall_refuses_while_in_use(installed_small: Cluster) -> None:
    installed_small.kubectl("create", "namespace", "used")
    installed_small.apply(namespace_offloading("offloading", "used"))
    try:
        error = refuse(installed_small, "uninstall", "--skip-confirm")
        assert "used" in error
        assert "isthmus unoffload namespace used" in error
    finally:
        installed_small.kubectl("delete", "namespace", "used", "--wait=false")
        eventually(
            lambda: installed_small.get("namespace", "used") is None, within=60, what="the namespace's end"
        )


def test_uninstall_asks_first(installed_small: Cluster) -> None:
    before = versions(installed_small)
    assert "--skip-confirm" in refuse(installed_small, "uninstall")
    assert versions(installed_small) == before


def test_uninstall_leaves_the_kinds_and_purge_leaves_nothing(installed_small: Cluster) -> None:
    uninstall(installed_small)
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
    try:
        cluster.kubectl("get", "namespace", "liqo-tenant-oslo")
    except CommandError:
        return
    uninstall(cluster, "--purge")


def test_purge_ends_without_a_controller(without_controller: Cluster) -> None:
    uninstall(without_controller, "--purge", "--timeout", "90s")
    assert remains(without_controller) == []

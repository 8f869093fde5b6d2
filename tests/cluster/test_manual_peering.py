"""A peering by two operators who never see each other's cluster: they exchange what the commands print, no more."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.peering import NODE_PORT, Pair, between, left
from tests.cluster.support import Cluster, eventually, isthmus

HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"


def local(cluster: Cluster, *arguments: str, check: bool = True) -> str:
    """A command of one operator in his own cluster; returns what it prints, or says where it fails."""
    done = isthmus(*arguments, "--kubeconfig", str(cluster.kubeconfig), check=check)
    return done.stdout if check or done.returncode == 0 else done.stderr


def node_is_ready(cluster: Cluster, name: str = "milan") -> bool:
    """Whether a virtual node is Ready."""
    node = cluster.get("node", name)
    found = (node or {}).get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found)


def test_two_operators_peer_by_exchanging_files(apart: Pair) -> None:
    rome, milan = apart
    local(milan, "create", "nonce", "--remote-cluster-id", "rome")
    nonce = local(milan, "get", "nonce", "--remote-cluster-id", "rome").strip()
    tenant = local(rome, "generate", "tenant", "--remote-cluster-id", "milan", "--nonce", nonce)
    assert "PRIVATE" not in tenant
    milan.kubectl("apply", "-n", AWAY, "-f", "-", stdin=tenant)
    identity = local(milan, "generate", "identity", "--remote-cluster-id", "rome")
    rome.kubectl("apply", "-n", HOME, "-f", "-", stdin=identity)
    local(rome, "create", "resourceslice", "--remote-cluster-id", "milan", "--cpu", "2", "--memory", "1Gi")
    assert node_is_ready(rome)
    capacity = rome.get("node", "milan")["status"]["capacity"]
    assert (capacity["cpu"], capacity["memory"]) == ("2", "1Gi")
    shown = json.loads(local(milan, "get", "resourceslice", "-o", "json"))
    assert [(one["name"], one["peer"], one["action"], one["accepted"]) for one in shown] == [
        ("milan", "rome", "Providing", True)
    ]


def test_a_tenant_that_signed_another_nonce_is_refused_with_the_reason(apart: Pair) -> None:
    rome, milan = apart
    local(milan, "create", "nonce", "--remote-cluster-id", "rome")
    tenant = local(rome, "generate", "tenant", "--remote-cluster-id", "milan", "--nonce", "A" * 88)
    milan.kubectl("apply", "-n", AWAY, "-f", "-", stdin=tenant)
    said = local(milan, "generate", "identity", "--remote-cluster-id", "rome", "--timeout", "8s", check=False)
    assert "SignatureVerificationFailed" in said


def test_a_second_slice_becomes_a_node_by_hand_and_goes_by_hand(apart: Pair) -> None:
    rome, milan = apart
    both = between(rome, milan)
    isthmus("authenticate", *both)
    local(
        rome,
        "create",
        "resourceslice",
        "small",
        "--remote-cluster-id",
        "milan",
        "--cpu",
        "1",
        "--no-virtual-node",
    )
    assert rome.get("node", "small") is None
    local(
        rome,
        "create",
        "virtualnode",
        "tiny",
        "--remote-cluster-id",
        "milan",
        "--resource-slice-name",
        "small",
        "--labels",
        "tier=test",
    )
    assert node_is_ready(rome, "tiny")
    assert rome.get("node", "tiny")["metadata"]["labels"]["tier"] == "test"
    refused = isthmus("unauthenticate", *both, "--skip-confirm", check=False)
    assert refused.returncode == 1
    assert "ResourceSlice small" in refused.stderr
    local(rome, "delete", "virtualnode", "tiny", "--skip-confirm")
    assert rome.get("node", "tiny") is None
    local(rome, "delete", "resourceslice", "small", "--skip-confirm")
    isthmus("unauthenticate", *both, "--skip-confirm")
    assert rome.items("identities", "-n", HOME) == []
    assert milan.items("tenants", "-A") == []


def test_a_peering_user_peers_and_unpeers_until_it_is_deleted(apart: Pair, tmp_path: Path) -> None:
    rome, milan = apart
    kubeconfig = tmp_path / "rome-in-milan"
    kubeconfig.touch(mode=0o600)
    of_rome = ("peering-user", "--consumer-cluster-id", "rome")
    local(milan, "delete", *of_rome, check=False)  # An earlier run that was broken off may have left one.
    kubeconfig.write_text(local(milan, "generate", *of_rome))
    second = local(milan, "generate", *of_rome, check=False)
    assert "has a peering user for rome already" in second
    both = ("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(kubeconfig))
    done = isthmus("peer", *both, *NODE_PORT, "--cpu", "2")
    assert done.stdout == "rome is peered with milan\n"
    assert rome.get("node", "milan")["status"]["capacity"]["cpu"] == "2"
    isthmus("unpeer", *both, "--skip-confirm")
    assert left(rome, milan) == []
    isthmus("peer", *both, "--networking-disabled")
    local(milan, "delete", *of_rome)
    user = Cluster("milan", kubeconfig, milan.kubectl_path, milan.server)
    eventually(
        lambda: user.kubectl("get", "tenants", "-n", AWAY, check=False).returncode != 0,
        within=60,
        what="the kubeconfig taken back",
    )
    assert node_is_ready(rome)


def kubeconfig_of(cluster: Cluster, token: str) -> str:
    """A kubeconfig as an admin writes it for a ServiceAccount."""
    view = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json").stdout)
    view["users"] = [{"name": "rome", "user": {"token": token}}]
    view["contexts"] = [{"name": "c", "context": {"cluster": view["clusters"][0]["name"], "user": "rome"}}]
    view["current-context"] = "c"
    return json.dumps(view)


def test_without_a_handshake_the_admins_credentials_serve(apart: Pair) -> None:
    rome, milan = apart
    binding = "liqo-binding-liqo-remote-controlplane"
    for cluster, namespace, peer in ((rome, HOME, "milan"), (milan, AWAY, "rome")):
        marks = {"liqo.io/remote-cluster-id": peer, "liqo.io/tenant-namespace": "true"}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": marks}}
        )
    here = {"namespace": AWAY, "name": "rome", "labels": {"liqo.io/remote-cluster-id": "rome"}}
    milan.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**here, "name": "guest"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {**here, "name": binding},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "liqo-remote-controlplane",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "guest", "namespace": AWAY}],
        },
        {
            "apiVersion": "authentication.liqo.io/v1beta1",
            "kind": "Tenant",
            "metadata": here,
            "spec": {"clusterID": "rome", "authzPolicy": "TolerateNoHandshake"},
        },
    )
    token = milan.kubectl("create", "token", "guest", "-n", AWAY).stdout.strip()
    theirs = {"liqo.io/remote-cluster-id": "milan"}
    rome.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "to-milan",
                "namespace": HOME,
                "labels": {**theirs, "liqo.io/identity-type": "ControlPlane"},
                "annotations": {"liqo.io/remote-tenant-namespace": AWAY},
            },
            "stringData": {"kubeconfig": kubeconfig_of(milan, token)},
        },
        {
            "apiVersion": "authentication.liqo.io/v1beta1",
            "kind": "ResourceSlice",
            "metadata": {
                "name": "milan",
                "namespace": HOME,
                "labels": {**theirs, "liqo.io/remoteID": "milan", "liqo.io/replication": "true"},
                "annotations": {"liqo.io/create-virtual-node": "true"},
            },
            "spec": {"class": "default", "providerClusterID": "milan"},
        },
    )
    eventually(lambda: node_is_ready(rome), within=60, what="the virtual node")
    found = milan.get("tenant", "rome", "-n", AWAY)["status"]
    assert "authParams" not in found
    assert milan.get("rolebinding", binding, "-n", AWAY)
    assert rome.get("foreigncluster", "milan")["status"]["role"] == "Provider"
    rome.kubectl("delete", "rslice", "milan", "-n", HOME, "--timeout=60s", timeout=70)
    rome.kubectl("delete", "secret", "to-milan", "-n", HOME, "--timeout=30s")
    milan.kubectl("delete", "serviceaccount,rolebinding", "-l", "liqo.io/remote-cluster-id=rome", "-n", AWAY)

"""A peering on two real clusters: what each identity may do, what heals, who is refused, what is left at the end."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.api import labels
from isthmus.peering.handshake import forge_nonce_secret, forge_tenant, forge_tenant_namespace
from tests.cluster.support import Cluster, CommandError, eventually, isthmus

HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"
"""The tenant namespaces of the peering on rome and on milan."""

Pair = tuple[Cluster, Cluster]


def conditions(slice_: dict[str, Any] | None) -> dict[str, str]:
    """The conditions of a slice by type."""
    found = (slice_ or {}).get("status", {}).get("conditions", [])
    return {one["type"]: one["status"] for one in found}


def accepted(cluster: Cluster, namespace: str, name: str = "milan") -> bool:
    """Whether a slice is accepted in full, as that cluster has it."""
    found = conditions(cluster.get("rslice", name, "-n", namespace))
    return found == {"Authentication": "Accepted", "Resources": "Accepted"}


def uid(cluster: Cluster, *arguments: str) -> str:
    """The uid of an object, "" where there is none."""
    found = cluster.get(*arguments)
    return str(found["metadata"]["uid"]) if found else ""


def kubeconfig(rome: Cluster, secret: str, directory: Path) -> Cluster:
    """The provider as an identity of the consumer sees it."""
    found = rome.get("secret", secret, "-n", HOME)
    path = directory / secret
    path.touch(mode=0o600)
    path.write_bytes(base64.b64decode(found["data"]["kubeconfig"]))
    return Cluster("milan", path, rome.kubectl_path, "")


def may(cluster: Cluster, verb: str, what: str, *where: str) -> bool:
    """What `kubectl auth can-i` says."""
    return cluster.kubectl("auth", "can-i", verb, what, *where, check=False).stdout.strip() == "yes"


def test_the_identities_may_do_what_they_must_and_no_more(peered: Pair, tmp_path: Path) -> None:
    rome, _ = peered
    control_plane = kubeconfig(rome, "kubeconfig-controlplane-milan", tmp_path)
    assert may(control_plane, "create", "resourceslices.authentication.liqo.io", "-n", AWAY)
    assert may(control_plane, "update", "namespacemaps.offloading.liqo.io", "-n", AWAY)
    eventually(
        lambda: rome.get("secret", "kubeconfig-resourceslice-milan", "-n", HOME), within=60, what="the Secret"
    )
    slice_ = kubeconfig(rome, "kubeconfig-resourceslice-milan", tmp_path)
    for identity in (control_plane, slice_):
        assert not may(identity, "get", "secrets", "-n", AWAY)
        assert not may(identity, "create", "tenants.authentication.liqo.io", "-n", AWAY)
        assert not may(identity, "create", "resourceslices.authentication.liqo.io", "-n", "default")
        assert not may(identity, "create", "pods", "-n", "default")
        assert not may(identity, "list", "nodes")


def test_a_copy_that_is_deleted_or_changed_on_the_provider_heals(peered: Pair) -> None:
    rome, milan = peered
    before = uid(milan, "rslice", "milan", "-n", AWAY)
    milan.kubectl("delete", "rslice", "milan", "-n", AWAY)
    eventually(
        lambda: uid(milan, "rslice", "milan", "-n", AWAY) not in ("", before),
        within=60,
        what="a new copy",
    )
    eventually(lambda: accepted(milan, AWAY), within=60, what="the new copy accepted")
    asked = rome.get("rslice", "milan", "-n", HOME)["spec"]
    change = json.dumps({"spec": {"resources": {"cpu": "999"}}})
    milan.kubectl("patch", "rslice", "milan", "-n", AWAY, "--type=merge", "-p", change)
    eventually(
        lambda: milan.get("rslice", "milan", "-n", AWAY)["spec"] == asked,
        within=60,
        what="the spec restored",
    )


def test_what_is_asked_for_anew_is_granted_and_told(peered: Pair) -> None:
    rome, _ = peered
    before = rome.get("rslice", "milan", "-n", HOME)["spec"].get("resources", {})

    def granted(resource: str) -> Callable[[], bool]:
        return lambda: rome.get("rslice", "milan", "-n", HOME)["status"]["resources"].get(resource) == "3"

    change = json.dumps({"spec": {"resources": {"example.com/gpu": "3"}}})
    rome.kubectl("patch", "rslice", "milan", "-n", HOME, "--type=merge", "-p", change)
    eventually(granted("example.com/gpu"), within=60, what="the new resource granted")
    restore = json.dumps({"spec": {"resources": {**before, "example.com/gpu": None}}})
    rome.kubectl("patch", "rslice", "milan", "-n", HOME, "--type=merge", "-p", restore)
    eventually(lambda: not granted("example.com/gpu")(), within=60, what="the resource taken back")


def test_a_drained_consumer_comes_back_when_it_is_let_in_again(peered: Pair) -> None:
    rome, milan = peered
    binding = ("rolebinding", "liqo-binding-liqo-remote-controlplane", "-n", AWAY)

    def become(condition: str) -> None:
        change = json.dumps({"spec": {"tenantCondition": condition}})
        milan.kubectl("patch", "tenant", "rome", "-n", AWAY, "--type=merge", "-p", change)

    become("Drained")
    try:
        eventually(lambda: not milan.items("rslice", "-n", AWAY), within=60, what="the slices deleted")
        eventually(lambda: milan.get(*binding) is None, within=60, what="the permissions taken back")
    finally:
        become("Active")
    eventually(lambda: milan.get(*binding), within=60, what="the permissions given")
    eventually(
        lambda: accepted(milan, AWAY) and accepted(rome, HOME), within=60, what="the slice accepted again"
    )


def test_a_cordoned_consumer_keeps_what_it_has_and_gets_nothing_new(peered: Pair) -> None:
    rome, milan = peered

    def become(condition: str) -> None:
        change = json.dumps({"spec": {"tenantCondition": condition}})
        milan.kubectl("patch", "tenant", "rome", "-n", AWAY, "--type=merge", "-p", change)

    def cordoned() -> bool:
        found = milan.get("rslice", "milan", "-n", AWAY)["metadata"].get("annotations", {})
        return bool(found.get(labels.CORDON_TENANT) == "true")

    become("Cordoned")
    try:
        eventually(cordoned, within=60, what="the slice marked")
        more = rome.get("rslice", "milan", "-n", HOME)
        marks = {
            key: value for key, value in more["metadata"]["labels"].items() if key.startswith("liqo.io/")
        }
        rome.apply(
            {
                "apiVersion": more["apiVersion"],
                "kind": more["kind"],
                "metadata": {"name": "more", "namespace": HOME, "labels": marks},
                "spec": {"class": "default"},
            }
        )
        eventually(
            lambda: conditions(rome.get("rslice", "more", "-n", HOME)).get("Authentication") == "Denied",
            within=60,
            what="the new slice denied",
        )
        assert accepted(rome, HOME)
    finally:
        become("Active")
    eventually(lambda: not cordoned(), within=60, what="the mark removed")
    eventually(lambda: accepted(rome, HOME, "more"), within=60, what="the new slice accepted")
    rome.kubectl("delete", "rslice", "more", "-n", HOME, "--timeout=20s")
    assert milan.get("rslice", "more", "-n", AWAY) is None


def forged(consumer: str, namespace: str, keys: dict[str, Any]) -> list[dict[str, Any]]:
    """What somebody without the consumer's key would write: namespace, nonce, Tenant."""
    public_key = base64.b64decode(keys["data"]["publicKey"]).decode()
    tenant = forge_tenant(consumer, public_key=public_key, csr="x", signature=b"x" * 64, namespace=namespace)
    return [
        {"apiVersion": "v1", "kind": "Namespace", **forge_tenant_namespace(consumer, namespace)},
        {"apiVersion": "v1", "kind": "Secret", **forge_nonce_secret(consumer, namespace)},
        {"apiVersion": "authentication.liqo.io/v1beta1", "kind": "Tenant", **tenant},
    ]


def test_who_cannot_prove_its_id_is_refused_and_told_why(installed: Pair) -> None:
    rome, milan = installed
    namespace, keys = "refused-turin", rome.get("secret", "authentication-keys", "-n", "liqo")
    milan.apply(*forged("turin", namespace, keys))
    try:
        eventually(
            lambda: any(
                event["reason"] == "SignatureVerificationFailed"
                for event in milan.items("events", "-n", namespace)
            ),
            within=60,
            what="the event",
        )
        assert "authParams" not in milan.get("tenant", "turin", "-n", namespace).get("status", {})
        assert not milan.items("rolebindings", "-n", namespace)
    finally:
        milan.kubectl("delete", "namespace", namespace, "--timeout=40s")


def test_a_tenant_with_this_clusters_own_id_is_refused(installed: Pair) -> None:
    rome, milan = installed
    keys = rome.get("secret", "authentication-keys", "-n", "liqo")
    try:
        with pytest.raises(CommandError, match="own id"):
            milan.apply(*forged("milan", "refused-milan", keys))
    finally:
        milan.kubectl("delete", "namespace", "refused-milan", "--timeout=40s")


def test_a_restart_of_the_controllers_changes_nothing(peered: Pair) -> None:
    rome, milan = peered
    watched = (
        (rome, ("identities,rslice,renews", "-n", HOME)),
        (rome, ("secrets", "-n", HOME)),
        (milan, ("tenants,rslice,renews,rolebindings", "-n", AWAY)),
        (milan, ("secrets,certificatesigningrequests", "-n", AWAY)),
    )

    def versions() -> dict[str, str]:
        return {
            f"{cluster.name} {item['kind']} {item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for cluster, what in watched
            for item in cluster.items(*what)
        }

    before = versions()
    for cluster in peered:
        cluster.kubectl("rollout", "restart", "-n", "liqo", "deployment/liqo-controller-manager")
    for cluster in peered:
        cluster.kubectl(
            "rollout",
            "status",
            "-n",
            "liqo",
            "deployment/liqo-controller-manager",
            "--timeout=90s",
            timeout=100,
        )
    lease = milan.items("leases", "-n", "liqo")
    assert lease
    assert versions() == before


def _await_forgotten(cluster: Cluster, peer: str) -> None:
    eventually(
        lambda: cluster.get("foreigncluster", peer) is None,
        within=60,
        what=f"the ForeignCluster of {peer} gone",
        instead=lambda: cluster.about(peer),
    )


def test_a_consumer_that_the_provider_dropped_gets_rid_of_its_side(peered: Pair) -> None:
    rome, milan = peered
    # A joined network would keep the ForeignClusters, whatever becomes of the rest.
    isthmus(
        *("network", "reset", "--wait", "--skip-confirm", "--kubeconfig", str(rome.kubeconfig)),
        *("--remote-kubeconfig", str(milan.kubeconfig)),
    )
    milan.kubectl("delete", "tenant", "rome", "-n", AWAY, "--timeout=20s")
    # Not through unpeer: this is what is left to a user who deletes things in whatever order.
    rome.kubectl("delete", "virtualnodes", "--all", "-n", HOME, "--timeout=60s", timeout=70)
    rome.kubectl("delete", "rslice,identities", "--all", "-n", HOME, "--timeout=60s", timeout=70)
    eventually(
        lambda: (
            not rome.items("rslice,identities,renews,namespacemaps", "-n", HOME)
            and rome.get("secret", "kubeconfig-controlplane-milan", "-n", HOME) is None
        ),
        within=60,
        what="the consumer's side gone",
    )
    _await_forgotten(rome, "milan")
    assert not milan.items("rslice,namespacemaps,renews", "-n", AWAY)
    _await_forgotten(milan, "rome")


def test_a_deletion_asked_for_while_the_controller_is_away_is_finished_when_it_is_back(peered: Pair) -> None:
    rome, milan = peered
    deployment = ("-n", "liqo", "deployment/liqo-controller-manager")
    rome.kubectl("scale", *deployment, "--replicas=0")
    try:
        eventually(
            lambda: (
                not rome.items("pods", "-n", "liqo", "-l", "app.kubernetes.io/component=controller-manager")
            ),
            within=60,
            what="the controller gone",
        )
        rome.kubectl("delete", "virtualnodes,rslice,identities", "--all", "-n", HOME, "--wait=false")
        secret = ("secret", "kubeconfig-controlplane-milan", "-n", HOME)
        eventually(
            lambda: "deletionTimestamp" in rome.get(*secret)["metadata"],
            within=60,
            what="the Secret being deleted",
        )
    finally:
        rome.kubectl("scale", *deployment, "--replicas=1")
    eventually(
        lambda: (
            not rome.items("virtualnodes,rslice,identities,renews,namespacemaps", "-n", HOME)
            and rome.get("secret", "kubeconfig-controlplane-milan", "-n", HOME) is None
        ),
        within=90,
        what="the consumer's side gone",
    )
    assert not milan.items("rslice,renews,namespacemaps", "-n", AWAY)
    milan.kubectl("delete", "tenant", "rome", "-n", AWAY, "--timeout=20s")


def test_unpeer_leaves_nothing(peered: Pair) -> None:
    rome, milan = peered
    isthmus(
        "unpeer",
        "--kubeconfig",
        str(rome.kubeconfig),
        "--remote-kubeconfig",
        str(milan.kubeconfig),
        "--skip-confirm",
        "--delete-namespaces",
    )
    for cluster, namespace, peer in ((rome, HOME, "milan"), (milan, AWAY, "rome")):
        assert cluster.get("namespace", namespace) is None
        _await_forgotten(cluster, peer)
        assert not cluster.items("clusterrolebindings", "-l", labels.REMOTE_CLUSTER_ID)
        requests = cluster.items("certificatesigningrequests", "-l", labels.REMOTE_TENANT_CSR)
        assert not requests

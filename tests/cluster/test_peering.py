"""A peering on two real clusters: what heals, what a restart changes, and ends that are not `unpeer`'s."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cluster.peering import Pair, between
from tests.cluster.support import Cluster, eventually, isthmus

HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"
"""The tenant namespaces of the peering on rome and on milan."""
CONTROLLER = ("-n", "liqo", "deployment/liqo-controller-manager")


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
        cluster.kubectl("rollout", "restart", *CONTROLLER)
    for cluster in peered:
        cluster.kubectl("rollout", "status", *CONTROLLER, "--timeout=90s", timeout=100)
    # Before a new controller makes a summary anew it has looked at all there is.
    for cluster, peer in ((rome, "milan"), (milan, "rome")):
        old = uid(cluster, "foreigncluster", peer)
        cluster.kubectl("delete", "foreigncluster", peer, "--timeout=20s")
        eventually(
            lambda api=cluster, of=peer, old=old: uid(api, "foreigncluster", of) not in ("", old),  # type: ignore[misc]
            within=60,
            what=f"the ForeignCluster of {peer} again",
        )
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
    isthmus("network", "reset", "--wait", "--skip-confirm", *between(rome, milan))
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
    rome.kubectl("scale", *CONTROLLER, "--replicas=0")
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
        rome.kubectl("scale", *CONTROLLER, "--replicas=1")
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

"""The state of a peering between the lab's two clusters, asked of the clusters themselves; and its end."""

from __future__ import annotations

from typing import Any

from tests.cluster.support import Cluster, isthmus

Pair = tuple[Cluster, Cluster]
NODE_PORT = ("--gw-server-service-type", "NodePort")
"""The lab has no load balancers."""
KINDS = (
    "tenants.authentication.liqo.io",
    "identities.authentication.liqo.io",
    "resourceslices.authentication.liqo.io",
    "renews.authentication.liqo.io",
    "namespacemaps.offloading.liqo.io",
    "virtualnodes.offloading.liqo.io",
    "quotas.offloading.liqo.io",
    "foreignclusters.core.liqo.io",
    "configurations.networking.liqo.io",
    "connections.networking.liqo.io",
    "gatewayservers.networking.liqo.io",
    "gatewayclients.networking.liqo.io",
    "wggatewayservers.networking.liqo.io",
    "wggatewayclients.networking.liqo.io",
    "publickeies.networking.liqo.io",
)


def between(consumer: Cluster, provider: Cluster) -> tuple[str, ...]:
    """The flags that name two clusters, the first as the local one."""
    return ("--kubeconfig", str(consumer.kubeconfig), "--remote-kubeconfig", str(provider.kubeconfig))


def left(*clusters: Cluster) -> list[str]:
    """What of any peering is there: its objects, and the secrets of tenant namespaces."""
    found: list[dict[str, Any]] = []
    for cluster in clusters:
        found += cluster.items(",".join(KINDS), "-A")
        found += [
            secret
            for secret in cluster.items("secrets", "-A")
            if secret["metadata"]["namespace"].startswith("liqo-tenant-")
        ]
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


def stands(rome: Cluster, milan: Cluster) -> bool:
    """Whether rome may use milan as a peering without flags leaves it, with joined networks, and nothing beside.

    A controller that is not there, a drained tenant, a slice that is refused, a virtual node that is not ready or a
    tunnel that is down: `peer` has to see to it.
    """
    return (
        all(_available(cluster) for cluster in (rome, milan))
        and _active(milan)
        and _accepted(rome)
        and _node_ready(rome)
        and all(_connected(*pair) for pair in ((rome, milan), (milan, rome)))
        and not _reversed(rome, milan)
    )


def establish(rome: Cluster, milan: Cluster) -> None:
    """Have rome use milan as a peering without flags leaves it; nothing to do where it stands."""
    if not stands(rome, milan):
        end_reverse(rome, milan)
        isthmus("peer", *between(rome, milan), *NODE_PORT)


def separate(rome: Cluster, milan: Cluster) -> None:
    """End what is between the two in either direction, networks too; nothing to do where there is nothing."""
    if not left(rome, milan):
        return
    for pair in ((rome, milan), (milan, rome)):
        isthmus("unpeer", *between(*pair), "--skip-confirm")
    if left(rome, milan):
        isthmus("network", "reset", *between(rome, milan), "--skip-confirm", "--wait")


def end_reverse(rome: Cluster, milan: Cluster) -> None:
    """End a peering in which milan is the consumer, where there is one."""
    if _reversed(rome, milan):
        isthmus("unpeer", *between(milan, rome), "--skip-confirm")


def _reversed(rome: Cluster, milan: Cluster) -> bool:
    return bool(rome.items("tenants.authentication.liqo.io", "-A") or milan.items("virtualnodes", "-A"))


def _available(cluster: Cluster) -> bool:
    found = cluster.get("deployment", "liqo-controller-manager", "-n", "liqo")
    status = found["status"] if found else {}
    wanted = found["spec"]["replicas"] if found else 1
    return wanted > 0 and status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == wanted


def _active(milan: Cluster) -> bool:
    tenants = milan.items("tenants.authentication.liqo.io", "-A")
    conditions = [one["spec"].get("tenantCondition", "Active") for one in tenants if _lives(one)]
    return conditions == ["Active"]


def _accepted(rome: Cluster) -> bool:
    slices = [one for one in rome.items("resourceslices.authentication.liqo.io", "-A") if _lives(one)]
    if [one["metadata"]["name"] for one in slices] != ["milan"]:
        return False
    conditions = {one["type"]: one["status"] for one in slices[0].get("status", {}).get("conditions", [])}
    return conditions == {"Authentication": "Accepted", "Resources": "Accepted"}


def _node_ready(rome: Cluster) -> bool:
    nodes = rome.items("nodes", "-l", "liqo.io/type=virtual-node")
    if [one["metadata"]["name"] for one in nodes] != ["milan"] or nodes[0]["spec"].get("unschedulable"):
        return False
    conditions = {one["type"]: one["status"] for one in nodes[0]["status"]["conditions"]}
    return conditions.get("Ready") == "True" and _lives(nodes[0])


def _connected(cluster: Cluster, peer: Cluster) -> bool:
    found = cluster.items("connections.networking.liqo.io", "-n", f"liqo-tenant-{peer.name}")
    return [one.get("status", {}).get("value") for one in found if _lives(one)] == ["Connected"]


def _lives(found: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in found["metadata"]

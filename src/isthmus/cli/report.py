"""What `info` tells, gathered from the cluster as JSON-ready data.

The keys are part of the interface: scripts take fields by their path (`--get local.clusterid`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from isthmus.api import labels
from isthmus.api.authentication import RESOURCE_SLICES, ResourceSlice
from isthmus.api.core import FOREIGN_CLUSTERS, ForeignCluster
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, VIRTUAL_NODES, VirtualNode
from isthmus.cli import installation
from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.errors import CommandError
from isthmus.cli.network_report import (
    NO_NETWORK,
    NetworkObjects,
    forge_joined,
    judge_tunnel,
    read_network_objects,
    report_own_network,
    report_peer_network,
)
from isthmus.cli.status import alerts, judge, server_conditions, summarize
from isthmus.kube.builtin import NODES, PODS, Node, Pod


class _ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    ready: bool = False
    restart_count: int = 0


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = "Unknown"
    container_statuses: list[_ContainerStatus] = []


async def report_cluster(cluster: Cluster) -> dict[str, Any]:
    """The installation, its health, its peers and the namespaces that are extended. Raises CommandError."""
    client = cluster.client
    with explained(cluster, "reading the installation"):
        deployment, pods, peers, offloadings, network = await asyncio.gather(
            installation.find_controller(cluster),
            client.list(PODS, cluster.namespace),
            client.list(FOREIGN_CLUSTERS),
            client.list(NAMESPACE_OFFLOADINGS),
            report_own_network(cluster),
        )
    told = installation.read_options(deployment) if deployment is not None else {}
    return {
        "local": {
            "clusterID": cluster.id,
            "version": installation.installed_version(deployment) if deployment is not None else "",
            "apiServerAddr": told.get("api_server_address") or cluster.server,
            "labels": told.get("cluster_labels", {}),
        },
        "health": report_health(pods.items, deployment is not None),
        "network": network,
        "peerings": {"peers": [summarize(found) for found in peers.items]},
        "namespaces": [
            {
                "name": found.metadata.namespace,
                "remoteName": found.status.remote_namespace_name,
                "podOffloadingStrategy": found.spec.pod_offloading_strategy,
                "phase": found.status.offloading_phase,
            }
            for found in offloadings.items
        ],
    }


def report_health(pods: list[Pod], installed: bool) -> dict[str, Any]:
    """Whether all pods of the installation are ready, and those that are not."""
    unhealthy = {}
    for pod in pods:
        status = msgspec.json.decode(pod.status, type=_PodStatus)
        containers = status.container_statuses
        ready = sum(container.ready for container in containers)
        if status.phase == "Succeeded" or (
            status.phase == "Running" and containers and ready == len(containers)
        ):
            continue
        unhealthy[pod.metadata.name] = {
            "status": "Terminating" if pod.deleting else status.phase,
            "containers": {"ready": ready, "total": len(containers)},
            "restarts": sum(container.restart_count for container in containers),
        }
    return {"healthy": installed and bool(pods) and not unhealthy, "unhealthyPods": unhealthy}


async def report_peers(cluster: Cluster, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Each peer by its id: modules, tunnel, shares, virtual nodes. Raises CommandError where one is unknown."""
    client = cluster.client
    with explained(cluster, "reading the peerings"):
        peers, slices, virtual, nodes, networks = await asyncio.gather(
            client.list(FOREIGN_CLUSTERS),
            client.list(RESOURCE_SLICES),
            client.list(VIRTUAL_NODES),
            client.list(NODES, label_selector=f"{labels.NODE_TYPE}={labels.NODE_TYPE_VIRTUAL}"),
            read_network_objects(cluster),
        )
    # Networks can be joined without a peering, and then nothing else tells of the peer.
    known = {peer: forge_joined(peer) for peer in networks.peers}
    known |= {found.spec.cluster_id or found.metadata.name: found for found in peers.items}
    for name in wanted:
        if name not in known:
            raise CommandError(
                f'{cluster.title} is not peered with "{name}"',
                f"its peers are {', '.join(sorted(known))}" if known else "it has no peers; see isthmus peer",
            )
    by_name = {node.metadata.name: node for node in nodes.items}
    return {
        name: report_peer(
            known[name],
            [each for each in slices.items if is_of_peer(each, name)],
            [each for each in virtual.items if each.spec.cluster_id == name],
            by_name,
            networks,
        )
        for name in (wanted or sorted(known))
    }


def is_of_peer(found: ResourceSlice, peer: str) -> bool:
    """Whether a slice is asked of the peer, or given to it."""
    return peer in (found.spec.provider_cluster_id, found.metadata.labels.get(labels.ORIGIN_ID))


def report_peer(
    found: ForeignCluster,
    slices: list[ResourceSlice],
    virtual: list[VirtualNode],
    nodes: dict[str, Node],
    networks: NetworkObjects = NO_NETWORK,
) -> dict[str, Any]:
    """One peer in detail."""
    modules, server = found.status.modules, server_conditions(found)
    network = report_peer_network(networks, found.spec.cluster_id or found.metadata.name)
    return {
        "role": found.status.role,
        "authentication": {
            "status": judge(modules.authentication, server),
            "alerts": alerts([*server, *modules.authentication.conditions]),
            "apiServerAddr": found.status.api_server_url,
            "resourceSlices": [report_slice(each) for each in slices],
        },
        "network": {
            "status": judge(modules.networking) if modules.networking.enabled else judge_tunnel(network),
            "alerts": alerts(modules.networking.conditions),
            **network,
        },
        "offloading": {
            "status": judge(modules.offloading),
            "alerts": alerts(modules.offloading.conditions),
            "virtualNodes": [
                _report_virtual_node(each, nodes.get(each.metadata.name), slices) for each in virtual
            ],
        },
    }


def report_slice(found: ResourceSlice) -> dict[str, Any]:
    """One slice, with what is against it."""
    conditions = {condition.type: condition for condition in found.status.conditions}
    accepted = all(
        kind in conditions and conditions[kind].status == "Accepted"
        for kind in ("Authentication", "Resources")
    )
    consumed = labels.REPLICATED not in found.metadata.labels
    return {
        "name": found.metadata.name,
        "action": "Consuming" if consumed else "Providing",
        "accepted": accepted,
        "alert": "; ".join(
            f"{condition.type} {condition.status}: {condition.reason} {condition.message}".rstrip()
            for condition in conditions.values()
            if condition.status != "Accepted"
        ),
        "resources": found.status.resources or found.spec.resources,
    }


def _report_virtual_node(
    found: VirtualNode, node: Node | None, slices: list[ResourceSlice]
) -> dict[str, Any]:
    secret = found.spec.kubeconfig_secret_ref
    owners = {reference.name for reference in found.metadata.owner_references}
    slice_ = found.metadata.labels.get(labels.RESOURCE_SLICE_NAME, "") or next(
        (each.metadata.name for each in slices if each.metadata.name in owners), ""
    )
    return {
        "name": found.metadata.name,
        "status": _node_status(found, node),
        "secret": secret.name if secret is not None else "",
        "resourceSlice": slice_,
        "resources": found.spec.resource_quota.hard,
    }


def _node_status(found: VirtualNode, node: Node | None) -> str:
    if found.deleting:
        return "Deleting"
    if found.spec.create_node is False:
        return "NoNode"
    if node is None:
        return "Missing"
    ready = next((each for each in node.status.conditions if each.type == "Ready"), None)
    state = "Ready" if ready is not None and ready.status == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if node.spec.unschedulable else state

"""What `info` tells, gathered from the cluster as JSON-ready data.

The keys are part of the interface: scripts take fields by their path (`--get local.clusterid`).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from isthmus.api import labels, names
from isthmus.api.authentication import (
    IDENTITIES,
    RESOURCE_SLICES,
    TENANTS,
    Identity,
    ResourceSlice,
    Tenant,
)
from isthmus.api.core import FOREIGN_CLUSTERS, ForeignCluster
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, VIRTUAL_NODES, VirtualNode
from isthmus.cli import installation
from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.errors import CommandError
from isthmus.cli.identities import certificate_alerts, report_identity, tenant_alerts
from isthmus.cli.network_report import (
    NO_NETWORK,
    NetworkObjects,
    forge_joined,
    judge_tunnel,
    read_network_objects,
    report_own_network,
    report_peer_network,
)
from isthmus.cli.occupancy import (
    Occupancy,
    limits_of,
    read_occupancy,
    refusal_alerts,
    report_used,
    shortage_alert,
    sum_requests,
)
from isthmus.cli.status import alerts, judge, server_conditions, summarize
from isthmus.kube.builtin import NODES, PODS, Node, Pod
from isthmus.offloading.quota.creator import is_cordoned

NO_PODS = Occupancy()


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
        peers, identities, tenants, slices, virtual, nodes = await asyncio.gather(
            client.list(FOREIGN_CLUSTERS),
            client.list(IDENTITIES),
            client.list(TENANTS),
            client.list(RESOURCE_SLICES),
            client.list(VIRTUAL_NODES),
            client.list(NODES, label_selector=f"{labels.NODE_TYPE}={labels.NODE_TYPE_VIRTUAL}"),
        )
        networks = await read_network_objects(cluster)
    # Networks can be joined without a peering, and then nothing else tells of the peer.
    known = {peer: forge_joined(peer) for peer in networks.peers}
    known |= {found.spec.cluster_id or found.metadata.name: found for found in peers.items}
    for name in wanted:
        if name not in known:
            raise CommandError(
                f'{cluster.title} is not peered with "{name}"',
                f"its peers are {', '.join(sorted(known))}" if known else "it has no peers; see isthmus peer",
            )
    shown = [
        PeerFacts(
            found=known[name],
            own_id=cluster.id,
            now=time.time(),
            identities=[each for each in identities.items if each.spec.cluster_id == name],
            tenants=[each for each in tenants.items if each.spec.cluster_id == name],
            slices=[each for each in slices.items if is_of_peer(each, name)],
            virtual=[each for each in virtual.items if each.spec.cluster_id == name],
            nodes={node.metadata.name: node for node in nodes.items},
            networks=networks,
        )
        for name in (wanted or sorted(known))
    ]
    with explained(cluster, "reading the pods abroad"):
        occupancy = await read_occupancy(
            client,
            [one for facts in shown for one in facts.virtual],
            [one for facts in shown for one in facts.slices],
        )
    return {facts.peer: report_peer(facts, occupancy) for facts in shown}


def is_of_peer(found: ResourceSlice, peer: str) -> bool:
    """Whether a slice is asked of the peer, or given to it."""
    return peer in (found.spec.provider_cluster_id, found.metadata.labels.get(labels.ORIGIN_ID))


class PeerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of one peer; `now` in seconds since the epoch."""

    found: ForeignCluster
    own_id: str = ""
    now: float = 0.0
    identities: list[Identity] = []
    tenants: list[Tenant] = []
    slices: list[ResourceSlice] = []
    virtual: list[VirtualNode] = []
    nodes: dict[str, Node] = {}
    networks: NetworkObjects = NO_NETWORK

    @property
    def peer(self) -> str:
        """Its id."""
        return self.found.spec.cluster_id or self.found.metadata.name


def report_peer(facts: PeerFacts, occupancy: Occupancy = NO_PODS) -> dict[str, Any]:
    """One peer in detail."""
    found, own = facts.found, facts.own_id
    modules = found.status.modules
    network = report_peer_network(facts.networks, facts.peer)
    return {
        "role": found.status.role,
        "authentication": _report_authentication(facts, occupancy),
        "network": {
            "status": judge(modules.networking) if modules.networking.enabled else judge_tunnel(network),
            "alerts": alerts(modules.networking.conditions, found, own),
            **network,
        },
        "offloading": _report_offloading(facts, occupancy),
    }


def _report_authentication(facts: PeerFacts, occupancy: Occupancy) -> dict[str, Any]:
    found, own = facts.found, facts.own_id
    module, server = found.status.modules.authentication, server_conditions(found)
    return {
        "status": judge(module, server),
        "alerts": alerts([*server, *module.conditions], found, own)
        + certificate_alerts(facts.identities, found, own, facts.now)
        + tenant_alerts(facts.tenants, facts.peer),
        "apiServerAddr": found.status.api_server_url,
        "identities": [report_identity(each, facts.now) for each in facts.identities],
        "tenant": facts.tenants[0].spec.tenant_condition if facts.tenants else "",
        "resourceSlices": [report_slice(each, occupancy) for each in facts.slices],
    }


def _report_offloading(facts: PeerFacts, occupancy: Occupancy) -> dict[str, Any]:
    module = facts.found.status.modules.offloading
    told = alerts(module.conditions, facts.found, facts.own_id)
    reported = []
    for each in facts.virtual:
        node = facts.nodes.get(each.metadata.name)
        slice_ = find_slice(each, facts.slices)
        pods = occupancy.pods.get(each.metadata.name, [])
        hard, used = each.spec.resource_quota.hard, sum_requests(pods)
        reported.append(_report_virtual_node(each, node, slice_) | {"used": report_used(used, hard)})
        name = each.metadata.name
        if message := describe_unready(node):
            told.append(f"virtual node {name} is not ready: {message}")
        told += refusal_alerts(name, facts.peer, slice_, pods, facts.own_id)
        if short := shortage_alert(name, facts.peer, slice_, limits_of(hard), used, occupancy.unscheduled):
            told.append(short)
    return {"status": judge(module), "alerts": told, "virtualNodes": reported}


def report_slice(found: ResourceSlice, occupancy: Occupancy = NO_PODS) -> dict[str, Any]:
    """One slice, with what is against it."""
    conditions = {condition.type: condition for condition in found.status.conditions}
    accepted = all(
        kind in conditions and conditions[kind].status == "Accepted"
        for kind in ("Authentication", "Resources")
    )
    consumed = labels.REPLICATED not in found.metadata.labels
    resources = found.status.resources or found.spec.resources
    user = names.resource_slice_user(found.metadata.name, found.spec.consumer_cluster_id)
    return {
        "name": found.metadata.name,
        "action": "Consuming" if consumed else "Providing",
        "accepted": accepted,
        "alert": "; ".join(
            f"{condition.type} {condition.status}: {condition.reason} {condition.message}".rstrip()
            for condition in conditions.values()
            if condition.status != "Accepted"
        ),
        "resources": resources,
        "used": {} if consumed else report_used(occupancy.provided.get(user, {}), resources),
        "cordoned": not consumed and is_cordoned(found.metadata.annotations),
    }


def find_slice(found: VirtualNode, slices: list[ResourceSlice]) -> str:
    """The slice that a virtual node stands for, "" where there is none."""
    owners = {reference.name for reference in found.metadata.owner_references}
    return found.metadata.labels.get(labels.RESOURCE_SLICE_NAME, "") or next(
        (each.metadata.name for each in slices if each.metadata.name in owners), ""
    )


def _report_virtual_node(found: VirtualNode, node: Node | None, slice_: str) -> dict[str, Any]:
    secret = found.spec.kubeconfig_secret_ref
    return {
        "name": found.metadata.name,
        "status": _node_status(found, node),
        "secret": secret.name if secret is not None else "",
        "resourceSlice": slice_,
        "resources": found.spec.resource_quota.hard,
    }


def describe_unready(node: Node | None) -> str:
    """Why a virtual node is not ready, "" where it is, or where there is none."""
    for condition in node.status.conditions if node is not None else []:
        if condition.type == "Ready" and condition.status != "True":
            return condition.message or condition.reason or "it does not say why"
    return ""


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

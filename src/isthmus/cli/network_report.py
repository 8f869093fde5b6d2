"""The part of `info` about pod networks, as JSON-ready data, and how it is shown to people.

The keys are part of the interface, as those of `report` are. A cluster without the networking module has none of the
objects, or does not even serve their kinds: both are told as "not installed".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.api import labels
from isthmus.api.core import ForeignCluster, ForeignClusterSpec
from isthmus.api.ipam import NETWORKS, Network
from isthmus.api.networking import (
    CONFIGURATIONS,
    CONNECTIONS,
    GATEWAY_CLIENTS,
    GATEWAY_SERVERS,
    WG_GATEWAY_CLIENT_TEMPLATES,
    WG_GATEWAY_SERVER_TEMPLATES,
    Cidrs,
    Configuration,
    Connection,
    Endpoint,
    GatewayClient,
    GatewayServer,
)
from isthmus.cli.cluster import Cluster
from isthmus.cli.tables import render_fields
from isthmus.kube.errors import NotFound
from isthmus.kube.objects import Object, ObjectMeta
from isthmus.kube.resource import Resource
from isthmus.network.ipam.installation import EXTERNAL, INTERNAL, POD, SERVICE


@dataclass(frozen=True, slots=True)
class NetworkObjects:
    """Everything about the networks towards peers that there is in a cluster."""

    configurations: Sequence[Configuration] = ()
    servers: Sequence[GatewayServer] = ()
    clients: Sequence[GatewayClient] = ()
    connections: Sequence[Connection] = ()

    @property
    def peers(self) -> set[str]:
        """The ids of the clusters they are about."""
        found = (*self.configurations, *self.servers, *self.clients)
        return {one.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "") for one in found} - {""}


NO_NETWORK = NetworkObjects()


async def read_network_objects(cluster: Cluster) -> NetworkObjects:
    """Read them all, none where the kinds are not served. Raises KubeError."""
    configurations, servers, clients, connections = await asyncio.gather(
        _list(cluster, CONFIGURATIONS),
        _list(cluster, GATEWAY_SERVERS),
        _list(cluster, GATEWAY_CLIENTS),
        _list(cluster, CONNECTIONS),
    )
    return NetworkObjects(configurations, servers, clients, connections)


async def report_own_network(cluster: Cluster) -> dict[str, Any]:
    """The cluster's own ranges and gateway templates. Raises KubeError."""
    networks, servers, clients = await asyncio.gather(
        _list(cluster, NETWORKS, cluster.namespace),
        _list(cluster, WG_GATEWAY_SERVER_TEMPLATES.partial()),
        _list(cluster, WG_GATEWAY_CLIENT_TEMPLATES.partial()),
    )
    return describe_own_network(networks, servers, clients)


async def _list(cluster: Cluster, resource: Resource[Any], namespace: str = "") -> list[Any]:
    try:
        return (await cluster.client.list(resource, namespace)).items
    except NotFound:
        return []


def describe_own_network(
    networks: Sequence[Network], servers: Sequence[Object], clients: Sequence[Object]
) -> dict[str, Any]:
    """The cluster's own ranges by what they are for, "" where there is none, and the templates as `namespace/name`."""
    found: dict[str, list[str]] = {}
    for network in sorted(networks, key=lambda one: one.metadata.name):
        kind = network.metadata.labels.get(labels.NETWORK_TYPE, "")
        # Until it is assigned, the wish: a range that stays unassigned shows in the alerts of peers.
        found.setdefault(kind, []).append(network.status.cidr or f"{network.spec.cidr} (not assigned)")
    return {
        "enabled": POD in found and EXTERNAL in found,
        "podCIDRs": found.get(POD, []),
        "serviceCIDR": ", ".join(found.get(SERVICE, [])),
        "externalCIDR": ", ".join(found.get(EXTERNAL, [])),
        "internalCIDR": ", ".join(found.get(INTERNAL, [])),
        "gatewayTemplates": {
            "server": [str(one.key) for one in servers],
            "client": [str(one.key) for one in clients],
        },
    }


def report_peer_network(objects: NetworkObjects, peer: str) -> dict[str, Any]:
    """Ranges, gateway and tunnel towards one peer; empty values where there is nothing of the kind."""

    def first(found: Sequence[Any]) -> Any:
        return next((one for one in found if one.metadata.labels.get(labels.REMOTE_CLUSTER_ID) == peer), None)

    configuration: Configuration | None = first(objects.configurations)
    connection: Connection | None = first(objects.connections)
    gateway = _describe_gateway(first(objects.servers), first(objects.clients))
    latency = connection.status.latency if connection is not None else None
    return {
        "cidrs": _describe_ranges(configuration),
        "gateway": gateway,
        "connection": {
            "status": (connection.status.value or "Connecting") if connection is not None else "",
            "latency": latency.value if latency is not None else "",
        },
        "advice": advise(peer, configuration, gateway, connection),
    }


def judge_tunnel(network: dict[str, Any]) -> str:
    """The state of the network towards a peer by its own objects, in the words of `status.judge`."""
    if not network["cidrs"] and not network["gateway"]:
        return "Disabled"
    state = network["connection"]["status"]
    return {"Connected": "Healthy", "Error": "Unhealthy"}.get(state, "Pending")


def forge_joined(peer: str) -> ForeignCluster:
    """What stands in for the ForeignCluster of a peer whose network is joined and that is not peered."""
    return ForeignCluster(metadata=ObjectMeta(name=peer), spec=ForeignClusterSpec(cluster_id=peer))


def _describe_ranges(configuration: Configuration | None) -> dict[str, Any]:
    if configuration is None:
        return {}
    spec, status = configuration.spec, configuration.status
    return {
        "local": _ranges(spec.local.cidr if spec.local is not None else Cidrs()),
        "remote": _ranges(spec.remote.cidr),
        "remapped": _ranges(status.remote.cidr),
    }


def _ranges(cidrs: Cidrs) -> dict[str, list[str]]:
    return {"pod": list(cidrs.pod), "external": list(cidrs.external)}


def _describe_gateway(server: GatewayServer | None, client: GatewayClient | None) -> dict[str, Any]:
    """Where the tunnel's server is: told by it, or used by the client."""
    if server is None and client is None:
        return {}
    endpoint = (
        server.status.endpoint if server is not None else client and client.spec.endpoint
    ) or Endpoint()
    return {
        "role": "Server" if server is not None else "Client",
        "address": list(endpoint.addresses),
        "port": endpoint.port or (endpoint.ports[0] if endpoint.ports else None),
        "protocol": endpoint.protocol or "UDP",
        "serviceType": server.spec.endpoint.service_type if server is not None else "",
        "mtu": server.spec.mtu if server is not None else client.spec.mtu if client is not None else 0,
    }


def advise(
    peer: str,
    configuration: Configuration | None,
    gateway: dict[str, Any],
    connection: Connection | None,
) -> str:
    """What to do where the tunnel does not stand, "" where it does or is not wanted."""
    if configuration is None and not gateway:
        return ""
    if configuration is None:
        return f"there is no Configuration for {peer}: run isthmus network connect"
    if not gateway:
        return f"there is no gateway for {peer}: run isthmus network connect"
    where = f"{', '.join(gateway['address'])}:{gateway['port']}/{gateway['protocol']}"
    if gateway["role"] == "Server" and not gateway["address"]:
        return (
            f"the gateway server has no address (type {gateway['serviceType']}): look at its Service and pods, or "
            "run isthmus network connect with another --gw-server-service-type"
        )
    if connection is None:
        return f"the gateway has not begun to connect: look at its pods, and run isthmus network connect with {peer}"
    if connection.status.value == "Connected":
        return ""
    if gateway["role"] == "Server":
        return (
            f"{peer}'s gateway does not reach {where}: open the port there, and look at the gateway of {peer}"
        )
    return (
        f"{peer}'s gateway at {where} does not answer: open the port there, or run isthmus network connect with "
        "--gw-client-address"
    )


def render_own_network(network: dict[str, Any]) -> str:
    """The section of the installation's page."""
    if not network["enabled"]:
        return "\nNetwork\n  the networking module is not installed\n"
    templates = network["gatewayTemplates"]
    return "\nNetwork\n" + render_fields(
        {
            "Pod CIDRs": network["podCIDRs"],
            "Service CIDR": network["serviceCIDR"],
            "External CIDR": network["externalCIDR"],
            "Internal CIDR": network["internalCIDR"],
            "Templates": [*templates["server"], *templates["client"]],
        },
        indent="  ",
    )


def render_peer_network(network: dict[str, Any]) -> str:
    """The details of a peer's page, below its status."""
    cidrs, gateway, connection = network["cidrs"], network["gateway"], network["connection"]
    fields: dict[str, Any] = {}
    if gateway:
        address = ", ".join(gateway["address"]) or "no address"
        fields["Gateway"] = (
            f"{gateway['role']}, {address}:{gateway['port']}/{gateway['protocol']}, MTU {gateway['mtu']}"
        )
        fields["Tunnel"] = (connection["status"] or "no Connection yet") + (
            f", {connection['latency']} there and back" if connection["latency"] else ""
        )
    for title, kind in (("Pods", "pod"), ("External", "external")):
        if cidrs:
            fields[f"{title} of the peer"] = _render_seen(cidrs["remote"][kind], cidrs["remapped"][kind])
            fields[f"{title} of this cluster"] = cidrs["local"][kind]
    advice = network["advice"]
    return render_fields(fields, indent="    ") + (f"    ! {advice}\n" if advice else "")


def _render_seen(real: list[str], seen: list[str]) -> str:
    if len(real) != len(seen):
        return ", ".join(f"{one} (not assigned yet)" for one in real)
    return ", ".join(
        one if one == other else f"{one} (seen as {other})" for one, other in zip(real, seen, strict=True)
    )

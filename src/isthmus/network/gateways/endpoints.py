"""Where a gateway is reached: from the peer, by its Service's type, and inside the cluster (wire.md 10). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.networking import Endpoint, InternalEndpoint
from isthmus.kube.builtin import Node
from isthmus.network.gateways.objects import GatewayPod, GatewayService, ServicePort

_ADDRESS_TYPES = ("ExternalIP", "ExternalDNS", "InternalIP", "InternalDNS", "Hostname")
"""Which address of a node a peer is told, the best first."""


def active_pod(pods: Iterable[GatewayPod]) -> GatewayPod | None:
    """The pod of a gateway that carries its traffic: the one that runs and has the active label.

    Where an old and a new one have it for a moment, the new one.
    """
    candidates = [
        pod
        for pod in pods
        if pod.status.phase == "Running"
        # IPv4 only, as all of Liqo's networking.
        and pod.status.pod_ip
        and ":" not in pod.status.pod_ip
        and not pod.deleting
        and pod.metadata.labels.get(labels.ACTIVE_GATEWAY) == labels.TRUE
    ]
    return max(
        candidates, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.name), default=None
    )


def internal_endpoint(pod: GatewayPod | None) -> InternalEndpoint | None:
    """Where the active pod is reached inside the cluster."""
    if pod is None:
        return None
    return InternalEndpoint(ip=pod.status.pod_ip, node=pod.spec.node_name)


def server_endpoint(
    service: GatewayService | None, node: Node | None, current: Endpoint | None
) -> Endpoint | None:
    """Where peers reach a gateway server; None while that is not known.

    `node` is the active pod's. While a gateway behind a NodePort has no active pod, what was told last stays.
    """
    if service is None or not service.spec.ports:
        return None
    ports = service.spec.ports
    if service.spec.type == "NodePort":
        numbers = [port.node_port for port in ports]
        if not all(numbers):
            return None
        found = _node_address(node)
        if not found:
            return current if current is not None and _port_list(current) == numbers else None
        return _endpoint([found], numbers, ports)
    numbers = [port.port for port in ports]
    if service.spec.type == "LoadBalancer":
        ingress = service.status.load_balancer.ingress
        return _endpoint([one.ip or one.hostname for one in ingress], numbers, ports)
    if service.spec.type == "ClusterIP":
        return _endpoint(service.spec.cluster_ips, numbers, ports)
    return None


def _endpoint(addresses: list[str], numbers: list[int], ports: list[ServicePort]) -> Endpoint | None:
    known = [address for address in addresses if address and address != "None"]
    if not known:
        return None
    protocol = ports[0].protocol
    if len(numbers) == 1:
        return Endpoint(addresses=known, port=numbers[0], protocol=protocol)
    return Endpoint(addresses=known, ports=numbers, protocol=protocol)


def _port_list(endpoint: Endpoint) -> list[int]:
    return endpoint.ports or ([endpoint.port] if endpoint.port is not None else [])


def _node_address(node: Node | None) -> str:
    if node is None:
        return ""
    for type_ in _ADDRESS_TYPES:
        for address in node.status.addresses:
            if address.type == type_ and address.address:
                return address.address
    return ""

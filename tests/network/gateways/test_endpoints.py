"""Where a gateway is reached, by the type of its Service."""

from __future__ import annotations

import pytest

from isthmus.api.networking import Endpoint
from isthmus.kube.builtin import Node, NodeAddress, NodeStatus
from isthmus.kube.objects import ObjectMeta
from isthmus.network.gateways.endpoints import active_pod, server_endpoint
from isthmus.network.gateways.objects import (
    GatewayPod,
    GatewayService,
    Ingress,
    LoadBalancer,
    PodStatus,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)


def service(
    type_: str, *ingress: Ingress, cluster_ips: tuple[str, ...] = ("10.96.0.7",), ports: int = 1
) -> GatewayService:
    listed = [ServicePort(protocol="UDP", port=51840 + i, node_port=30000 + i) for i in range(ports)]
    return GatewayService(
        spec=ServiceSpec(type=type_, cluster_ips=list(cluster_ips), ports=listed),
        status=ServiceStatus(load_balancer=LoadBalancer(ingress=list(ingress))),
    )


def node(*addresses: tuple[str, str]) -> Node:
    return Node(
        status=NodeStatus(addresses=[NodeAddress(type=type_, address=text) for type_, text in addresses])
    )


def pod(
    name: str, created: str, *, phase: str = "Running", ip: str = "10.244.0.1", active: str = "true"
) -> GatewayPod:
    metadata = ObjectMeta(name=name, creation_timestamp=created, labels={"networking.liqo.io/active": active})
    return GatewayPod(metadata=metadata, status=PodStatus(phase=phase, pod_ip=ip))


def test_a_cluster_ip_is_told_with_its_port() -> None:
    assert server_endpoint(service("ClusterIP"), None, None) == Endpoint(
        addresses=["10.96.0.7"], port=51840, protocol="UDP"
    )
    assert server_endpoint(service("ClusterIP", cluster_ips=("None",)), None, None) is None


def test_a_load_balancer_is_told_by_addresses_and_names() -> None:
    found = server_endpoint(
        service("LoadBalancer", Ingress(ip="203.0.113.9"), Ingress(hostname="lb.example")), None, None
    )
    assert found == Endpoint(addresses=["203.0.113.9", "lb.example"], port=51840, protocol="UDP")
    assert server_endpoint(service("LoadBalancer"), None, found) is None


@pytest.mark.parametrize(
    ("addresses", "best"),
    [
        ([("InternalIP", "192.0.2.1"), ("ExternalIP", "203.0.113.1")], "203.0.113.1"),
        ([("Hostname", "worker"), ("InternalIP", "192.0.2.1")], "192.0.2.1"),
        ([("Hostname", "worker")], "worker"),
    ],
)
def test_a_node_port_is_told_with_the_best_address_of_the_node(
    addresses: list[tuple[str, str]], best: str
) -> None:
    found = server_endpoint(service("NodePort"), node(*addresses), None)
    assert found == Endpoint(addresses=[best], port=30000, protocol="UDP")


def test_without_an_active_pod_a_node_port_keeps_what_was_told_unless_the_port_changed() -> None:
    told = Endpoint(addresses=["192.0.2.1"], port=30000, protocol="UDP")
    assert server_endpoint(service("NodePort"), None, told) == told
    assert server_endpoint(service("NodePort"), None, Endpoint(addresses=["192.0.2.1"], port=30001)) is None
    assert server_endpoint(service("NodePort"), None, None) is None


def test_several_ports_are_told_as_a_list() -> None:
    found = server_endpoint(service("ClusterIP", ports=2), None, None)
    assert found == Endpoint(addresses=["10.96.0.7"], ports=[51840, 51841], protocol="UDP")


def test_the_active_pod_runs_and_is_labelled_and_of_two_the_newer() -> None:
    old, new = pod("a", "2026-01-01T00:00:00Z"), pod("b", "2026-01-02T00:00:00Z")
    later = "2026-01-03T00:00:00Z"
    others = [
        pod("c", later, phase="Pending"),
        pod("d", later, ip=""),
        pod("f", later, ip="fd00::7"),
        pod("e", later, active="false"),
    ]
    assert active_pod([*others, old, new]) is new
    assert active_pod(others) is None

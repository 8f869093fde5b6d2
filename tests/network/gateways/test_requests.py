"""Which gateways can be had: each fault names the field, its value and the mend."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isthmus.api.networking import (
    Endpoint,
    GatewayClient,
    GatewayClientSpec,
    GatewayServer,
    GatewayServerSpec,
    ObjectReference,
    ServerEndpoint,
)
from isthmus.kube.objects import Object, ObjectMeta
from isthmus.network.gateways.objects import SERVER
from isthmus.network.gateways.requests import (
    RequestError,
    check_request,
    check_template_kind,
    find_rival,
    plan_status,
)


def meta(
    name: str = "milan", peer: str = "milan", created: str = "2026-01-01T00:00:00Z", uid: str = ""
) -> ObjectMeta:
    labels = {"liqo.io/remote-cluster-id": peer} if peer else {}
    return ObjectMeta(name=name, namespace="ns", uid=uid or name, labels=labels, creation_timestamp=created)


NAMESPACE = Object(
    metadata=ObjectMeta(
        name="ns", labels={"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": "milan"}
    )
)


def server(mtu: int = 1340, **endpoint: Any) -> GatewayServer:
    spec = GatewayServerSpec(mtu=mtu, endpoint=ServerEndpoint(**{"port": 51840, **endpoint}))
    return GatewayServer(metadata=meta(), spec=spec)


def client(**endpoint: Any) -> GatewayClient:
    spec = GatewayClientSpec(endpoint=Endpoint(**{"addresses": ["192.0.2.1"], "port": 51840, **endpoint}))
    return GatewayClient(metadata=meta(), spec=spec)


@pytest.mark.parametrize(
    "gateway",
    [
        server(),
        server(mtu=0),
        server(service_type="NodePort", node_port=30000),
        server(port=None, ports=[1, 2]),
        client(),
        client(addresses=["gateway.example.com", "192.0.2.1"]),
        client(protocol="UDP"),
    ],
)
def test_what_can_be_had_is_let_through(gateway: GatewayServer | GatewayClient) -> None:
    check_request(gateway, NAMESPACE)


@pytest.mark.parametrize(
    ("gateway", "fault"),
    [
        (GatewayServer(metadata=meta(peer="")), "remote-cluster-id: '' is not the id of a cluster"),
        (GatewayServer(metadata=meta(peer="Milan_1")), "'Milan_1' is not the id of a cluster"),
        (server(mtu=100), "spec.mtu: 100 cannot work; use 576 to 65000"),
        (server(mtu=-1), "spec.mtu: -1 cannot work"),
        (server(mtu=70000), "spec.mtu: 70000 cannot work"),
        (server(port=0), "spec.endpoint.port: 0 is not a valid port"),
        (server(port=65536), "spec.endpoint.port: 65536 is not a valid port"),
        (server(port=None), "spec.endpoint.port: there is none"),
        (server(node_port=70000), "spec.endpoint.nodePort: 70000 is not a valid port"),
        (server(service_type="ExternalName"), "serviceType: ExternalName exposes nothing; use LoadBalancer"),
        (client(addresses=[]), "spec.endpoint.addresses: there is none; give the address"),
        (client(addresses=["a b"]), "'a b' is neither"),
        (client(addresses=["192.0.2.1\nPrivateKey=x"]), "is neither an IPv4 address nor a host name"),
        (client(addresses=["-x"]), "'-x' is neither"),
        (client(protocol="TCP"), "spec.endpoint.protocol: TCP cannot be used; WireGuard needs UDP"),
    ],
)
def test_what_cannot_be_had_is_refused_by_field(gateway: GatewayServer | GatewayClient, fault: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_request(gateway, NAMESPACE)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "namespace",
    [
        None,
        Object(),
        Object(
            metadata=ObjectMeta(labels={**NAMESPACE.metadata.labels, "liqo.io/remote-cluster-id": "paris"})
        ),
    ],
)
def test_a_gateway_must_be_in_a_tenant_namespace_of_its_peer(namespace: Object | None) -> None:
    with pytest.raises(
        RequestError, match="ns is not a tenant namespace of milan: move the GatewayServer to liqo-tenant"
    ):
        check_request(server(), namespace)


def test_templates_of_other_kinds_are_refused() -> None:
    check_template_kind(SERVER, ObjectReference(name="mine"))
    with pytest.raises(RequestError, match="there is none; name a WgGatewayServerTemplate"):
        check_template_kind(SERVER, ObjectReference())
    with pytest.raises(RequestError, match="MyTemplate is not supported"):
        check_template_kind(SERVER, ObjectReference(name="mine", kind="MyTemplate"))


def test_of_several_gateways_of_a_peer_the_oldest_counts() -> None:
    old = GatewayServer(metadata=meta("z", created="2026-01-01T00:00:00Z"))
    new = GatewayClient(metadata=meta("a", created="2026-01-02T00:00:00Z"))
    other = GatewayClient(metadata=meta("b", peer="paris", created="2025-01-01T00:00:00Z"))
    everything = [old, new, other]
    assert find_rival(new, everything) is old
    assert find_rival(old, everything) is None
    assert find_rival(other, everything) is None
    going = msgspec.structs.replace(
        old, metadata=msgspec.structs.replace(old.metadata, deletion_timestamp="2026-01-03T00:00:00Z")
    )
    assert find_rival(new, [going, new]) is None


def test_a_name_for_both_sides_at_the_same_second_has_one_winner() -> None:
    one, two = GatewayServer(metadata=meta(uid="1")), GatewayClient(metadata=meta(uid="2"))
    assert [find_rival(gateway, [one, two]) for gateway in (one, two)] == [None, one]


@pytest.mark.parametrize(
    ("current", "wanted", "patch"),
    [
        ({}, {"endpoint": None}, None),
        ({"a": {"x": 1}}, {"a": {"x": 1}}, None),
        ({"a": {"x": 1}}, {"a": None}, {"status": {"a": None}}),
        ({"e": {"port": 1}}, {"e": {"ports": [1, 2]}}, {"status": {"e": {"port": None, "ports": [1, 2]}}}),
    ],
)
def test_a_status_is_patched_to_exactly_what_is_wanted(current: Any, wanted: Any, patch: Any) -> None:
    assert plan_status(current, wanted) == patch

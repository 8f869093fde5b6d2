"""Services: what is copied, what each cluster keeps to itself, and what of a copy is no difference."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert

from isthmus.api import labels
from isthmus.reflection import services
from isthmus.reflection.services import Service
from isthmus.reflection.session import ReflectorOptions
from tests.reflection.support import session

PORT = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"}


def service(namespace: str = "shop", name: str = "web", **fields: Any) -> Service:
    annotations = fields.pop("annotations", {})
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return convert({"metadata": metadata, "spec": fields}, Service)


def forged(local: Service, **settings: Any) -> dict[str, Any]:
    spec: dict[str, Any] = services.plan(session(**settings)).forge(local)["spec"]
    return spec


def test_what_users_wrote_is_copied_and_what_the_cluster_made_is_not() -> None:
    local = service(
        type="ClusterIP",
        selector={"app": "web"},
        ports=[{**PORT, "appProtocol": "http"}],
        clusterIP="10.96.0.7",
        clusterIPs=["10.96.0.7"],
        ipFamilies=["IPv4"],
        ipFamilyPolicy="PreferDualStack",
        sessionAffinity="ClientIP",
        sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}},
        internalTrafficPolicy="Local",
        publishNotReadyAddresses=True,
        externalIPs=["192.0.2.1"],
        healthCheckNodePort=30999,
    )
    assert forged(local) == {
        "type": "ClusterIP",
        "selector": {"app": "web"},
        "ports": [{**PORT, "appProtocol": "http", "nodePort": 0}],
        "ipFamilyPolicy": "PreferDualStack",
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "internalTrafficPolicy": "Local",
        "publishNotReadyAddresses": True,
    }


def test_headless_and_external_names_stay_so() -> None:
    assert forged(service(clusterIP="None", ports=[PORT]))["clusterIP"] == "None"
    external = forged(service(type="ExternalName", externalName="db.example.com"))
    assert external == {"type": "ExternalName", "externalName": "db.example.com", "ports": []}


@pytest.mark.parametrize(
    ("local", "forced", "copied"),
    [(30080, False, None), (30080, True, 30080), (0, False, 0), (0, True, 0)],
)
def test_node_ports(local: int, forced: bool, copied: int | None) -> None:
    annotations = {labels.FORCE_REMOTE_NODE_PORT: "true"} if forced else {}
    ports = [{**PORT, "nodePort": local}]
    [port] = forged(service(type="NodePort", ports=ports, annotations=annotations))["ports"]
    assert port.get("nodePort") == copied


def test_the_class_of_load_balancers_is_the_providers() -> None:
    local = service(type="LoadBalancer", loadBalancerClass="ours", loadBalancerSourceRanges=["192.0.2.0/24"])
    assert "loadBalancerClass" not in forged(local)
    assert forged(local, load_balancer_class="theirs")["loadBalancerClass"] == "theirs"
    assert forged(local)["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert "loadBalancerClass" not in forged(service(), load_balancer_class="theirs")


def test_the_api_server_is_every_clusters_own() -> None:
    takes = services.plan(session()).takes
    assert not takes(service("default", "kubernetes"), ReflectorOptions())
    assert takes(service("default", "web"), ReflectorOptions())
    assert takes(service("shop", "kubernetes"), ReflectorOptions())
    assert not takes(service(annotations={labels.SKIP_REFLECTION: "true"}), ReflectorOptions())
    assert not takes(service(), ReflectorOptions(type="AllowList"))


REMOTE = {
    "type": "NodePort",
    "ports": [{**PORT, "nodePort": 31111}],
    "selector": {"app": "web"},
    "clusterIP": "10.111.0.9",
    "sessionAffinity": "None",
    "internalTrafficPolicy": "Cluster",
    "externalTrafficPolicy": "Cluster",
    "ipFamilyPolicy": "SingleStack",
}
LOCAL = REMOTE | {"ports": [{**PORT, "nodePort": 30080}], "clusterIP": "10.96.0.7"}


@pytest.mark.parametrize(
    ("local", "remote", "same"),
    [
        ({}, {}, True),
        ({"ipFamilyPolicy": None}, {}, True),
        ({}, {"selector": {"app": "other"}}, False),
        ({"selector": {}}, {}, False),
        ({"type": "ClusterIP"}, {}, False),
        ({"clusterIP": "None"}, {}, False),
        ({"externalTrafficPolicy": "Local"}, {}, False),
        ({"loadBalancerSourceRanges": ["192.0.2.0/24"]}, {}, False),
        ({}, {"publishNotReadyAddresses": True}, False),
        ({}, {"ports": []}, False),
        ({"ports": [{**PORT, "targetPort": 8080, "nodePort": 30080}]}, {}, False),
        ({"ports": [{**PORT, "name": "other", "nodePort": 30080}]}, {}, False),
        ({"ports": [{**PORT, "protocol": "UDP", "nodePort": 30080}]}, {}, False),
    ],
)
def test_differences(local: dict[str, Any], remote: dict[str, Any], same: bool) -> None:
    kind = services.plan(session())
    ours = {key: value for key, value in (LOCAL | local).items() if value is not None}
    assert kind.same(service(**ours), service(**(REMOTE | remote))) is same


def test_forced_node_ports_and_ports_in_another_order() -> None:
    kind = services.plan(session())
    other = {**PORT, "name": "tls", "port": 443}
    local = service(ports=[PORT, other])
    assert kind.same(local, service(ports=[other, PORT]))
    annotations = {labels.FORCE_REMOTE_NODE_PORT: "true"}
    forced = service(**LOCAL, annotations=annotations)
    assert not kind.same(forced, service(**REMOTE))
    assert kind.same(forced, service(**(REMOTE | {"ports": LOCAL["ports"]})))
    assert not kind.same(service(ports=[PORT]), service(ports=[{**PORT, "nodePort": 31111}]))


def test_what_never_changes_is_made_anew() -> None:
    kind = services.plan(session(load_balancer_class="b"))
    headless = service(clusterIP="None")
    assert kind.immovable(headless, service(clusterIP="10.111.0.9"))
    assert kind.immovable(service(clusterIP="10.96.0.7"), headless)
    assert not kind.immovable(headless, service(type="ExternalName"))
    balanced = service(type="LoadBalancer", loadBalancerClass="a")
    assert kind.immovable(balanced, balanced)
    assert not kind.immovable(balanced, service(clusterIP="10.111.0.9"))

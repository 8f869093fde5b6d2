"""Where a pod finds its home's API server: not made before that is known, and at the address this cluster sees."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, json

from isthmus.api import labels
from isthmus.api.cidr import parse_cidr
from isthmus.api.peer_ranges import PeerRanges
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading import shadowpod
from isthmus.offloading.shadowpod.host_aliases import map_host_aliases, names_api_server
from tests.apiserver import ApiServer, Json, running

HOME = {"ip": "10.70.0.5", "hostnames": ["kubernetes.default", "kubernetes.default.svc"]}
OTHER = {"ip": "10.70.0.5", "hostnames": ["printer"]}
RANGES = PeerRanges(
    pods=((parse_cidr("10.244.0.0/16"), parse_cidr("10.71.0.0/16")),),
    external=((parse_cidr("10.70.0.0/16"), parse_cidr("10.90.0.0/16")),),
)


def setup(manager: Manager, options: Options) -> None:
    shadowpod.setup(
        manager,
        Options(cluster_id="milan", modules=frozenset({"authentication", "networking", "offloading"})),
    )


def shadow(name: str, *aliases: Json) -> Json:
    return {
        "metadata": {"name": name, "namespace": "demo-rome", "labels": {labels.ORIGIN: "rome"}},
        "spec": {"pod": {"containers": [{"name": "c", "image": "i"}], "hostAliases": list(aliases)}},
    }


def configuration(**status: Any) -> Json:
    return {
        "metadata": {
            "name": "rome",
            "namespace": "liqo-tenant-rome",
            "labels": {labels.REMOTE_CLUSTER_ID: "rome"},
        },
        "spec": {"remote": {"cidr": {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}}},
        "status": status,
    }


def with_consumer() -> ApiServer:
    api = ApiServer()
    marks = {labels.TENANT_NAMESPACE: "true", labels.REMOTE_CLUSTER_ID: "rome"}
    api.create("namespaces", {"metadata": {"name": "liqo-tenant-rome", "labels": marks}})
    return api


def aliases_of(api: ApiServer, name: str) -> Any:
    found = api.get("pods", "demo-rome", name)
    return found["spec"]["hostAliases"] if found else None


async def test_pod_waits_for_the_network_and_then_gets_the_address_this_cluster_sees() -> None:
    api = with_consumer()
    api.create("shadowpods", shadow("web", HOME, OTHER))
    async with running(api, setup):
        told = await api.until(lambda: api.events("FailedCreatePod"))
        assert "rome" in told[0]
        assert "no Configuration" in told[0]
        assert api.named("pods") == set()
        api.create("configurations", configuration())
        seen = {"remote": {"cidr": {"pod": ["10.71.0.0/16"], "external": ["10.90.0.0/16"]}}}
        api.merge("configurations", "liqo-tenant-rome", "rome", {"status": seen})
        mapped = {**HOME, "ip": "10.90.0.5"}
        assert await api.until(lambda: aliases_of(api, "web")) == [mapped, OTHER]


async def test_pod_that_names_no_api_server_waits_for_nothing() -> None:
    api = with_consumer()
    api.create("shadowpods", shadow("web", OTHER))
    async with running(api, setup):
        assert await api.until(lambda: aliases_of(api, "web")) == [OTHER]


async def test_without_networking_aliases_pass_as_they_are() -> None:
    api = ApiServer()
    api.create("shadowpods", shadow("web", HOME))
    async with running(api, shadowpod.setup):
        assert await api.until(lambda: aliases_of(api, "web")) == [HOME]


def test_an_address_that_is_not_the_peers_is_left() -> None:
    alias = {"ip": "203.0.113.7", "hostnames": ["kubernetes.default"]}
    spec = Raw(json.encode({"hostAliases": [alias], "future": 1}))
    assert map_host_aliases(spec, RANGES) == {"hostAliases": [alias], "future": 1}


def test_malformed_aliases_are_left_to_the_api_server() -> None:
    assert not names_api_server(Raw(b'{"hostAliases": "kubernetes.default"}'))
    assert not names_api_server(Raw(b'{"hostAliases": [{"hostnames": ["x.kubernetes.default.example"]}]}'))
    assert names_api_server(Raw(b'{"hostAliases": [{"hostnames": ["kubernetes.default"]}]}'))

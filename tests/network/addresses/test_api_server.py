"""The IPs of the API server and of its proxy, against an API server: what peers find there."""

from __future__ import annotations

from typing import Any

from isthmus.api import labels
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.network import ipam
from isthmus.network.addresses import setup
from isthmus.network.ipam import InstalledRanges, forge_networks
from tests.apiserver import ApiServer, Json, running

RANGES = InstalledRanges(pod_cidrs=["10.244.0.0/16"], service_cidr="10.96.0.0/12")
PREINSTALLED = {labels.PREINSTALLED: "true"}


def with_proxy(manager: Manager, options: Options) -> None:
    setup(manager, Options(cluster_id="rome", proxy_port=8118))


def through_slices(manager: Manager, options: Options) -> None:
    setup(manager, Options(cluster_id="rome", api_server_through_endpoint_slices=True))


def installed(proxy: str = "10.96.7.7") -> ApiServer:
    api = ApiServer()
    for manifest in forge_networks(RANGES, "liqo"):
        api.create("networks", manifest)
    api.create("services", service("kubernetes", "default", "10.96.0.1"))
    if proxy:
        api.create("services", service("liqo-proxy", "liqo", proxy))
    return api


def service(name: str, namespace: str, address: str) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "clusterIPs": [address]},
    }


def slice_of(*addresses: str) -> Json:
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {labels.SERVICE_NAME: "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": list(addresses), "conditions": {"ready": True}}],
    }


def host_of(api: ApiServer, name: str) -> Any:
    found = api.get("ips", "liqo", name)
    return found["spec"]["ip"] if found else None


def seen(api: ApiServer, name: str) -> bool:
    found = api.get("ips", "liqo", name)
    return bool(found and found.get("status", {}).get("ip"))


async def test_both_get_an_address_for_peers_and_what_liqoctl_finds_them_by() -> None:
    api = installed()
    async with running(api, ipam.setup, with_proxy):
        await api.until(lambda: seen(api, "api-server") and seen(api, "api-server-proxy"))
    for name, host in (("api-server", "10.96.0.1"), ("api-server-proxy", "10.96.7.7")):
        found = api.get("ips", "liqo", name)
        assert found is not None
        assert found["spec"] == {"ip": host}
        assert found["metadata"]["labels"][labels.IP_TYPE] == name
        assert found["metadata"]["annotations"] == PREINSTALLED
        assert "finalizers" not in found["metadata"], "it goes with the installation"
        assert found["status"]["ip"].startswith("10.70.")


async def test_without_the_proxy_an_ip_of_it_that_is_left_over_goes() -> None:
    api = installed()
    left = {
        "name": "api-server-proxy",
        "namespace": "liqo",
        "labels": {labels.IP_TYPE: "api-server-proxy"},
        "annotations": dict(PREINSTALLED),
    }
    api.create("ips", {"metadata": left, "spec": {"ip": "10.96.7.7"}})
    async with running(api, setup):
        await api.until(lambda: api.named("ips") == {"api-server"})


async def test_a_service_that_was_made_anew_has_its_ip_made_anew() -> None:
    api = installed()
    async with running(api, with_proxy):
        await api.until(lambda: host_of(api, "api-server-proxy"))
    api.delete("services", "liqo", "liqo-proxy")
    api.create("services", service("liqo-proxy", "liqo", "10.96.9.9"))
    async with running(api, with_proxy):
        await api.until(lambda: host_of(api, "api-server-proxy") == "10.96.9.9")


async def test_a_proxy_whose_service_cannot_be_found_keeps_its_ip() -> None:
    api = installed()
    async with running(api, with_proxy):
        await api.until(lambda: len(api.named("ips")) == 2)
        api.delete("services", "liqo", "liqo-proxy")
        api.delete("ips", "liqo", "api-server")
        await api.until(lambda: host_of(api, "api-server"))
    assert host_of(api, "api-server-proxy") == "10.96.7.7"


async def test_a_deleted_ip_comes_back_and_lost_labels_too() -> None:
    api = installed()
    async with running(api, with_proxy):
        await api.until(lambda: len(api.named("ips")) == 2)
        api.delete("ips", "liqo", "api-server-proxy")
        await api.until(lambda: host_of(api, "api-server-proxy"))
        api.merge("ips", "liqo", "api-server", {"metadata": {"labels": {labels.MANAGED: None}}})
        await api.until(
            lambda: api.objects["ips", "liqo", "api-server"]["metadata"]["labels"].get(labels.MANAGED)
        )


async def test_an_ip_of_the_name_that_somebody_else_made_stays_and_is_said_to_be_in_the_way() -> None:
    api = installed()
    api.create("ips", {"metadata": {"name": "api-server", "namespace": "liqo"}, "spec": {"ip": "10.1.1.1"}})
    async with running(api, with_proxy):
        await api.until(lambda: host_of(api, "api-server-proxy") and api.events("NameTaken"))
    assert host_of(api, "api-server") == "10.1.1.1"


async def test_the_api_servers_own_addresses_follow_its_machines() -> None:
    api = installed(proxy="")
    api.create("endpointslices", slice_of("172.18.0.2", "172.18.0.3"))
    async with running(api, through_slices):
        await api.until(lambda: api.named("ips") == {"kubernetes-172-18-0-2", "kubernetes-172-18-0-3"})
        found = api.get("ips", "liqo", "kubernetes-172-18-0-2")
        assert found is not None
        assert found["spec"] == {"ip": "172.18.0.2", "masquerade": True}
        assert found["metadata"]["labels"][labels.IP_TYPE] == "api-server"
        assert found["metadata"]["labels"]["ipam.liqo.io/endpointslice"] == "kubernetes"
        api.merge("endpointslices", "default", "kubernetes", {"endpoints": [{"addresses": ["172.18.0.3"]}]})
        await api.until(lambda: api.named("ips") == {"kubernetes-172-18-0-3"})


async def test_other_ips_are_left_alone() -> None:
    api = installed()
    api.create("ips", {"metadata": {"name": "printer", "namespace": "liqo"}, "spec": {"ip": "192.168.9.9"}})
    async with running(api, with_proxy):
        await api.until(lambda: len(api.named("ips")) == 3)
    assert host_of(api, "printer") == "192.168.9.9"

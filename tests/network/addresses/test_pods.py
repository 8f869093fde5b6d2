"""The IPs of offloaded pods: there when a second provider is to reach them, and gone when none is."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from isthmus.api import labels
from isthmus.api.ipam import IP
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.network import ipam
from isthmus.network.addresses.pods import OffloadedPod, PodAddresses, forge_pod_ip, owner_uid
from isthmus.network.ipam import InstalledRanges, forge_networks
from tests.apiserver import ApiServer, Json, running

RANGES = InstalledRanges(pod_cidrs=["10.244.0.0/16"], service_cidr="10.96.0.0/12")


def setup(manager: Manager, options: Options) -> None:
    manager.add(PodAddresses(manager).controller())


def provider(api: ApiServer, name: str, seen: str) -> None:
    place = {"name": name, "namespace": f"liqo-tenant-{name}", "labels": {labels.REMOTE_CLUSTER_ID: name}}
    api.create("virtualnodes", {"metadata": dict(place), "spec": {"clusterID": name}})
    cidrs = {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}
    api.create(
        "configurations",
        {
            "metadata": dict(place),
            "spec": {"remote": {"cidr": cidrs}},
            "status": {"remote": {"cidr": {**cidrs, "pod": [seen]}}},
        },
    )


def pod(name: str, address: str, phase: str = "Running") -> Json:
    return {
        "metadata": {"name": name, "namespace": "demo", "labels": {labels.SHADOW_POD: "true"}},
        "status": {"phase": phase, "podIP": address},
    }


def with_two_providers() -> ApiServer:
    api = ApiServer()
    for manifest in forge_networks(RANGES, "liqo"):
        api.create("networks", manifest)
    provider(api, "milan", "10.71.0.0/16")
    provider(api, "turin", "10.72.0.0/16")
    return api


def host_of(api: ApiServer, name: str) -> Any:
    found = api.get("ips", "demo", name)
    return found["spec"]["ip"] if found else None


async def test_pod_gets_an_address_other_providers_reach_and_loses_it_with_its_end() -> None:
    api = with_two_providers()
    api.create("pods", pod("web", "10.71.0.9"))
    async with running(api, ipam.setup, setup):
        await api.until(lambda: api.objects.get(("ips", "demo", "web"), {}).get("status", {}).get("ip"))
        found = api.get("ips", "demo", "web")
        assert found is not None
        assert found["spec"]["ip"] == "10.71.0.9"
        assert found["metadata"]["labels"]["offloading.liqo.io/pod-name"] == "web"
        assert found["metadata"]["labels"]["offloading.liqo.io/pod-namespace"] == "demo"
        api.delete("pods", "demo", "web")
        await api.until(lambda: host_of(api, "web") is None)


async def test_pod_that_moved_has_its_ip_made_anew_and_a_finished_one_has_none() -> None:
    api = with_two_providers()
    api.create("pods", pod("web", "10.71.0.9"))
    async with running(api, ipam.setup, setup):
        await api.until(lambda: host_of(api, "web"))
        api.merge("pods", "demo", "web", {"status": {"podIP": "10.72.3.3"}})
        await api.until(lambda: host_of(api, "web") == "10.72.3.3")
        api.merge("pods", "demo", "web", {"status": {"phase": "Succeeded"}})
        await api.until(lambda: host_of(api, "web") is None)


async def test_one_provider_needs_none_a_second_brings_them_and_its_leaving_takes_them() -> None:
    api = with_two_providers()
    api.delete("virtualnodes", "liqo-tenant-turin", "turin")
    api.create("pods", pod("web", "10.71.0.9"))
    left = {"metadata": {"name": "old", "namespace": "demo"}, "spec": {"ip": "10.71.0.8"}}
    made = forge_pod_ip(convert(pod("old", "10.71.0.8"), OffloadedPod))
    api.create("pods", pod("old", "10.71.0.8"))
    made["metadata"]["ownerReferences"][0]["uid"] = api.objects["pods", "demo", "old"]["metadata"]["uid"]
    api.create("ips", made)
    left["metadata"]["name"] = "printer"
    api.create("ips", left)
    async with running(api, setup):
        await api.until(lambda: api.named("ips") == {"printer"})
        node = {"name": "turin", "namespace": "liqo-tenant-turin"}
        api.create("virtualnodes", {"metadata": node, "spec": {"clusterID": "turin"}})
        await api.until(lambda: api.named("ips") == {"printer", "web", "old"})
        api.delete("configurations", "liqo-tenant-turin", "turin")
        await api.until(lambda: api.named("ips") == {"printer"})


async def test_address_that_is_no_peers_and_ip_of_somebody_else_are_left() -> None:
    api = with_two_providers()
    api.create("pods", pod("elsewhere", "192.0.2.7"))
    api.create("pods", pod("taken", "10.71.0.5"))
    api.create("pods", pod("web", "10.71.0.9"))
    api.create("ips", {"metadata": {"name": "taken", "namespace": "demo"}, "spec": {"ip": "10.1.1.1"}})
    async with running(api, setup):
        await api.until(lambda: host_of(api, "web"))
    assert api.named("ips") == {"taken", "web"}
    assert host_of(api, "taken") == "10.1.1.1"


def test_name_too_long_for_a_label_is_only_in_the_owner_reference() -> None:
    long = convert(pod("w" * 70, "10.71.0.9"), OffloadedPod)
    manifest = forge_pod_ip(long)
    assert labels.IP_POD_NAME not in manifest["metadata"]["labels"]
    manifest["metadata"]["ownerReferences"][0]["uid"] = "u1"
    assert owner_uid(convert(manifest, IP)) == "u1"

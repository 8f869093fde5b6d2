"""The controllers of Networks and IPs against an API server: what a user sees happen."""

from __future__ import annotations

from typing import Any

from isthmus.api import labels
from isthmus.network.ipam import InstalledRanges, forge_networks, setup
from tests.apiserver import ApiServer, Json, running

RANGES = InstalledRanges(pod_cidrs=["10.244.0.0/16"], service_cidr="10.96.0.0/12")


def api_with_installation() -> ApiServer:
    api = ApiServer()
    for manifest in forge_networks(RANGES, "liqo"):
        api.create("networks", manifest)
    return api


def network(name: str, cidr: str, namespace: str = "liqo-tenant-milan", **marks: str) -> Json:
    return {"metadata": {"name": name, "namespace": namespace, "labels": marks}, "spec": {"cidr": cidr}}


def ip(name: str, address: str, namespace: str = "apps", **spec: Any) -> Json:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"ip": address} | spec}


def cidr_of(api: ApiServer, name: str, namespace: str = "liqo-tenant-milan") -> str:
    found = api.get("networks", namespace, name)
    return found.get("status", {}).get("cidr", "") if found else ""


def address_of(api: ApiServer, name: str, namespace: str = "apps") -> str:
    found = api.get("ips", namespace, name)
    return found.get("status", {}).get("ip", "") if found else ""


async def test_the_installation_keeps_its_ranges_and_a_peer_with_the_same_is_remapped() -> None:
    api = api_with_installation()
    api.create("networks", network("milan-pod", "10.244.0.0/16"))
    async with running(api, setup):
        assert await api.until(lambda: cidr_of(api, "milan-pod")) == "10.0.0.0/16"
        await api.until(
            lambda: all(value.get("status") for place, value in api.objects.items() if place[0] == "networks")
        )
        assert await api.until(lambda: api.events("RangeRemapped")) == [
            "10.244.0.0/16 is in use or outside the pools: it is seen as 10.0.0.0/16"
        ]
    assert cidr_of(api, "external-cidr", "liqo") == "10.70.0.0/16"
    assert cidr_of(api, "pod-cidr-10-244-0-0-16", "liqo") == "10.244.0.0/16"
    found = api.get("networks", "liqo", "external-cidr")
    assert found is not None
    assert "finalizers" not in found["metadata"], "what came with the installation goes with it"


async def test_a_deleted_network_goes_and_one_that_waited_for_its_range_gets_it() -> None:
    api = api_with_installation()
    api.create("networks", network("a", "10.1.0.0/16", **{labels.NETWORK_NOT_REMAPPED: "true"}))
    async with running(api, setup):
        await api.until(lambda: cidr_of(api, "a"))
        api.create("networks", network("b", "10.1.0.0/16", **{labels.NETWORK_NOT_REMAPPED: "true"}))
        refusal = (await api.until(lambda: api.events("RangeTaken")))[0]
        assert "10.1.0.0/16 is held by Network liqo-tenant-milan/a" in refusal
        api.delete("networks", "liqo-tenant-milan", "a")
        assert await api.until(lambda: cidr_of(api, "b")) == "10.1.0.0/16"
        assert api.get("networks", "liqo-tenant-milan", "a") is None


async def test_a_restart_changes_nothing_and_goes_on_where_it_stopped() -> None:
    api = api_with_installation()
    for number in range(5):
        api.create("networks", network(f"peer{number}", "10.244.0.0/16"))
    async with running(api, setup):
        await api.until(lambda: all(cidr_of(api, f"peer{number}") for number in range(5)))
    before = {name: cidr_of(api, name) for name in api.named("networks")}
    assert len(set(before.values()) - {""}) == 5
    async with running(api, setup):
        api.create("networks", network("peer5", "10.244.0.0/16"))
        assert await api.until(lambda: cidr_of(api, "peer5")) == "10.5.0.0/16"
    assert {name: cidr_of(api, name) for name in before} == before


async def test_a_status_write_whose_answer_is_lost_gives_no_second_range() -> None:
    api = api_with_installation()
    lost = api.lose_answer(verb="patch", plural="networks", name="a", subresource="status")
    api.create("networks", network("a", "10.244.0.0/16"))
    api.create("networks", network("b", "10.244.0.0/16"))
    async with running(api, setup):
        await api.until(lambda: cidr_of(api, "a") and cidr_of(api, "b"))
    assert lost.hits == 1
    assert sorted([cidr_of(api, "a"), cidr_of(api, "b")]) == ["10.0.0.0/16", "10.1.0.0/16"]


async def test_a_malformed_network_and_exhausted_pools_are_told_and_harm_no_other() -> None:
    api = api_with_installation()
    api.create("networks", network("broken", "10.1.0.0/99"))
    api.create("networks", network("huge", "10.0.0.0/8"))
    api.create("networks", network("fine", "10.1.0.0/16"))
    async with running(api, setup):
        assert await api.until(lambda: cidr_of(api, "fine")) == "10.1.0.0/16"
        assert (
            "spec.cidr: '10.1.0.0/99' is not a valid IPv4 CIDR"
            in (await api.until(lambda: api.events("InvalidCIDR")))[0]
        )
        assert "no other free /8" in (await api.until(lambda: api.events("PoolsExhausted")))[0]


async def test_an_ip_gets_an_address_of_the_external_range_that_is_its_own() -> None:
    api = api_with_installation()
    for number in range(20):
        api.create("ips", ip(f"host{number}", "192.0.2.1"))
    async with running(api, setup):
        await api.until(lambda: all(address_of(api, f"host{number}") for number in range(20)))
        given = {address_of(api, f"host{number}") for number in range(20)}
        assert len(given) == 20
        assert all(one.startswith("10.70.") and one != "10.70.0.0" for one in given)
        found = api.get("ips", "apps", "host0")
        assert found is not None
        assert found["status"]["cidr"] == "10.70.0.0/16"
        assert found["metadata"]["labels"] == {
            labels.NETWORK_NAMESPACE: "liqo",
            labels.NETWORK_NAME: "external-cidr",
        }
        assert found["metadata"]["finalizers"] == [labels.FINALIZER_IP]
        api.delete("ips", "apps", "host0")
        await api.until(lambda: api.get("ips", "apps", "host0") is None)


async def test_an_ip_waits_for_its_network_and_takes_its_address_from_there() -> None:
    api = api_with_installation()
    api.create("ips", ip("host", "192.0.2.1", networkRef={"namespace": "liqo", "name": "mine"}))
    async with running(api, setup):
        await api.until(lambda: api.events("NetworkMissing"))
        api.create("networks", network("mine", "10.9.0.0/24", "liqo"))
        assert (await api.until(lambda: address_of(api, "host"))).startswith("10.9.0.")


async def test_an_ip_may_not_use_ranges_of_others_nor_point_at_a_node_itself() -> None:
    api = api_with_installation()
    api.create("networks", network("theirs", "10.9.0.0/24", "liqo-tenant-milan"))
    refused = {
        "other-tenant": ip(
            "other-tenant", "192.0.2.1", networkRef={"namespace": "liqo-tenant-milan", "name": "theirs"}
        ),
        "pods": ip("pods", "192.0.2.1", networkRef={"name": "pod-cidr-10-244-0-0-16"}),
        "overlay": ip("overlay", "192.0.2.1", networkRef={"name": "internal-cidr"}),
        "metadata": ip("metadata", "169.254.169.254"),
        "loopback": ip("loopback", "127.0.0.1"),
    }
    for manifest in refused.values():
        api.create("ips", manifest)
    async with running(api, setup):
        await api.until(
            lambda: len(api.events("NetworkForbidden")) == 3 and len(api.events("InvalidIP")) == 2
        )
    assert [address_of(api, name) for name in refused] == [""] * 5


TEMPLATE = {
    "metadata": {"labels": {"app": "legacy"}},
    "spec": {
        "type": "ClusterIP",
        "selector": {"app": "other"},
        "externalIPs": ["203.0.113.9"],
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    },
}


async def test_a_service_template_becomes_a_service_with_the_hosts_own_address() -> None:
    api = api_with_installation()
    api.create("ips", ip("legacy", "192.0.2.7", serviceTemplate=TEMPLATE))
    async with running(api, setup):
        service = await api.until(lambda: api.get("services", "apps", "legacy"))
        slice_ = await api.until(lambda: api.get("endpointslices", "apps", "legacy"))
        assert service["spec"] == {"type": "ClusterIP", "ports": TEMPLATE["spec"]["ports"]}  # type: ignore[index]
        assert service["metadata"]["labels"]["app"] == "legacy"
        assert slice_["endpoints"][0]["addresses"] == ["192.0.2.7"]
        assert slice_["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
        assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "legacy"
        api.delete("endpointslices", "apps", "legacy")
        await api.until(lambda: api.get("endpointslices", "apps", "legacy") is not None)
        api.merge("ips", "apps", "legacy", {"spec": {"serviceTemplate": None}})
        await api.until(lambda: not api.named("services") and not api.named("endpointslices"))


async def test_a_service_of_the_same_name_that_is_somebody_elses_is_left_alone() -> None:
    api = api_with_installation()
    theirs = {"metadata": {"name": "legacy", "namespace": "apps"}, "spec": {"selector": {"app": "x"}}}
    api.create("services", theirs)
    api.create("ips", ip("legacy", "192.0.2.7", serviceTemplate=TEMPLATE))
    async with running(api, setup):
        message = (await api.until(lambda: api.events("InvalidServiceTemplate")))[0]
        assert "a Service legacy that is not this IP's is there" in message
    found = api.get("services", "apps", "legacy")
    assert found is not None
    assert found["spec"] == theirs["spec"]


async def test_addresses_that_run_out_are_told_and_given_when_one_comes_free() -> None:
    api = api_with_installation()
    api.create("networks", network("small", "10.9.0.0/30", "liqo"))
    for name in ("a", "b"):
        api.create("ips", ip(name, "192.0.2.1", networkRef={"name": "small"}))
    async with running(api, setup):
        await api.until(lambda: address_of(api, "a") and address_of(api, "b"))
        api.create("ips", ip("c", "192.0.2.1", networkRef={"name": "small"}))
        await api.until(lambda: api.events("AddressesExhausted"))
        api.delete("ips", "apps", "a")
        assert await api.until(lambda: address_of(api, "c"))

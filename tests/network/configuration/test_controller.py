"""Configurations and IPAM together against an API server: what a user sees happen."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.api import labels
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.network import configuration, ipam
from isthmus.network.configuration import reconciler
from tests.apiserver import ApiServer, Json, running
from tests.network.ipam.test_controllers import api_with_installation


def setup(manager: Manager, options: Options) -> None:
    """Configurations and IPAM as the controller runs them."""
    configuration.setup(manager, options, ipam.setup(manager, options))


MODULES = (setup,)


def announce(api: ApiServer, peer: str, pod: list[str], external: list[str]) -> None:
    marks = {labels.TENANT_NAMESPACE: "true", labels.REMOTE_CLUSTER_ID: peer}
    if f"liqo-tenant-{peer}" not in api.named("namespaces"):
        api.create("namespaces", {"metadata": {"name": f"liqo-tenant-{peer}", "labels": marks}})
    api.create(
        "configurations",
        {
            "metadata": {
                "name": peer,
                "namespace": f"liqo-tenant-{peer}",
                "labels": {labels.REMOTE_CLUSTER_ID: peer},
            },
            "spec": {"remote": {"cidr": {"pod": pod, "external": external}}},
        },
    )


def found(api: ApiServer, peer: str) -> Json:
    value = api.get("configurations", f"liqo-tenant-{peer}", peer)
    assert value is not None
    return value


def condition(api: ApiServer, peer: str) -> Json:
    conditions: list[Json] = found(api, peer).get("status", {}).get("conditions", [])
    return next(iter(conditions), {})


def seen(api: ApiServer, peer: str) -> Any:
    """status.remote once the condition is True for the present generation."""
    value = found(api, peer)
    current = condition(api, peer)
    if current.get("status") != "True" or current["observedGeneration"] != value["metadata"]["generation"]:
        return None
    return value["status"]["remote"]["cidr"]


async def test_a_peer_with_our_own_ranges_is_seen_under_others() -> None:
    api = api_with_installation()
    announce(api, "milan", ["10.244.0.0/16"], ["10.70.0.0/16"])
    async with running(api, *MODULES):
        remote = await api.until(lambda: seen(api, "milan"))
        assert len(remote["pod"]) == len(remote["external"]) == 1
        assert {remote["pod"][0], remote["external"][0]} == {"10.0.0.0/16", "10.1.0.0/16"}
        local = {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}
        assert found(api, "milan")["spec"]["local"]["cidr"] == local
        address = remote["external"][0].removesuffix("/16")
        unknown = await api.until(lambda: api.get("ips", "liqo-tenant-milan", "milan-unknown-source"))
        assert unknown["spec"]["ip"] == address
        await api.until(
            lambda: (
                (api.get("ips", "liqo-tenant-milan", "milan-unknown-source") or {})
                .get("status", {})
                .get("ip")
            )
        )


async def test_a_peer_with_other_ranges_is_seen_as_it_is() -> None:
    api = api_with_installation()
    announce(api, "milan", ["10.245.0.0/16", "10.246.0.0/20"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        assert await api.until(lambda: seen(api, "milan")) == {
            "pod": ["10.245.0.0/16", "10.246.0.0/20"],
            "external": ["10.71.0.0/16"],
        }


async def test_two_peers_alike_never_get_the_same_and_a_restart_changes_nothing() -> None:
    api = api_with_installation()
    for peer in ("milan", "turin"):
        announce(api, peer, ["10.244.0.0/16"], ["10.70.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "milan") and seen(api, "turin"))
    before = {peer: seen(api, peer) for peer in ("milan", "turin")}
    assert len({*before["milan"]["pod"], *before["turin"]["pod"]}) == 2
    version = {peer: found(api, peer)["metadata"]["resourceVersion"] for peer in before}
    async with running(api, *MODULES):
        announce(api, "genoa", ["10.244.0.0/16"], ["10.70.0.0/16"])
        await api.until(lambda: seen(api, "genoa"))
    assert {peer: found(api, peer)["metadata"]["resourceVersion"] for peer in before} == version


async def test_a_changed_range_replaces_its_network_and_the_new_one_has_its_place() -> None:
    api = api_with_installation()
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "milan"))
        await api.until(lambda: "milan-unknown-source" in api.named("ips"))
        change = {"spec": {"remote": {"cidr": {"pod": ["10.245.0.0/17"], "external": ["10.72.0.0/16"]}}}}
        api.merge("configurations", "liqo-tenant-milan", "milan", change)
        remote = await api.until(lambda: seen(api, "milan"))
        assert remote == {"pod": ["10.245.0.0/17"], "external": ["10.72.0.0/16"]}
        assert {name for name in api.named("networks") if name.startswith("milan")} == {
            "milan-pod-10-245-0-0-17",
            "milan-external-10-72-0-0-16",
        }

        def unknown_source() -> str:
            value = api.get("ips", "liqo-tenant-milan", "milan-unknown-source")
            return value["spec"]["ip"] if value else ""

        await api.until(lambda: unknown_source() == "10.72.0.0")


@pytest.mark.parametrize("pod", ["0.0.0.0/0", "127.0.0.0/8", "169.254.0.0/16", "10.0.0.0/33"])
async def test_a_peer_that_announces_what_no_cluster_has_gets_nothing_and_the_other_all(pod: str) -> None:
    api = api_with_installation()
    announce(api, "mallory", [pod], ["10.70.0.0/16"])
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "milan") and condition(api, "mallory"))
        await api.until(lambda: api.events("InvalidRemoteCIDRs"))
    current = condition(api, "mallory")
    assert (current["status"], current["reason"]) == ("False", "InvalidRemoteCIDRs")
    assert current["message"].startswith("spec.remote.cidr.pod: ")
    assert not [name for name in api.named("networks") if name.startswith("mallory")]


async def test_a_valid_announcement_made_invalid_takes_the_mapping_away() -> None:
    api = api_with_installation()
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "milan"))
        change = {"spec": {"remote": {"cidr": {"pod": ["0.0.0.0/0"]}}}}
        api.merge("configurations", "liqo-tenant-milan", "milan", change)
        await api.until(lambda: condition(api, "milan")["status"] == "False")
        assert "remote" not in found(api, "milan")["status"]


async def test_what_waits_for_a_range_says_which_pools_are_full_and_goes_on_when_there_is_one() -> None:
    api = api_with_installation()
    # 10.64.0.0/10 and 10.192.0.0/10 have what this cluster uses itself.
    for peer in ("turin", "genoa"):
        announce(api, peer, ["11.0.0.0/10"], ["192.168.1.0/24"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "turin") and seen(api, "genoa"))
        announce(api, "milan", ["11.0.0.0/10"], ["192.168.1.0/24"])
        await api.until(lambda: condition(api, "milan").get("reason") == "PoolsExhausted")
        message = condition(api, "milan")["message"]
        assert "Network milan-pod-11-0-0-0-10 has no range: 11.0.0.0/10 is taken" in message
        assert "the pools (10.0.0.0/8, 192.168.0.0/16, 172.16.0.0/12)" in message
        assert "remove Networks no longer needed or add a range to ipam.pools" in message
        freed = seen(api, "turin")["pod"]
        api.delete("configurations", "liqo-tenant-turin", "turin")
        await api.until(lambda: seen(api, "milan"))
        assert seen(api, "milan")["pod"] == freed


async def test_a_restart_says_again_why_there_is_no_range() -> None:
    api = api_with_installation()
    announce(api, "milan", ["11.0.0.0/9"], ["192.168.1.0/24"])
    for _ in range(2):
        async with running(api, *MODULES):
            await api.until(lambda: condition(api, "milan").get("reason") == "PoolsExhausted")
            value = found(api, "milan")["metadata"]["labels"] | {"touched": "yes"}
            api.merge("configurations", "liqo-tenant-milan", "milan", {"metadata": {"labels": value}})
        assert condition(api, "milan")["reason"] == "PoolsExhausted"


async def test_everything_of_a_peer_goes_with_its_configuration() -> None:
    api = api_with_installation()
    announce(api, "milan", ["10.244.0.0/16"], ["10.70.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "milan"))
        await api.until(lambda: "milan-unknown-source" in api.named("ips"))
        api.delete("configurations", "liqo-tenant-milan", "milan")
        await api.until(
            lambda: not api.named("ips") and not any(n.startswith("milan") for n in api.named("networks"))
        )
        announce(api, "milan", ["10.244.0.0/16"], ["10.70.0.0/16"])
        remote = await api.until(lambda: seen(api, "milan"))
        assert sorted([*remote["pod"], *remote["external"]]) == ["10.0.0.0/16", "10.1.0.0/16"]


async def test_a_network_of_the_name_that_is_somebody_elses_is_left_alone() -> None:
    api = api_with_installation()
    theirs = {
        "metadata": {"name": "milan-pod-10-245-0-0-16", "namespace": "liqo-tenant-milan"},
        "spec": {"cidr": "10.99.0.0/16"},
    }
    api.create("networks", theirs)
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: condition(api, "milan").get("reason") == "NameTaken")
    value = api.get("networks", "liqo-tenant-milan", "milan-pod-10-245-0-0-16")
    assert value is not None
    assert value["spec"] == theirs["spec"]


async def test_an_ip_of_the_name_that_is_somebody_elses_is_told_and_left_alone() -> None:
    api = api_with_installation()
    name = "milan-unknown-source"
    api.create(
        "ips", {"metadata": {"name": name, "namespace": "liqo-tenant-milan"}, "spec": {"ip": "192.0.2.1"}}
    )
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        said = await api.until(lambda: api.events("NameTaken"))
        assert said == [
            f"IP {name} is there and not of this Configuration: remove it or rename one of the two"
        ]
        assert await api.until(lambda: seen(api, "milan")), "the peer's ranges do not wait for it"
    assert (api.get("ips", "liqo-tenant-milan", name) or {})["spec"] == {"ip": "192.0.2.1"}


async def test_a_network_that_is_still_being_removed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "RETRY_SECONDS", 0.2)
    api = api_with_installation()
    place = ("networks", "liqo-tenant-milan", "milan-pod-10-245-0-0-16")
    held = {"name": place[2], "namespace": place[1], "finalizers": ["example.com/theirs"]}
    api.create("networks", {"metadata": held, "spec": {"cidr": "10.99.0.0/16"}})
    api.delete(*place)
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: "is still being removed" in condition(api, "milan").get("message", ""))
        api.merge(*place, {"metadata": {"finalizers": None}})
        assert await api.until(lambda: seen(api, "milan"))
    assert (api.get(*place) or {})["spec"] == {"cidr": "10.245.0.0/16"}


async def test_a_peer_cannot_speak_for_another_from_its_own_namespace() -> None:
    api = api_with_installation()
    announce(api, "mallory", ["10.245.0.0/16"], ["10.71.0.0/16"])
    marks = {"metadata": {"labels": {labels.REMOTE_CLUSTER_ID: "milan"}}}
    api.merge("configurations", "liqo-tenant-mallory", "mallory", marks)
    async with running(api, *MODULES):
        await api.until(lambda: condition(api, "mallory").get("reason") == "NamespaceForbidden")
    assert "move the Configuration to liqo-tenant-milan" in condition(api, "mallory")["message"]
    assert not [name for name in api.named("networks") if name.startswith("mallory")]


async def test_a_configuration_made_anew_waits_for_what_the_earlier_left() -> None:
    api = api_with_installation()
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "milan"))
    # The controller is away while the administrator deletes and applies again.
    api.delete("configurations", "liqo-tenant-milan", "milan")
    announce(api, "milan", ["10.245.0.0/16"], ["10.71.0.0/16"])
    async with running(api, *MODULES):
        await api.until(lambda: seen(api, "milan"))
        uid = found(api, "milan")["metadata"]["uid"]
        network = api.get("networks", "liqo-tenant-milan", "milan-pod-10-245-0-0-16")
        assert network is not None
        assert network["metadata"]["ownerReferences"][0]["uid"] == uid
    assert not api.events("NameTaken")

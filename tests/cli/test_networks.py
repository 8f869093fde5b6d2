"""`isthmus network connect|disconnect|reset` and the networks of `isthmus peer`, as whole commands."""

from __future__ import annotations

import pytest

from tests.apiserver import Json
from tests.cli.played import HERE, THERE, Duo, failure

CONNECT = ("network", "connect", "--gw-server-service-type", "NodePort", "--wait")


async def test_networks_are_joined_step_by_step(sites: Duo) -> None:
    ended = await sites(*CONNECT)
    assert (ended.code, ended.out) == (0, "the pod networks of rome and milan are joined\n"), ended.err
    assert sites.journal == [
        f"rome: create namespaces {HERE}",
        f"milan: create namespaces {THERE}",
        f"rome: create configurations {HERE}/milan",
        f"milan: create configurations {THERE}/rome",
        f"milan: create gatewayservers {THERE}/rome",
        f"rome: create gatewayclients {HERE}/milan",
        f"rome: create publickeies {HERE}/milan",
        f"milan: create publickeies {THERE}/rome",
    ]
    assert "Address of the gateway server: 192.0.2.2:30500/UDP" in ended.err
    assert "✓ Tunnel between rome and milan" in ended.err
    sites.journal.clear()
    ended = await sites("network", "connect")
    assert (ended.code, sites.journal) == (0, []), "running it again changes nothing"


async def test_without_waiting_it_says_that_the_tunnel_is_to_come(sites: Duo) -> None:
    sites.milan.connection = "Connecting"  # type: ignore[attr-defined]
    ended = await sites(*CONNECT[:-1])
    assert (ended.code, ended.out) == (
        0,
        "the pod networks of rome and milan will be joined once the tunnel stands\n",
    )


async def test_keys_that_are_not_shared_are_left_to_the_user(sites: Duo) -> None:
    ended = await sites(*CONNECT, "--disable-sharing-keys")
    assert ended.out.endswith("will be joined once the tunnel stands\n")
    assert "the keys are not exchanged: do so with isthmus generate publickey on both sides" in ended.err
    assert not sites.rome.list("publickeies")


async def test_templates_of_the_users_own(sites: Duo) -> None:
    flags = ("--gw-server-template-name", "mine", "--gw-server-template-namespace", "net")
    told = failure(await sites(*CONNECT, *flags))
    assert told.startswith(
        'the remote cluster "milan" has no WgGatewayServerTemplate net/mine: run isthmus install'
    )
    assert sites.journal == []
    assert (await sites(*CONNECT, *flags, "--skip-validation")).code == 0
    reference = sites.milan.list("gatewayservers")[0]["spec"]["serverTemplateRef"]
    assert (reference["namespace"], reference["name"]) == ("net", "mine")


async def test_clusters_without_networking_are_told(sites: Duo) -> None:
    sites.milan.delete("networks", "liqo", "pod-cidr")
    told = failure(await sites(*CONNECT))
    assert 'the remote cluster "milan" has no networking module' in told
    sites.rome.delete("networks", "liqo", "external-cidr")
    told = failure(await sites(*CONNECT))
    assert told.startswith(
        "neither rome nor milan has the networking module: install it in both with isthmus install"
    )
    assert sites.journal == []


async def test_ranges_that_are_not_assigned_are_told(sites: Duo) -> None:
    sites.milan.merge("networks", "liqo", "pod-cidr", {"status": {"cidr": None}})
    told = failure(await sites(*CONNECT))
    assert (
        "did not assign its own ranges to the Networks in namespace liqo within 30 s (no range yet: pod-cidr)"
        in told
    )


async def test_a_user_who_may_not_write_gateways_is_told_before(sites: Duo) -> None:
    def review(asked: Json) -> Json:
        return {"allowed": asked["spec"]["resourceAttributes"]["resource"] != "gatewayclients"}

    sites.rome.reviews["selfsubjectaccessreviews"] = review
    told = failure(await sites(*CONNECT))
    assert (
        f"the user of --kubeconfig may not get gatewayclients in namespace {HERE}, create gatewayclients"
        in told
    )
    assert sites.journal == []


async def test_a_tunnel_is_removed_and_its_ranges_kept_or_forgotten(sites: Duo) -> None:
    await sites(*CONNECT)
    told = failure(await sites("network", "disconnect"), code=2)
    assert '"Remove the tunnel between rome and milan? Their pods no longer reach each other."' in told
    sites.journal.clear()
    ended = await sites("network", "disconnect", "--skip-confirm", "--wait")
    assert ended.code == 0, ended.err
    assert ended.out == "the pod networks of rome and milan are separated\n"
    assert [one.split()[1:3] for one in sites.journal] == [
        ["delete", "gatewayclients"],
        ["delete", "gatewayservers"],
    ], "keys go with their gateways"
    assert (sites.rome.named("configurations"), sites.milan.named("configurations")) == ({"milan"}, {"rome"})
    told = failure(await sites("network", "reset"), code=2)
    assert "and forget their address ranges? Their pods" in told
    assert (await sites("network", "reset", "--skip-confirm")).code == 0
    assert (sites.rome.named("configurations"), sites.milan.named("configurations")) == (set(), set())
    ended = await sites("network", "reset", "--skip-confirm")
    assert ended.out == "the pod networks of rome and milan were not joined: nothing to do\n"


async def test_what_is_left_of_a_tunnel_is_named(sites: Duo) -> None:
    await sites(*CONNECT)
    sites.rome.merge("deployments", HERE, "gw-milan", {"metadata": {"finalizers": ["test/slow"]}})
    told = failure(await sites("network", "disconnect", "--skip-confirm", "--wait", "--timeout", "5s"))
    assert f"not everything was gone within 5.0 s (left: rome: Deployment {HERE}/gw-milan)" in told


async def test_gateway_pods_are_awaited_while_their_kubelet_has_time_to_end_them(sites: Duo) -> None:
    await sites(*CONNECT)
    sites.rome.writer.graceful_pods = True
    for name in ("ending", "lost"):
        metadata = {"namespace": HERE, "name": name, "labels": {"networking.liqo.io/component": "gateway"}}
        sites.rome.create("pods", {"metadata": metadata, "spec": {"nodeName": "worker"}})
        sites.rome.delete("pods", HERE, name, gracePeriodSeconds=1000)
    sites.rome.objects["pods", HERE, "lost"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    told = failure(await sites("network", "disconnect", "--skip-confirm", "--wait", "--timeout", "5s"))
    assert f"not everything was gone within 5.0 s (left: rome: Pod {HERE}/ending)" in told
    sites.rome.delete("pods", HERE, "ending")
    assert (await sites("network", "disconnect", "--skip-confirm", "--wait")).code == 0


async def test_a_server_at_the_consumer(sites: Duo) -> None:
    assert (await sites(*CONNECT, "--gw-server-service-location", "Consumer")).code == 0
    assert (sites.rome.named("gatewayservers"), sites.milan.named("gatewayclients")) == ({"milan"}, {"rome"})


async def test_a_peering_joins_the_networks_first(sites: Duo) -> None:
    ended = await sites("peer", *CONNECT[2:4], "--mtu", "1300")
    assert (ended.code, ended.out) == (0, "rome is peered with milan\n"), ended.err
    written = [one.split()[2] for one in sites.journal]
    assert written.index("publickeies") < written.index("secrets") < written.index("tenants")
    assert sites.milan.list("gatewayservers")[0]["spec"]["mtu"] == 1300
    sites.journal.clear()
    ended = await sites("unpeer", "--skip-confirm")
    assert ended.code == 0, ended.err
    written = [one.split()[2] for one in sites.journal]
    assert written.index("tenants") < written.index("gatewayclients") < written.index("configurations")
    for api, namespace in ((sites.rome, HERE), (sites.milan, THERE)):
        left = {plural for plural, place, _ in api.objects if place == namespace}
        assert left <= {"rolebindings"}


@pytest.mark.parametrize("command", ["peer", "authenticate"])
async def test_in_band_goes_by_the_proxy_as_it_is_seen_here(sites: Duo, command: str) -> None:
    sites.rome.seen = {"cidr": {"pod": ["10.201.0.0/16"], "external": ["10.71.0.0/16"]}}  # type: ignore[attr-defined]
    proxy = {"metadata": {"namespace": "liqo", "name": "api-server-proxy"}, "spec": {"ip": "10.96.1.1"}}
    sites.milan.create("ips", {**proxy, "status": {"ip": "10.70.0.9"}})
    await sites(*CONNECT)
    ended = await sites(command, "--in-band")
    assert ended.code == 0, ended.err
    assert sites.milan.list("tenants")[0]["spec"]["proxyURL"] == "http://10.71.0.9:8118"

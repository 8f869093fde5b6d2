"""Joining two networks and separating them: what is written where, what a user is told when it fails."""

from __future__ import annotations

import asyncio
import base64
import io

import pytest

from isthmus.cli import network_connect
from isthmus.cli.errors import CommandError
from isthmus.cli.network_check import find_in_band_proxy, read_ranges, require_networking
from isthmus.cli.network_plan import NetworkWish, Present, decide_server
from isthmus.cli.network_removal import separate_networks
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline
from tests.cli.two_clusters import Site, join, paired

MANAGED = {"configurations", "gatewayservers", "gatewayclients", "publickeies", "connections"}


@pytest.fixture
def rome() -> Site:
    return Site("rome", "10.200.0.0/16")


@pytest.fixture
def milan() -> Site:
    return Site("milan", "10.201.0.0/16")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at the first sign of trouble."""
    for name in (
        "REJECTION_PATIENCE",
        "REFUSAL_PATIENCE",
        "SILENCE_PATIENCE",
        "CONNECTION_PATIENCE",
    ):
        monkeypatch.setattr(network_connect, name, 0.0)


async def test_the_provider_serves_and_the_consumer_connects(rome: Site, milan: Site) -> None:
    shown = await join(rome, milan, NetworkWish(mtu=1300))
    server, client = milan.one("gatewayservers"), rome.one("gatewayclients")
    assert (server["metadata"]["name"], client["metadata"]["name"]) == ("rome", "milan")
    assert server["metadata"]["labels"] == {"liqo.io/remote-cluster-id": "rome"}
    assert server["spec"] == {
        "serverTemplateRef": {
            "apiVersion": "networking.liqo.io/v1beta1",
            "kind": "WgGatewayServerTemplate",
            "name": "wireguard-server",
            "namespace": "liqo",
        },
        "mtu": 1300,
        "endpoint": {"port": 51840, "serviceType": "LoadBalancer"},
    }
    assert client["spec"]["endpoint"] == {"addresses": ["192.0.2.1"], "port": 51840, "protocol": "UDP"}
    assert client["spec"]["mtu"] == 1300
    assert rome.one("configurations")["spec"]["remote"]["cidr"] == {
        "pod": ["10.201.0.0/16"],
        "external": ["10.70.0.0/16"],
    }
    assert milan.one("configurations")["metadata"]["name"] == "rome"
    for here, there, gateway in ((rome, milan, client), (milan, rome, server)):
        key = here.one("publickeies")
        assert base64.b64decode(key["spec"]["publicKey"]).startswith(there.name.encode())
        assert key["metadata"]["ownerReferences"][0]["uid"] == gateway["metadata"]["uid"]
        assert "controller" not in key["metadata"]["ownerReferences"][0]
    assert "pods 10.201.0.0/16, external 10.70.0.0/16" in shown
    assert "192.0.2.1:51840/UDP" in shown


async def test_running_it_again_changes_nothing_whatever_was_said_at_first(rome: Site, milan: Site) -> None:
    said = NetworkWish(
        service_type="NodePort", node_port=31000, mtu=1400, client_address="203.0.113.7", client_port=4000
    )
    await join(rome, milan, said)
    assert rome.one("gatewayclients")["spec"]["endpoint"]["addresses"] == ["203.0.113.7"]
    before = rome.version, milan.version
    for wish in (said, NetworkWish()):
        await join(rome, milan, wish)
        assert (rome.version, milan.version) == before


async def test_a_peering_user_suffices(rome: Site, milan: Site) -> None:
    """No patch, no apply, no watch (wire.md 7)."""
    await join(rome, milan)
    await join(rome, milan, NetworkWish(service_type="NodePort"))
    assert {one.verb for one in milan.requests} <= {"get", "list", "create", "update", "delete"}


async def test_the_consumer_serves_where_that_is_asked_for(rome: Site, milan: Site) -> None:
    await join(rome, milan, NetworkWish(location="Consumer"))
    assert rome.one("gatewayservers")["metadata"]["name"] == "milan"
    assert milan.one("gatewayclients")["metadata"]["name"] == "rome"
    assert not milan.named("gatewayservers") | rome.named("gatewayclients")


async def test_the_second_direction_uses_the_tunnel_of_the_first(rome: Site, milan: Site) -> None:
    await join(rome, milan, NetworkWish(service_type="NodePort"))
    before = rome.version, milan.version
    await join(milan, rome, NetworkWish(service_type="LoadBalancer"))
    assert (rome.version, milan.version) == before


async def test_a_half_made_tunnel_is_finished_from_either_side(rome: Site, milan: Site) -> None:
    await join(rome, milan)
    rome.delete("gatewayclients", "liqo-tenant-milan", "milan")
    await join(milan, rome)
    assert rome.one("gatewayclients")["spec"]["endpoint"]["addresses"] == ["192.0.2.1"]
    assert rome.one("connections")
    assert milan.one("connections")


async def test_another_service_type_makes_the_server_anew_with_keys_that_stay(
    rome: Site, milan: Site
) -> None:
    await join(rome, milan)
    first = milan.one("gatewayservers")["metadata"]["uid"]
    shown = await join(rome, milan, NetworkWish(service_type="NodePort"))
    assert "type LoadBalancer becomes NodePort" in shown
    server = milan.one("gatewayservers")
    assert server["metadata"]["uid"] != first
    assert milan.one("publickeies")["metadata"]["ownerReferences"][0]["uid"] == server["metadata"]["uid"]
    assert rome.one("publickeies")["spec"]["publicKey"] == milan.one("secrets")["data"]["publicKey"]
    assert rome.one("gatewayclients")["spec"]["endpoint"]["port"] == 30500


@pytest.mark.usefixtures("impatient")
async def test_a_node_port_that_is_refused_is_told_with_its_flag_and_not_kept(
    rome: Site, milan: Site
) -> None:
    milan.refusal = "spec.ports[0].nodePort: Invalid value: 31000: provided port is already allocated"
    with pytest.raises(CommandError, match=r"--gw-server-service-nodeport 31000: .* already in use in milan"):
        await join(rome, milan, NetworkWish(service_type="NodePort", node_port=31000))
    milan.refusal = ""
    await join(rome, milan, NetworkWish(service_type="NodePort"))
    assert "nodePort" not in milan.one("gatewayservers")["spec"]["endpoint"]


async def test_a_node_port_out_of_range_is_told_at_once(rome: Site, milan: Site) -> None:
    milan.refusal = (
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range."
        " The range of valid ports is 30000-32767"
    )
    with pytest.raises(CommandError, match=r"--gw-server-service-nodeport 80: milan does not allow"):
        async with asyncio.timeout(network_connect.REFUSAL_PATIENCE / 2):
            await join(rome, milan, NetworkWish(service_type="NodePort", node_port=80))


async def test_a_node_port_in_use_is_told_before_anything_is_written(rome: Site, milan: Site) -> None:
    milan.taken_port = 31000
    before = rome.version, milan.version
    with pytest.raises(CommandError, match=r"--gw-server-service-nodeport 31000: .* already in use in milan"):
        await join(rome, milan, NetworkWish(service_type="NodePort", node_port=31000))
    assert (rome.version, milan.version) == before
    milan.taken_port = 0
    await join(rome, milan, NetworkWish(service_type="NodePort", node_port=31000))
    milan.taken_port = 31000  # By this very gateway.
    await join(rome, milan, NetworkWish(service_type="NodePort", node_port=31000))


@pytest.mark.usefixtures("impatient")
async def test_what_the_kernel_of_a_gateway_lacks_is_told_in_its_own_words(rome: Site, milan: Site) -> None:
    rome.lack = "this kernel has no nftables: load the module nf_tables on the nodes"
    with pytest.raises(CommandError) as told:
        await join(rome, milan)
    assert 'the gateway liqo-tenant-milan/gw-milan of the local cluster "rome" cannot work' in str(told.value)
    assert rome.lack in str(told.value)


@pytest.mark.usefixtures("impatient")
async def test_a_cluster_without_load_balancers_is_told_what_to_use(rome: Site, milan: Site) -> None:
    milan.load_balancer = ""
    with pytest.raises(
        CommandError, match=r"milan has no load balancer provider .* --gw-server-service-type NodePort"
    ):
        await join(rome, milan)
    await join(rome, milan, NetworkWish(service_type="NodePort"))  # The mend works.


@pytest.mark.usefixtures("impatient")
async def test_a_port_that_is_closed_is_told_with_address_and_side(rome: Site, milan: Site) -> None:
    rome.connection = "Error"
    with pytest.raises(CommandError) as told:
        await join(rome, milan, NetworkWish(service_type="NodePort", node_port=31234))
    assert str(told.value) == (
        "milan's gateway at 192.0.2.2:31234/UDP does not answer from rome's gateway (rome says Error, milan says "
        "Connected): open the port towards milan, or set --gw-client-address to where rome reaches it"
    )


@pytest.mark.usefixtures("impatient")
async def test_what_a_cluster_has_against_ranges_is_told(rome: Site, milan: Site) -> None:
    rome.rejection = {
        "status": "False",
        "reason": "InvalidRemoteCIDRs",
        "message": "10.201.0.0/16 is not to be",
    }
    with pytest.raises(CommandError, match=r"rome does not accept .*/milan: 10.201.0.0/16 is not to be"):
        await join(rome, milan)


async def test_the_whole_internet_as_pods_is_refused_before_anything_is_written(rome: Site) -> None:
    wild = Site("milan", "0.0.0.0/0")
    before = rome.version, wild.version
    with pytest.raises(CommandError, match=r'the remote cluster "milan" .* 0.0.0.0/0 is too large'):
        await join(rome, wild)
    assert (rome.version, wild.version) == before


async def test_separating_leaves_nothing_but_what_was_there(rome: Site, milan: Site) -> None:
    await join(rome, milan)
    async with paired(rome, milan) as pair:
        progress = Progress(io.StringIO(), live=False)
        for ranges, left in ((False, {"configurations"}), (True, set())):
            await separate_networks(pair, progress, Deadline(5), ranges=ranges, wait=True, mend="")
            for site in (rome, milan):
                assert {plural for plural, _, _ in site.objects} & MANAGED == left
        assert await separate_networks(pair, progress, Deadline(5), ranges=True, wait=True, mend="") == 0


async def test_networking_on_one_side_only_is_told_with_both_mends(rome: Site, milan: Site) -> None:
    milan.delete("networks", "liqo", "external-cidr")
    async with paired(rome, milan) as pair:
        progress = Progress(io.StringIO(), live=False)
        found = [await read_ranges(one, progress, Deadline(1)) for one in (pair.local, pair.remote)]
        assert found[0] is not None
        assert found[1] is None
        with pytest.raises(CommandError) as told:
            require_networking(pair, found[0], found[1])
        assert '"milan" has no networking module' in str(told.value)
        assert "networking.enabled=true" in told.value.mend
        assert "--networking-disabled" in told.value.mend
        assert not require_networking(pair, None, None)


async def test_the_proxy_is_reached_by_its_address_as_it_is_seen_here(rome: Site, milan: Site) -> None:
    rome.seen = {"cidr": {"pod": ["10.201.0.0/16"], "external": ["10.71.0.0/16"]}}
    await join(rome, milan)
    async with paired(rome, milan) as pair:
        with pytest.raises(CommandError, match=r"--in-band: .* has no IP liqo/api-server-proxy"):
            await find_in_band_proxy(pair)
        milan.create(
            "ips",
            {
                "metadata": {"name": "api-server-proxy", "namespace": "liqo"},
                "spec": {"ip": "10.96.1.1"},
                "status": {"ip": "10.70.0.9"},
            },
        )
        assert await find_in_band_proxy(pair) == "http://10.71.0.9:8118"


NONE, SERVER, CLIENT = Present(), Present(server=True), Present(client=True)


@pytest.mark.parametrize(
    ("location", "local", "remote", "decided"),
    [
        (None, NONE, NONE, ("remote", False)),
        ("Consumer", NONE, NONE, ("local", False)),
        (None, CLIENT, SERVER, ("remote", False)),
        (None, SERVER, CLIENT, ("local", True)),
        (None, SERVER, NONE, ("local", True)),
        (None, NONE, CLIENT, ("local", True)),
        ("Consumer", NONE, SERVER, ("remote", True)),
        ("Consumer", SERVER, NONE, ("local", False)),
    ],
)
def test_gateways_that_are_there_decide_who_serves(
    location: str | None, local: Present, remote: Present, decided: tuple[str, bool]
) -> None:
    assert decide_server(location, local, remote, ("rome", "milan")) == decided  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("local", "remote", "said"),
    [
        (Present(True, True), NONE, "rome has a GatewayServer and a GatewayClient"),
        (SERVER, SERVER, "both clusters have a GatewayServer"),
        (CLIENT, CLIENT, "both clusters have a GatewayClient"),
    ],
)
def test_two_of_the_same_end_are_refused(local: Present, remote: Present, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        decide_server(None, local, remote, ("rome", "milan"))

"""A gateway's life in virtual time: objects and keys in, a tunnel and its Connection out; rotations and takeovers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from isthmus.network.gateway import pinger
from isthmus.network.gateway.run import Gateway, LeadLostError
from isthmus.network.gateway.settings import Settings
from isthmus.network.process import Health
from tests.apiserver import ApiServer, Json, connected
from tests.apiserver.clock import VIRTUAL_TIME
from tests.network.gateway.test_pinger import pinging
from tests.network.kernel import POD_IP, Kernel
from tests.network.played import WAKES, Wire

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("heard")]

TNS, ACTIVE = "liqo-tenant-milan", "networking.liqo.io/active"
PEER = {"liqo.io/remote-cluster-id": "milan"}
META: Json = {"name": "milan", "namespace": TNS, "labels": PEER}
CLIENT, SERVER = "169.254.18.2", "169.254.18.1"


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


class Stage:
    """Rome's gateway to milan: its API server, its kernel, its keys' folder, and the wire to milan's."""

    def __init__(self, folder: Path, wire: Wire, **settings: Any) -> None:
        self.api, self.kernel, self.health, self.wire = (
            ApiServer(),
            Kernel(public_of=lambda one: one),
            Health(),
            wire,
        )
        self.folder = folder
        usual = Settings(
            mode="client", name="milan", namespace=TNS, peer="milan", cluster_id="rome", mtu=1340, port=51840,
            addresses=["192.0.2.1"], pod_ip=POD_IP, pod_name="gw-a", node_name="one",
        )  # fmt: skip
        owner = self.api.create("gatewayclients", {"metadata": META, "spec": {"endpoint": {}}})
        self.settings = replace(usual, uid=owner["metadata"]["uid"], **settings)
        self.rotate("o")
        self._place()

    def rotate(self, letter: str) -> None:
        """Other keys in the files of the mounted Secret; the played `wg` takes a private key for its public one."""
        for name in ("privateKey", "publicKey"):
            (self.folder / name).write_bytes(letter.encode() * 32)

    def tell_key(self, letter: str) -> None:
        """Milan's public key, as the exchange of the two clusters tells it."""
        self.api.put("publickeies", {"metadata": META, "spec": {"publicKey": key(letter)}})

    @property
    def peers(self) -> dict[str, str]:
        """The tunnel's peers and their endpoints."""
        device = self.kernel.wireguard.get("liqo-tunnel")
        return {} if device is None else {one: peer.endpoint for one, peer in device.peers.items()}

    @property
    def connection(self) -> str:
        found = self.api.get("connections", TNS, "gw-milan") or {}
        return str(found.get("status", {}).get("value", ""))

    @asynccontextmanager
    async def running(self, kernel: Kernel | None = None, **settings: Any) -> AsyncIterator[Gateway]:
        """The process, until it is told to end."""
        async with connected(self.api) as client:
            chosen = replace(self.settings, **settings)
            one = Gateway(client, chosen, kernel or self.kernel, str(self.folder))
            task = asyncio.create_task(one.run(self.health))
            try:
                yield one
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _place(self) -> None:
        local = {"cidr": {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}}
        seen = {"cidr": {"pod": ["10.71.0.0/16"], "external": ["10.72.0.0/16"]}}
        spec = {"local": local, "remote": {"cidr": {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}}}
        self.api.create("configurations", {"metadata": META, "spec": spec, "status": {"remote": seen}})
        interface = {"gateway": {"ip": "10.80.0.2"}, "node": {"name": "isthmus0"}}
        fabric = {"gatewayIP": POD_IP, "interface": interface, "mtu": 1340, "remoteCIDRs": ["10.71.0.0/16"]}
        self.api.create("internalfabrics", {"metadata": META, "spec": fabric})
        node = {"interface": {"node": {"ip": "10.80.0.5"}}}
        self.api.create("internalnodes", {"metadata": {"name": "one"}, "spec": node})
        status = {"addresses": [{"type": "InternalIP", "address": "172.18.0.5"}]}
        self.api.create(
            "nodes", {"metadata": {"name": "one"}, "spec": {"podCIDRs": ["10.244.1.0/24"]}, "status": status}
        )


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """What the sockets of gateways are the ends of."""
    wire = Wire()
    monkeypatch.setattr(pinger, "_udp", wire.end)
    return wire


@asynccontextmanager
async def answering(wire: Wire, own: str = SERVER, peer: str = CLIENT) -> AsyncIterator[None]:
    """Milan's gateway, as far as pings go."""
    async with pinging(wire, own, peer):
        yield


async def test_a_gateway_sets_up_what_its_objects_say_and_is_ready(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire)
    stage.tell_key("p")
    async with stage.running() as gateway:
        await asyncio.sleep(1)
        assert stage.health.ready
        assert stage.peers == {key("p"): "192.0.2.1:51840"}
        assert stage.kernel.links["liqo-tunnel"]["addr_info"][0]["local"] == CLIENT
        assert stage.kernel.links["isthmus0"]["mtu"] == 1340
        assert {"route 10.244.0.0/16", "route 10.244.1.0/24", "ip isthmus"} <= set(stage.kernel.ours)
        assert stage.connection == "Connecting"
        found = stage.api.get("connections", TNS, "gw-milan") or {}
        assert found["metadata"]["ownerReferences"][0]["uid"] == stage.settings.uid
        async with answering(wire):
            await stage.api.until(lambda: stage.connection == "Connected")
            told = stage.health.metrics()
            assert told["isthmus_tunnel_connected"] == 1.0
            assert told["isthmus_tunnel_userspace"] == 0.0
            assert gateway.keeper.faults == ()
        await stage.api.until(lambda: stage.connection == "Error")
    assert "liqo-tunnel" in stage.kernel.links, "a gateway that ends leaves what is in its pod"


async def test_keys_are_rotated_on_both_sides_without_another_start(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire)
    stage.tell_key("p")
    async with stage.running(), answering(wire):
        await asyncio.sleep(5)
        stage.kernel.log.clear()
        stage.rotate("n")
        await asyncio.sleep(31)
        assert stage.kernel.wireguard["liqo-tunnel"].private == key("n")
        assert stage.peers == {key("p"): "192.0.2.1:51840"}
        stage.tell_key("q")
        await asyncio.sleep(1)
        assert stage.peers == {key("q"): "192.0.2.1:51840"}
        assert not [line for line in stage.kernel.log if line.startswith(("link", "nft", "route"))]


async def test_keys_that_cannot_be_used_are_told_and_the_rest_is_done(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire)
    stage.api.create("publickeies", {"metadata": META, "spec": {"publicKey": "bm8ga2V5"}})
    (tmp_path / "privateKey").write_bytes(b"short")
    async with stage.running() as gateway:
        await asyncio.sleep(1)
        assert "ip isthmus" in stage.kernel.ours
        (fault,) = stage.health.faults()
        assert "privateKey: a WireGuard key has 32 bytes, this one 5" in fault
        stage.rotate("o")
        gateway.keeper.wake()
        await asyncio.sleep(1)
        assert f"PublicKey {TNS}/milan: a WireGuard key has 32 bytes" in stage.health.faults()[0]
        stage.tell_key("p")
        await asyncio.sleep(1)
        assert stage.health.faults() == ()
        stage.api.create(
            "publickeies", {"metadata": {**META, "name": "second"}, "spec": {"publicKey": key("r")}}
        )
        await asyncio.sleep(1)
        assert stage.peers == {}, "of two keys nobody knows which is the peer's"


async def test_a_gateway_without_its_fabric_waits_for_it(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire)
    fabric = dict(stage.api.get("internalfabrics", TNS, "milan") or {})
    stage.api.delete("internalfabrics", TNS, "milan")
    async with stage.running():
        await asyncio.sleep(5)
        assert not stage.health.ready
        assert stage.health.faults() == (f"there is no InternalFabric {TNS}/milan with an address yet",)
        stage.api.create("internalfabrics", {"metadata": META, "spec": fabric["spec"]})
        await asyncio.sleep(1)
        assert stage.health.ready


async def test_a_client_follows_its_server_to_another_address(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire, addresses=[], port=0)
    stage.tell_key("p")
    endpoint: Json = {"addresses": ["192.0.2.1"], "ports": [51840]}
    async with stage.running():
        await asyncio.sleep(1)
        assert stage.peers == {key("p"): ""}, "where its server is nobody has said yet"
        stage.api.merge("gatewayclients", TNS, "milan", {"spec": {"endpoint": endpoint}})
        await asyncio.sleep(1)
        assert stage.peers == {key("p"): "192.0.2.1:51840"}
        async with answering(wire):
            await asyncio.sleep(10)
        stage.api.merge("gatewayclients", TNS, "milan", {"spec": {"endpoint": {"port": 70000}}})
        await asyncio.sleep(20)
        assert stage.peers == {key("p"): "192.0.2.1:51840"}, "what cannot be is not tried"
        moved = {"addresses": ["192.0.2.9"], "port": 30123}
        stage.api.merge("gatewayclients", TNS, "milan", {"spec": {"endpoint": moved}})
        await asyncio.sleep(1)
        assert stage.peers == {key("p"): "192.0.2.9:30123"}


async def test_a_client_begins_anew_while_no_answer_comes_and_leaves_what_works(
    tmp_path: Path, wire: Wire
) -> None:
    stage = Stage(tmp_path, wire)
    stage.tell_key("p")

    def begun() -> int:
        return stage.kernel.log.count("wg set")

    async with stage.running():
        async with answering(wire):
            await asyncio.sleep(300)
            assert begun() <= 1
            before = begun()
        await asyncio.sleep(2 * 2 + 6)
        assert begun() - before >= 5, "half an interval apart at first"
        await asyncio.sleep(60)
        quick = begun() - before
        assert quick <= 40, "then an interval"
        assert stage.peers == {key("p"): "192.0.2.1:51840"}
        stage.kernel.refuses["wg set"] = "Unable to modify interface"
        await asyncio.sleep(10)
        async with answering(wire):
            await asyncio.sleep(5)
            assert stage.connection == "Connected"


async def test_a_server_waits_for_its_client(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire, mode="server", addresses=[])
    stage.tell_key("p")
    async with stage.running(), answering(wire, CLIENT, SERVER):
        await asyncio.sleep(60)
        assert stage.peers == {key("p"): ""}
        assert stage.kernel.wireguard["liqo-tunnel"].port == 51840
        assert stage.connection == "Connected"
        assert "wg set" not in stage.kernel.log, "it has nobody to call"


async def test_a_device_that_goes_is_made_and_configured_anew(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire)
    stage.tell_key("p")
    async with stage.running():
        await asyncio.sleep(1)
        stage.kernel.forget("liqo-tunnel")
        WAKES[-1]()
        await asyncio.sleep(1)
        assert stage.peers == {key("p"): "192.0.2.1:51840"}
        assert stage.kernel.links["liqo-tunnel"]["flags"] == ["UP"]


async def test_a_connection_that_somebody_deletes_comes_back(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire)
    stage.tell_key("p")
    async with stage.running(), answering(wire):
        await stage.api.until(lambda: stage.connection == "Connected")
        stage.api.delete("connections", TNS, "gw-milan")
        wire.lag = 0.05
        await stage.api.until(lambda: stage.connection == "Connected")
        found = stage.api.get("connections", TNS, "gw-milan") or {}
        assert found["status"]["latency"]["value"] == "100.000ms"
        assert found["spec"]["type"] == "Client"


async def test_pods_outside_their_nodes_range_are_looked_at_one_by_one(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire)
    stage.api.merge("nodes", "", "one", {"spec": {"podCIDRs": []}})

    def pod(name: str, address: str, **spec: Any) -> None:
        place = {"name": name, "namespace": "default"}
        whole = {"nodeName": "one", "hostNetwork": False, **spec}
        stage.api.create("pods", {"metadata": place, "spec": whole, "status": {"podIP": address}})

    pod("web", "10.244.3.7")
    pod("host", "172.18.0.5", hostNetwork=True)
    async with stage.running():
        await asyncio.sleep(1)
        assert "route 10.244.3.7/32" in stage.kernel.ours
        assert "route 172.18.0.5/32" not in stage.kernel.ours
        pod("late", "10.244.3.8")
        await asyncio.sleep(1)
        assert "route 10.244.3.8/32" in stage.kernel.ours


async def test_of_two_replicas_one_carries_the_tunnel_and_the_other_takes_over(
    tmp_path: Path, wire: Wire
) -> None:
    stage = Stage(tmp_path, wire, replicas=2)
    stage.tell_key("p")
    for name in ("gw-a", "gw-b"):
        stage.api.create("pods", {"metadata": {"name": name, "namespace": TNS, "labels": {"app": "gateway"}}})

    def active() -> set[str]:
        pods = stage.api.list("pods", TNS)
        return {one["metadata"]["name"] for one in pods if one["metadata"]["labels"].get(ACTIVE) == "true"}

    second = Kernel()
    second.tables["ip", "isthmus"] = "of an earlier life\n"
    async with stage.running():
        await asyncio.sleep(2)
        assert active() == {"gw-a"}
        assert stage.kernel.open_for
        assert ("ip", "isthmus_lead") in stage.kernel.tables
        async with stage.running(second, pod_name="gw-b"):
            await asyncio.sleep(30)
            assert second.ours == [], "whoever waits must not answer beside the leader"
            assert stage.health.ready, "though it is ready"
            with stage.api.failing(
                503, "ServiceUnavailable", plural="leases", when=lambda one: b'"gw-a"' in one.exchange.body
            ):
                await asyncio.sleep(8)
            assert active() == {"gw-b"}
            assert "liqo-tunnel" in second.links
            assert stage.kernel.ours == [], "who lost the lead has taken its tunnel down"


async def test_who_loses_the_lead_ends_with_that_error(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire, replicas=2)
    stage.api.create("pods", {"metadata": {"name": "gw-a", "namespace": TNS, "labels": {}}})
    async with connected(stage.api) as client:
        gateway = Gateway(client, stage.settings, stage.kernel, str(tmp_path))
        task = asyncio.create_task(gateway.run(stage.health))
        await asyncio.sleep(3)
        stage.api.fail(503, "ServiceUnavailable", plural="leases", times=None)
        with pytest.raises(BaseExceptionGroup) as ended:
            await asyncio.wait_for(task, 10)
    assert ended.group_contains(LeadLostError)
    assert stage.kernel.ours == []


async def test_a_kernel_without_wireguard_is_told_with_the_mend(tmp_path: Path, wire: Wire) -> None:
    stage = Stage(tmp_path, wire, implementation="kernel")
    stage.kernel.refuses["type wireguard"] = "Error: Unknown device type."
    async with stage.running():
        await asyncio.sleep(1)
        assert not stage.health.ready
        assert "load the module wireguard on the nodes" in stage.health.faults()[0]
        stage.kernel.refuses.clear()
        await asyncio.sleep(5)
        assert stage.health.ready

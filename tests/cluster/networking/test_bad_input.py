"""Wrong input to the network between two real clusters: one clear error each, nothing left half-done.

Told elsewhere: a node port in use and an endpoint that does not answer in test_network_commands, kernels without
nftables or an overlay in tests/network/dataplane/test_missing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from isthmus import lab
from tests.cluster.networking.forgery import forging
from tests.cluster.support import Cluster, eventually, isthmus
from tests.processes import Process, mains

Pair = tuple[Cluster, Cluster]
NODE_PORT = ("--gw-server-service-type", "NodePort")
WRITTEN = (
    *(
        f"{plural}.networking.liqo.io"
        for plural in (
            "configurations",
            "gatewayservers",
            "gatewayclients",
            "wggatewayservers",
            "wggatewayclients",
            "publickeies",
            "connections",
            "internalfabrics",
            "wggatewayservertemplates",
            "wggatewayclienttemplates",
        )
    ),
    "networks.ipam.liqo.io",
    "ips.ipam.liqo.io",
    "deployments",
    "services",
    "secrets",
    "serviceaccounts",
)
STRANGER = "stranger"
"""The id of a peer that exists only in what is written about it."""
HOME = f"liqo-tenant-{STRANGER}"


def objects(*clusters: Cluster) -> set[str]:
    """Every object that joining networks or installing could have made or changed.

    Not the ServiceAccount that Kubernetes makes in each namespace, some time after it.
    """
    return {
        f"{cluster.name} {item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']} "
        f"{item['metadata']['uid']} {item['metadata'].get('generation', '')}"
        for cluster in clusters
        for item in cluster.items(",".join(WRITTEN), "-A")
        if (item["kind"], item["metadata"]["name"]) != ("ServiceAccount", "default")
    }


def refused(code: int, *arguments: str) -> str:
    """The one error of a command that must fail with that exit code; nothing on stdout, no traceback."""
    done = isthmus(*arguments, check=False)
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return error


def between(pair: Pair) -> tuple[str, ...]:
    return ("--kubeconfig", str(pair[0].kubeconfig), "--remote-kubeconfig", str(pair[1].kubeconfig))


@pytest.fixture(scope="module")
def apart(installed: Pair) -> Iterator[Pair]:
    """The two clusters, neither peered nor joined when the module begins and when it ends."""
    _separate(installed)
    yield installed
    _separate(installed)


def _separate(pair: Pair) -> None:
    for direction in (pair, (pair[1], pair[0])):
        isthmus("unpeer", *between(direction), "--skip-confirm")
    isthmus("network", "reset", *between(pair), "--skip-confirm", "--wait")


@pytest.fixture
def connected(apart: Pair) -> Pair:
    """The same with their networks joined; harmless where they are."""
    isthmus("network", "connect", *between(apart), *NODE_PORT, "--wait")
    return apart


CONNECT = (
    (2, ("--mtu", "100"), "--mtu 100 cannot work: use 576 to 65000"),
    (2, ("--gw-server-service-port", "70000"), "'--gw-server-service-port': 70000 is not in the range"),
    (2, ("--gw-client-address", "203.0.113.7:51840"), 'address "203.0.113.7:51840" is neither an IPv4 address'),
    (1, ("--gw-server-template-name", "nowhere"), "has no WgGatewayServerTemplate liqo/nowhere"),
)  # fmt: skip
INSTALL = (
    (("--pod-cidr", "10.244.0.0/33"), "(--pod-cidr)", "10.244.0.0/33"),
    (("--pod-cidr", "10.244.0.5/16"), "(--pod-cidr)", "10.244.0.5/16"),
    (("--service-cidr", "10.244.96.0/20", "--pod-cidr", "10.244.0.0/16"), "(--service-cidr)", "overlaps"),
    (("--reserved-subnets", "10.244.7.0/24"), "(--reserved-subnets)", "10.244.7.0/24 overlaps"),
    (("--set", "ipam.externalCIDR=8.8.0.0/16"), "ipam.externalCIDR", "none of the pools"),
    (("--set", "ipam.pools={10.0.0.0/8,10.1.0.0/16}"), "ipam.pools", "overlaps 10.0.0.0/8"),
)


def test_flags_that_cannot_work_are_told_before_anything_is_written(apart: Pair) -> None:
    before = objects(*apart)
    for code, flags, said in CONNECT:
        assert said in refused(code, "network", "connect", *between(apart), *flags)
    assert objects(*apart) == before


def test_a_node_port_out_of_range_is_told_and_not_kept(apart: Pair) -> None:
    before = objects(*apart)
    error = refused(
        1, "network", "connect", *between(apart), *NODE_PORT, "--gw-server-service-nodeport", "80"
    )
    assert "--gw-server-service-nodeport 80: milan does not allow that node port" in error
    assert "30000 to 32767" in error
    assert not apart[1].items("gatewayservers.networking.liqo.io", "-A")
    isthmus("network", "reset", *between(apart), "--skip-confirm", "--wait")
    assert objects(*apart) == before


def test_address_ranges_that_cannot_be_installed(apart: Pair) -> None:
    rome = apart[0]
    before = objects(rome)
    for flags, name, said in INSTALL:
        error = refused(1, "install", "--kubeconfig", str(rome.kubeconfig), "--cluster-id", rome.name, *flags)
        assert name in error
        assert said in error
    assert objects(rome) == before


@pytest.fixture
def stranger(apart: Pair) -> Iterator[Cluster]:
    """Rome with a tenant namespace of a peer that is not there, for what a peer's user could write into it."""
    rome = apart[0]
    labels = {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": STRANGER}
    rome.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME, "labels": labels}})
    yield rome
    rome.kubectl("delete", "configurations.networking.liqo.io", "--all", "-n", HOME)
    rome.kubectl("delete", "namespace", HOME)


def written(kind: str, spec: dict[str, Any], group: str = "networking.liqo.io/v1beta1") -> dict[str, Any]:
    """An object about the stranger."""
    metadata = {"name": STRANGER, "namespace": HOME, "labels": {"liqo.io/remote-cluster-id": STRANGER}}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec}


def verdict(rome: Cluster, peer: str, namespace: str) -> dict[str, str] | None:
    """The condition of a peer's Configuration once it is about its present spec."""
    found = rome.get("configuration.networking.liqo.io", peer, "-n", namespace)
    for condition in found.get("status", {}).get("conditions", []):
        if condition.get("observedGeneration") == found["metadata"]["generation"]:
            return dict(condition)
    return None


def announce(rome: Cluster, *pods: str) -> dict[str, str]:
    """What rome says of a peer with these pod ranges."""
    rome.apply(
        written("Configuration", {"remote": {"cidr": {"pod": list(pods), "external": ["10.70.0.0/16"]}}})
    )
    eventually(lambda: verdict(rome, STRANGER, HOME), within=60, what=f"a word about {pods}")
    return verdict(rome, STRANGER, HOME) or {}


ANNOUNCED = (
    (("0.0.0.0/0",), "InvalidRemoteCIDRs", "spec.remote.cidr.pod: 0.0.0.0/0 is too large"),
    (("10.1.0.0/33",), "InvalidRemoteCIDRs", "spec.remote.cidr.pod: '10.1.0.0/33' is no IPv4 CIDR"),
    (("10.1.2.3/16",), "InvalidRemoteCIDRs", "'10.1.2.3/16' has host bits set: write 10.1.0.0/16"),
    (("10.1.0.0/16", "10.1.2.0/24"), "InvalidRemoteCIDRs", "10.1.2.0/24 overlaps 10.1.0.0/16"),
    (("169.254.0.0/16",), "InvalidRemoteCIDRs", "169.254.0.0/16 has link-local addresses"),
    (("11.0.0.0/8",), "PoolsExhausted", "have no other free /8: remove Networks no longer needed"),
)


def test_announcements_that_cannot_be_are_told_in_the_condition_and_route_nothing(stranger: Cluster) -> None:
    before = objects(stranger)
    for pods, reason, said in ANNOUNCED:
        condition = announce(stranger, *pods)
        assert (condition["status"], condition["reason"]) == ("False", reason), pods
        assert said in condition["message"]
        found = stranger.get("configuration.networking.liqo.io", STRANGER, "-n", HOME)
        assert "remote" not in found["status"], "nobody may route by a range that is refused"
        assert reason == "PoolsExhausted" or not stranger.items("networks.ipam.liqo.io", "-n", HOME)
    stranger.kubectl("delete", "configurations.networking.liqo.io", "--all", "-n", HOME)
    eventually(lambda: objects(stranger) == before, within=60, what="the same objects as before")


def test_our_own_ranges_announced_by_a_peer_are_seen_elsewhere(stranger: Cluster) -> None:
    own = {
        str(one["status"]["cidr"])
        for one in stranger.items("networks.ipam.liqo.io", "-n", "liqo")
        if "external" not in one["metadata"]["name"]
    }
    announce(stranger, *sorted(own))
    eventually(
        lambda: (verdict(stranger, STRANGER, HOME) or {}).get("status") == "True",
        within=60,
        what="ranges for the peer",
    )
    found = stranger.get("configuration.networking.liqo.io", STRANGER, "-n", HOME)
    seen = found["status"]["remote"]["cidr"]
    assert len(seen["pod"]) == len(own)
    for cidr in (*seen["pod"], *seen["external"]):
        assert not [one for one in own if IPv4Network(one).overlaps(IPv4Network(cidr))]


def test_gateways_that_cannot_work_are_told_in_an_event_or_denied(stranger: Cluster) -> None:
    before = objects(stranger)
    template = {
        "apiVersion": "networking.liqo.io/v1beta1",
        "kind": "WgGatewayServerTemplate",
        "name": "wireguard-server",
        "namespace": "liqo",
    }
    endpoint: dict[str, Any] = {"port": 51840, "serviceType": "NodePort"}
    manifest = written("GatewayServer", {"serverTemplateRef": template, "mtu": 100, "endpoint": endpoint})
    stranger.apply(manifest)

    def told() -> list[str]:
        events = stranger.items("events", "-n", HOME, "--field-selector", f"involvedObject.name={STRANGER}")
        return [one["message"] for one in events if "spec.mtu: 100 cannot work; use 576" in one["message"]]

    eventually(told, within=60, what="the event about the MTU")
    stranger.kubectl("delete", "gatewayserver", STRANGER, "-n", HOME)
    eventually(lambda: objects(stranger) == before, within=60, what="the same objects as before")
    endpoint["ports"] = [51840]
    with pytest.raises(AssertionError, match="give either port or ports"):
        stranger.apply(manifest)
    assert objects(stranger) == before


def lacks_wireguard(gateway: Process) -> bool:
    """Whether the kernel makes no WireGuard device."""
    probe = "ip link add wgprobe type wireguard 2>/dev/null && ip link del wgprobe && echo has || echo lacks"
    return gateway.run("sh", "-c", probe).strip() == "lacks"


def metrics(gateway: Process) -> dict[str, float]:
    """What the gateway tells Prometheus."""
    text = gateway.run("curl", "-sS", f"http://127.0.0.1:{gateway.settings['health_port']}/metrics")
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def test_a_gateway_says_which_wireguard_it_chose(connected: Pair) -> None:
    for cluster, peer in (connected, connected[::-1]):
        (gateway,) = mains("gateway", cluster.name)
        lacks = lacks_wireguard(gateway)
        assert metrics(gateway)["isthmus_tunnel_userspace"] == float(lacks)
        said = cluster.kubectl("logs", "-n", f"liqo-tenant-{peer.name}", f"deployment/gw-{peer.name}").stdout
        assert f"WireGuard runs in {'user space' if lacks else 'the kernel'}" in said


def state(cluster: Cluster, peer: Cluster) -> str:
    """The state of the Connection to a peer."""
    (found,) = cluster.items("connections.networking.liqo.io", "-n", f"liqo-tenant-{peer.name}")
    return str(found["status"]["value"])


def test_a_peer_that_turns_to_announcing_everything_gets_nothing(connected: Pair) -> None:
    rome, _ = connected
    (worker,) = [one.name for one in next(one for one in lab.clusters() if one.name == "rome").workers][:1]
    kept = rome.get("configuration.networking.liqo.io", "milan", "-n", "liqo-tenant-milan")["spec"]["remote"]

    def announce_pods(*pods: str) -> None:
        spec = {"remote": {"cidr": {**kept["cidr"], "pod": list(pods)}}}
        rome.kubectl(
            "patch", "configuration.networking.liqo.io", "milan", "-n", "liqo-tenant-milan",
            "--type=merge", "-p", json.dumps({"spec": spec}),
        )  # fmt: skip

    def ways() -> list[str]:
        # To the Internet, to our own API server, to our own pods.
        return [
            isthmus("lab", "exec", worker, "--", "ip", "route", "get", address).stdout.split(" uid ")[0]
            for address in ("8.8.8.8", rome.server.split("//")[1].split(":")[0], "10.244.200.1")
        ]

    before = ways()
    try:
        announce_pods("0.0.0.0/0")
        eventually(
            lambda: (verdict(rome, "milan", "liqo-tenant-milan") or {}).get("reason") == "InvalidRemoteCIDRs",
            within=60,
            what="the refusal",
        )
        assert ways() == before
        assert state(*connected) == "Connected"
    finally:
        announce_pods(*kept["cidr"]["pod"])
    eventually(
        lambda: (verdict(rome, "milan", "liqo-tenant-milan") or {}).get("status") == "True",
        within=60,
        what="the ranges as before",
    )
    assert state(*connected) == state(*connected[::-1]) == "Connected"


def test_truncated_and_forged_datagrams_do_no_harm(connected: Pair) -> None:
    rome, milan = connected
    (victim,) = mains("gateway", "rome")
    (forger,) = mains("gateway", "milan")
    dropped = metrics(victim)["isthmus_tunnel_dropped_datagrams_total"]
    patience = victim.settings["ping_interval"] * victim.settings["loss_threshold"]
    states = set()
    with forging(forger, "rome") as watched:
        # Time is what is tested here: as long as true answers could be missing before that shows.
        for _ in watched.each_second(patience + 1):
            states.add((state(rome, milan), metrics(victim)["isthmus_tunnel_connected"]))
    assert states == {("Connected", 1.0)}
    assert metrics(victim)["isthmus_tunnel_dropped_datagrams_total"] >= dropped + 100
    assert [one.pid for one in mains("gateway", "rome")] == [victim.pid]


def test_forged_answers_do_not_keep_a_dead_tunnel_alive(connected: Pair) -> None:
    rome, milan = connected
    (forger,) = mains("gateway", "milan")
    with forging(forger, "rome"):
        with forger.stopped():
            eventually(lambda: state(rome, milan) == "Error", within=60, what="the tunnel told as broken")
        eventually(lambda: state(rome, milan) == "Connected", within=60, what="the tunnel again")


def test_wireguard_of_a_kernel_that_has_none(apart: Pair) -> None:
    isthmus("network", "reset", *between(apart), "--skip-confirm", "--wait")
    rome, _ = apart
    before = objects(*apart)
    name = f"kernel-only-{uuid.uuid4().hex[:8]}"
    template = rome.get("wggatewayclienttemplate", "wireguard-client", "-n", "liqo")
    template["metadata"] = {"name": name, "namespace": "liqo"}
    (container,) = template["spec"]["template"]["spec"]["deployment"]["spec"]["template"]["spec"][
        "containers"
    ]
    settings = next(one for one in container["env"] if one["name"] == "ISTHMUS_GATEWAY")["value"]
    settings["implementation"] = "kernel"
    rome.apply(template)
    connect = ("network", "connect", *between(apart), *NODE_PORT, "--gw-client-template-name", name)
    try:
        done = isthmus(*connect, check=False)
        if done.returncode == 0:
            assert not lacks_wireguard(mains("gateway", "rome")[0])
            return
        assert done.returncode == 1
        assert "gateway liqo-tenant-milan/gw-milan of the local cluster" in done.stderr
        assert "this kernel makes no device of type wireguard" in done.stderr
        assert "load the module wireguard on the nodes" in done.stderr
        assert "networking.gatewayTemplates.wireguard.implementation=userspace" in done.stderr
    finally:
        isthmus("network", "reset", *between(apart), "--skip-confirm", "--wait")
        rome.kubectl("delete", "wggatewayclienttemplate", name, "-n", "liqo")
    assert objects(*apart) == before

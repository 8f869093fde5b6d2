"""Wrong input to the network between two real clusters: one clear error each, nothing left half-done.

Told elsewhere: a node port in use and an endpoint that does not answer in test_network_commands, kernels without
nftables or an overlay in tests/network/dataplane/test_missing.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from isthmus import lab
from tests.cluster.endings import Endings
from tests.cluster.networking.forgery import forging
from tests.cluster.peering import NODE_PORT, Pair, between
from tests.cluster.support import Cluster, eventually, isthmus
from tests.processes import Process, mains

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


def lacks_wireguard(gateway: Process) -> bool:
    """Whether the kernel makes no WireGuard device."""
    probe = "ip link add wgprobe type wireguard 2>/dev/null && ip link del wgprobe && echo has || echo lacks"
    return gateway.run("sh", "-c", probe).strip() == "lacks"


def metrics(gateway: Process) -> dict[str, float]:
    """What the gateway tells Prometheus."""
    text = gateway.run("curl", "-sS", f"http://127.0.0.1:{gateway.settings['health_port']}/metrics")
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def test_a_gateway_says_which_wireguard_it_chose(joined: Pair) -> None:
    for cluster, peer in (joined, joined[::-1]):
        (gateway,) = mains("gateway", cluster.name)
        lacks = lacks_wireguard(gateway)
        assert metrics(gateway)["isthmus_tunnel_userspace"] == float(lacks)
        said = cluster.kubectl("logs", "-n", f"liqo-tenant-{peer.name}", f"deployment/gw-{peer.name}").stdout
        assert f"WireGuard runs in {'user space' if lacks else 'the kernel'}" in said


def state(cluster: Cluster, peer: Cluster) -> str:
    """The state of the Connection to a peer."""
    (found,) = cluster.items("connections.networking.liqo.io", "-n", f"liqo-tenant-{peer.name}")
    return str(found["status"]["value"])


def test_a_peer_that_turns_to_announcing_everything_gets_nothing(joined: Pair) -> None:
    rome, _ = joined
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
            lambda: (verdict(rome, "milan") or {}).get("reason") == "InvalidRemoteCIDRs",
            within=60,
            what="the refusal",
        )
        assert ways() == before
        assert state(*joined) == "Connected"
    finally:
        announce_pods(*kept["cidr"]["pod"])
    eventually(
        lambda: (verdict(rome, "milan") or {}).get("status") == "True",
        within=60,
        what="the ranges as before",
    )
    assert state(*joined) == state(*joined[::-1]) == "Connected"


def test_truncated_and_forged_datagrams_do_no_harm(joined: Pair) -> None:
    rome, milan = joined
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


@pytest.mark.endurance
def test_forged_answers_do_not_keep_a_dead_tunnel_alive(joined: Pair) -> None:
    rome, milan = joined
    (forger,) = mains("gateway", "milan")
    with forging(forger, "rome"):
        with forger.stopped():
            eventually(lambda: state(rome, milan) == "Error", within=60, what="the tunnel told as broken")
        eventually(lambda: state(rome, milan) == "Connected", within=60, what="the tunnel again")


def home(peer: str) -> str:
    """The tenant namespace of a peer."""
    return f"liqo-tenant-{peer}"


@pytest.fixture
def strangers(installed: Pair, endings: Endings) -> Iterator[Callable[..., Cluster]]:
    """Gives rome tenant namespaces of peers that exist only in what is written about them; gone afterwards."""
    rome = installed[0]
    made: list[str] = []

    def make(*peers: str) -> Cluster:
        made.extend(peers)
        for peer in peers:
            labels = {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": peer}
            metadata = {"name": home(peer), "labels": labels}
            spaces.append({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        rome.apply(*spaces)
        return rome

    spaces: list[dict[str, Any]] = []
    yield make
    for peer in made:
        rome.kubectl("delete", "configurations.networking.liqo.io", "--all", "-n", home(peer), "--wait=false")
    endings.delete(rome, *(home(peer) for peer in made))


def written(kind: str, peer: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object about a stranger."""
    metadata = {"name": peer, "namespace": home(peer), "labels": {"liqo.io/remote-cluster-id": peer}}
    return {"apiVersion": "networking.liqo.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}


def verdict(rome: Cluster, peer: str) -> dict[str, str] | None:
    """The condition of a peer's Configuration once it is about its present spec."""
    found = rome.get("configuration.networking.liqo.io", peer, "-n", home(peer))
    for condition in found.get("status", {}).get("conditions", []):
        if condition.get("observedGeneration") == found["metadata"]["generation"]:
            return dict(condition)
    return None


ANNOUNCED = {
    "everything": (("0.0.0.0/0",), "InvalidRemoteCIDRs", "spec.remote.cidr.pod: 0.0.0.0/0 is too large"),
    "no-range": (
        ("10.1.0.0/33",),
        "InvalidRemoteCIDRs",
        "spec.remote.cidr.pod: '10.1.0.0/33' is not a valid IPv4 CIDR",
    ),
    "host-bits": (
        ("10.1.2.3/16",),
        "InvalidRemoteCIDRs",
        "'10.1.2.3/16' has host bits set: write 10.1.0.0/16",
    ),
    "twice": (("10.1.0.0/16", "10.1.2.0/24"), "InvalidRemoteCIDRs", "10.1.2.0/24 overlaps 10.1.0.0/16"),
    "link-local": (("169.254.0.0/16",), "InvalidRemoteCIDRs", "169.254.0.0/16 has link-local addresses"),
    "half": (("11.0.0.0/8",), "PoolsExhausted", "have no other free /8: remove Networks no longer needed"),
}


def announcement(peer: str, pods: Iterable[str]) -> dict[str, Any]:
    """The Configuration of a peer with these pod ranges."""
    remote = {"cidr": {"pod": list(pods), "external": ["10.70.0.0/16"]}}
    return written("Configuration", peer, {"remote": remote})


def test_announcements_are_judged_in_the_condition_and_what_cannot_be_routes_nothing(
    strangers: Callable[..., Cluster],
) -> None:
    rome = strangers(*ANNOUNCED, "alike")
    before = objects(rome)
    networks = rome.items("networks.ipam.liqo.io", "-n", "liqo")
    own = {one["status"]["cidr"] for one in networks if "external" not in one["metadata"]["name"]}
    rome.apply(
        *(announcement(peer, pods) for peer, (pods, _, _) in ANNOUNCED.items()),
        announcement("alike", sorted(own)),
    )
    for peer, (_, reason, said) in ANNOUNCED.items():
        eventually(lambda peer=peer: verdict(rome, peer), within=60, what=f"a word about {peer}")
        condition = verdict(rome, peer) or {}
        assert (condition["status"], condition["reason"]) == ("False", reason), peer
        assert said in condition["message"]
        found = rome.get("configuration.networking.liqo.io", peer, "-n", home(peer))
        assert "remote" not in found["status"], "nobody may route by a range that is refused"
        assert reason == "PoolsExhausted" or not rome.items("networks.ipam.liqo.io", "-n", home(peer))

    # Our own ranges, announced by a peer, are seen elsewhere.
    eventually(
        lambda: (verdict(rome, "alike") or {}).get("status") == "True", within=60, what="ranges for the peer"
    )
    seen = rome.get("configuration.networking.liqo.io", "alike", "-n", home("alike"))["status"]["remote"][
        "cidr"
    ]
    assert len(seen["pod"]) == len(own)
    for cidr in (*seen["pod"], *seen["external"]):
        assert not [one for one in own if IPv4Network(one).overlaps(IPv4Network(cidr))]
    for peer in (*ANNOUNCED, "alike"):
        rome.kubectl("delete", "configuration.networking.liqo.io", peer, "-n", home(peer), "--wait=false")
    eventually(lambda: objects(rome) == before, within=60, what="the same objects as before")


def test_gateways_that_cannot_work_are_told_in_an_event_or_denied(
    strangers: Callable[..., Cluster],
) -> None:
    stranger = strangers("stranger")
    before = objects(stranger)
    template = {
        "apiVersion": "networking.liqo.io/v1beta1",
        "kind": "WgGatewayServerTemplate",
        "name": "wireguard-server",
        "namespace": "liqo",
    }
    endpoint: dict[str, Any] = {"port": 51840, "serviceType": "NodePort"}
    manifest = written(
        "GatewayServer", "stranger", {"serverTemplateRef": template, "mtu": 100, "endpoint": endpoint}
    )
    stranger.apply(manifest)

    def told() -> list[str]:
        events = stranger.items(
            "events", "-n", home("stranger"), "--field-selector", "involvedObject.name=stranger"
        )
        return [one["message"] for one in events if "spec.mtu: 100 cannot work; use 576" in one["message"]]

    eventually(told, within=60, what="the event about the MTU")
    stranger.kubectl("delete", "gatewayserver", "stranger", "-n", home("stranger"))
    eventually(lambda: objects(stranger) == before, within=60, what="the same objects as before")
    endpoint["ports"] = [51840]
    with pytest.raises(AssertionError, match="give either port or ports"):
        stranger.apply(manifest)
    assert objects(stranger) == before


def test_what_cannot_work_is_told_before_anything_is_written(apart: Pair) -> None:
    """One of each place where it is noticed; the rest is in tests/cli and tests/install/test_values."""
    before = objects(*apart)
    connect = ("network", "connect", *between(*apart))
    error = refused(2, *connect, "--mtu", "100")
    assert "--mtu 100 cannot work: use 576 to 65000" in error
    error = refused(1, *connect, "--gw-server-template-name", "nowhere")
    assert "has no WgGatewayServerTemplate liqo/nowhere" in error
    install = ("install", "--kubeconfig", str(apart[0].kubeconfig), "--cluster-id", apart[0].name)
    error = refused(1, *install, "--reserved-subnets", "10.244.7.0/24")
    assert "(--reserved-subnets)" in error
    assert "10.244.7.0/24 overlaps" in error
    assert objects(*apart) == before


def test_wireguard_of_the_kernel_where_there_is_one(apart: Pair) -> None:
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
    connect = ("network", "connect", *between(*apart), *NODE_PORT, "--gw-client-template-name", name)
    try:
        done = isthmus(*connect, "--wait", check=False)
        # All nodes have this machine's kernel.
        if lacks_wireguard(mains("gateway", "milan")[0]):
            assert done.returncode == 1
            assert "gateway liqo-tenant-milan/gw-milan of the local cluster" in done.stderr
            assert "this kernel makes no device of type wireguard" in done.stderr
            assert "load the module wireguard on the nodes" in done.stderr
            assert "networking.gatewayTemplates.wireguard.implementation=userspace" in done.stderr
        else:
            assert done.returncode == 0, done.stderr
            assert metrics(mains("gateway", "rome")[0])["isthmus_tunnel_userspace"] == 0.0
            assert state(*apart) == state(*apart[::-1]) == "Connected"
    finally:
        isthmus("network", "reset", *between(*apart), "--skip-confirm", "--wait")
        rome.kubectl("delete", "wggatewayclienttemplate", name, "-n", "liqo")
    assert objects(*apart) == before

"""The commands that join pod networks, on real clusters: what is there afterwards, what is told, what is left."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.peering import NODE_PORT, Pair, between
from tests.cluster.support import Cluster, eventually, isthmus

KINDS = (
    "configurations",
    "gatewayservers",
    "gatewayclients",
    "wggatewayservers",
    "wggatewayclients",
    "publickeies",
    "connections",
    "internalfabrics",
)


def left(pair: Pair) -> list[str]:
    """Everything there is of a tunnel, but pods that are ending already."""
    found = []
    for cluster, peer in zip(pair, reversed(pair), strict=True):
        namespace = f"liqo-tenant-{peer.name}"
        plurals = ",".join(f"{kind}.networking.liqo.io" for kind in KINDS)
        found += cluster.items(f"{plurals},networks.ipam.liqo.io,ips.ipam.liqo.io", "-n", namespace)
        found += cluster.items(
            "deployments,services,pods", "-n", namespace, "-l", "networking.liqo.io/component=gateway"
        )
    return [
        f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in found
        if one["kind"] != "Pod" or "deletionTimestamp" not in one["metadata"]
    ]


def connection(cluster: Cluster, peer: Cluster) -> str:
    """The state of the only Connection to the peer."""
    (found,) = cluster.items("connections.networking.liqo.io", "-n", f"liqo-tenant-{peer.name}")
    return str(found["status"]["value"])


def refused(*arguments: str) -> str:
    """The one error of a command that must fail."""
    done = isthmus(*arguments, check=False, timeout=300)
    assert done.returncode == 1, done
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return error


def refuse_in_time(*arguments: str, parts: tuple[str, ...]) -> None:
    """A command that must fail after its time is up, and whose error must come to say all parts.

    Again until then: on a busy machine it may not have come as far when a first short time is up.
    """
    errors = []

    def says_all() -> bool:
        errors.append(refused(*arguments, "--timeout", "12s"))
        return all(part in errors[-1] for part in parts)

    eventually(says_all, within=60, what=f"an error with {parts}", instead=lambda: errors[-1])


def connect(pair: Pair, *flags: str) -> str:
    """Join the networks; what is printed."""
    return isthmus("network", "connect", *between(*pair), *NODE_PORT, *flags).stdout


def reset(pair: Pair) -> None:
    isthmus("network", "reset", *between(*pair), "--skip-confirm", "--wait")


def test_networks_are_joined_changed_and_separated_without_a_peering(apart: Pair) -> None:
    rome, milan = apart
    refuse_node_ports(apart)
    assert left(apart) == []

    # An address that does not answer is told, and can be mended.
    silent = ("--gw-server-service-nodeport", "31998", "--gw-client-address", "192.0.2.1", "--wait")
    said = "milan's gateway at 192.0.2.1:31998/UDP does not answer from rome's gateway"
    refuse_in_time("network", "connect", *between(*apart), *NODE_PORT, *silent, parts=(said,))
    assert connect(apart, "--wait") == "the pod networks of rome and milan are joined\n"
    assert connection(rome, milan) == connection(milan, rome) == "Connected"

    own = ("--kubeconfig", str(rome.kubeconfig), "-o", "json")
    shown = json.loads(isthmus("info", *own).stdout)["network"]
    assert shown["enabled"]
    assert shown["podCIDRs"]
    peer = json.loads(isthmus("info", "peer", "milan", *own).stdout)["milan"]["network"]
    assert peer["gateway"]["role"] == "Client"
    assert peer["connection"]["status"] == "Connected"
    assert peer["advice"] == ""

    # Other flags make the server anew.
    before = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")["metadata"]["uid"]
    connect(apart, "--gw-server-service-nodeport", "31997", "--wait")
    after = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")
    assert after["metadata"]["uid"] != before
    assert after["status"]["endpoint"]["port"] == 31997
    eventually(
        lambda: connection(rome, milan) == connection(milan, rome) == "Connected",
        within=60,
        what="the tunnel through the new port",
    )

    isthmus("network", "disconnect", *between(*apart), "--skip-confirm", "--wait")
    assert {one.split()[0] for one in left(apart)} == {"Configuration", "Network", "IP"}
    reset(apart)
    assert left(apart) == []


def refuse_node_ports(pair: Pair) -> None:
    """One that is in use, told before anything is written, and one that the API server does not allow."""
    _, milan = pair
    spec = {"type": "NodePort", "ports": [{"port": 1, "protocol": "UDP", "nodePort": 31999}]}
    milan.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"}, "spec": spec})
    port = ("network", "connect", *between(*pair), *NODE_PORT, "--gw-server-service-nodeport")
    try:
        error = refused(*port, "31999")
    finally:
        milan.kubectl("delete", "service", "taken")
    assert "--gw-server-service-nodeport 31999: the port is already in use in milan" in error
    assert left(pair) == []
    error = refused(*port, "80")
    assert "--gw-server-service-nodeport 80: milan does not allow that node port" in error
    assert "30000 to 32767" in error
    assert not milan.items("gatewayservers.networking.liqo.io", "-A")
    reset(pair)


def test_the_consumer_can_serve(apart: Pair) -> None:
    rome, milan = apart
    connect(apart, "--gw-server-service-location", "Consumer", "--wait")
    assert rome.get("gatewayserver", "milan", "-n", "liqo-tenant-milan")
    assert milan.get("gatewayclient", "rome", "-n", "liqo-tenant-rome")
    assert connection(rome, milan) == connection(milan, rome) == "Connected"
    reset(apart)
    assert left(apart) == []


def test_peering_joins_the_networks_and_the_last_unpeer_separates_them(apart: Pair) -> None:
    rome, milan = apart
    there = (milan, rome)
    # The lab has no load balancers, which is told with what to use, and that works.
    said = "milan has no load balancer provider that assigned an address to Service"
    refuse_in_time("peer", *between(*apart), parts=(said, "--gw-server-service-type NodePort"))
    isthmus("peer", *between(*apart), *NODE_PORT)
    server = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")
    isthmus("peer", *between(*there))
    isthmus("peer", *between(*apart))
    again = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")
    assert again["metadata"]["uid"] == server["metadata"]["uid"]
    assert again["metadata"]["generation"] == server["metadata"]["generation"]
    assert milan.items("gatewayclients.networking.liqo.io", "-A") == []

    isthmus("unpeer", *between(*apart), "--skip-confirm")
    assert connection(rome, milan) == connection(milan, rome) == "Connected"
    isthmus("unpeer", *between(*there), "--skip-confirm")
    assert left(apart) == []


def printed(cluster: Cluster, *arguments: str) -> dict[str, Any]:
    """The manifest that a command prints."""
    done = isthmus(*arguments, "-o", "json", "--kubeconfig", str(cluster.kubeconfig))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_two_operators_join_their_networks_by_exchanging_what_commands_print(apart: Pair) -> None:
    """Each uses his own cluster only; what crosses are ranges, an address with a port, and two public keys."""
    rome, milan = apart
    for here, there in (apart, (milan, rome)):
        told = printed(there, "generate", "configuration")
        cidrs = told["spec"]["remote"]["cidr"]
        isthmus(
            *("create", "configuration", "--remote-cluster-id", there.name, "--wait"),
            *("--remote-pod-cidr", cidrs["pod"][0], "--remote-external-cidr", cidrs["external"][0]),
            *("--kubeconfig", str(here.kubeconfig)),
        )
        here.kubectl("apply", "-n", f"liqo-tenant-{there.name}", "-f", "-", stdin=json.dumps(told))
    server, client = ("--kubeconfig", str(milan.kubeconfig)), ("--kubeconfig", str(rome.kubeconfig))
    isthmus(
        *("create", "gatewayserver", "--remote-cluster-id", "rome", "--service-type", "NodePort", "--wait"),
        *server,
    )
    endpoint = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")["status"]["endpoint"]
    isthmus(
        *("create", "gatewayclient", "--remote-cluster-id", "milan", "--wait"),
        *("--addresses", endpoint["addresses"][0], "--port", str(endpoint["port"]), *client),
    )
    key = printed(milan, "generate", "publickey", "--gateway-type", "server", "--gateway-name", "rome")
    rome.kubectl("apply", "-n", "liqo-tenant-milan", "-f", "-", stdin=json.dumps(key))
    key = printed(rome, "generate", "publickey", "--gateway-type", "client", "--gateway-name", "milan")
    isthmus(
        *("create", "publickey", "--remote-cluster-id", "rome", "--public-key", key["spec"]["publicKey"]),
        *server,
    )
    eventually(
        lambda: connection(rome, milan) == connection(milan, rome) == "Connected",
        within=60,
        what="the tunnel",
    )
    confirmed = ("--remote-cluster-id", "milan", "--skip-confirm", *client)
    isthmus("delete", "gatewayclient", *confirmed)
    isthmus("delete", "publickey", *confirmed)
    isthmus("delete", "configuration", *confirmed)
    confirmed = ("--remote-cluster-id", "rome", "--skip-confirm", *server)
    isthmus("delete", "gatewayserver", *confirmed)
    isthmus("delete", "publickey", *confirmed)
    isthmus("delete", "configuration", *confirmed)
    eventually(lambda: left(apart) == [], within=60, what="the end of all of it")

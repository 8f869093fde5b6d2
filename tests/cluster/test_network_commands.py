"""The commands that join pod networks, on real clusters: what is there afterwards, what is told, what is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.support import Cluster, eventually, isthmus

Pair = tuple[Cluster, Cluster]
NODE_PORT = ("--gw-server-service-type", "NodePort")
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


def between(pair: Pair) -> list[str]:
    """The flags that name the two clusters, the first as the local one."""
    return ["--kubeconfig", str(pair[0].kubeconfig), "--remote-kubeconfig", str(pair[1].kubeconfig)]


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


@pytest.fixture(scope="module")
def separated(installed: Pair) -> Pair:
    """The two clusters, whatever was between them before the module."""
    _separate(installed)
    return installed


@pytest.fixture
def apart(separated: Pair) -> Iterator[Pair]:
    """The two clusters, neither peered nor joined, before and after."""
    yield separated
    _separate(separated)


def _separate(pair: Pair) -> None:
    for direction in (pair, (pair[1], pair[0])):
        isthmus("unpeer", *between(direction), "--skip-confirm")
    isthmus("network", "reset", *between(pair), "--skip-confirm", "--wait")


def test_networks_are_joined_shown_and_separated_without_a_peering(apart: Pair) -> None:
    rome, milan = apart
    done = isthmus("network", "connect", *between(apart), *NODE_PORT, "--wait")
    assert done.stdout == "the pod networks of rome and milan are joined\n"
    assert connection(rome, milan) == connection(milan, rome) == "Connected"

    shown = json.loads(isthmus("info", "--kubeconfig", str(rome.kubeconfig), "-o", "json").stdout)
    assert shown["network"]["enabled"]
    assert shown["network"]["podCIDRs"]
    peer = json.loads(
        isthmus("info", "peer", "milan", "--kubeconfig", str(rome.kubeconfig), "-o", "json").stdout
    )
    assert peer["milan"]["network"]["gateway"]["role"] == "Client"
    assert peer["milan"]["network"]["connection"]["status"] == "Connected"
    assert peer["milan"]["network"]["advice"] == ""

    isthmus("network", "disconnect", *between(apart), "--skip-confirm", "--wait")
    assert {one.split()[0] for one in left(apart)} == {"Configuration", "Network", "IP"}
    isthmus("network", "reset", *between(apart), "--skip-confirm", "--wait")
    assert left(apart) == []


def test_peering_joins_the_networks_and_the_last_unpeer_separates_them(apart: Pair) -> None:
    rome, milan = apart
    there = (milan, rome)
    isthmus("peer", *between(apart), *NODE_PORT)
    server = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")
    isthmus("peer", *between(there))
    isthmus("peer", *between(apart))
    again = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")
    assert again["metadata"]["uid"] == server["metadata"]["uid"]
    assert again["metadata"]["generation"] == server["metadata"]["generation"]
    assert milan.items("gatewayclients.networking.liqo.io", "-A") == []

    isthmus("unpeer", *between(apart), "--skip-confirm")
    assert connection(rome, milan) == connection(milan, rome) == "Connected"
    isthmus("unpeer", *between(there), "--skip-confirm")
    assert left(apart) == []


def test_a_cluster_without_load_balancers_is_told_what_to_use_and_that_works(apart: Pair) -> None:
    error = refused("peer", *between(apart), "--timeout", "40s")
    assert "milan has nothing that gives a Service of type LoadBalancer an address" in error
    assert "--gw-server-service-type NodePort" in error
    isthmus("peer", *between(apart), *NODE_PORT)
    assert connection(*apart) == "Connected"


def test_a_node_port_in_use_is_told_with_its_flag(apart: Pair) -> None:
    _, milan = apart
    milan.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "taken", "namespace": "default"},
            "spec": {"type": "NodePort", "ports": [{"port": 1, "protocol": "UDP", "nodePort": 31999}]},
        }
    )
    try:
        error = refused(
            "network", "connect", *between(apart), *NODE_PORT, "--gw-server-service-nodeport", "31999"
        )
    finally:
        milan.kubectl("delete", "service", "taken", "-n", "default")
    assert "--gw-server-service-nodeport 31999: the port is already in use in milan" in error
    assert left(apart) == []


def test_an_address_that_does_not_answer_is_told_and_can_be_mended(apart: Pair) -> None:
    error = refused(
        "network",
        "connect",
        *between(apart),
        *NODE_PORT,
        *("--gw-server-service-nodeport", "31998", "--gw-client-address", "192.0.2.1"),
        *("--wait", "--timeout", "45s"),
    )
    assert "milan's gateway at 192.0.2.1:31998/UDP does not answer from rome's gateway" in error
    isthmus("network", "connect", *between(apart), "--wait")
    assert connection(*apart) == "Connected"


def test_other_flags_make_the_server_anew(apart: Pair) -> None:
    rome, milan = apart
    isthmus("network", "connect", *between(apart), *NODE_PORT, "--wait")
    before = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")["metadata"]["uid"]
    isthmus("network", "connect", *between(apart), "--gw-server-service-nodeport", "31997", "--wait")
    after = milan.get("gatewayserver", "rome", "-n", "liqo-tenant-rome")
    assert after["metadata"]["uid"] != before
    assert after["status"]["endpoint"]["port"] == 31997
    eventually(
        lambda: connection(rome, milan) == connection(milan, rome) == "Connected",
        within=60,
        what="the tunnel through the new port",
    )


def test_the_consumer_can_serve(apart: Pair) -> None:
    rome, milan = apart
    isthmus(
        "network",
        "connect",
        *between(apart),
        *NODE_PORT,
        "--gw-server-service-location",
        "Consumer",
        "--wait",
    )
    assert rome.get("gatewayserver", "milan", "-n", "liqo-tenant-milan")
    assert milan.get("gatewayclient", "rome", "-n", "liqo-tenant-rome")


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

"""What programs and the kernel are told: the points where a mistake would show only much later."""

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from isthmus.lab import configuration, flags, network, objects
from isthmus.lab.plan import CITIES, plan_clusters, site_from_environment
from isthmus.network.ipam.installation import DEFAULT_POOLS

SITE = site_from_environment({})
ROME, MILAN = plan_clusters(SITE, 2, 3)


def test_a_worker_routes_to_the_pods_of_the_others_but_not_to_its_own() -> None:
    routes = [line for line in network.render_worker(SITE, ROME, ROME.workers[0]) if "via 172.29.1." in line]
    assert routes == [
        "route add 10.244.2.0/24 via 172.29.1.12",
        "route add 10.244.3.0/24 via 172.29.1.13",
    ]


def test_the_control_plane_reaches_every_pod_and_any_service() -> None:
    lines = network.render_control_plane(SITE, MILAN)
    assert "route add 10.244.3.0/24 via 172.29.2.13" in lines
    services = next(line for line in lines if line.startswith("route add 10.96.0.0/16"))
    assert services.count("nexthop via") == 3


def test_the_control_plane_reaches_the_pods_of_peers_by_any_worker() -> None:
    lines = network.render_control_plane(SITE, MILAN)
    routed = {IPv4Network(line.split()[2]): line.count("nexthop via") for line in lines if "nexthop" in line}
    assert {routed[IPv4Network(pool)] for pool in DEFAULT_POOLS} == {3}


def test_the_names_of_ports_are_short_enough_and_different() -> None:
    lines = network.render_plugs(SITE, plan_clusters(SITE, len(CITIES), 50))
    ports = [line.split()[2] for line in lines if line.startswith("link add")]
    assert len(set(ports)) == len(ports)
    assert max(map(len, ports)) <= 15


def test_pods_keep_their_address_inside_the_cluster_and_in_tunnels() -> None:
    rules = network.render_masquerade(ROME, ROME.workers[0])
    assert "ip daddr != { 10.244.0.0/16, 10.96.0.0/16 }" in rules
    assert 'oifname "eth0" masquerade' in rules


def test_each_kubelet_has_a_control_group_of_its_own() -> None:
    documents = [json.loads(configuration.render_kubelet(ROME, f"lab/{node.name}")) for node in ROME.workers]
    assert len({document["cgroupRoot"] for document in documents}) == len(documents)
    assert all(document["cgroupRoot"].startswith("/") for document in documents)
    assert documents[0]["maxPods"] >= 60


def test_a_kubeconfig_carries_all_it_needs() -> None:
    document = json.loads(configuration.render_kubeconfig(ROME, "me", b"authority", b"certificate", b"key"))
    assert document["clusters"][0]["cluster"]["server"] == ROME.url
    assert document["current-context"] == document["contexts"][0]["name"] == "rome"
    assert document["users"][0]["user"]["client-key-data"] == "a2V5"


def test_nodes_get_the_range_their_routes_were_laid_for() -> None:
    nodes = [thing for _, thing in objects.render(ROME) if thing["kind"] == "Node"]
    assert [node["spec"]["podCIDR"] for node in nodes] == [str(worker.pod_cidr) for worker in ROME.workers]


def test_every_object_is_applied_at_its_own_path() -> None:
    for path, thing in objects.render(ROME):
        assert path.endswith("/" + thing["metadata"]["name"])


def test_the_dns_service_has_the_address_that_kubelets_hand_out() -> None:
    service = next(thing for _, thing in objects.render(ROME) if thing["kind"] == "Service")
    document = json.loads(configuration.render_kubelet(ROME, "lab/node"))
    assert document["clusterDNS"] == [service["spec"]["clusterIP"]]


def test_the_api_server_has_what_real_clusters_have() -> None:
    given = flags.api_server(ROME, Path("/pki"))
    assert "--authorization-mode=Node,RBAC" in given
    assert "--enable-admission-plugins=NodeRestriction" in given
    assert any(flag.startswith("--requestheader-client-ca-file=") for flag in given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", IPv4Network("10.0.0.0/8")),
        ("172.29.0.1", IPv4Network("172.29.0.1/32")),
        ("default", None),
    ],
)
def test_routes_of_the_host_are_understood(text: str, expected: IPv4Network | None) -> None:
    assert network.parse_route(text) == expected

"""What info says of an installation and its peers."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from isthmus.api.authentication import Identity, ResourceSlice, Tenant
from isthmus.api.core import ForeignCluster, ForeignClusterSpec
from isthmus.api.ipam import Network
from isthmus.api.networking import Configuration, Connection, GatewayClient, GatewayServer
from isthmus.api.offloading import VirtualNode
from isthmus.cli.errors import CommandError
from isthmus.cli.info import render_cluster, render_peers, show_field
from isthmus.cli.network_pods import describe_trouble
from isthmus.cli.network_report import NetworkObjects, describe_own_network, forge_joined
from isthmus.cli.occupancy import Occupancy
from isthmus.cli.queries import as_text, pick
from isthmus.cli.report import PeerFacts, report_health, report_peer
from isthmus.cli.status import alerts, summarize
from isthmus.kube.builtin import Node, Pod
from isthmus.peering.validity import read_validity
from tests.peering.test_validity import SAMPLE


def condition(kind: str, status: str, **rest: str) -> dict[str, str]:
    return {"type": kind, "status": status, **rest}


def foreign_cluster(
    role: str = "Provider", node: str = "Ready", server: str = "Established", identity: str = "Ready"
) -> ForeignCluster:
    return msgspec.convert(
        {
            "metadata": {"name": "milan"},
            "spec": {"clusterID": "milan"},
            "status": {
                "role": role,
                "apiServerUrl": "https://milan:6443",
                "modules": {
                    "networking": {"enabled": False},
                    "authentication": {
                        "enabled": True,
                        "conditions": [condition("AuthIdentityControlPlaneStatus", identity)],
                    },
                    "offloading": {
                        "enabled": True,
                        "conditions": [
                            condition(
                                "OffloadingNodeStatus", node, reason="KubeletGone", message="no heartbeat"
                            )
                        ],
                    },
                },
                "conditions": [condition("APIServerStatus", server)],
            },
        },
        ForeignCluster,
    )


def test_a_peering_that_is_well() -> None:
    assert summarize(foreign_cluster()) == {
        "clusterID": "milan",
        "role": "Provider",
        "authenticationStatus": "Healthy",
        "networkingStatus": "Disabled",
        "offloadingStatus": "Healthy",
    }


@pytest.mark.parametrize(
    ("found", "module", "status"),
    [
        (foreign_cluster(node="NotReady"), "offloadingStatus", "Unhealthy"),
        (foreign_cluster(node="SomeNotReady"), "offloadingStatus", "Unhealthy"),
        (foreign_cluster(node="Pending"), "offloadingStatus", "Pending"),
        (foreign_cluster(server="Error"), "authenticationStatus", "Unhealthy"),
        # A consumer's API server is never checked: its condition says nothing.
        (foreign_cluster(role="Consumer", server="None"), "authenticationStatus", "Healthy"),
    ],
)
def test_a_peering_that_is_not(found: ForeignCluster, module: str, status: str) -> None:
    assert summarize(found)[module] == status


def test_alerts_say_what_is_wrong_and_what_to_do() -> None:
    found = foreign_cluster(node="NotReady")
    assert alerts(found.status.modules.offloading.conditions, found, "rome") == [
        "not every virtual node of milan is ready (no heartbeat): each is listed with its reason; kubectl describe "
        "node tells more"
    ]


def pod(name: str, phase: str, *ready: bool) -> Pod:
    status = {"phase": phase, "containerStatuses": [{"ready": each, "restartCount": 2} for each in ready]}
    return msgspec.json.decode(json.dumps({"metadata": {"name": name}, "status": status}), type=Pod)


def test_health_lists_what_is_not_ready() -> None:
    assert report_health([pod("a", "Running", True)], True) == {"healthy": True, "unhealthyPods": {}}
    assert report_health([pod("a", "Succeeded")], True)["healthy"]
    assert not report_health([], True)["healthy"]
    assert not report_health([pod("a", "Running", True)], False)["healthy"]
    assert report_health([pod("a", "Running", True, False), pod("b", "Pending")], True)["unhealthyPods"] == {
        "a": {"status": "Running", "containers": {"ready": 1, "total": 2}, "restarts": 4},
        "b": {"status": "Pending", "containers": {"ready": 0, "total": 0}, "restarts": 0},
    }


REPORT: dict[str, Any] = {
    "local": {
        "clusterID": "rome",
        "version": "0.1.0",
        "apiServerAddr": "https://rome:6443",
        "labels": {"liqo.io/provider": "lab"},
    },
    "health": {"healthy": True, "unhealthyPods": {}},
    "network": describe_own_network([], [], []),
    "peerings": {"peers": [summarize(foreign_cluster())]},
    "namespaces": [],
}


def test_fields_are_found_whatever_their_case() -> None:
    assert pick(REPORT, "local.clusterid") == "rome"
    assert pick(REPORT, "peerings.peers.0.Role") == "Provider"
    assert pick(REPORT, "peerings.peers.milan.role") == "Provider"
    assert pick(REPORT, "local.labels.liqo.io/provider") == "lab"
    with pytest.raises(CommandError, match="there is no such field: at the top there is local, health"):
        pick(REPORT, "local.nothing")


def test_short_paths_work_as_with_liqoctl(capsys: pytest.CaptureFixture[str]) -> None:
    show_field(REPORT, (), "clusterid", "")
    show_field({"milan": {"role": "Provider"}}, ("peer", "milan"), "role", "")
    show_field({"milan": {"role": "Provider"}}, ("peer", "milan"), "milan.role", "json")
    assert capsys.readouterr().out == 'rome\nProvider\n"Provider"\n'


def test_fields_print_as_a_shell_wants_them() -> None:
    assert as_text(True) == "true"
    assert as_text(["a", 1]) == "a\n1"
    assert json.loads(as_text({"a": [1]})) == {"a": [1]}


def test_the_page_for_people() -> None:
    shown = render_cluster(REPORT)
    assert "  Cluster ID: rome\n" in shown
    assert "  all pods are ready\n" in shown
    assert "  milan     Provider   Healthy          Healthy      Disabled\n" in shown
    assert "  none; see isthmus offload --help\n" in shown


def test_a_peer_in_detail() -> None:
    slice_ = msgspec.convert(
        {
            "metadata": {"name": "milan", "labels": {"liqo.io/replication": "true"}},
            "spec": {"providerClusterID": "milan"},
            "status": {
                "resources": {"cpu": "4", "memory": "8Gi"},
                "conditions": [condition("Authentication", "Accepted"), condition("Resources", "Accepted")],
            },
        },
        ResourceSlice,
    )
    virtual = msgspec.convert(
        {
            "metadata": {"name": "milan", "ownerReferences": [{"kind": "ResourceSlice", "name": "milan"}]},
            "spec": {
                "clusterID": "milan",
                "kubeconfigSecretRef": {"name": "kubeconfig-resourceslice-milan"},
                "resourceQuota": {"hard": {"cpu": "4"}},
            },
        },
        VirtualNode,
    )
    node = msgspec.convert({"status": {"conditions": [condition("Ready", "True")]}}, Node)
    peer = report_peer(
        PeerFacts(found=foreign_cluster(), slices=[slice_], virtual=[virtual], nodes={"milan": node})
    )
    assert peer["authentication"]["resourceSlices"][0]["accepted"]
    assert peer["authentication"]["resourceSlices"][0]["action"] == "Consuming"
    assert peer["offloading"]["virtualNodes"] == [
        {
            "name": "milan",
            "status": "Ready",
            "secret": "kubeconfig-resourceslice-milan",
            "resourceSlice": "milan",
            "resources": {"cpu": "4"},
            "used": {"cpu": "0"},
        }
    ]
    shown = render_peers({"milan": peer})
    assert "Resource slice milan: consuming, accepted (cpu 4, memory 8Gi)" in shown
    assert "Virtual node milan: Ready (cpu 4)" in shown


def network_objects(
    value: str = "Connected", *, server: bool = False, seen: str = "10.71.0.0/16"
) -> NetworkObjects:
    metadata = {"name": "milan", "labels": {"liqo.io/remote-cluster-id": "milan"}}
    configuration = {
        "metadata": metadata,
        "spec": {
            "local": {"cidr": {"pod": ["10.200.0.0/16"], "external": ["10.70.0.0/16"]}},
            "remote": {"cidr": {"pod": ["10.200.0.0/16"], "external": ["10.70.0.0/16"]}},
        },
        "status": {"remote": {"cidr": {"pod": ["10.68.0.0/16"], "external": [seen]}}},
    }
    endpoint = {"addresses": ["192.0.2.2"], "port": 31234, "protocol": "UDP"}
    gateway: dict[str, Any] = {"metadata": metadata, "spec": {"mtu": 1340}}
    if server:
        gateway["status"] = {"endpoint": endpoint}
    else:
        gateway["spec"]["endpoint"] = endpoint
    connection = {"metadata": metadata, "status": {"value": value, "latency": {"value": "1.5ms"}}}
    return NetworkObjects(
        [msgspec.convert(configuration, Configuration)],
        [msgspec.convert(gateway, GatewayServer)] if server else [],
        [] if server else [msgspec.convert(gateway, GatewayClient)],
        [msgspec.convert(connection, Connection)],
    )


def test_the_tunnel_to_a_peer_with_ranges_both_ways() -> None:
    peer = report_peer(PeerFacts(found=foreign_cluster(), networks=network_objects()))
    assert pick(peer, "network.cidrs.remapped.pod") == ["10.68.0.0/16"]
    assert pick(peer, "network.gateway.role") == "Client"
    assert pick(peer, "network.connection.latency") == "1.5ms"
    assert peer["network"]["advice"] == ""
    shown = render_peers({"milan": peer})
    assert "Client, 192.0.2.2:31234/UDP, MTU 1340\n" in shown
    assert "Connected, 1.5ms there and back\n" in shown
    assert "10.200.0.0/16 (seen as 10.68.0.0/16)\n" in shown


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (
            network_objects("Error"),
            "milan's gateway at 192.0.2.2:31234/UDP does not answer: open the port there",
        ),
        (network_objects("Error", server=True), "milan's gateway does not reach 192.0.2.2:31234/UDP"),
        (
            NetworkObjects(network_objects().configurations),
            "there is no gateway for milan: run isthmus network",
        ),
        (NetworkObjects([], [], network_objects().clients), "there is no Configuration for milan"),
        (
            NetworkObjects(network_objects().configurations, [], network_objects().clients),
            "the gateway has not begun to connect",
        ),
    ],
)
def test_what_to_do_about_a_tunnel_that_does_not_stand(objects: NetworkObjects, said: str) -> None:
    shown = render_peers({"milan": report_peer(PeerFacts(found=foreign_cluster(), networks=objects))})
    assert f"    ! {said}" in shown


def test_other_peers_tunnels_are_not_shown() -> None:
    found = msgspec.structs.replace(
        foreign_cluster(), spec=msgspec.convert({"clusterID": "oslo"}, ForeignClusterSpec)
    )
    assert report_peer(PeerFacts(found=found, networks=network_objects()))["network"]["gateway"] == {}


def test_the_ranges_of_the_cluster() -> None:
    networks = [
        msgspec.convert(
            {
                "metadata": {"name": type_, "labels": {"ipam.liqo.io/network-type": type_}},
                "spec": {"cidr": cidr},
                "status": {"cidr": "" if type_ == "internal-cidr" else cidr},
            },
            Network,
        )
        for type_, cidr in (
            ("pod-cidr", "10.200.0.0/16"),
            ("external-cidr", "10.70.0.0/16"),
            ("internal-cidr", "10.80.0.0/16"),
        )
    ]
    report = {**REPORT, "network": describe_own_network(networks, [], [])}
    assert pick(report, "network.podcidrs") == ["10.200.0.0/16"]
    shown = render_cluster(report)
    assert "  Internal CIDR: 10.80.0.0/16 (not assigned)\n" in shown
    assert "the networking module is not installed" in render_cluster(REPORT)


def test_a_pod_without_its_image_is_told() -> None:
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    status = {"containerStatuses": [{"state": {"waiting": waiting}}]}
    found = msgspec.json.decode(json.dumps({"metadata": {"name": "gw"}, "status": status}), type=Pod)
    assert describe_trouble(found) == "pod gw: ErrImagePull no such image"
    assert describe_trouble(pod("gw", "Running", True)) == ""


@pytest.mark.parametrize(
    ("objects", "status"),
    [
        (NetworkObjects(), "Disabled"),
        (network_objects(), "Healthy"),
        (network_objects("Error"), "Unhealthy"),
        (network_objects("Connecting"), "Pending"),
        (NetworkObjects(network_objects().configurations), "Pending"),
    ],
)
def test_networks_joined_without_a_peering_are_judged_by_their_objects(
    objects: NetworkObjects, status: str
) -> None:
    assert (
        report_peer(PeerFacts(found=forge_joined("milan"), networks=objects))["network"]["status"] == status
    )
    assert objects.peers == ({"milan"} if objects.configurations else set())


def identity(kind: str = "ControlPlane") -> Identity:
    """An Identity whose certificate lives through 2026."""
    params = {"signedCRT": base64.b64encode(SAMPLE.encode()).decode()}
    name = "controlplane-milan" if kind == "ControlPlane" else "resourceslice-milan"
    spec = {"clusterID": "milan", "type": kind, "authParams": params}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, Identity)


BEGIN = read_validity(SAMPLE).not_before
YEAR = read_validity(SAMPLE).not_after - BEGIN


@pytest.mark.parametrize(
    ("kind", "share", "said"),
    [
        ("ControlPlane", 0.7, ""),
        ("ControlPlane", 0.95, "should have been renewed: check that Isthmus runs in milan"),
        ("ControlPlane", 1.1, "(it ended at 2027-01-01T00:00:00Z): have a new one with isthmus authenticate"),
        ("ResourceSlice", 1.1, "it is fetched as soon as this cluster has a valid identity there"),
    ],
)
def test_a_certificate_that_ends_is_told_with_the_command(kind: str, share: float, said: str) -> None:
    facts = PeerFacts(
        found=foreign_cluster(), own_id="rome", now=BEGIN + share * YEAR, identities=[identity(kind)]
    )
    authentication = report_peer(facts)["authentication"]
    assert authentication["identities"][0]["validUntil"] == "2027-01-01T00:00:00Z"
    assert authentication["identities"][0]["expired"] == (share > 1)
    assert bool(authentication["alerts"]) == bool(said)
    assert said in " ".join(authentication["alerts"])
    assert "valid until 2027-01-01T00:00:00Z" in render_peers({"milan": report_peer(facts)})


def refused(reason: str) -> ForeignCluster:
    """A provider that does not take our identity."""
    found = foreign_cluster(identity="NotReady")
    [condition_] = found.status.modules.authentication.conditions
    told = msgspec.structs.replace(condition_, reason=reason, message="it says so")
    modules = msgspec.structs.replace(
        found.status.modules,
        authentication=msgspec.structs.replace(found.status.modules.authentication, conditions=[told]),
    )
    return msgspec.structs.replace(found, status=msgspec.structs.replace(found.status, modules=modules))


def test_a_provider_that_refuses_is_told_once_with_what_its_operator_can_do() -> None:
    [line] = report_peer(PeerFacts(found=refused("IdentityRefused"), own_id="rome"))["authentication"][
        "alerts"
    ]
    assert "milan lets this cluster do nothing any more (it says so): " in line
    assert "isthmus activate tenant rome" in line
    ended = PeerFacts(
        found=refused("CertificateRefused"), own_id="rome", now=BEGIN + 2 * YEAR, identities=[identity()]
    )
    [line] = report_peer(ended)["authentication"]["alerts"]
    assert "isthmus generate identity --remote-cluster-id rome" in line
    assert "kubectl apply -n liqo-tenant-milan" in line


@pytest.mark.parametrize(
    ("state", "mend"),
    [("Cordoned", "isthmus uncordon tenant rome"), ("Drained", "isthmus activate tenant rome")],
)
def test_a_provider_is_reminded_of_what_it_did_to_a_consumer(state: str, mend: str) -> None:
    tenant = msgspec.convert(
        {"metadata": {"name": "rome"}, "spec": {"clusterID": "rome", "tenantCondition": state}}, Tenant
    )
    found = msgspec.structs.replace(foreign_cluster(), spec=ForeignClusterSpec(cluster_id="rome"))
    authentication = report_peer(PeerFacts(found=found, tenants=[tenant]))["authentication"]
    assert authentication["tenant"] == state
    assert mend in authentication["alerts"][0]


def abroad(name: str, cpu: str, **status: Any) -> Pod:
    """A pod that asks for so much CPU."""
    spec = {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}
    manifest = {"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": status}
    return msgspec.json.decode(json.dumps(manifest), type=Pod)


def full_node(pods: list[Pod], waiting: list[Pod]) -> dict[str, Any]:
    """What is told of virtual node milan of 4 CPUs, made of slice big."""
    virtual = msgspec.convert(
        {
            "metadata": {"name": "milan", "ownerReferences": [{"kind": "ResourceSlice", "name": "big"}]},
            "spec": {"clusterID": "milan", "resourceQuota": {"hard": {"cpu": "4", "pods": "110"}}},
        },
        VirtualNode,
    )
    slice_ = msgspec.convert({"metadata": {"name": "big"}}, ResourceSlice)
    facts = PeerFacts(found=foreign_cluster(), own_id="rome", slices=[slice_], virtual=[virtual])
    peer = report_peer(facts, Occupancy(pods={"milan": pods}, unscheduled=waiting))
    assert isinstance(peer["offloading"], dict)
    return peer["offloading"]


def test_a_full_virtual_node_is_told_with_how_to_get_more() -> None:
    running, done = abroad("a", "3500m", phase="Running"), abroad("b", "4", phase="Succeeded")
    told = full_node([running, done], [abroad("c", "1"), abroad("d", "2"), abroad("e", "500m")])
    assert told["virtualNodes"][0]["used"] == {"cpu": "3500m", "pods": "1"}
    assert told["alerts"] == [
        "virtual node milan is full: 2 pods wait for room, such as shop/c, which asks for cpu 1 of 500m free: end pods "
        "that run there, or ask for more with isthmus create resourceslice big --remote-cluster-id milan --cpu N "
        "--memory N --pods N"
    ]
    assert full_node([running], [abroad("e", "500m")])["alerts"] == []


@pytest.mark.parametrize(
    ("message", "mend"),
    [
        ("peering cpu quota usage exceeded - free 0 / requested 1", "isthmus create resourceslice big"),
        ("user is cordoned", "isthmus uncordon tenant rome"),
        ("namespace is going", "kubectl describe pod a -n shop"),
    ],
)
def test_pods_that_the_provider_refuses_are_told_with_its_reason(message: str, mend: str) -> None:
    pods = [
        abroad(name, "1", phase="Pending", reason="FailedReflection", message=message) for name in ("a", "b")
    ]
    [line] = full_node(pods, [])["alerts"]
    assert line.startswith(f"2 pods on virtual node milan wait: milan refuses shop/a ({message}): ")
    assert mend in line

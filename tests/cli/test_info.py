"""What info says of an installation and its peers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from isthmus.api.authentication import ResourceSlice
from isthmus.api.core import ForeignCluster
from isthmus.api.offloading import VirtualNode
from isthmus.cli.errors import CommandError
from isthmus.cli.info import render_cluster, render_peers, show_field
from isthmus.cli.network_report import describe_own_network
from isthmus.cli.queries import as_text, pick
from isthmus.cli.report import report_health, report_peer
from isthmus.cli.status import alerts, summarize
from isthmus.kube.builtin import Node, Pod


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
    offloading = foreign_cluster(node="NotReady").status.modules.offloading
    assert alerts(offloading.conditions) == [
        "OffloadingNodeStatus is NotReady (KubeletGone no heartbeat): kubectl describe node shows why the virtual "
        "node is not ready"
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
    peer = report_peer(foreign_cluster(), [slice_], [virtual], {"milan": node})
    assert peer["authentication"]["resourceSlices"][0]["accepted"]
    assert peer["authentication"]["resourceSlices"][0]["action"] == "Consuming"
    assert peer["offloading"]["virtualNodes"] == [
        {
            "name": "milan",
            "status": "Ready",
            "secret": "kubeconfig-resourceslice-milan",
            "resourceSlice": "milan",
            "resources": {"cpu": "4"},
        }
    ]
    shown = render_peers({"milan": peer})
    assert "Resource slice milan: consuming, accepted (cpu 4, memory 8Gi)" in shown
    assert "Virtual node milan: Ready (cpu 4)" in shown

"""What a ForeignCluster says of a peer (behaviour 3.9)."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from isthmus.api.authentication import Tenant
from isthmus.api.core import ForeignClusterStatus
from isthmus.api.offloading import VirtualNode
from isthmus.kube.builtin import Node
from isthmus.kube.objects import Object
from isthmus.peering.peer_summaries import Facts, find_role, plan_status, summarize
from isthmus.peering.peers import ERROR, ESTABLISHED, Peer, Refusal

from .objects import decode, identity, params, slice_, tenant
from .test_validity import SAMPLE

NOW = "2026-11-23T12:00:00Z"
NOTHING: dict[str, Any] = {
    "tenants": [],
    "identities": [],
    "slices": [],
    "secrets": [],
    "virtual_nodes": [],
    "nodes": [],
    "peer": None,
}
SECRET = decode(
    Object, {"metadata": {"name": "kubeconfig-controlplane-milan", "namespace": "liqo-tenant-milan"}}
)


def facts(**found: Any) -> Facts:
    return Facts(**{**NOTHING, **found})


def summary(found: Facts, current: ForeignClusterStatus | None = None) -> dict[str, Any]:
    return summarize(found, current or ForeignClusterStatus(), 1, NOW)


def conditions(found: dict[str, Any], module: str) -> dict[str, str]:
    return {one["type"]: one["status"] for one in found["modules"][module]["conditions"]}


def test_roles() -> None:
    assert find_role(facts()) == "Unknown"
    assert find_role(facts(slices=[slice_()])) == "Unknown"
    assert find_role(facts(tenants=[tenant()])) == "Consumer"
    assert find_role(facts(identities=[identity()])) == "Provider"
    assert find_role(facts(identities=[identity("ResourceSlice")])) == "Unknown"
    assert find_role(facts(secrets=[SECRET])) == "Provider"
    assert find_role(facts(virtual_nodes=[VirtualNode()])) == "Provider"
    assert find_role(facts(tenants=[tenant()], secrets=[SECRET])) == "ConsumerAndProvider"


def test_it_is_kept_while_anything_is_about_the_peer() -> None:
    assert facts().empty
    for field, one in (("tenants", tenant()), ("slices", slice_()), ("nodes", Node()), ("secrets", SECRET)):
        assert not facts(**{field: [one]}).empty


def test_a_consumer() -> None:
    found = summary(facts(tenants=[tenant()]))
    assert conditions(found, "authentication") == {"AuthTenantStatus": "NotReady"}
    status = {"tenantNamespace": "liqo-tenant-rome", "authParams": msgspec.to_builtins(params())}
    admitted = decode(Tenant, msgspec.to_builtins(tenant()) | {"status": status})
    found = summary(facts(tenants=[admitted]))
    assert conditions(found, "authentication") == {"AuthTenantStatus": "Ready"}
    assert found["tenantNamespace"] == {"local": "liqo-tenant-rome"}
    assert found["conditions"] == []
    assert found["modules"]["networking"] == {"enabled": False, "conditions": []}


def test_a_provider() -> None:
    peer = Peer("milan")
    peer.api_server, peer.message = ESTABLISHED, "fine"
    found = summary(facts(identities=[identity()], secrets=[SECRET], peer=peer))
    assert conditions(found, "authentication") == {"AuthIdentityControlPlaneStatus": "Ready"}
    assert found["apiServerUrl"] == "https://172.29.2.1:6443"
    assert found["tenantNamespace"] == {"local": "liqo-tenant-milan", "remote": "liqo-tenant-rome"}
    assert [(one["type"], one["status"]) for one in found["conditions"]] == [
        ("APIServerStatus", "Established")
    ]
    assert conditions(summary(facts(identities=[identity()])), "authentication") == {
        "AuthIdentityControlPlaneStatus": "NotReady"
    }


@pytest.mark.parametrize(
    ("refusal", "reason", "message"),
    [
        ("permissions", "IdentityRefused", "allows it nothing"),
        ("certificate", "CertificateRefused", "valid until 2027-01-01 00:00:00 UTC"),
        ("kubeconfig", "IdentityUnusable", "see the events of its Secret"),
    ],
)
def test_a_provider_that_keeps_us_out(refusal: Refusal, reason: str, message: str) -> None:
    peer = Peer("milan")
    peer.refusal = refusal
    given = identity()
    given = msgspec.structs.replace(
        given,
        spec=msgspec.structs.replace(
            given.spec, auth_params=params(signed_crt=base64.b64encode(SAMPLE.encode()).decode())
        ),
    )
    found = summary(facts(identities=[given], secrets=[SECRET], peer=peer))
    [one] = found["modules"]["authentication"]["conditions"]
    assert (one["status"], one["reason"]) == ("NotReady", reason)
    assert message in one["message"]


def test_what_is_known_of_the_api_server_survives_a_restart() -> None:
    peer = Peer("milan")
    peer.api_server, peer.message = ERROR, "no route"
    before = msgspec.convert(summary(facts(secrets=[SECRET], peer=peer)), ForeignClusterStatus)
    [after] = summary(facts(secrets=[SECRET], peer=Peer("milan")), before)["conditions"]
    assert (after["status"], after["message"]) == ("Error", "no route")


def virtual_node(running: bool, **spec: Any) -> VirtualNode:
    status = {"conditions": [{"type": "VirtualKubelet", "status": "Running" if running else "Creating"}]}
    return decode(VirtualNode, {"spec": {"clusterID": "milan", **spec}, "status": status})


def node(ready: bool) -> Node:
    return decode(Node, {"status": {"conditions": [{"type": "Ready", "status": str(ready)}]}})


def test_virtual_nodes_are_counted() -> None:
    some = facts(virtual_nodes=[virtual_node(True), virtual_node(False)], nodes=[node(True), node(True)])
    assert conditions(summary(some), "offloading") == {
        "OffloadingVirtualNodeStatus": "SomeNotReady",
        "OffloadingNodeStatus": "Ready",
    }
    none = facts(virtual_nodes=[virtual_node(False)], nodes=[])
    assert conditions(summary(none), "offloading") == {
        "OffloadingVirtualNodeStatus": "NotReady",
        "OffloadingNodeStatus": "NotReady",
    }
    nodeless = facts(virtual_nodes=[virtual_node(True, createNode=False)])
    assert conditions(summary(nodeless), "offloading") == {"OffloadingVirtualNodeStatus": "Ready"}


def test_a_status_is_written_only_where_it_differs() -> None:
    wanted = summary(facts(identities=[identity()], secrets=[SECRET]))
    current = msgspec.convert(wanted, ForeignClusterStatus)
    assert plan_status(ForeignClusterStatus(), wanted) is not None
    again = summary(facts(identities=[identity()], secrets=[SECRET]), current)
    assert plan_status(current, again) is None
    gone = plan_status(current, summary(facts(tenants=[tenant()]), current))
    assert gone is not None
    assert gone["status"]["tenantNamespace"]["remote"] is None

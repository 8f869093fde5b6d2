"""Which namespaces are extended where, and what the user is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isthmus.api import labels
from isthmus.api.offloading import NamespaceMap, NamespaceOffloading, VirtualNode
from isthmus.offloading.namespaces.mapping import (
    desired_mapping,
    forge_namespace_map,
    is_own_map,
    remote_name,
)
from isthmus.offloading.namespaces.status import map_status

NOW = "2026-11-23T10:00:00Z"
EARLIER = "2026-11-23T09:00:00Z"


def offloading(namespace: str = "demo", **spec: Any) -> NamespaceOffloading:
    metadata = {"name": "offloading", "namespace": namespace, "generation": 3, "uid": "u"}
    return msgspec.convert({"metadata": metadata, "spec": spec}, NamespaceOffloading)


def node(name: str, provider: str, **found: str) -> VirtualNode:
    return msgspec.convert(
        {"metadata": {"name": name}, "spec": {"clusterID": provider, "labels": found}}, VirtualNode
    )


def own_map(provider: str, **current: Any) -> NamespaceMap:
    manifest = forge_namespace_map(provider, f"liqo-tenant-{provider}", {})
    return msgspec.convert({**manifest, "status": {"currentMapping": current}}, NamespaceMap)


def selector(key: str, value: str) -> dict[str, Any]:
    return {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]}


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({}, "demo-rome"),
        ({"namespaceMappingStrategy": "EnforceSameName"}, "demo"),
        ({"namespaceMappingStrategy": "SelectedName", "remoteNamespaceName": "there"}, "there"),
    ],
)
def test_remote_names(spec: dict[str, Any], name: str) -> None:
    assert remote_name(offloading(**spec), "rome") == name


def test_a_namespace_goes_where_any_virtual_node_is_selected() -> None:
    wish = offloading(clusterSelector=selector("region", "eu"))
    nodes = [node("a", "milan", region="us"), node("b", "milan", region="eu")]
    assert desired_mapping([wish], nodes, "rome") == {"demo": "demo-rome"}
    assert desired_mapping([wish], nodes[:1], "rome") == {}


def test_the_selector_sees_the_labels_the_node_will_have() -> None:
    by_cluster = offloading(clusterSelector=selector(labels.REMOTE_CLUSTER_ID, "milan"))
    by_name = offloading(clusterSelector=selector("kubernetes.io/hostname", "a"))
    by_type = offloading(clusterSelector=selector(labels.NODE_TYPE, "virtual-node"))
    for wish in (by_cluster, by_name, by_type):
        assert desired_mapping([wish], [node("a", "milan")], "rome")
    assert not desired_mapping([by_cluster], [node("a", "naples")], "rome")


def test_what_is_being_deleted_or_misnamed_is_not_extended() -> None:
    metadata = {"name": "offloading", "namespace": "demo", "deletionTimestamp": NOW}
    going = msgspec.convert({"metadata": metadata}, NamespaceOffloading)
    other = msgspec.convert({"metadata": {"name": "other", "namespace": "demo"}}, NamespaceOffloading)
    assert desired_mapping([going, other], [node("a", "milan")], "rome") == {}


def test_only_own_maps_count() -> None:
    assert is_own_map(own_map("milan"))
    copy = {"name": "rome", "labels": {labels.REPLICATION: "false", labels.REMOTE_ID: "milan"}}
    assert not is_own_map(msgspec.convert({"metadata": copy}, NamespaceMap))


def accepted(name: str = "demo-rome") -> dict[str, str]:
    return {"phase": "Accepted", "remoteNamespace": name}


FAILED = {"phase": "CreationLoopBackOff", "remoteNamespace": "demo-rome"}


@pytest.mark.parametrize(
    ("current", "phase"),
    [
        ([], "NoClusterSelected"),
        ([accepted()], "Ready"),
        ([None], "InProgress"),
        ([accepted("old-name")], "InProgress"),
        ([FAILED], "AllFailed"),
        ([FAILED, accepted()], "SomeFailed"),
        ([accepted(), None], "InProgress"),
        ([FAILED, None], "SomeFailed"),
        ([{"phase": "Terminating", "remoteNamespace": "demo-rome"}], "InProgress"),
    ],
)
def test_phases(current: list[Any], phase: str) -> None:
    maps = {
        f"p{i}": own_map(f"p{i}", **({"demo": found} if found else {})) for i, found in enumerate(current)
    }
    status = map_status(offloading(), "demo-rome", set(maps), maps, NOW)
    assert status.offloading_phase == phase
    assert status.observed_generation == 3


def test_conditions_tell_each_cluster_and_keep_their_times() -> None:
    maps = {"milan": own_map("milan", demo=accepted()), "naples": own_map("naples")}
    before = map_status(offloading(), "demo-rome", {"milan"}, {**maps, "milan": own_map("milan")}, EARLIER)
    wish = msgspec.convert(
        {**msgspec.to_builtins(offloading()), "status": msgspec.to_builtins(before)}, NamespaceOffloading
    )
    found = map_status(wish, "demo-rome", {"milan"}, maps, NOW).remote_namespaces_conditions
    assert [(c.type, c.status, c.last_transition_time) for c in found["milan"]] == [
        ("OffloadingRequired", "True", EARLIER),
        ("Ready", "True", NOW),
    ]
    assert [(c.type, c.status) for c in found["naples"]] == [("OffloadingRequired", "False")]


def test_a_deletion_shows_only_who_still_has_it() -> None:
    metadata = {"name": "offloading", "namespace": "demo", "deletionTimestamp": NOW}
    going = msgspec.convert({"metadata": metadata}, NamespaceOffloading)
    maps = {"milan": own_map("milan", demo=accepted()), "naples": own_map("naples")}
    status = map_status(going, "demo-rome", set(), maps, NOW)
    assert status.offloading_phase == "Terminating"
    assert list(status.remote_namespaces_conditions) == ["milan"]
    ready = status.remote_namespaces_conditions["milan"][1]
    assert (ready.type, ready.status, ready.reason) == ("Ready", "False", "NamespaceTerminating")

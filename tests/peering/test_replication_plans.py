"""Copies and what comes back (wire.md 6)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from isthmus.kube.objects import RawObject
from isthmus.peering.replication_plans import (
    MAXIMUM_STATUS,
    forge_copy,
    is_copy,
    is_local,
    plan_spec,
    plan_status,
    same,
)

from .objects import decode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


def local(**fields: Any) -> RawObject:
    return decode(
        RawObject,
        {
            "metadata": {
                "name": "milan",
                "namespace": "liqo-tenant-milan",
                "uid": "here",
                "resourceVersion": "9",
                "generation": 4,
                "creationTimestamp": "2026-11-23T10:00:00Z",
                "labels": {
                    "liqo.io/replication": "true",
                    "liqo.io/remoteID": "milan",
                    "liqo.io/remote-cluster-id": "milan",
                    "liqo.io/ownership": "Shared",
                    "team": "blue",
                },
                "annotations": {"liqo.io/create-virtual-node": "true"},
                "finalizers": ["crdreplicator.liqo.io/resource"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "y", "uid": "z"}],
            },
            **fields,
        },
    )


def remote(**fields: Any) -> RawObject:
    return decode(RawObject, {"metadata": {"name": "milan", "uid": "there"}, **fields})


def test_the_copy_carries_what_it_must_and_no_more() -> None:
    spec = {"class": "default", "unknown": {"kept": [1, "1", None]}}
    copy = forge_copy(local(spec=spec, status={"x": 1}), "rome")
    assert msgspec.json.decode(msgspec.json.encode(copy)) == {
        "metadata": {
            "name": "milan",
            "labels": {
                "liqo.io/replication": "false",
                "liqo.io/replicated": "true",
                "liqo.io/originID": "rome",
                "liqo.io/remoteID": "milan",
                "liqo.io/remote-cluster-id": "rome",
                "team": "blue",
            },
            "annotations": {"liqo.io/create-virtual-node": "true"},
        },
        "spec": spec,
    }


def test_each_side_is_told_from_the_other() -> None:
    mine = local(spec={})
    copy = decode(RawObject, forge_copy(mine, "rome"))
    assert is_local(mine, "milan")
    assert not is_local(mine, "turin")
    assert not is_local(copy, "milan")
    assert is_copy(copy, "rome")
    assert not is_copy(copy, "turin")
    assert not is_copy(mine, "rome")


@given(FIELDS, FIELDS)
def test_a_plan_makes_the_copys_spec_ours(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    plan = plan_spec(local(spec=ours), remote(spec=theirs))
    if plan is None:
        assert ours == theirs
        return
    test, add = msgspec.json.decode(msgspec.json.encode(plan))
    assert test == {"op": "test", "path": "/metadata/uid", "value": "there"}
    assert add == {"op": "add", "path": "/spec", "value": ours}
    assert plan_spec(local(spec=ours), remote(spec=ours)) is None


@given(FIELDS)
def test_equality_does_not_depend_on_order_or_space(fields: dict[str, Any]) -> None:
    one = Raw(msgspec.json.encode(fields))
    other = Raw(msgspec.json.format(msgspec.json.encode(dict(reversed(fields.items()))), indent=2))
    assert same(one, other)


def test_a_status_is_taken_over_but_never_blanked() -> None:
    mine = local(spec={}, status={"conditions": []})
    plan = plan_status(mine, remote(status={"conditions": [{"type": "Authentication"}]}))
    assert plan is not None
    assert plan[0]["value"] == "here"
    assert plan[1]["path"] == "/status"
    assert plan_status(mine, remote()) is None
    assert plan_status(mine, remote(status={})) is None
    assert plan_status(mine, remote(status={"conditions": []})) is None


def test_a_status_without_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="over"):
        plan_status(local(spec={}), remote(status={"x": "y" * MAXIMUM_STATUS}))

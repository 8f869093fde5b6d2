"""Pods of an offloaded namespace may, must or must not go to virtual nodes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.offloading import NamespaceOffloading
from isthmus.offloading.admission.pods import plan_placement
from isthmus.offloading.namespaces.selector import selects
from isthmus.offloading.placement import NOT_VIRTUAL, VIRTUAL, PodSpec

EU = {"matchExpressions": [{"key": "region", "operator": "In", "values": ["eu"]}]}
SSD = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
TOLERATION = {"key": "virtual-node.liqo.io/not-allowed", "operator": "Exists", "effect": "NoExecute"}


def offloading(strategy: str, *terms: dict[str, Any], deleting: bool = False) -> NamespaceOffloading:
    spec: dict[str, Any] = {"podOffloadingStrategy": strategy}
    if terms:
        spec["clusterSelector"] = {"nodeSelectorTerms": list(terms)}
    metadata = {"name": "offloading", "deletionTimestamp": "2026-11-23T10:00:00Z" if deleting else None}
    return msgspec.convert({"metadata": metadata, "spec": spec}, NamespaceOffloading)


def pod(**spec: Any) -> PodSpec:
    return msgspec.convert(spec, PodSpec)


def terms(patch: list[dict[str, Any]]) -> Any:
    for operation in patch:
        if operation["path"] == "/spec/affinity":
            node = operation["value"]["nodeAffinity"]
            return node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return None


@pytest.mark.parametrize(
    ("strategy", "selector", "expected"),
    [
        ("Remote", [], [{"matchExpressions": [VIRTUAL]}]),
        ("Remote", [EU], [{"matchExpressions": [*EU["matchExpressions"], VIRTUAL]}]),
        ("LocalAndRemote", [], None),
        ("LocalAndRemote", [EU], [EU, {"matchExpressions": [NOT_VIRTUAL]}]),
    ],
)
def test_strategies(strategy: str, selector: list[Any], expected: Any) -> None:
    patch = plan_placement(pod(), offloading(strategy, *selector))
    assert patch[0] == {"op": "add", "path": "/spec/tolerations", "value": [TOLERATION]}
    assert terms(patch) == expected


def test_local_pods_and_pods_of_the_liqo_runtime_class_stay_as_they_are() -> None:
    assert plan_placement(pod(), offloading("Local")) == []
    assert plan_placement(pod(runtimeClassName="liqo"), offloading("Remote")) == []
    assert plan_placement(pod(runtimeClassName="edge"), offloading("Remote"), "edge") == []
    assert plan_placement(pod(runtimeClassName="gvisor"), offloading("Remote"))


def test_pods_of_the_liqo_runtime_class_are_kept_off_providers_without_the_namespace() -> None:
    for strategy in ("Remote", "LocalAndRemote"):
        (operation,) = plan_placement(pod(runtimeClassName="liqo"), offloading(strategy, EU))
        assert terms([operation]) == [{"matchExpressions": [*EU["matchExpressions"], VIRTUAL]}]


def test_a_namespace_that_is_being_unoffloaded_sends_nothing_more() -> None:
    assert plan_placement(pod(), offloading("LocalAndRemote", deleting=True)) == []


def test_what_the_pod_asks_for_itself_is_kept() -> None:
    existing = {
        "podAntiAffinity": {"x": 1},
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}],
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [SSD]},
        },
    }
    mine = {"key": "mine", "operator": "Exists"}
    patch = plan_placement(pod(affinity=existing, tolerations=[mine]), offloading("Remote", EU))
    assert patch[0] == {"op": "add", "path": "/spec/tolerations/-", "value": TOLERATION}
    affinity = patch[1]["value"]
    assert affinity["podAntiAffinity"] == {"x": 1}
    assert affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == [{"weight": 1}]
    assert terms(patch) == [
        {"matchExpressions": [*SSD["matchExpressions"], *EU["matchExpressions"], VIRTUAL]}
    ]


def test_answering_twice_changes_nothing() -> None:
    assert plan_placement(pod(tolerations=[TOLERATION]), offloading("LocalAndRemote")) == []


def test_pods_tolerate_as_much_of_the_taint_as_its_effect_asks() -> None:
    (operation,) = plan_placement(pod(), offloading("LocalAndRemote"), taint_effect="NoSchedule")
    assert operation["value"] == [{"key": "virtual-node.liqo.io/not-allowed", "operator": "Exists"}]
    tolerant = pod(tolerations=operation["value"])
    assert plan_placement(tolerant, offloading("LocalAndRemote"), taint_effect="NoSchedule") == []
    assert plan_placement(pod(), offloading("LocalAndRemote"), taint_effect="PreferNoSchedule") == []
    (affinity,) = plan_placement(pod(), offloading("Remote"), taint_effect="PreferNoSchedule")
    assert terms([affinity]) == [{"matchExpressions": [VIRTUAL]}]


NODES = st.fixed_dictionaries(
    {},
    optional={
        "region": st.sampled_from(["eu", "us"]),
        "disk": st.just("ssd"),
        "liqo.io/type": st.just("virtual-node"),
    },
)
SELECTORS = st.lists(
    st.sampled_from(
        [EU, SSD, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["milan"]}]}]
    ),
    max_size=2,
)


@given(
    SELECTORS,
    SELECTORS,
    NODES,
    st.sampled_from(["milan", "rome"]),
    st.sampled_from(["Remote", "LocalAndRemote"]),
)
def test_a_pod_may_run_exactly_where_both_it_and_the_strategy_allow(
    own: list[Any], selector: list[Any], labels: dict[str, str], name: str, strategy: str
) -> None:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": own}}
    before = pod(affinity={"nodeAffinity": required}) if own else pod()
    found = terms(plan_placement(before, offloading(strategy, *selector)))
    allowed = selects({"nodeSelectorTerms": own if found is None else found}, labels, name)
    virtual, chosen = "liqo.io/type" in labels, selects({"nodeSelectorTerms": selector}, labels, name)
    wished = (virtual and chosen) if strategy == "Remote" else (not virtual or chosen)
    assert allowed is (selects({"nodeSelectorTerms": own}, labels, name) and wished)

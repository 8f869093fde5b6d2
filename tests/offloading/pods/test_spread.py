"""Spread constraints abroad: what was held to at home is a preference there, and another API server takes it."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.offloading.pods.spread import forge_spread, without_merged_keys

SELECTED = {
    "matchLabels": {"app": "x"},
    "matchExpressions": [{"key": "pod-template-hash", "operator": "In", "values": ["7"]}],
}


def constraint(**fields: Any) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
    } | fields


def test_zones_of_this_cluster_keep_no_pod_waiting_at_the_provider() -> None:
    [forged] = forge_spread([constraint(labelSelector=SELECTED, minDomains=2)])
    assert forged == constraint(labelSelector=SELECTED, whenUnsatisfiable="ScheduleAnyway")


@pytest.mark.parametrize(
    "kept", [constraint(topologyKey="kubernetes.io/hostname"), constraint(whenUnsatisfiable="ScheduleAnyway")]
)
def test_what_can_be_held_to_there_is_kept(kept: dict[str, Any]) -> None:
    assert forge_spread([kept]) == [kept]


def test_keys_that_the_api_server_has_merged_into_the_selector_are_dropped() -> None:
    term = {
        "labelSelector": SELECTED,
        "matchLabelKeys": ["pod-template-hash"],
        "mismatchLabelKeys": ["app", "tenant"],
    }
    assert without_merged_keys(term) == {"labelSelector": SELECTED, "mismatchLabelKeys": ["tenant"]}
    older = {"labelSelector": {"matchLabels": {"app": "x"}}, "matchLabelKeys": ["pod-template-hash"]}
    assert without_merged_keys(older) == older, "an older API server has merged nothing"

"""Conditions of hosts: each host has one, none is written twice, and no host touches another's."""

from __future__ import annotations

from isthmus.api.routing import HostCondition
from isthmus.network.dataplane.host_status import conditions_due

NOW = "2026-11-25T00:00:00Z"


def test_a_condition_is_due_once_and_leaves_those_of_other_hosts() -> None:
    other = HostCondition(host="n2", type="Error", status="True")
    due = conditions_due([other], "n1", None, NOW)
    assert due == [
        other,
        HostCondition(host="n1", type="Applied", status="True", last_transition_time=NOW),
    ]
    assert conditions_due(due, "n1", None, "later") is None
    changed = conditions_due(due, "n1", "a fault", "later")
    assert changed is not None
    assert [(one.host, one.type) for one in changed] == [("n2", "Error"), ("n1", "Error")]


def test_several_conditions_of_one_host_become_one() -> None:
    twice = [HostCondition(host="n1", type=kind, status="True") for kind in ("Error", "Applied")]
    assert [one.type for one in conditions_due(twice, "n1", None, NOW) or []] == ["Applied"]

"""What is said of a run of the conformance suite: nothing is counted for more than it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conformance import suite
from tests.conformance.outcome import (
    Facts,
    Known,
    Outcome,
    Result,
    document,
    insert,
    judge,
    read_known,
    read_report,
    run_again,
    summarize,
    unexplained,
)

KNOWN = Known(not_applicable={"[sig-a] host ports": "two nodes"}, failing={"[sig-b] known": "ours"})
FACTS = Facts("2026-12-01", "abc", "1.36.3", 31.4, 6)


def spec(name: str, state: str = "passed", attempts: int = 1, message: str = "", kind: str = "It") -> Any:
    group, _, leaf = name.partition(" ")
    return {
        "ContainerHierarchyTexts": [group],
        "LeafNodeText": leaf,
        "LeafNodeType": kind,
        "State": state,
        "NumAttempts": attempts,
        "RunTime": 2_000_000_000,
        "Failure": {"Message": message},
    }


REPORT = msgspec.json.encode(
    [
        {
            "SpecReports": [
                spec("[sig-a] passes"),
                spec("[sig-a] passes at last", "failed", message="too slow"),
                spec("[sig-a] host ports", "failed"),
                spec("[sig-a] needs a cloud", "skipped", message="only for clouds"),
                spec("[sig-a] was left out", "skipped", attempts=0),
                spec("[sig-b] fails", "timedout", message="\n  timed out | at last\nstack"),
                spec("[sig-b] known", "failed"),
                spec("[sig-b] suite", kind="BeforeSuite"),
            ]
        }
    ]
)


AGAIN = [Result("[sig-a] passes at last", "passed"), Result("[sig-b] fails", "failed")]


def judged(report: bytes) -> Outcome:
    return judge(run_again(read_report(report)[0], AGAIN), KNOWN)


def test_only_what_ran_counts_and_what_cannot_apply_is_no_pass() -> None:
    outcome = judged(REPORT)
    assert [result.name for result in outcome.passed] == ["[sig-a] passes"]
    assert [result.name for result in outcome.flaky] == ["[sig-a] passes at last"]
    assert [result.name for result in outcome.failed] == ["[sig-b] fails", "[sig-b] known"]
    assert [result.name for result in outcome.skipped] == ["[sig-a] needs a cloud"]
    assert [result.name for result in outcome.not_applicable] == ["[sig-a] host ports"]
    assert (outcome.applying, outcome.share) == (4, 0.5)
    assert [result.name for result in unexplained(outcome, KNOWN)] == ["[sig-b] fails"]


def test_what_was_left_out_is_known_of_too() -> None:
    _, names = read_report(REPORT)
    assert "[sig-a] was left out" in names
    assert "[sig-b] suite" not in names


def test_the_summary_names_what_somebody_has_to_look_at() -> None:
    text = summarize(judged(REPORT), KNOWN)
    assert "2 of 4 specs that apply passed (50.0%), 1 of them only when run again" in text
    assert "failed: [sig-b] fails: timed out | at last" in text
    assert "failed: [sig-b] known: ours" in text
    passing = judged(
        REPORT.replace(b"[sig-a] passes", b"[sig-a] host ports").replace(b"passes", b"host ports")
    )
    assert "passed although it should not apply: [sig-a] host ports" in summarize(passing, KNOWN)


def test_the_page_has_every_spec_that_did_not_pass_with_its_cause() -> None:
    section = document(judged(REPORT), KNOWN, FACTS)
    assert "| sig-a | 1 | 1 | 0 | 1 | 1 |" in section
    assert "| all | 1 | 1 | 2 | 1 | 1 |" in section
    assert r"| [sig-b] fails | timed out \| at last |" in section
    assert "| [sig-a] host ports | two nodes |" in section
    page = insert("before\n<!-- outcome -->\nold\n<!-- end of outcome -->\nafter", section)
    assert page.startswith("before\n<!-- outcome -->\nRun on 2026-12-01 at commit abc")
    assert page.endswith("<!-- end of outcome -->\nafter")
    with pytest.raises(ValueError, match="the page has no"):
        insert("nothing", section)


def test_a_name_is_quoted_as_the_runner_reads_it() -> None:
    assert suite.quote("[sig-a] a (b) c-d") == r"\[sig-a\] a \(b\) c-d"


def test_what_is_known_is_said_once_and_with_a_reason() -> None:
    known = read_known()
    assert known.not_applicable.keys().isdisjoint(known.failing)
    assert all((*known.not_applicable.values(), *known.failing.values()))

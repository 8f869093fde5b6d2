"""What a run of the suite came to: the runner's report, what is known of specs, and the table in the docs. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

State = Literal["passed", "flaky", "failed", "skipped"]
KNOWN = Path(__file__).with_name("known.toml")
BEGIN, END = "<!-- outcome -->", "<!-- end of outcome -->"


class _Failure(Struct, rename="pascal"):
    message: str = ""


class _Spec(Struct, rename="pascal"):
    container_hierarchy_texts: list[str] | None = None
    leaf_node_type: str = ""
    leaf_node_text: str = ""
    state: str = ""
    num_attempts: int = 0
    run_time: int = 0
    failure: _Failure = field(default_factory=_Failure)

    @property
    def name(self) -> str:
        return " ".join([*(self.container_hierarchy_texts or []), self.leaf_node_text])


class _Suite(Struct, rename="pascal"):
    run_time: int = 0
    spec_reports: list[_Spec] | None = None


class Result(Struct, frozen=True):
    """How one spec ended: `flaky` is one that passed only when it was run again."""

    name: str
    state: State
    message: str = ""
    seconds: float = 0.0


class Known(Struct, frozen=True):
    """What is known of specs by name: why one cannot apply, and why one fails that does."""

    not_applicable: dict[str, str] = {}
    failing: dict[str, str] = {}


class _Group(Struct):
    why: str
    specs: list[str]


class _Groups(Struct, rename="kebab"):
    not_applicable: list[_Group] = []
    failing: list[_Group] = []


class Outcome(Struct, frozen=True):
    """The results by what they mean."""

    passed: list[Result]
    flaky: list[Result]
    failed: list[Result]
    skipped: list[Result]
    not_applicable: list[Result]

    @property
    def applying(self) -> int:
        """How many specs ran and apply."""
        return len(self.passed) + len(self.flaky) + len(self.failed)

    @property
    def share(self) -> float:
        """Which share of them passed, the flaky ones among them."""
        return (len(self.passed) + len(self.flaky)) / self.applying if self.applying else 0.0


def read_report(text: bytes) -> tuple[list[Result], set[str]]:
    """The results in the runner's JSON report, and the names of all specs there are. Raises msgspec.DecodeError."""
    suites = msgspec.json.decode(text, type=list[_Suite])
    specs = [spec for suite in suites for spec in suite.spec_reports or [] if spec.leaf_node_type == "It"]
    # What the filter leaves out is in the report as well, never tried.
    run = (spec for spec in specs if spec.num_attempts)
    results = sorted((_result(spec) for spec in run), key=lambda result: result.name)
    return results, {spec.name for spec in specs}


def _result(spec: _Spec) -> Result:
    state: State
    match spec.state:
        case "passed":
            state = "passed"
        case "skipped":
            state = "skipped"
        case _:
            state = "failed"
    return Result(spec.name, state, spec.failure.message, spec.run_time / 1e9)


def run_again(first: Iterable[Result], second: Iterable[Result]) -> list[Result]:
    """The results of a run, those that failed in it by what became of them when they were run once more."""
    later = {result.name: result for result in second}
    return [
        replace(result, state="flaky")
        if result.state == "failed" and result.name in later and later[result.name].state == "passed"
        else result
        for result in first
    ]


def read_known(path: Path = KNOWN) -> Known:
    """What is known of specs. Raises msgspec.ValidationError where the file is not as it should be."""
    found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Groups)
    return Known(_flat(found.not_applicable), _flat(found.failing))


def _flat(groups: list[_Group]) -> dict[str, str]:
    return {name: group.why for group in groups for name in group.specs}


def judge(results: Iterable[Result], known: Known) -> Outcome:
    """Sort results by what they mean. What cannot apply is no pass either."""
    outcome = Outcome([], [], [], [], [])
    lists: Mapping[State, list[Result]] = {
        "passed": outcome.passed,
        "flaky": outcome.flaky,
        "failed": outcome.failed,
        "skipped": outcome.skipped,
    }
    for result in results:
        (outcome.not_applicable if result.name in known.not_applicable else lists[result.state]).append(
            result
        )
    return outcome


def unexplained(outcome: Outcome, known: Known) -> list[Result]:
    """The failures of which nothing is known."""
    return [result for result in outcome.failed if result.name not in known.failing]


def summarize(outcome: Outcome, known: Known) -> str:
    """What a run came to, for whoever started it."""
    lines = [
        f"{len(outcome.passed) + len(outcome.flaky)} of {outcome.applying} specs that apply passed"
        f" ({outcome.share:.1%}), {len(outcome.flaky)} of them only when run again;"
        f" {len(outcome.failed)} failed, {len(outcome.skipped)} were skipped by the suite,"
        f" {len(known.not_applicable)} do not apply"
    ]
    for result in outcome.flaky:
        lines.append(f"flaky: {result.name}")
    for result in outcome.failed:
        lines.append(f"failed: {result.name}: {known.failing.get(result.name) or first_line(result.message)}")
    for result in outcome.not_applicable:
        if result.state == "passed":
            lines.append(f"passed although it should not apply: {result.name}")
    for result in outcome.passed:
        if result.name in known.failing:
            lines.append(f"passed although it is known to fail: {result.name}")
    return "\n".join(lines)


def first_line(message: str) -> str:
    """The first line of a failure that says something."""
    found = next((line.strip() for line in message.splitlines() if line.strip()), "no message")
    return found if len(found) <= 200 else found[:197] + "..."


class Facts(Struct, frozen=True):
    """When and on what a run was made."""

    date: str
    commit: str
    kubernetes: str
    minutes: float
    processes: int


def document(outcome: Outcome, known: Known, facts: Facts) -> str:
    """The outcome as docs/conformance.md has it, in Markdown."""
    passed = len(outcome.passed) + len(outcome.flaky)
    lines = [
        BEGIN,
        f"Run on {facts.date} at commit {facts.commit}, Kubernetes {facts.kubernetes},"
        f" {facts.processes} specs at a time, {facts.minutes:.0f} minutes on two cores.",
        "",
        "| group | passed | only when run again | failed | skipped by the suite | not applicable |",
        "|---|---|---|---|---|---|",
    ]
    ran = (outcome.passed, outcome.flaky, outcome.failed, outcome.skipped)
    columns = [[result.name for result in results] for results in ran] + [list(known.not_applicable)]
    for group in sorted({_group(name) for names in columns for name in names}):
        counts = (sum(_group(name) == group for name in names) for names in columns)
        lines.append(f"| {group} | {' | '.join(map(str, counts))} |")
    lines += [
        f"| all | {' | '.join(str(len(names)) for names in columns)} |",
        "",
        f"**{passed} of the {outcome.applying} that apply passed: {outcome.share:.1%}.**",
        *_table("Failed", "cause", _reasons(outcome.failed, known.failing)),
        *_table("Not applicable", "why", known.not_applicable),
        *_table("Passed only when run again", "first failure", _reasons(outcome.flaky, {})),
        *_table("Skipped by the suite", "its reason", _reasons(outcome.skipped, {})),
        END,
    ]
    return "\n".join(lines)


def _group(name: str) -> str:
    return name.removeprefix("[").partition("]")[0]


def _reasons(results: list[Result], causes: Mapping[str, str]) -> dict[str, str]:
    return {result.name: causes.get(result.name) or first_line(result.message) for result in results}


def _table(title: str, column: str, reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    rows = [f"| {_cell(name)} | {_cell(reason)} |" for name, reason in reasons.items()]
    return ["", f"### {title}", "", f"| spec | {column} |", "|---|---|", *rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def insert(page: str, section: str) -> str:
    """A page with the outcome replaced. Raises ValueError where the page has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return before + section + after

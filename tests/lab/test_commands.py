"""Programs that take long: what is told while they run, and when they fail."""

import sys

import pytest

from isthmus.lab import binaries, building, commands
from isthmus.lab.errors import LabError

QUIET = "import sys, time; print('first'); print('second', file=sys.stderr, flush=True); time.sleep(1)"


def python(program: str) -> list[str]:
    return [sys.executable, "-u", "-c", program]


def test_a_program_that_is_silent_is_said_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "QUIET_SECONDS", 0.4)
    told: list[str] = []
    assert commands.run("building x", python(QUIET), told.append) == "first\n"
    assert told
    assert told[-1].startswith("building x: ")
    assert told[-1].endswith(" s)")
    assert "second" in told[-1] or "first" in told[-1]


def test_a_quick_program_is_not_talked_about() -> None:
    told: list[str] = []
    commands.run("looking", python("print('here')"), told.append)
    assert told == []


def test_a_failure_is_told_in_the_programs_words() -> None:
    program = "import sys; print('of use'); print('no such thing', file=sys.stderr); sys.exit(3)"
    with pytest.raises(LabError) as failed:
        commands.run("building x", python(program), lambda _: None)
    text = str(failed.value)
    assert text.startswith("building x failed:\n")
    assert "no such thing" in text
    assert "of use" in text


def test_the_builders_step_is_what_is_told_of_its_output() -> None:
    lines = ["[1/2] STEP 1/3: FROM debian\n", f"[1/2] STEP 2/3: RUN {'x' * 200}\n", "Get:1 http://debian\n"]
    assert building.current_step(lines).startswith("[1/2] STEP 2/3: RUN xxx")
    assert len(building.current_step(lines)) <= commands.SHOWN
    assert building.current_step([]) == ""


def test_the_modules_that_go_fetches_are_counted() -> None:
    lines = ["go: downloading a v1\n", "go: downloading b v1\n", "go: finding c\n"]
    assert binaries.count_modules(lines) == "2 modules fetched"

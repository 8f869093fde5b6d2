"""What a user sees of a step that is slow, where there is no terminal for a spinner."""

from __future__ import annotations

import io
import time

import pytest

from isthmus.cli import progress


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.05)


@pytest.mark.usefixtures("quick")
def test_a_slow_step_says_what_it_waits_for() -> None:
    stream = io.StringIO()
    shown = progress.Progress(stream)
    with shown.step("connected", "rome") as step:
        step.update("no address yet")
        deadline = time.monotonic() + 10
        while not stream.getvalue():
            assert time.monotonic() < deadline
    first, *_, last = stream.getvalue().splitlines()
    assert first.startswith("..   (rome) connected [no address yet]")
    assert last.startswith("ok   (rome) connected ")


def test_a_quick_step_is_one_line() -> None:
    stream = io.StringIO()
    with progress.Progress(stream).step("connected"):
        pass
    assert stream.getvalue().count("\n") == 1


@pytest.mark.usefixtures("quick")
def test_a_step_that_fails_says_so_last() -> None:
    stream = io.StringIO()

    def fail() -> None:
        with progress.Progress(stream).step("connected") as step:
            step.update("no address yet")
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    assert stream.getvalue().splitlines()[-1].startswith("FAIL connected [no address yet]")

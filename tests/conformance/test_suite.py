"""How the suite is run: what is chosen, what is left out, and that its progress is told."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

from tests.conformance import suite
from tests.conformance.suite import Plan


def test_the_command_line_names_what_runs_and_what_is_left_out(tmp_path: Path) -> None:
    paths = {name: Path(f"/{name}") for name in ("suite", "runner", "kubectl", "kubeconfig")}
    words = suite.command(Plan(**paths, skipped=["[sig-a] a (b)"]), tmp_path, ["sig-cli", "sig-node"])
    own, handed_on = words[: words.index("--")], words[words.index("--") :]
    assert (own[0], own[-1]) == ("/runner", "/suite")
    assert [word for word in own if word.startswith(("--focus=", "--skip="))] == [
        "--focus=sig-cli",
        "--focus=sig-node",
        r"--skip=\[sig-a\] a \(b\)",
    ]
    assert {"--kubeconfig=/kubeconfig", "--kubectl-path=/kubectl"} <= set(handed_on)


async def test_how_far_it_is_is_told_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "PROGRESS_SECONDS", 0.05)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"import sys; print('••', flush=True); open({str(gate)!r}).close(); sys.exit(3)"
    told: list[str] = []

    def report(text: str) -> None:
        told.append(text)
        if "2 specs have ended" in text:
            # Not yet open at its other end: the next report is not far.
            with contextlib.suppress(OSError):
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))

    assert await suite.run([sys.executable, "-c", script], tmp_path / "log", report) == 3
    assert told[-1].startswith("2 specs have ended")

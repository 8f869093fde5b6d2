"""The command line: errors without a trace, arguments handed on word by word."""

import os
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest
from click.testing import CliRunner

from isthmus.cli.lab import lab
from isthmus.lab import lifecycle, state
from isthmus.lab.errors import LabError


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(lab, list(words))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "words",
    [("up", "--kubernetes", "1.20"), ("up", "--clusters", "0"), ("kubeconfig", "rome"), ("status",)],
)
def test_an_error_is_one_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ISTHMUS_LAB_NAME", "nolab")
    monkeypatch.setattr(lifecycle, "require_root", lambda: None)
    code, output = run(*words)
    assert code == 1
    assert output.startswith("Error: ")
    assert "Traceback" not in output


def test_without_root_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for words in (("up",), ("down",)):
        code, output = run(*words)
        assert (code, "needs root" in output) == (1, True)


def test_kubectl_gets_every_word_the_double_dash_too(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    class Recorded:
        binaries: ClassVar[dict[str, str]] = {"rome": "/programs"}

    class Found:
        name = "rome"

    def execve(program: Path, words: list[str], environment: dict[str, str]) -> NoReturn:
        given.extend([str(program), words, environment["KUBECONFIG"]])
        raise LabError("replaced")

    monkeypatch.delenv("ISTHMUS_LAB_NAME", raising=False)
    monkeypatch.setattr(lifecycle, "require_root", lambda: None)
    monkeypatch.setattr(state, "find_cluster", lambda *_: Found)
    monkeypatch.setattr(state, "require", lambda *_: Recorded)
    monkeypatch.setattr(os, "execve", execve)
    run("kubectl", "rome", "-n", "x", "exec", "--help", "pod", "--", "sh", "-c", "a -- b")
    words = ["kubectl", "-n", "x", "exec", "--help", "pod", "--", "sh", "-c", "a -- b"]
    assert given == ["/programs/kubectl", words, "/var/lib/isthmus-lab/clusters/rome/admin.kubeconfig"]


def test_exec_without_a_command_is_wrong_use() -> None:
    code, output = run("exec")
    assert code == 2
    assert "NODE -- COMMAND" in output

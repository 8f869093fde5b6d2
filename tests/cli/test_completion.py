"""Completion as a shell asks for it: the scripts, and what answers them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from isthmus.cli.completion import SHELLS
from isthmus.cli.execution import execute
from tests.completion import PROGRAM, complete_in_bash


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["completion", shell], "isthmus") == 0
    script = capsys.readouterr().out
    assert f"{shell}_complete" in script
    assert "_ISTHMUS_COMPLETE" in script


def test_another_shell_is_one_error_that_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["completion", "nu"], "isthmus") == 2
    assert "'bash', 'zsh', 'fish', 'powershell'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["isthmus", "unof"], ["unoffload"]),
        (["isthmus", "install", "k"], ["k3s", "kind", "kubeadm"]),
        (["isthmus", "install", "--cluster-id", "rome", "kub"], ["kubeadm"]),
        (["isthmus", "install", "--disable-k"], ["--disable-kernel-version-check"]),
        (["isthmus", "create", "res"], ["resourceslice"]),
        (["isthmus", "completion", "f"], ["fish"]),
        (["isthmus", "info", "p"], ["peer"]),
        # No cluster answers: no names, and no word about it.
        (["isthmus", "info", "peer", ""], []),
        (["isthmus", "offload", "namespace", ""], []),
    ],
)
def test_commands_flags_and_choices_are_completed(words: list[str], expected: list[str]) -> None:
    assert complete_in_bash(*words, KUBECONFIG="/nonexistent") == expected


def test_bash_itself_takes_the_script() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = f"""
        PATH={PROGRAM.parent}:$PATH
        source <(isthmus completion bash)
        COMP_WORDS=(isthmus unof); COMP_CWORD=1
        _isthmus_completion isthmus
        echo "${{COMPREPLY[*]}}"
    """
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "unoffload\n"

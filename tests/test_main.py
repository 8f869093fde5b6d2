"""`python -m isthmus`: which process it is, by its first word; those that run for months hold no command line."""

from __future__ import annotations

import importlib
import runpy
import subprocess
import sys

import pytest

ROLES = {
    "controller": ("isthmus.controller.run", "main"),
    "gateway": ("isthmus.network.gateway.run", "main"),
    "node": ("isthmus.network.node.run", "main"),
    "probe": ("isthmus.cli.nettest.agent", "main"),
    "peer": ("isthmus.cli", "main"),
}


@pytest.mark.parametrize("word", ROLES)
def test_the_first_word_says_which_process_it_is(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for name, (module, function) in ROLES.items():
        monkeypatch.setattr(
            importlib.import_module(module), function, lambda name=name: ran.append(name) or 7
        )
    monkeypatch.setattr(sys, "argv", ["isthmus", word])
    if word == "peer":
        runpy.run_module("isthmus", run_name="__main__")
    else:
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("isthmus", run_name="__main__")
        assert ended.value.code == 7
    assert ran == [word]


def test_a_role_does_not_hold_the_command_lines_memory() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['isthmus', 'node']\n"
        "from isthmus.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    print(end.code, sorted({'click', 'rich', 'yaml', 'cryptography'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin"}
    )
    assert done.stdout == "2 []\n", done.stderr
    assert "NODE_NAME is not set" in done.stderr

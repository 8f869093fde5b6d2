"""The shape of the command line: what is there, what help says, how a wrong call is told."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from isthmus.cli.execution import execute, program_name
from isthmus.cli.root import ENTRIES, root

PRESENT = [name for name, entry in ENTRIES.items() if importlib.util.find_spec(entry.module) is not None]


def test_help_names_every_command_and_examples() -> None:
    shown = CliRunner().invoke(root, ["--help"]).output
    for name, entry in ENTRIES.items():
        assert f"  {name} " in shown
        assert entry.summary in shown
    assert "Examples:" in shown


@pytest.mark.parametrize("name", PRESENT)
def test_each_command_is_what_the_table_says(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == ENTRIES[name].summary


@pytest.mark.parametrize("name", PRESENT)
def test_help_of_each_command_has_examples(name: str) -> None:
    result = CliRunner().invoke(root, [name, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"isthmus {name}" in result.output


def every_command(command: click.Command = root, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group there is, but the root."""
    if path:
        yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every_command(found, (*path, name))


@pytest.mark.parametrize("words", sorted(every_command()), ids=" ".join)
def test_every_command_takes_what_liqoctl_takes_on_every_command(words: tuple[str, ...]) -> None:
    command = _find(words)
    if (isinstance(command, click.Group) and not command.invoke_without_command) or words[0] == "lab":
        return
    flags = [name for parameter in command.params for name in parameter.opts]
    for flag in ("--skip-confirm", "--global-labels", "--global-annotations", "--verbose"):
        assert flags.count(flag) == 1, "also when its help was asked for twice"


ALIASES = {(verb, "ns"): (verb, "namespace") for verb in ("offload", "unoffload")}


def _find(words: tuple[str, ...]) -> click.Command:
    found: click.Command = root
    for word in words:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), word)
        assert inner is not None
        found = inner
    return found


@pytest.mark.parametrize("words", sorted(every_command()), ids=" ".join)
def test_help_of_every_command_says_what_it_does_with_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(root, [*words, "--help"], prog_name="isthmus")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: isthmus {' '.join(words)}")
    shown, _, example = result.output.partition("Examples:")
    wanted = words[:1] if isinstance(_find(words), click.Group) else ALIASES.get(words, words)
    assert f"isthmus {' '.join(wanted)}" in example, "an example of the command itself"
    assert len(shown.split("\n\n")[1].strip()) > 10, "a sentence before the options"


def test_nothing_typed_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([], "isthmus") == 0
    assert "Usage: isthmus" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["per"], 'unknown command "per", did you mean "peer"?'),
        (["frobnicate"], 'unknown command "frobnicate"; there are install,'),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_a_wrong_call_is_one_error_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments, "isthmus") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert said in shown.err
    assert shown.err.count("error") == 1


def test_as_a_plugin_of_kubectl_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert program_name("/usr/local/bin/kubectl-isthmus") == "kubectl isthmus"
    assert program_name("/x/isthmus/__main__.py") == "isthmus"
    assert [program_name(path) for path in ("/usr/local/bin/kubectl-liqo", "/usr/local/bin/liqoctl")] == [
        "kubectl liqo",
        "liqoctl",
    ]
    execute(["--help"], "/usr/local/bin/kubectl-isthmus")
    assert "Usage: kubectl isthmus" in capsys.readouterr().out


def test_help_loads_no_command_and_no_rich() -> None:
    program = (
        "import sys; from isthmus.cli.execution import execute; execute(['--help']);"
        "heavy = {'rich', 'yaml', 'cryptography', 'isthmus.cli.peer', 'isthmus.lab'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

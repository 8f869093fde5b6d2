"""Running one command line from arguments to exit code.

Owns the process's event loop while a command runs, and the last `except`: whatever a command raises ends here
as one line on stderr, with a traceback only under `--verbose`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from isthmus.cli.errors import INTERRUPTED, CommandError, describe, exit_code

T = TypeVar("T")


def program_name(executable: str) -> str:
    """What the user typed to get here: `kubectl isthmus` where kubectl ran us as its plugin, `liqoctl` where a link
    of that name leads here."""
    name = os.path.basename(executable)
    if name.startswith("kubectl-"):
        return name.replace("-", " ", 1)
    return name if name == "liqoctl" else "isthmus"


def execute(arguments: list[str], executable: str | None = None) -> int:
    """Run the command named by the arguments; returns the exit code."""
    from isthmus.cli.root import root

    name = program_name(sys.argv[0] if executable is None else executable)
    settings: dict[str, Any] = {"verbose": False}
    try:
        code = root.main(arguments, prog_name=name, standalone_mode=False, obj=settings)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message())
        return 0
    except click.ClickException as error:
        _show_usage_error(error, name)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output (a pager, head) has gone: not a failure worth a word.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- stays until the process ends
        return 1
    except Exception as error:
        _show_failure(error, verbose=settings["verbose"])
        return exit_code(error)
    return code if isinstance(code, int) else 0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end on an event loop of its own."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


def _show_usage_error(error: click.ClickException, name: str) -> None:
    print(f"error: {' '.join(error.format_message().split())}", file=sys.stderr)
    if not isinstance(error, click.UsageError):
        return
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else name
    print(f"see '{path} --help'", file=sys.stderr)


def _show_failure(error: Exception, *, verbose: bool) -> None:
    if verbose:
        import traceback

        traceback.print_exception(error)
    print(f"error: {describe(error)}", file=sys.stderr)
    if not verbose and not _is_expected(error):
        print("this is a fault of isthmus itself; --verbose shows where it happened", file=sys.stderr)


def _is_expected(error: Exception) -> bool:
    from isthmus.kube.errors import KubeError

    return isinstance(error, CommandError | KubeError | OSError | ValueError)

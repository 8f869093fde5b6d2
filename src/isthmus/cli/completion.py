"""`isthmus completion`: the script with which a shell completes commands, flags and names.

The scripts, and what answers them, are click's: the shell runs `isthmus` with `_ISTHMUS_COMPLETE` set. What names
there are in a cluster is found out by `completed`.
"""

from __future__ import annotations

import click

from isthmus.cli.errors import CommandError
from isthmus.cli.options import examples

PROGRAM = "isthmus"
VARIABLE = "_ISTHMUS_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell")


@click.command(
    epilog=examples(
        "source <(isthmus completion bash)",
        "# for every shell to come",
        "isthmus completion bash > /etc/bash_completion.d/isthmus",
        "isthmus completion zsh > ~/.zfunc/_isthmus",
        "isthmus completion fish > ~/.config/fish/completions/isthmus.fish",
        "isthmus completion powershell | Out-String | Invoke-Expression",
    )
)
@click.argument("shell", type=click.Choice(SHELLS), metavar="bash|zsh|fish|powershell")
def completion(shell: str) -> None:
    """Print the script with which a shell completes commands."""
    from click.shell_completion import get_completion_class

    from isthmus.cli.root import root

    script = get_completion_class(shell)
    if script is None:
        raise CommandError(f"this version of click has no script for {shell}", "pip install 'click>=8.5'")
    click.echo(script(root, {}, PROGRAM, VARIABLE).source(), nl=False)

"""Commands below commands, as users of liqoctl and kubectl write them: other names, and flags in front of the verb.

`liqoctl --kubeconfig FILE peer` and `liqoctl offload ns shop` are what scripts have. A group moves the flags that
every command takes behind the sub-command they stand in front of, and knows its sub-commands by their other names.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import click

from isthmus.cli.connection import CONNECTION_FLAGS
from isthmus.cli.options import SELECTORS

ALIASES = {
    "auth": "authenticate",
    "client": "gatewayclient",
    "config": "configuration",
    "configurations": "configuration",
    "gatewayclients": "gatewayclient",
    "gatewayservers": "gatewayserver",
    "gwc": "gatewayclient",
    "gws": "gatewayserver",
    "kc": "kubeconfig",
    "kubeconfigs": "kubeconfig",
    "namespaces": "namespace",
    "net": "network",
    "nonces": "nonce",
    "ns": "namespace",
    "publickeies": "publickey",
    "publickeys": "publickey",
    "resourceslices": "resourceslice",
    "rs": "resourceslice",
    "server": "gatewayserver",
    "tenants": "tenant",
    "unauth": "unauthenticate",
    "upgrade": "install",
    "virtualnodes": "virtualnode",
    "vn": "virtualnode",
}
"""What liqoctl calls the same commands, wherever a group has one of that name."""
GLOBAL_FLAGS = {
    "--skip-confirm": True,
    "--global-labels": False,
    "--global-annotations": False,
    "--verbose": True,
}
"""liqoctl takes these on every command; whether each is a switch."""
LEADING = {
    **{f"--{side}{name}": 1 for side, name in product(("", "remote-"), (*SELECTORS, "namespace"))},
    **CONNECTION_FLAGS,
    **{flag: int(not switch) for flag, switch in GLOBAL_FLAGS.items()},
    "-n": 1,
    "-v": 0,
}
"""The flags that may stand in front of a sub-command, and how many values follow each."""


def take_leading(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags of `LEADING` that a command line begins with, with their values, and what follows them."""
    end = 0
    while end < len(arguments):
        name, equals, _ = arguments[end].partition("=")
        if name not in LEADING:
            break
        end += 1 if equals else 1 + LEADING[name]
    return list(arguments[:end]), list(arguments[end:])


class CommandGroup(click.Group):
    """A command with sub-commands, which may be called by liqoctl's names and after the flags all of them take."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, flags in front of a sub-command given to it."""
        leading, rest = take_leading(args)
        if leading and rest and not rest[0].startswith("-"):
            literal = rest.index("--") if "--" in rest else len(rest)
            args = [*rest[:literal], *leading, *rest[literal:]]
        return super().parse_args(ctx, args)

    def find_name(self, ctx: click.Context, word: str) -> str:
        """The name of the sub-command a word stands for, "" where it is none."""
        known = self.list_commands(ctx)
        return next((name for name in (word, ALIASES.get(word, "")) if name in known), "")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The sub-command by its name or another."""
        return super().get_command(ctx, self.find_name(ctx, cmd_name) or cmd_name)

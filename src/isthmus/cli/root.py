"""The command `isthmus`: which sub-commands there are, imported only when they are asked for.

The table here carries each command's one-line summary, so that help needs no import; a test keeps it equal to
what the command says of itself.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from isthmus.cli.groups import GLOBAL_FLAGS, CommandGroup
from isthmus.cli.options import examples


class Entry(NamedTuple):
    """A sub-command: the module whose attribute of the same name is the click command, and its summary."""

    module: str
    summary: str


SECTIONS: dict[str, dict[str, Entry]] = {
    "Installation": {
        "install": Entry("isthmus.cli.install", "Install Isthmus in a cluster, or upgrade it."),
        "uninstall": Entry("isthmus.cli.uninstall", "Remove Isthmus from a cluster."),
        "version": Entry("isthmus.cli.version", "Show the version here and in the cluster."),
        "completion": Entry(
            "isthmus.cli.completion", "Print the script with which a shell completes commands."
        ),
    },
    "Peering": {
        "peer": Entry("isthmus.cli.peer", "Let this cluster use the resources of another."),
        "unpeer": Entry("isthmus.cli.unpeer", "End a peering."),
        "authenticate": Entry("isthmus.cli.authenticate", "Get this cluster an identity on another."),
        "unauthenticate": Entry("isthmus.cli.unauthenticate", "Give up this cluster's identity on another."),
        "network": Entry("isthmus.cli.network", "Join the pod networks of two clusters, or separate them."),
        "info": Entry("isthmus.cli.info", "Show the installation and its peerings."),
        "test": Entry("isthmus.cli.nettest.command", "Run connectivity tests."),
    },
    "Peering by hand": {
        "create": Entry("isthmus.cli.create", "Create one object of a peering, in this cluster."),
        "generate": Entry("isthmus.cli.generate", "Print what the other cluster is to apply."),
        "get": Entry("isthmus.cli.get", "Show a nonce, a kubeconfig or resource slices."),
        "delete": Entry("isthmus.cli.delete", "Delete one object of a peering, in this cluster."),
        "force": Entry("isthmus.cli.force", "Force-remove a peering whose other cluster is gone."),
    },
    "Consumers": {
        "cordon": Entry("isthmus.cli.tenant_verbs", "Give a consumer nothing new; what it runs here stays."),
        "uncordon": Entry("isthmus.cli.tenant_verbs", "Let a cordoned consumer use its resources again."),
        "drain": Entry(
            "isthmus.cli.tenant_verbs", "Drain a consumer: evict all its workloads from this cluster."
        ),
        "activate": Entry("isthmus.cli.tenant_verbs", "Reactivate a drained or cordoned consumer."),
    },
    "Offloading": {
        "offload": Entry("isthmus.cli.offload", "Extend namespaces to other clusters."),
        "unoffload": Entry("isthmus.cli.unoffload", "Stop offloading namespaces."),
    },
    "Development": {
        "lab": Entry(
            "isthmus.cli.lab", "Real Kubernetes clusters on this one machine, without Docker. Needs root."
        ),
    },
}
ENTRIES: dict[str, Entry] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


OWN = frozenset({"lab"})
"""Commands that liqoctl has nothing like."""


def take_global_flags(command: click.Command) -> None:
    """Have a command and those below it take liqoctl's global flags, unseen where they change nothing."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            take_global_flags(inner)
        if not command.invoke_without_command:
            return
    present = {name for parameter in command.params for name in parameter.opts}
    for flag, switch in GLOBAL_FLAGS.items():
        if flag not in present:
            command.params.append(
                click.Option([flag], is_flag=switch, multiple=not switch, hidden=True, expose_value=False)
            )


class LazyGroup(CommandGroup):
    """A group whose commands are imported when they are run or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every sub-command, in the order of the table."""
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the sub-command; None where there is no such one."""
        cmd_name = self.find_name(ctx, cmd_name)
        entry = ENTRIES.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{cmd_name} is no click command")
        if cmd_name not in OWN:
            take_global_flags(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where the one given does not exist."""
        if args and not args[0].startswith("-") and not self.find_name(ctx, args[0]):
            near = difflib.get_close_matches(args[0], ENTRIES, n=1)
            advice = f', did you mean "{near[0]}"?' if near else f"; there are {', '.join(ENTRIES)}"
            raise click.UsageError(f'unknown command "{args[0]}"{advice}', ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """As click does, without importing a command to complete its name."""
        named = [
            CompletionItem(name, help=entry.summary)
            for name, entry in ENTRIES.items()
            if name.startswith(incomplete)
        ]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for."""
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in entries.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "isthmus install --cluster-id rome",
        "isthmus peer --remote-kubeconfig milan.kubeconfig",
        "isthmus offload namespace shop",
        "isthmus info",
        "isthmus unpeer --remote-kubeconfig milan.kubeconfig",
    ),
)
def root(**_: Any) -> None:
    """Join Kubernetes clusters: let one run its pods in another.

    Works on the cluster of the current kubeconfig context, as kubectl does; commands about two clusters take
    the other one with --remote-kubeconfig or --remote-context.
    """

"""The options that many commands share, each written once.

`cluster_options` and `remote_cluster_options` hand the command the `Credentials` of a resolved kubeconfig
context, as `credentials` and `remote_credentials`; a kubeconfig that cannot be used ends the command with one
line that says whether it was the local or the remote cluster's, and by which flag it is given.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from isthmus.cli.connection import connection_options, override, take_connection
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.parameters import Duration
from isthmus.kube.credentials import Credentials, load_kubeconfig
from isthmus.kube.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

SELECTORS = ("kubeconfig", "context", "cluster", "user")
"""The flags that choose a cluster, each also with the prefix `--remote-`."""


def examples(*lines: str) -> str:
    """An epilogue with one example a line; a line starting with `#` explains the next."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def cluster_options(command: F) -> F:
    """Add --kubeconfig, --context, --cluster and --user; the command takes `credentials: Credentials`."""
    return _kubeconfig_options(command, prefix="", whose="")


def remote_cluster_options(command: F) -> F:
    """Add the same flags with the prefix `--remote-`; the command takes `remote_credentials: Credentials`."""
    return _kubeconfig_options(command, prefix="remote-", whose="remote ")


def deferred_cluster_options(command: F) -> F:
    """Add the flags of `cluster_options`; the command takes `resolve`, which gives the Credentials when called,
    for commands that do not always need the cluster."""
    return _kubeconfig_options(command, prefix="", whose="", deferred=True)


def _kubeconfig_options(command: F, *, prefix: str, whose: str, deferred: bool = False) -> F:
    variable = prefix.replace("-", "_")

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(f"{variable}{name}") or "" for name in SELECTORS}
        given = {} if whose else take_connection(kwargs)

        def resolve() -> Credentials:
            return override(_load(chosen, prefix=prefix, whose=whose), given)

        if deferred:
            return command(*args, resolve=resolve, **kwargs)
        kwargs[f"{variable}credentials"] = resolve()
        return command(*args, **kwargs)

    where = f"the {whose}cluster" if whose else "the cluster"
    added: Callable[..., Any] = wrapper if whose else connection_options(wrapper)
    for name, metavar, text in (
        ("user", "NAME", f"User of the kubeconfig to use towards {where}."),
        ("cluster", "NAME", f"Cluster of the kubeconfig to use as {where}."),
        ("context", "NAME", f"Context of the kubeconfig to use for {where}."),
        ("kubeconfig", "FILE", f"Kubeconfig of {where}." + ("" if whose else " [env: KUBECONFIG]")),
    ):
        flag = f"--{prefix}{name}"
        added = click.option(flag, f"{variable}{name}", metavar=metavar, default=None, help=text)(added)
    return added  # type: ignore[return-value]


def _load(chosen: dict[str, str], *, prefix: str, whose: str) -> Credentials:
    if whose and not any(chosen.values()):
        raise click.UsageError(
            "no remote cluster given: add --remote-kubeconfig FILE (or --remote-context NAME for another "
            "context of the same kubeconfig)"
        )
    try:
        return load_kubeconfig(
            chosen["kubeconfig"] or None,
            context=chosen["context"],
            cluster=chosen["cluster"],
            user=chosen["user"],
        )
    except ConfigurationError as error:
        raise CommandError(f"{whose or 'local '}cluster, --{prefix}kubeconfig: {error}") from error


def namespace_option(command: F) -> F:
    """Add -n/--namespace, where Isthmus is installed; the command takes `namespace: str`."""
    return click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        default="liqo",
        show_default=True,
        help="Namespace Isthmus is installed in.",
    )(command)


def remote_namespace_option(command: F) -> F:
    """Add --remote-namespace; the command takes `remote_namespace: str`."""
    return click.option(
        "--remote-namespace",
        metavar="NAME",
        default="liqo",
        show_default=True,
        help="Namespace Isthmus (or Liqo) is installed in, in the remote cluster.",
    )(command)


def timeout_option(default: str) -> Callable[[F], F]:
    """Add --timeout with a default such as `10m`; the command takes `timeout: float`, in seconds."""
    return click.option(
        "--timeout",
        type=Duration(),
        default=default,
        show_default=True,
        help="How long to wait in all, for instance 90s or 10m.",
    )


def switch_option(flag: str, default: bool, text: str) -> Callable[[F], F]:
    """Add a switch as liqoctl has them: `--flag`, `--flag=true` or `--flag=false`."""
    return click.option(
        flag,
        type=click.BOOL,
        is_flag=False,
        flag_value=True,
        default=default,
        show_default=True,
        metavar="[=BOOL]",
        help=text,
    )


def confirm_option(command: F) -> F:
    """Add --skip-confirm; the command takes `skip_confirm: bool` and calls `confirm`."""
    return click.option("--skip-confirm", is_flag=True, help="Do not ask before acting.")(command)


def confirm(question: str, *, skip: bool) -> None:
    """Ask on the terminal unless told not to; without a terminal nothing destructive goes ahead unasked."""
    if skip:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            f'there is no terminal to ask on: "{question}"', "answer yes with --skip-confirm", code=MISUSED
        )
    if not click.confirm(question, err=True):
        raise CommandError("not confirmed", "nothing was changed")


def output_option(command: F) -> F:
    """Add -o/--output; the command takes `output: str`: json, yaml or "" for people."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["json", "yaml"]),
        default=None,
        callback=lambda _context, _parameter, value: value or "",
        help="Print as JSON or YAML.",
    )(command)


def verbose_option(command: F) -> F:
    """Add -v/--verbose: a failure shows its traceback. The command takes no argument for it."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_remember_verbose,
        help="Show details, and the traceback of a failure.",
    )(command)


def _remember_verbose(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    if value and isinstance(context.obj, dict):
        context.obj["verbose"] = True
    return value


def is_verbose() -> bool:
    """Whether --verbose was given to the command that runs."""
    context = click.get_current_context(silent=True)
    return bool(context is not None and isinstance(context.obj, dict) and context.obj.get("verbose"))

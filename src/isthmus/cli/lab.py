"""`isthmus lab`: real Kubernetes clusters on this machine, for trying things out and for tests.

Thin: reads the command line, calls isthmus.lab, turns `LabError` into a message and exit code 1.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from isthmus.lab import binaries, lifecycle
from isthmus.lab.errors import LabError
from isthmus.lab.plan import site_from_environment

P = ParamSpec("P")
R = TypeVar("R")


def translated(function: Callable[P, R]) -> Callable[P, R]:
    """Show a LabError as a message instead of a trace."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except LabError as error:
            raise click.ClickException(str(error)) from None

    return wrapper


def report(text: str) -> None:
    """Show one step of progress."""
    click.echo(text, err=True)


@click.group()
def lab() -> None:
    """Real Kubernetes clusters on this one machine, without Docker. Needs root."""


@lab.command()
@click.option("--clusters", default=2, show_default=True, help="How many clusters.")
@click.option("--workers", default=2, show_default=True, help="How many worker nodes in each.")
@click.option("--kubernetes", default=binaries.DEFAULT_KUBERNETES, show_default=True, help="The version.")
@translated
def up(clusters: int, workers: int, kubernetes: str) -> None:
    """Bring clusters up: rome, milan, naples, ...

    The first time builds Kubernetes, which takes minutes; later it takes less than one.
    """
    lifecycle.up(site_from_environment(), clusters, workers, kubernetes, report)


@lab.command()
@translated
def down() -> None:
    """End the lab and remove all of it."""
    if not lifecycle.down(site_from_environment(), report):
        report("no lab is up")


if __name__ == "__main__":
    lab()

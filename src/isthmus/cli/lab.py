"""`isthmus lab`: real Kubernetes clusters on this machine, for trying things out and for tests.

Thin: reads the command line, calls isthmus.lab, turns `LabError` into a message and exit code 1.
"""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from isthmus.cli.groups import CommandGroup
from isthmus.cli.options import examples
from isthmus.lab import binaries, building, lifecycle, state, status
from isthmus.lab import images as lab_images
from isthmus.lab import node as lab_node
from isthmus.lab import reboot as lab_reboot
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


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "isthmus lab up",
        "isthmus lab up --clusters 3 --workers 1 --kubernetes 1.37",
        "isthmus lab kubeconfig milan > milan.kubeconfig",
        "isthmus lab kubectl rome get pods -A",
        "isthmus lab down",
    ),
)
def lab() -> None:
    """Real Kubernetes clusters on this one machine, without Docker. Needs root."""


def kubernetes_option(text: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The option that names one version of Kubernetes or several; `text` is its help."""
    return click.option(
        "--kubernetes",
        metavar="VERSION[,VERSION...]",
        default=binaries.DEFAULT_KUBERNETES,
        show_default=True,
        help=text,
    )


@lab.command(
    epilog=examples(
        "isthmus lab up --clusters 3 --workers 1",
        "isthmus lab up --kubernetes 1.35,1.36",
        "# certificates that live three minutes, to see them renewed",
        "isthmus lab up --certificate-life 3m",
    )
)
@click.option("--clusters", default=2, show_default=True, help="How many clusters.")
@click.option("--workers", default=2, show_default=True, help="How many worker nodes in each.")
@kubernetes_option("The version, or one for each cluster.")
@click.option("--disjoint", is_flag=True, help="Give each cluster address ranges of its own.")
@click.option(
    "--certificate-life",
    metavar="DURATION",
    default="",
    help="How long the certificates the clusters sign are valid, such as 3m. [default: a year]",
)
@translated
def up(clusters: int, workers: int, kubernetes: str, disjoint: bool, certificate_life: str) -> None:
    """Bring clusters up: rome, milan, naples, ...

    The first time builds Kubernetes, which takes minutes; later it takes less than one.
    """
    made = lifecycle.up(
        site_from_environment(), clusters, workers, kubernetes, report,
        disjoint=disjoint, certificate_life=certificate_life,
    )  # fmt: skip
    report(f"try: isthmus lab kubectl {made[0].name} get nodes")


@lab.command("build", epilog=examples("isthmus lab build", "isthmus lab build --kubernetes 1.35,1.37"))
@kubernetes_option("The versions to build.")
@translated
def build_programs(kubernetes: str) -> None:
    """Build whatever the lab needs that is not in the cache yet, and start nothing.

    Of Kubernetes, of the test images and of the image of Isthmus.
    """
    lifecycle.build(kubernetes, report)
    building.build(report)


@lab.command(epilog=examples("isthmus lab reboot milan-worker-1"))
@click.argument("node")
@translated
def reboot(node: str) -> None:
    """Crash a worker node and start it again, with nothing of its kernel's state kept."""
    lifecycle.require_root()
    lab_reboot.reboot_node(site_from_environment(), node)


@lab.command(epilog=examples("isthmus lab down"))
@translated
def down() -> None:
    """End the lab and remove all of it."""
    if not lifecycle.down(site_from_environment(), report):
        report("no lab is up")


@lab.command(epilog=examples("isthmus lab kubeconfig milan > milan.kubeconfig"))
@click.argument("name")
@translated
def kubeconfig(name: str) -> None:
    """Print the administrator's kubeconfig of a cluster."""
    site = site_from_environment()
    file = state.kubeconfig(site, state.find_cluster(site, name).name)
    lifecycle.require_root()
    click.echo(file.read_text(), nl=False)


class PassingOn(click.Command):
    """A command of one name and whatever follows it, word by word, `--` too, which click would take for itself."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the first word as the name and leave the others alone."""
        if not args or args[0] in ("-h", "--help"):
            click.echo(self.get_help(ctx))
            ctx.exit(0 if args else 2)
        ctx.params = {"name": args[0], "words": tuple(args[1:])}
        return []


@lab.command(
    cls=PassingOn,
    options_metavar="NAME [ARGUMENTS]...",
    add_help_option=False,
    epilog=examples("isthmus lab kubectl rome get pods -A"),
)
@translated
def kubectl(name: str, words: tuple[str, ...]) -> None:
    """Run the stock kubectl of the lab's version against a cluster."""
    site = site_from_environment()
    lifecycle.require_root()
    cluster = state.find_cluster(site, name).name
    file = state.kubeconfig(site, cluster)
    program = Path(state.require(site).binaries[cluster]) / "kubectl"
    os.execve(program, ["kubectl", *words], os.environ | {"KUBECONFIG": str(file)})


@lab.command(
    "exec",
    cls=PassingOn,
    options_metavar="NODE -- COMMAND...",
    add_help_option=False,
    epilog=examples("isthmus lab exec rome-worker-1 -- ip route"),
)
@translated
def execute(name: str, words: tuple[str, ...]) -> None:
    """Run a command inside a node, or beside the control plane of a cluster.

    In a worker it sees the network, the mounts and the host name of the node.
    """
    site = site_from_environment()
    lifecycle.require_root()
    command = words[1:] if words[:1] == ("--",) else words
    if not command:
        raise click.UsageError("say which command to run: isthmus lab exec NODE -- COMMAND")
    entered = lab_node.enter_node(site, state.require(site).plan(site), name)
    os.execvp(entered[0], [*entered, "--", *command])


@lab.group(epilog=examples("isthmus lab images build", "isthmus lab images load nginx.tar --cluster milan"))
def images() -> None:
    """Build images and load them into the nodes."""


@images.command(epilog=examples("isthmus lab images load nginx.tar --cluster milan"))
@click.argument("image", nargs=-1, required=True)
@click.option("--cluster", help="Only into the nodes of this cluster.")
@translated
def load(image: tuple[str, ...], cluster: str | None) -> None:
    """Load archives (docker-archive or OCI), or images the lab has built, into the nodes."""
    for one in image:
        lab_images.load(site_from_environment(), one, cluster, report)


@images.command(epilog=examples("isthmus lab images build", "isthmus lab images build --no-load"))
@click.option("--load/--no-load", "wanted", default=True, show_default=True, help="Load it into the nodes.")
@translated
def build(wanted: bool) -> None:
    """Build the image of Isthmus from this checkout, and load it into the nodes.

    The test images come along where this checkout has others than the lab was brought up with.
    """
    site = site_from_environment()
    lifecycle.require_root()
    if wanted:
        lab_images.renew(site, report)
    archive = building.build(report)
    click.echo(archive)
    if wanted:
        lab_images.load(site, str(archive), None, report)


@lab.command("status", epilog=examples("isthmus lab status", "isthmus lab status -o json"))
@click.option("-o", "--output", type=click.Choice(["table", "names", "json"]), default="table")
@translated
def show_status(output: str) -> None:
    """Show the clusters, their nodes, and which programs do not run."""
    clusters = status.read(site_from_environment())
    if output == "json":
        click.echo(json.dumps([asdict(cluster) for cluster in clusters], indent=2))
    elif output == "names":
        click.echo("\n".join(cluster.name for cluster in clusters))
    else:
        for line in status.table(clusters):
            click.echo(line)


if __name__ == "__main__":
    lab()

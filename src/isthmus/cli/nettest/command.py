"""`isthmus test network`: the flags, and the exit code."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import click

from isthmus.cli.cluster import Cluster, connect
from isthmus.cli.errors import FAILED, MISUSED, CommandError
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.nettest.plan import Choice
from isthmus.cli.nettest.probes import LARGEST, SMALLEST
from isthmus.cli.nettest.report import as_document, render
from isthmus.cli.nettest.run import Findings, Wish, examine
from isthmus.cli.options import (
    cluster_options,
    examples,
    namespace_option,
    output_option,
    remote_namespace_option,
    switch_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.progress import Progress
from isthmus.cli.tables import print_document
from isthmus.kube.credentials import Credentials, load_kubeconfig
from isthmus.kube.errors import ConfigurationError

NODES = click.Choice(["all", "workers", "control-planes"])


@click.group(cls=CommandGroup, epilog=examples("isthmus test network --remote-kubeconfigs milan.kubeconfig"))
def test() -> None:
    """Run connectivity tests."""


@test.command(
    epilog=examples(
        "isthmus test network --remote-kubeconfigs milan.kubeconfig",
        "# three clusters, and clean up afterwards",
        "isthmus test network -p milan.kubeconfig,turin.kubeconfig --rm",
        "# only pod to pod, with packets just below and above the tunnel's MTU",
        "isthmus test network -p milan.kubeconfig --basic --sizes 1300,1400,8000",
    )
)
@click.option(
    "-p",
    "--remote-kubeconfigs",
    "remotes",
    metavar="FILE[,FILE]...",
    multiple=True,
    required=True,
    help="Kubeconfigs of the other clusters; may be given more than once.",
)
@switch_option("--basic", False, "Pod to pod only.")
@switch_option("--info", False, "Show every path, not only those that failed.")
@switch_option("--pod-np", True, "Pods to the NodePort of every node of --np-nodes.")
@switch_option("--np-ext", False, "This machine to the NodePort of every node of --np-nodes.")
@click.option(
    "--np-nodes",
    type=NODES,
    default="all",
    show_default=True,
    help="Nodes of which to try the NodePort.",
)
@switch_option("--lb", False, "This machine to a Service of type LoadBalancer.")
@switch_option("--ip", False, "Pods to a host outside the other clusters' pod networks, by an IP.")
@click.option(
    "--sizes",
    metavar="BYTES[,BYTES]...",
    default="64,1400,8000",
    show_default=True,
    help=f"Bytes to send there and back, {SMALLEST} to {LARGEST}.",
)
@click.option(
    "--image",
    metavar="NAME",
    default="",
    help="Image of the probe pods. [default: the one Isthmus runs from]",
)
@switch_option("--rm", False, "Remove the namespace of the test at the end, whatever the outcome.")
@switch_option("--fail-fast", False, "Stop after the first kind of check of which one failed.")
@cluster_options
@namespace_option
@remote_namespace_option
@output_option
@timeout_option("5m")
@verbose_option
def network(credentials: Credentials, namespace: str, remote_namespace: str, **flags: Any) -> None:
    """Test the network between the pods and nodes of clusters.

    Puts a probe on every node and virtual node of all the clusters, and has each reach every other by TCP, UDP and
    ICMP, small packets and large, in both directions; then Services, their names and NodePorts, and pods from nodes.
    Needs nothing but Isthmus in the clusters. Exit code 1 where anything failed.
    """
    choice = Choice(
        read_sizes(flags["sizes"]),
        flags["basic"],
        flags["pod_np"],
        flags["np_ext"],
        flags["lb"],
        flags["ip"],
    )
    wish = Wish(choice, flags["np_nodes"], flags["image"], flags["rm"], flags["fail_fast"], flags["timeout"])
    everybody = [(credentials, namespace)]
    everybody += [(one, remote_namespace) for one in _load_remotes(flags["remotes"])]
    found = run(_test(everybody, wish))
    if flags["output"]:
        print_document(as_document(found.paths, found.notes), flags["output"])
    else:
        click.echo(render(found.paths, every=flags["info"]), nl=False)
        if not wish.remove:
            click.echo("the probes are left for the next time; --rm removes them", err=True)
    failed = [path for path in found.paths if not path.ok]
    if failed or not found.paths:
        raise CommandError(
            f"{len(failed)} of {len(found.paths)} paths failed", "see above what to suspect", code=FAILED
        )


def read_sizes(text: str) -> tuple[int, ...]:
    """The sizes of --sizes, in order. Raises CommandError."""
    sizes = []
    for part in text.split(","):
        number = part.strip()
        if not (number.isascii() and number.isdecimal() and SMALLEST <= int(number[:9]) <= LARGEST):
            raise CommandError(
                f'--sizes "{text}": "{number}" is not a valid number of bytes from {SMALLEST} to {LARGEST}',
                "write for instance 64,1400,8000",
                code=MISUSED,
            )
        sizes.append(int(number))
    return tuple(sorted(set(sizes)))


def _load_remotes(remotes: tuple[str, ...]) -> list[Credentials]:
    files = [part for one in remotes for part in one.split(",") if part]
    if not files:
        raise CommandError(
            "--remote-kubeconfigs names no file", "write one or more, with commas", code=MISUSED
        )
    loaded = []
    for file in files:
        try:
            loaded.append(load_kubeconfig(file))
        except ConfigurationError as error:
            raise CommandError(f"remote cluster, --remote-kubeconfigs: {error}") from error
    return loaded


async def _test(everybody: list[tuple[Credentials, str]], wish: Wish) -> Findings:
    progress = Progress()
    async with AsyncExitStack() as stack:
        clusters: list[Cluster] = []
        for credentials, namespace in everybody:
            side = "remote" if clusters else "local"
            clusters.append(
                await stack.enter_async_context(connect(credentials, side, namespace))  # type: ignore[arg-type]
            )
        return await examine(clusters, wish, progress)

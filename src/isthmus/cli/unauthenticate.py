"""`isthmus unauthenticate`: take the identity on another cluster back, when nothing uses it any more."""

from __future__ import annotations

from typing import Any

import click

from isthmus.cli.cluster import connect, explained
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.options import (
    cluster_options,
    confirm,
    confirm_option,
    examples,
    namespace_option,
    remote_cluster_options,
    remote_namespace_option,
    switch_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.peering import Peering
from isthmus.cli.preflight import Pair
from isthmus.cli.progress import Progress
from isthmus.cli.unpeer import end_authentication, find_peering
from isthmus.cli.waiting import Deadline
from isthmus.kube.credentials import Credentials


@click.command(
    epilog=examples(
        "isthmus delete resourceslice --remote-cluster-id milan",
        "isthmus unauthenticate --remote-kubeconfig milan.kubeconfig",
    )
)
@cluster_options
@remote_cluster_options
@namespace_option
@remote_namespace_option
@switch_option("--wait", True, "Kept for scripts: it always waits.")
@timeout_option("2m")
@confirm_option
@verbose_option
def unauthenticate(credentials: Credentials, remote_credentials: Credentials, **flags: Any) -> None:
    """Give up this cluster's identity on another.

    Refuses while resources of the other cluster are asked for; isthmus unpeer ends everything at once.
    """
    run(_unauthenticate(credentials, remote_credentials, flags))


async def _unauthenticate(local: Credentials, remote: Credentials, flags: dict[str, Any]) -> None:
    progress = Progress()
    async with (
        connect(local, "local", flags["namespace"]) as here,
        connect(remote, "remote", flags["remote_namespace"]) as there,
    ):
        pair = await find_peering(Pair(here, there), progress)
        peering = Peering(pair)
        with explained(pair.local, "reading the resource slices"):
            slices = [one.metadata.name for one in await peering.slices().list()]
        if slices:
            raise CommandError(
                f"{pair.local.title} still asks {pair.remote.id} for resources (ResourceSlice {', '.join(slices)})",
                f"run isthmus delete resourceslice {' '.join(slices)} first, or isthmus unpeer",
            )
        confirm(f"Give up the identity of {pair.local.id} on {pair.remote.id}?", skip=flags["skip_confirm"])
        mend = f"look at the controllers of {pair.local.id} and {pair.remote.id}, then run this again"
        found = await end_authentication(peering, progress, Deadline(flags["timeout"]), mend)
    done = f"{pair.local.id} has no identity on {pair.remote.id} any more"
    click.echo(done if found else f"{pair.local.id} had no identity on {pair.remote.id}: nothing to do")

"""`isthmus authenticate`: an identity on another cluster, without networks and resources (wire.md 9, 15 to 21)."""

from __future__ import annotations

from typing import Any

import click

from isthmus.cli.authentication import authenticate as make_identity
from isthmus.cli.cluster import connect
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.execution import run
from isthmus.cli.marks import mark_options
from isthmus.cli.network_check import find_in_band_proxy
from isthmus.cli.options import (
    cluster_options,
    examples,
    namespace_option,
    remote_cluster_options,
    remote_namespace_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.peer import check_proxy
from isthmus.cli.preflight import (
    Pair,
    check_conflicts,
    check_controllers,
    check_identities,
    check_permissions_of_both,
    read_keys,
)
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline
from isthmus.kube.credentials import Credentials


@click.command(
    epilog=examples(
        "isthmus authenticate --remote-kubeconfig milan.kubeconfig",
        "# then, when resources are wanted",
        "isthmus create resourceslice milan --remote-cluster-id milan",
    )
)
@cluster_options
@remote_cluster_options
@namespace_option
@remote_namespace_option
@click.option("--in-band", is_flag=True, help="Reach the provider's API server through the tunnel.")
@click.option(
    "--proxy-url", metavar="URL", default="", help="HTTP proxy through which the provider is reached."
)
@timeout_option("2m")
@mark_options
@verbose_option
def authenticate(credentials: Credentials, remote_credentials: Credentials, **flags: Any) -> None:
    """Get this cluster an identity on another.

    This cluster (the consumer) may then ask the remote one (the provider) for resources. It is the part of
    isthmus peer between the networks and the resources; running it again is harmless.
    """
    proxy_url = check_proxy(flags["proxy_url"])
    if flags["in_band"] and proxy_url:
        raise CommandError(
            f"--in-band and --proxy-url {proxy_url}: each names a way to the provider",
            "give one",
            code=MISUSED,
        )
    run(_authenticate(credentials, remote_credentials, flags, proxy_url))


async def _authenticate(
    local: Credentials, remote: Credentials, flags: dict[str, Any], proxy_url: str
) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    async with (
        connect(local, "local", flags["namespace"]) as here,
        connect(remote, "remote", flags["remote_namespace"]) as there,
    ):
        pair = Pair(here, there)
        await check_identities(pair, progress)
        await check_controllers(pair, progress, deadline)
        keys = await read_keys(pair.local, progress, deadline)
        with progress.step("Pre-flight checks passed"):
            await check_permissions_of_both(pair)
            await check_conflicts(pair, keys)
        if flags["in_band"]:
            proxy_url = await find_in_band_proxy(pair)
        await make_identity(pair, keys, progress, deadline, proxy_url)
    click.echo(f"{pair.local.id} has an identity on {pair.remote.id}")

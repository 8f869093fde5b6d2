"""`isthmus version`: the version of this command and of what is installed in the cluster."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

import click

from isthmus.cli import installation
from isthmus.cli.cluster import connect, explained
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.options import deferred_cluster_options, examples, namespace_option, verbose_option
from isthmus.cli.progress import Progress
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import NoKubeconfig


@click.command(epilog=examples("isthmus version", "isthmus version --client"))
@click.option("--client", is_flag=True, help="Show the version of this command only.")
@deferred_cluster_options
@namespace_option
@verbose_option
def version(resolve: Callable[[], Credentials], namespace: str, client: bool) -> None:
    """Show the version here and in the cluster.

    Where there is no kubeconfig at all, only the one here.
    """
    click.echo(f"Client version: {metadata.version('isthmus')}")
    if client:
        return
    try:
        credentials = resolve()
    except CommandError as error:
        if not isinstance(error.__cause__, NoKubeconfig):
            raise
        Progress().note(f"no version of a server: {error.__cause__}")
        return
    click.echo(f"Server version: {run(_installed(credentials, namespace))}")


async def _installed(credentials: Credentials, namespace: str) -> str:
    async with connect(credentials, "local", namespace) as cluster:
        with explained(cluster, "reading the installed version"):
            found = await installation.find_controller(cluster)
    if found is None:
        raise CommandError(
            f'Isthmus is not installed in namespace "{namespace}" of the cluster at {credentials.server}',
            "run isthmus install, or say with --namespace where it is",
        )
    return installation.installed_version(found) or "unknown"

"""`isthmus uninstall`: remove Isthmus from a cluster, refusing while anything uses it."""

from __future__ import annotations

import click

from isthmus.cli.cluster import connect, explained
from isthmus.cli.execution import run
from isthmus.cli.install import told
from isthmus.cli.options import (
    cluster_options,
    confirm,
    confirm_option,
    examples,
    namespace_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.progress import Progress
from isthmus.kube.credentials import Credentials


@click.command(
    epilog=examples(
        "isthmus uninstall",
        "# the kinds, their objects and the tenant namespaces too; nothing remains",
        "isthmus uninstall --purge --skip-confirm",
    )
)
@cluster_options
@namespace_option
@click.option(
    "--purge", is_flag=True, help="Remove the CRDs with all their objects and tenant namespaces too."
)
@timeout_option("10m")
@confirm_option
@verbose_option
def uninstall(
    credentials: Credentials, namespace: str, purge: bool, timeout: float, skip_confirm: bool
) -> None:
    """Remove Isthmus from a cluster.

    Refuses while there are peerings or extended namespaces. A run that was cut off can be repeated.
    """
    what = "Isthmus, every liqo.io object and the tenant namespaces" if purge else "Isthmus"
    confirm(f"Remove {what} from the cluster at {credentials.server}?", skip=skip_confirm)
    with told():
        run(_uninstall(credentials, namespace, purge, timeout))


async def _uninstall(credentials: Credentials, namespace: str, purge: bool, timeout: float) -> None:
    from isthmus.cli.installation import identify
    from isthmus.install.removal import is_anything_left
    from isthmus.install.removal import uninstall as remove

    progress = Progress()
    async with connect(credentials, namespace=namespace) as cluster:
        await identify(cluster)
        with explained(cluster, "uninstalling"):
            if not await is_anything_left(cluster.client, namespace, purge):
                progress.note("Isthmus is not installed there; nothing to remove")
                return
            await remove(cluster.client, namespace, purge, timeout, progress)
    progress.note(
        "Isthmus is removed" if purge else "Isthmus is removed; the CRDs and their objects are kept"
    )

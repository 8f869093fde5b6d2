"""`isthmus unoffload namespace`: take namespaces back from the clusters they were extended to.

Deletes the NamespaceOffloading of each and waits until the twin namespaces and all in them are gone.
"""

from __future__ import annotations

import click

from isthmus.api import names
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, NamespaceOffloading
from isthmus.cli import installation
from isthmus.cli.cluster import Cluster, connect, explained, step
from isthmus.cli.completed import complete_namespaces
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.namespaces import pick_namespaces
from isthmus.cli.offload import failures
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
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.kube.credentials import Credentials


@click.group(cls=CommandGroup, epilog=examples("isthmus unoffload namespace shop"))
def unoffload() -> None:
    """Stop offloading namespaces."""


@unoffload.command(
    epilog=examples(
        "isthmus unoffload namespace shop",
        "# in a script",
        "isthmus unoffload namespace --ns-selector team=blue --skip-confirm",
    )
)
@click.argument("names_", metavar="[NAMESPACE]...", nargs=-1, shell_complete=complete_namespaces)
@click.option("--ns-selector", metavar="SELECTOR", default="", help="Labels of the namespaces to take back.")
@cluster_options
@namespace_option
@timeout_option("2m")
@confirm_option
@verbose_option
def namespace(
    credentials: Credentials,
    namespace: str,
    names_: tuple[str, ...],
    ns_selector: str,
    timeout: float,
    skip_confirm: bool,
) -> None:
    """Stop offloading namespaces.

    The twin namespaces and all in them are deleted, volumes included; pods that ran there are lost and made anew
    here by what controls them.
    """
    run(_unoffload(credentials, namespace, (names_, ns_selector), timeout, skip_confirm))


async def _unoffload(
    credentials: Credentials,
    liqo_namespace: str,
    wanted: tuple[tuple[str, ...], str],
    timeout: float,
    skip_confirm: bool,
) -> None:
    progress = Progress()
    async with connect(credentials, "local", liqo_namespace) as cluster:
        await installation.check_kinds(cluster, {"offloading.liqo.io/v1beta1": ("namespaceoffloadings",)})
        await installation.read_cluster_id(cluster)
        picked = await pick_namespaces(cluster, *wanted, offloadable=False)
        offloaded = [name for name in picked if await _find(cluster, name) is not None]
        for name in picked:
            if name not in offloaded:
                progress.note(f'namespace "{name}" is not offloaded', cluster.tag)
        if not offloaded:
            return
        confirm(f"Delete what namespace {', '.join(offloaded)} has in other clusters?", skip=skip_confirm)
        deadline = Deadline(timeout)
        for name in offloaded:
            with explained(cluster, "deleting the NamespaceOffloading"):
                await cluster.client.delete(NAMESPACE_OFFLOADINGS, names.NAMESPACE_OFFLOADING, name)
        for name in offloaded:
            await _await_gone(cluster, name, progress, deadline)


async def _find(cluster: Cluster, namespace: str) -> NamespaceOffloading | None:
    with explained(cluster, "reading the NamespaceOffloading"):
        return await cluster.client.find(NAMESPACE_OFFLOADINGS, names.NAMESPACE_OFFLOADING, namespace)


async def _await_gone(cluster: Cluster, namespace: str, progress: Progress, deadline: Deadline) -> None:
    with step(progress, f"Namespace {namespace} taken back", cluster) as current:

        async def is_gone() -> bool | None:
            found = await cluster.client.find(NAMESPACE_OFFLOADINGS, names.NAMESPACE_OFFLOADING, namespace)
            if found is None:
                return True
            current.update("; ".join(failures(found)) or "waiting for the controller")
            return None

        await wait_for(
            is_gone,
            deadline,
            current,
            f'the twins of namespace "{namespace}" were not gone',
            "look at the providers named, or give more time with --timeout; it goes on without this command",
        )


# As kubectl has it.
unoffload.add_command(namespace, "ns")

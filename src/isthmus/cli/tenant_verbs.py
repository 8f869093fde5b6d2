"""`isthmus cordon|uncordon|drain|activate`: a provider's say over its consumers. What they do is in tenancy.py."""

from __future__ import annotations

from typing import Any

import click

from isthmus.cli.cluster import explained
from isthmus.cli.completed import complete_cluster_ids
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.manual import one_cluster, open_cluster, remote_cluster_id_option
from isthmus.cli.options import confirm, confirm_option, examples, timeout_option
from isthmus.cli.progress import Progress
from isthmus.cli.tenancy import (
    ACTIVATE,
    CORDON,
    DRAIN,
    UNCORDON,
    Change,
    change_tenant,
    cordon_slice,
    count_tenant_pods,
    find_copy,
    find_tenant,
    require_allowed,
)
from isthmus.cli.waiting import Deadline
from isthmus.kube.credentials import Credentials


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "isthmus cordon tenant rome", "isthmus cordon resourceslice milan --remote-cluster-id rome"
    ),
)
def cordon() -> None:
    """Give a consumer nothing new; what it runs here stays."""


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "isthmus uncordon tenant rome", "isthmus uncordon resourceslice milan --remote-cluster-id rome"
    ),
)
def uncordon() -> None:
    """Let a cordoned consumer use its resources again."""


@click.group(cls=CommandGroup, epilog=examples("isthmus drain tenant rome"))
def drain() -> None:
    """Drain a consumer: evict all its workloads from this cluster."""


@click.group(cls=CommandGroup, epilog=examples("isthmus activate tenant rome"))
def activate() -> None:
    """Reactivate a drained or cordoned consumer."""


def _add_tenant(group: click.Group, change: Change, text: str, *, destructive: bool = False) -> None:
    @group.command(name="tenant", help=text, epilog=examples(f"isthmus {change.verb} tenant rome"))
    @click.argument("consumer", metavar="ID", shell_complete=complete_cluster_ids)
    @timeout_option("2m")
    @one_cluster
    @confirm_option
    def command(credentials: Credentials, consumer: str, **flags: Any) -> None:
        run(_change(credentials, consumer, change, flags, destructive))


_add_tenant(
    cordon,
    CORDON,
    "Give a consumer no new resources and run no new pods of it.\n\nRun it in the provider. Pods that run stay, "
    "slices that were granted stay granted.",
)
_add_tenant(uncordon, UNCORDON, "Let a cordoned consumer use its resources again.\n\nRun it in the provider.")
_add_tenant(
    drain,
    DRAIN,
    "Drain a consumer: evict all its workloads from this cluster.\n\nRun it in the provider. Its permissions are "
    "taken back, its slices, twin namespaces and pods removed. The tenant stays, so that isthmus activate can let it "
    "in again.",
    destructive=True,
)
_add_tenant(
    activate,
    ACTIVATE,
    "Reactivate a drained or cordoned consumer.\n\nRun it in the provider. The consumer's controller brings its "
    "slices and namespaces back by itself.",
)


async def _change(
    credentials: Credentials, consumer: str, change: Change, flags: dict[str, Any], destructive: bool
) -> None:
    async with open_cluster(credentials, flags["namespace"]) as cluster:
        tenant = await find_tenant(cluster, consumer)
        require_allowed(cluster, tenant, change)
        if destructive:
            with explained(cluster, "reading what the tenant has here"):
                slices, namespaces = await count_tenant_pods(cluster, tenant)
            confirm(
                f"Put {consumer} out of {cluster.id}? {slices} slices and {namespaces} namespaces of it go, "
                "with all pods in them.",
                skip=flags["skip_confirm"],
            )
        await change_tenant(cluster, tenant, change, Progress(), Deadline(flags["timeout"]))
    click.echo(f"{consumer} {change.done}")


def _add_slice(group: click.Group, verb: str, *, cordoned: bool, text: str) -> None:
    @group.command(
        name="resourceslice",
        help=text,
        epilog=examples(f"isthmus {verb} resourceslice milan --remote-cluster-id rome"),
    )
    @click.argument("name", metavar="NAME")
    @remote_cluster_id_option
    @timeout_option("2m")
    @one_cluster
    def command(credentials: Credentials, name: str, **flags: Any) -> None:
        run(_mark_slice(credentials, name, cordoned, flags))


_add_slice(
    cordon,
    "cordon",
    cordoned=True,
    text="Run no new pods in one slice of a consumer.\n\nRun it in the provider. Pods that run stay.",
)
_add_slice(
    uncordon,
    "uncordon",
    cordoned=False,
    text="Run new pods in a cordoned slice again.\n\nRun it in the provider.",
)


async def _mark_slice(credentials: Credentials, name: str, cordoned: bool, flags: dict[str, Any]) -> None:
    consumer = flags["remote_cluster_id"]
    async with open_cluster(credentials, flags["namespace"]) as cluster:
        slice_ = await find_copy(cluster, consumer, name)
        await cordon_slice(cluster, slice_, cordoned, Progress(), Deadline(flags["timeout"]))
    state = "takes no new pods; what runs stays" if cordoned else "takes pods again"
    click.echo(f"slice {name} of {consumer} {state}")

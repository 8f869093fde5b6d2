"""`isthmus delete`: one object of a peering at a time, in this cluster alone, until it is gone."""

from __future__ import annotations

from typing import Any

import click

from isthmus.api import labels
from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.api.networking import CONFIGURATIONS, GATEWAY_CLIENTS, GATEWAY_SERVERS, PUBLIC_KEYS
from isthmus.api.offloading import VIRTUAL_NODES
from isthmus.cli.cluster import step
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.manual import one_cluster, open_cluster, open_site
from isthmus.cli.options import confirm, confirm_option, examples, timeout_option
from isthmus.cli.parameters import ClusterId
from isthmus.cli.peering_users import remove_peering_user
from isthmus.cli.progress import Progress
from isthmus.cli.removal import Group, remove
from isthmus.cli.waiting import Deadline
from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource

KINDS: dict[str, tuple[Resource[Any], str]] = {
    "configuration": (CONFIGURATIONS, "The pods of the two clusters no longer reach each other."),
    "gatewayserver": (GATEWAY_SERVERS, "The tunnel goes down."),
    "gatewayclient": (GATEWAY_CLIENTS, "The tunnel goes down."),
    "publickey": (PUBLIC_KEYS, "The tunnel goes down."),
    "resourceslice": (RESOURCE_SLICES, "Its virtual node goes, with the pods on it."),
    "virtualnode": (VIRTUAL_NODES, "The pods on it are evicted."),
}
"""Each kind that can be deleted here, and what a user should know before."""


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "isthmus delete virtualnode milan",
        "isthmus delete configuration --remote-cluster-id milan",
        "isthmus delete peering-user --consumer-cluster-id rome",
    ),
)
def delete() -> None:
    """Delete one object of a peering, in this cluster."""


def _add(verb: str, resource: Resource[Any], warning: str) -> None:
    @delete.command(
        name=verb,
        help=f"Delete {resource.kind} objects, by name or all of a peer.\n\n{warning}",
        epilog=examples(f"isthmus delete {verb} milan", f"isthmus delete {verb} --remote-cluster-id milan"),
    )
    @click.argument("names", metavar="[NAME]...", nargs=-1)
    @click.option(
        "--remote-cluster-id", type=ClusterId(), metavar="ID", default=None, help="Those of this peer only."
    )
    @timeout_option("2m")
    @confirm_option
    @one_cluster
    def command(credentials: Credentials, names: tuple[str, ...], **flags: Any) -> None:
        if not names and not flags["remote_cluster_id"]:
            raise CommandError(
                f"no {resource.kind} named", "give names, or --remote-cluster-id ID", code=MISUSED
            )
        run(_delete(credentials, resource, warning, names, flags))


for _verb, (_resource, _warning) in KINDS.items():
    _add(_verb, _resource, _warning)


async def _delete(
    credentials: Credentials,
    resource: Resource[Any],
    warning: str,
    names: tuple[str, ...],
    flags: dict[str, Any],
) -> None:
    peer = flags["remote_cluster_id"]
    async with open_cluster(credentials, flags["namespace"]) as cluster:
        selector = f"{labels.REMOTE_CLUSTER_ID}={peer}" if peer else labels.REMOTE_CLUSTER_ID

        def is_meant(found: Object) -> bool:
            return not names or found.metadata.name in names

        group = Group(cluster, resource, "", selector, is_meant)
        found = await group.list()
        missing = set(names) - {one.metadata.name for one in found}
        if missing or not found:
            whose = f" of {peer}" if peer else ""
            listed = ", ".join(sorted(missing))
            raise CommandError(
                f"{cluster.title} has no {resource.kind} {listed}{whose}".replace("  ", " "),
                f"see kubectl get {resource.plural}.{resource.group} --all-namespaces",
            )
        listed = ", ".join(str(one.key) for one in found)
        confirm(f"Delete {resource.kind} {listed}? {warning}", skip=flags["skip_confirm"])
        deadline = Deadline(flags["timeout"])
        with step(Progress(), f"{resource.kind} {listed} removed", cluster) as current:
            await remove([group], deadline, current, "see its events and finalizers, then run this again")
    click.echo(f"{resource.kind} {listed} is deleted")


@delete.command(
    name="peering-user", epilog=examples("isthmus delete peering-user --consumer-cluster-id rome")
)
@click.option(
    "--consumer-cluster-id", type=ClusterId(), required=True, metavar="ID", help="Whose user it is."
)
@timeout_option("2m")
@one_cluster
def peering_user(credentials: Credentials, **flags: Any) -> None:
    """Take the kubeconfig of a peering user back.

    It stops working at once, and for good: another one for the same consumer is another user.
    """
    run(_peering_user(credentials, flags))


async def _peering_user(credentials: Credentials, flags: dict[str, Any]) -> None:
    consumer = flags["consumer_cluster_id"]
    async with open_site(credentials, flags["namespace"], consumer) as site:
        found = await remove_peering_user(site, Progress(), Deadline(flags["timeout"]))
    click.echo(
        f"peering user of {consumer} deleted; its kubeconfig no longer works"
        if found
        else f"{consumer} had no peering user: nothing to do"
    )

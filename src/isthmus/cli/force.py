"""`isthmus force unpeer`: end what is left here of a peering whose other cluster is gone for good (behaviour 3.11).

The ForeignCluster is annotated first, so that no controller waits for the other cluster; then all that is about it
goes, the virtual nodes before the credentials and the tenant namespace last. Talks to the local cluster alone.
"""

from __future__ import annotations

from typing import Any

import click

from isthmus.api import labels
from isthmus.api.authentication import IDENTITIES, RENEWS, RESOURCE_SLICES, TENANTS
from isthmus.api.core import FOREIGN_CLUSTERS, ForeignCluster
from isthmus.api.networking import CONFIGURATIONS, GATEWAY_CLIENTS, GATEWAY_SERVERS, PUBLIC_KEYS
from isthmus.api.offloading import NAMESPACE_MAPS, VIRTUAL_NODES
from isthmus.cli.cluster import Cluster, explained, step
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.manual import Site, one_cluster, open_site
from isthmus.cli.options import confirm, confirm_option, examples, timeout_option
from isthmus.cli.parameters import ClusterId
from isthmus.cli.peering import count_offloaded_pods, is_named
from isthmus.cli.progress import Progress
from isthmus.cli.removal import Group, await_gone, remove
from isthmus.cli.waiting import Deadline
from isthmus.kube.builtin import NAMESPACES, NODES, SECRETS
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import NotFound

API_SERVER, ESTABLISHED = "APIServerStatus", "Established"


@click.group(cls=CommandGroup, epilog=examples("isthmus force unpeer milan"))
def force() -> None:
    """Force-remove a peering whose other cluster is gone."""


@force.command(
    epilog=examples("isthmus force unpeer milan", "isthmus force unpeer milan --skip-confirm --timeout 1m")
)
@click.argument("cluster_id", metavar="ID", type=ClusterId())
@timeout_option("2m")
@confirm_option
@one_cluster
def unpeer(credentials: Credentials, cluster_id: str, **flags: Any) -> None:
    """End a peering with a cluster that is gone for good.

    Everything about the other cluster is removed from this one, in both directions. Pods that were offloaded to it
    are given up and start elsewhere if they can. Nothing is done in the other cluster: where it still runs, use
    isthmus unpeer.
    """
    run(_unpeer(credentials, cluster_id, flags))


async def _unpeer(credentials: Credentials, peer: str, flags: dict[str, Any]) -> None:
    progress = Progress()
    async with open_site(credentials, flags["namespace"], peer) as site:
        cluster = site.cluster
        with explained(cluster, "reading the ForeignCluster"):
            foreign = await cluster.client.find(FOREIGN_CLUSTERS, peer)
        if foreign is None and not site.present:
            raise CommandError(
                f'{cluster.title} has nothing to do with "{peer}"', "see isthmus info for its peers"
            )
        confirm(await _question(site, foreign), skip=flags["skip_confirm"])
        deadline = Deadline(flags["timeout"])
        if foreign is not None:
            await _give_up(cluster, peer, progress)
        await _clear(site, progress, deadline)
    click.echo(f"nothing of {peer} is left in {cluster.id}")


async def _question(site: Site, foreign: ForeignCluster | None) -> str:
    cluster, peer = site.cluster, site.peer
    with explained(cluster, "reading the virtual nodes"):
        nodes = [one.metadata.name for one in await _nodes(site).list()]
        pods = await count_offloaded_pods(cluster, nodes)
    answers = foreign is not None and any(
        one.type == API_SERVER and one.status == ESTABLISHED for one in foreign.status.conditions
    )
    warning = (
        " Its API server answered a moment ago: isthmus unpeer would also clean up there." if answers else ""
    )
    return f"Give {peer} up for good, with {pods} pods offloaded to it?{warning}"


async def _give_up(cluster: Cluster, peer: str, progress: Progress) -> None:
    with step(progress, f"{peer} marked as gone for good", cluster):
        mark = {"metadata": {"annotations": {labels.PERMANENTLY_UNREACHABLE: labels.TRUE}}}
        try:
            await cluster.client.patch(FOREIGN_CLUSTERS.partial(), peer, mark)
        except NotFound:
            return


def _nodes(site: Site) -> Group:
    return Group(site.cluster, VIRTUAL_NODES, "", f"{labels.REMOTE_CLUSTER_ID}={site.peer}")


def list_steps(site: Site) -> list[tuple[str, list[Group]]]:
    """What goes, in this order, each kind wherever it is: tenant namespaces can have any name."""
    cluster, about = site.cluster, f"{labels.REMOTE_CLUSTER_ID}={site.peer}"
    wished = f"{labels.REPLICATION}={labels.TRUE},{labels.REMOTE_ID}={site.peer}"

    def of_peer(*kinds: Any) -> list[Group]:
        return [Group(cluster, kind, "", about) for kind in kinds]

    return [
        # Otherwise the slices' controller would make the virtual nodes anew.
        ("Resource slices removed", [Group(cluster, RESOURCE_SLICES, "", about)]),
        ("Virtual nodes removed", of_peer(VIRTUAL_NODES)),
        ("Namespace mappings removed", [Group(cluster, NAMESPACE_MAPS, "", wished)]),
        ("Identities and tenants removed", of_peer(IDENTITIES, RENEWS, TENANTS)),
        ("Tunnel removed", of_peer(GATEWAY_CLIENTS, GATEWAY_SERVERS, PUBLIC_KEYS, CONFIGURATIONS)),
        ("Kubeconfigs removed", [Group(cluster, SECRETS, "", f"{labels.IDENTITY_TYPE},{about}")]),
    ]


async def _clear(site: Site, progress: Progress, deadline: Deadline) -> None:
    cluster = site.cluster
    mend = f"look at the log of the controller in namespace {cluster.namespace}, then run this again"
    for title, groups in list_steps(site):
        with step(progress, title, cluster) as current:
            await remove(groups, deadline, current, mend)
    if site.present:
        with step(progress, f"Tenant namespace {site.namespace} removed", cluster) as current:
            group = Group(cluster, NAMESPACES, "", labels.TENANT_NAMESPACE, is_named(site.namespace))
            await remove([group], deadline, current, mend)
    about = f"{labels.REMOTE_CLUSTER_ID}={site.peer}"
    with step(progress, "Nothing of it left", cluster) as current:
        twins = Group(
            cluster,
            NAMESPACES,
            "",
            about,
            lambda one: labels.MANAGED_BY_NAMESPACE_MAP in one.metadata.annotations,
        )
        nodes = Group(cluster, NODES, "", about)
        peers = Group(cluster, FOREIGN_CLUSTERS, "", "", is_named(site.peer))
        await await_gone([nodes, twins, peers], deadline, current, mend)

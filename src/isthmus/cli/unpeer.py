"""`isthmus unpeer`: end a peering, so that nothing of it is left in either cluster (wire.md 9, unpeer).

The order keeps every clean-up possible until it is done: the virtual nodes are drained while their credentials
still stand, then the shares go, then what was replicated, then the identity, and last the tenant that allowed it
all. Each step may be repeated: a run that was broken off is finished by the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from isthmus.api import labels
from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.cli import installation
from isthmus.cli.cluster import connect, explained, step
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.nettest.workload import remove as remove_network_test
from isthmus.cli.network_removal import separate_networks
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
from isthmus.cli.peering import Peering, count_offloaded_pods, is_named
from isthmus.cli.preflight import Pair, find_tenant_namespace, refuse_same
from isthmus.cli.progress import Progress, Step
from isthmus.cli.removal import Group, await_gone, remove
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import KubeError

UNREACHABLE = (
    "isthmus unpeer needs both clusters; where the provider is gone for good, run isthmus force unpeer ID"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the flags of `unpeer` ask for."""

    delete_namespaces: bool
    wait: bool
    skip_confirm: bool
    timeout: float


@click.command(
    epilog=examples(
        "isthmus unpeer --remote-kubeconfig milan.kubeconfig",
        "# in a script, and with the tenant namespaces",
        "isthmus unpeer --remote-kubeconfig milan.kubeconfig --skip-confirm --delete-namespaces",
    )
)
@cluster_options
@remote_cluster_options
@namespace_option
@remote_namespace_option
@click.option("--delete-namespaces", is_flag=True, help="Delete the tenant namespaces as well.")
@switch_option("--wait", True, "Wait until the provider is clean too.")
@timeout_option("2m")
@confirm_option
@verbose_option
def unpeer(
    credentials: Credentials,
    remote_credentials: Credentials,
    namespace: str,
    remote_namespace: str,
    delete_namespaces: bool,
    wait: bool,
    timeout: float,
    skip_confirm: bool,
) -> None:
    """End a peering.

    This cluster (the consumer) stops using the remote one (the provider). Pods that run there are evicted first
    and start elsewhere if they can. The other direction, where there is one, stays.
    """
    wish = Wish(delete_namespaces, wait, skip_confirm, timeout)
    run(_unpeer(credentials, remote_credentials, (namespace, remote_namespace), wish))


async def _unpeer(local: Credentials, remote: Credentials, namespaces: tuple[str, str], wish: Wish) -> None:
    progress = Progress()
    async with (
        connect(local, "local", namespaces[0]) as here,
        connect(remote, "remote", namespaces[1]) as there,
    ):
        pair = await find_peering(Pair(here, there), progress)
        peering = Peering(pair)
        bidirectional = bool(await peering.reverse_tenant().list())
        if bidirectional and wish.delete_namespaces:
            raise CommandError(
                f"--delete-namespaces: {pair.remote.id} also consumes {pair.local.id}, in the same namespaces",
                "leave it out, and give it when the other direction is ended",
                code=2,
            )
        confirm(await peering.question(), skip=wish.skip_confirm)
        deadline = Deadline(wish.timeout)
        await _warn_of_absent_controllers(pair, progress)
        await remove_network_test((pair.local, pair.remote), progress, deadline)
        found = await _end(peering, progress, deadline)
        if not bidirectional:
            found += await separate_networks(
                pair, progress, deadline, ranges=True, wait=wish.wait, mend=_advice(pair)
            )
        if wish.wait:
            with progress.step("Nothing of the peering left") as current:
                await await_gone(peering.everything(), deadline, current, _advice(pair))
        if wish.delete_namespaces:
            await _delete_namespaces(pair, progress, deadline)
    click.echo(
        f"{pair.local.id} is no longer peered with {pair.remote.id}"
        if found
        else f"{pair.local.id} was not peered with {pair.remote.id}: nothing to do"
    )


async def find_peering(pair: Pair, progress: Progress) -> Pair:
    """Reach both clusters and find the tenant namespaces of the peering. Raises CommandError."""
    with progress.step("Reaching both clusters") as current:
        try:
            first, second = await installation.gather_both(pair.local, pair.remote)
        except CommandError as error:
            raise CommandError(str(error), UNREACHABLE) from error
        refuse_same(pair, bool(first.cluster_uid) and first.cluster_uid == second.cluster_uid)
        mine = await installation.read_cluster_id(pair.local)
        theirs = await installation.read_cluster_id(pair.remote)
        refuse_same(pair, mine.metadata.uid == theirs.metadata.uid)
        pair.local_namespace, _ = await find_tenant_namespace(pair.local, pair.remote.id)
        pair.remote_namespace, _ = await find_tenant_namespace(pair.remote, pair.local.id)
        current.title = f"{pair.local.id} and {pair.remote.id} answer"
    return pair


async def _warn_of_absent_controllers(pair: Pair, progress: Progress) -> None:
    """Say which controller does not run: the clean-up waits for both, and the user should know why."""
    for cluster in (pair.local, pair.remote):
        try:
            controller = await installation.find_controller(cluster)
        except KubeError:
            continue  # A peering user may not look.
        if controller is None or not installation.ready_replicas(controller):
            progress.warn(
                f"no controller is ready in namespace {cluster.namespace}: this has to wait for it",
                cluster.tag,
            )


async def _end(peering: Peering, progress: Progress, deadline: Deadline) -> int:
    """End the offloading and then the authentication; returns how many objects there were."""
    pair = peering.pair
    found = await _drain(peering, progress, deadline)
    for title, groups in (
        ("Resource slices removed", [peering.slices()]),
        ("Namespace mappings removed", [peering.namespace_maps()]),
    ):
        with step(progress, title, pair.local) as current:
            found += await remove(groups, deadline, current, _advice(pair))
    return found + await end_authentication(peering, progress, deadline, _advice(pair))


async def end_authentication(peering: Peering, progress: Progress, deadline: Deadline, mend: str) -> int:
    """Remove the identity on the provider and all proofs of it; returns how many objects there were."""
    pair = peering.pair
    with step(progress, "Identities removed", pair.local) as current:
        found = await remove([peering.identities(), peering.renewals()], deadline, current, mend)
    with step(progress, "Kubeconfigs removed", pair.local) as current:
        await await_gone([peering.kubeconfigs()], deadline, current, mend)
    with step(progress, "Copies removed", pair.remote) as current:
        # Gone by now, unless this cluster gave the provider up (force unpeer) and nobody could tell it. Not
        # earlier: what the consumer still has, its controller would copy again and again.
        found += await remove(peering.copies(), deadline, current, mend)
    with step(progress, f"Tenant {pair.local.id} removed", pair.remote) as current:
        found += await remove([peering.tenant()], deadline, current, mend)
    with (
        progress.step("Nonces and certificates removed") as current,
        explained(pair.remote, "removing secrets"),
    ):
        found += await remove(peering.proofs(), deadline, current, mend)
    return found


async def _drain(peering: Peering, progress: Progress, deadline: Deadline) -> int:
    """Delete the virtual nodes, which evicts their pods, and wait until they are gone."""
    local = peering.pair.local
    nodes = peering.virtual_nodes()
    with step(progress, "Virtual nodes drained and removed", local) as current:
        for each in await peering.slices().list():
            # Otherwise the controller would make the virtual node anew as long as its slice is there.
            keep_none = {"metadata": {"annotations": {labels.CREATE_VIRTUAL_NODE: labels.FALSE}}}
            await local.client.patch(
                RESOURCE_SLICES.partial(), each.metadata.name, keep_none, each.metadata.namespace
            )
        count = await nodes.delete()
        if count:
            await _await_drained(peering, nodes, deadline, current)
    return count


async def _await_drained(peering: Peering, nodes: Group, deadline: Deadline, current: Step) -> None:
    local = peering.pair.local

    async def is_gone() -> bool | None:
        left = [node.metadata.name for node in await nodes.list()]
        if not left:
            return True
        current.update(f"{', '.join(left)} with {await count_offloaded_pods(local, left)} pods")
        return None

    await wait_for(
        is_gone,
        deadline,
        current,
        "the virtual nodes were not gone",
        "look for pods that cannot be evicted (PodDisruptionBudget, finalizers), then run unpeer again",
    )


async def _delete_namespaces(pair: Pair, progress: Progress, deadline: Deadline) -> None:
    # Both at once: Kubernetes takes five seconds for each, whatever is in it.
    sides = ((pair.local, pair.local_namespace), (pair.remote, pair.remote_namespace))
    groups = [
        Group(cluster, NAMESPACES, "", labels.TENANT_NAMESPACE, is_named(namespace))
        for cluster, namespace in sides
    ]
    with progress.step("Tenant namespaces removed") as current:
        for group in groups:
            with explained(group.cluster, "removing the tenant namespace"):
                await group.delete()
        await await_gone(groups, deadline, current, _advice(pair))


def _advice(pair: Pair) -> str:
    return f"look at the controllers of {pair.local.id} and {pair.remote.id}, then run unpeer again"

"""Taking an installation away: everything cluster-wide, the namespace, and with a purge the kinds and their objects.

The order keeps anything from waiting for something already gone: webhooks first, then what the controller still has
to clean up while it runs, then the controller, then what it left. Every wait is bounded; finalizers of ours that
nobody will ever honour again are taken off at the end. Each part may be repeated.
"""

from __future__ import annotations

import asyncio
from typing import Any

from isthmus.api import labels, names
from isthmus.api.crds import custom_resource_definitions
from isthmus.install.apply import Definition
from isthmus.install.errors import InstallError
from isthmus.install.fabric import has_fabric
from isthmus.install.ownership import OWN_SELECTOR
from isthmus.install.permissions import REMOVE, check_permissions
from isthmus.install.progress import Progress, Step
from isthmus.install.readiness import is_running
from isthmus.install.render import render
from isthmus.install.served import prunable_resources
from isthmus.install.steps import leave_nodes
from isthmus.install.survey import refuse_foreign
from isthmus.install.usage import check_unused, find_network_test, liqo_resources, list_served
from isthmus.install.values import Values
from isthmus.install.waiting import Deadline, wait_until
from isthmus.install.workload import SELECTOR
from isthmus.kube.builtin import (
    CLUSTER_ROLE_BINDINGS,
    CRDS,
    CSRS,
    DEPLOYMENTS,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    VALIDATING_WEBHOOKS,
)
from isthmus.kube.client import Client
from isthmus.kube.errors import Conflict, NotFound
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource
from isthmus.network.gateways.workload import CLUSTER_ROLE

CLEANUP_PATIENCE = 20.0
"""Seconds the running controller has for cleaning up behind itself."""
OURS = ".liqo.io/"
"""What every finalizer of ours contains (wire.md 1.4)."""


async def uninstall(client: Client, namespace: str, purge: bool, timeout: float, progress: Progress) -> None:
    """Remove an installation. Raises InstallError where it is in use or cannot be removed in time."""
    deadline = Deadline(timeout)
    with progress.step("Checking that nothing uses it") as step:
        version = await client.version()
        everything = render(Values().with_cluster_id("any"), namespace, version)
        await check_permissions(client, everything, REMOVE)
        await refuse_foreign(client, namespace)
        await check_unused(client)
        step.title = f"Kubernetes {version}, no peering, no extended namespace"
    with progress.step("Removing webhooks") as step:
        for resource in (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS):
            await _delete_all(client, resource, OWN_SELECTOR)
        step.title = "Webhooks removed"
    with progress.step("Removing what the controller made") as step:
        patience = CLEANUP_PATIENCE if await is_running(client, namespace) else 0.0
        await _delete_made(client, namespace, purge, deadline.within(patience), step)
        step.title = "What the controller made is removed"
    with progress.step("Ending the controller") as step:
        await _end_controller(client, namespace, deadline, step)
        step.title = "The controller has ended"
    if await has_fabric(client, namespace):
        await leave_nodes(client, namespace, deadline, progress)
    with progress.step("Removing cluster-wide objects") as step:
        await _release(client, purge)
        await _delete_cluster_wide(client)
        step.title = "Cluster-wide objects removed"
    with progress.step(f"Removing namespace {namespace}") as step:
        test = await find_network_test(client)
        spaces = [namespace, *([test.metadata.name] if test else [])]
        await _delete_namespaces(client, spaces, deadline, step)
        step.title = f"Namespace {namespace} removed"
    if purge:
        await _purge(client, deadline, progress)


async def is_anything_left(client: Client, namespace: str, purge: bool) -> bool:
    """Whether there is anything of an installation to remove; the kinds count only for a purge."""
    everywhere = [NAMESPACES.partial(), *([CRDS.partial()] if purge else [])]
    for resource in [*prunable_resources(), *everywhere]:
        where = namespace if resource.namespaced else ""
        try:
            if (await client.list(resource, where, label_selector=OWN_SELECTOR)).items:
                return True
        except NotFound:
            continue
    return False


async def _delete_all(client: Client, resource: Resource[Any], selector: str) -> list[Object]:
    listed = await client.list(resource.partial(), label_selector=selector)
    for found in listed.items:
        await client.delete(resource, found.metadata.name, found.metadata.namespace, uid=found.metadata.uid)
    return listed.items


async def _delete_made(client: Client, namespace: str, purge: bool, deadline: Deadline, step: Step) -> None:
    """What the controller cleans up best itself: summaries of peers, addresses, `isthmus test network`'s namespace,
    on a purge tenant namespaces."""
    summaries = liqo_resources()["ForeignCluster"]
    for found in await list_served(client, summaries):
        await client.delete(summaries, found.metadata.name, uid=found.metadata.uid)
    tenants: list[Object] = []
    if purge:
        tenants = await _delete_all(client, NAMESPACES, f"{labels.TENANT_NAMESPACE}={labels.TRUE}")
    if test := await find_network_test(client):
        await client.delete(NAMESPACES, test.metadata.name, uid=test.metadata.uid)
    addresses = liqo_resources()["IP"]
    for found in await list_served(client, addresses):
        # Before the Networks they are of, which go with the namespace.
        if found.metadata.namespace == namespace:
            await client.delete(addresses, found.metadata.name, namespace, uid=found.metadata.uid)

    async def missing() -> str:
        left = await list_served(client, summaries)
        left += [one for one in await list_served(client, addresses) if one.deleting]
        if tenants:
            page = await client.list(
                NAMESPACES.partial(), label_selector=f"{labels.TENANT_NAMESPACE}={labels.TRUE}"
            )
            left += page.items
        if test and (space := await find_network_test(client)):
            left.append(space)
        return f"{left[0].metadata.name} is still there" if left else ""

    # Out of time is no failure here: what is left is released once the controller is gone.
    await wait_until(missing, deadline, step)


async def _end_controller(client: Client, namespace: str, deadline: Deadline, step: Step) -> None:
    await client.delete(DEPLOYMENTS, names.CONTROLLER, namespace, propagation="Foreground")
    selector = ",".join(f"{key}={value}" for key, value in SELECTOR.items())

    async def missing() -> str:
        left = (await client.list(PODS.partial(), namespace, label_selector=selector)).items
        return f"pod {left[0].metadata.name} is still there" if left else ""

    if not await wait_until(missing, deadline.within(90), step):
        raise InstallError(
            f"the controller's pod did not end: {await missing()}",
            f"look at its node, or kubectl delete pod --force in {namespace}, then run this again",
        )


async def _release(client: Client, purge: bool) -> None:
    """Take our finalizers off what is being deleted, on a purge off everything: nobody honours them any more."""
    for resource in liqo_resources().values():
        for found in await list_served(client, resource):
            if purge or found.deleting:
                await _without_finalizers(client, resource, found)
    for found in (await client.list(SECRETS.partial(), label_selector=labels.IDENTITY_TYPE)).items:
        if purge or found.deleting:
            await _without_finalizers(client, SECRETS.partial(), found)
    shadowed = f"{labels.MANAGED_BY}={labels.MANAGED_BY_SHADOW_POD}"
    for found in (await client.list(PODS.partial(), label_selector=shadowed)).items:
        await _without_finalizers(client, PODS.partial(), found)


async def _without_finalizers(client: Client, resource: Resource[Object], found: Object) -> None:
    kept = [each for each in found.metadata.finalizers if OURS not in each]
    if len(kept) == len(found.metadata.finalizers):
        return
    # The version makes sure that a finalizer somebody adds meanwhile is not lost.
    metadata = {"finalizers": kept, "resourceVersion": found.metadata.resource_version}
    try:
        await client.patch(resource, found.metadata.name, {"metadata": metadata}, found.metadata.namespace)
    except (NotFound, Conflict):
        return


async def _delete_cluster_wide(client: Client) -> None:
    for resource in prunable_resources():
        if not resource.namespaced:
            await _delete_all(client, resource, OWN_SELECTOR)
    # Made at run time, gone with the peerings they were made for unless the controller was cut off.
    await _delete_all(
        client, CLUSTER_ROLE_BINDINGS, f"{labels.APP_MANAGED_BY}=liqo,{labels.REMOTE_CLUSTER_ID}"
    )
    await client.delete(CLUSTER_ROLE_BINDINGS, CLUSTER_ROLE)
    await _delete_all(client, CSRS, labels.REMOTE_TENANT_CSR)
    await _delete_all(client, NODES, f"{labels.NODE_TYPE}={labels.NODE_TYPE_VIRTUAL}")


async def _delete_namespaces(client: Client, spaces: list[str], deadline: Deadline, step: Step) -> None:
    for name in spaces:
        await client.delete(NAMESPACES, name)

    async def missing() -> str:
        for name in spaces:
            found = await client.find(NAMESPACES.view(Definition), name)
            if found is not None:
                # Nobody honours the finalizers of what goes with it any more.
                await _release(client, purge=False)
                return f"namespace {name} is still there{_what_holds(found)}"
        return ""

    if not await wait_until(missing, deadline, step):
        raise InstallError(
            f"{await missing()} after {deadline.seconds:.0f} s", "mend that, then run this again"
        )


def _what_holds(space: Definition) -> str:
    conditions = [each for each in space.status.conditions if each.get("status") == "True"]
    remaining = [each.get("message", "") for each in conditions if "Remaining" in each.get("type", "")]
    return f" ({' '.join(remaining)})" if remaining else ""


async def _purge(client: Client, deadline: Deadline, progress: Progress) -> None:
    tenants = f"{labels.TENANT_NAMESPACE}={labels.TRUE}"
    with progress.step("Removing tenant namespaces") as step:
        found = await _delete_all(client, NAMESPACES, tenants)
        await _delete_namespaces(client, [each.metadata.name for each in found], deadline, step)
        step.title = "Tenant namespaces removed"
    with progress.step("Removing the kinds and all their objects") as step:
        await _delete_kinds(client, deadline, step)
        step.title = "The kinds and all their objects are removed"


async def _delete_kinds(client: Client, deadline: Deadline, step: Step) -> None:
    own = {manifest["metadata"]["name"] for manifest in custom_resource_definitions()}
    await asyncio.gather(*(client.delete(CRDS, name) for name in own))

    async def missing() -> str:
        listed = (await client.list(CRDS.partial())).items
        left = [found.metadata.name for found in listed if found.metadata.name in own]
        if left:
            # Objects that were made a moment ago, for instance by a peer, may bring new finalizers.
            await _release(client, purge=True)
        return f"{left[0]} is still there" if left else ""

    if not await wait_until(missing, deadline, step):
        raise InstallError(
            f"CustomResourceDefinition {await missing()} after {deadline.seconds:.0f} s",
            "look at the finalizers of its objects; then run this again",
        )

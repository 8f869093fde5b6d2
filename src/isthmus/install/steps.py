"""An installation from start to end, each part a step that is shown.

Whatever can be wrong with the input or the cluster is found out before the first write. Every step may be repeated:
running it again upgrades, and goes on where an earlier run was cut off.
"""

from __future__ import annotations

import secrets
from typing import Any

from isthmus.install.api_server import with_address
from isthmus.install.apply import apply_all, apply_together, prune, wait_established
from isthmus.install.errors import InstallError
from isthmus.install.fabric import end_fabric, has_fabric, wait_for_fabric
from isthmus.install.network_changes import check_changes, drop_changed
from isthmus.install.permissions import APPLY, check_permissions, check_roles
from isthmus.install.prechecks import Checks, check_cluster
from isthmus.install.progress import Progress
from isthmus.install.ranges import with_ranges
from isthmus.install.readiness import wait_for_controller, wait_for_webhooks
from isthmus.install.render import render
from isthmus.install.survey import Survey, changes, survey
from isthmus.install.values import Tree, Values, tree
from isthmus.install.waiting import Deadline
from isthmus.install.webhooks import enabled_webhooks
from isthmus.kube.client import Client
from isthmus.kube.objects import Manifest

SERVING_PATIENCE = 60.0
"""Seconds the API server may take to serve new kinds."""


def choose_cluster_id(values: Values, existing: str) -> Values:
    """The values with the id they name, else the one installed, else a random one.

    Raises InstallError where they name another one than is installed.
    """
    wanted = values.cluster_id
    if existing and wanted and wanted != existing:
        raise InstallError(
            f'--cluster-id {wanted}: this cluster is installed as "{existing}", and peers know it by that id',
            f"leave it out, or run isthmus uninstall first to make it {wanted}",
        )
    return values.with_cluster_id(wanted or existing or f"cluster-{secrets.token_hex(4)}")


async def complete(client: Client, values: Values, found: Survey) -> tuple[Values, list[str]]:
    """The values with what only the cluster can tell: its id, its ranges, its API server's address; and what to tell
    about how that was found.

    Raises InstallError naming the flag where it cannot be found out.
    """
    values = choose_cluster_id(values, found.cluster_id)
    values, guess = await with_ranges(client, values, found.values)
    values, address = await with_address(client, values, found.values)
    return values, [text for text in (guess, address) if text]


async def install(
    client: Client,
    values: Values,
    namespace: str,
    version: str,
    timeout: float,
    progress: Progress,
    checks: Checks,
) -> str:
    """Install or upgrade, and wait until it works; returns the cluster's id.

    Raises InstallError, or an error of the client.
    """
    deadline = Deadline(timeout)
    values, manifests, leaving = await _prepare(client, values, namespace, version, progress, checks)
    # Agents that have to leave their nodes still need what they are allowed by.
    await _apply(client, manifests, namespace, deadline, progress, pruning=not leaving)
    with progress.step("Waiting for the controller") as step:
        await wait_for_controller(client, namespace, deadline, step)
        step.title = "The controller is ready"
    if leaving:
        await leave_nodes(client, namespace, deadline, progress)
        await prune(client, manifests, namespace)
    if values.networking.enabled:
        await _await_fabric(client, namespace, deadline, progress)
    if enabled_webhooks(values):
        with progress.step("Waiting for the admission webhooks") as step:
            await wait_for_webhooks(client, values, namespace, deadline, step)
            step.title = "The API server reaches the admission webhooks"
    return values.cluster_id


async def _prepare(
    client: Client, values: Values, namespace: str, version: str, progress: Progress, checks: Checks
) -> tuple[Values, list[Manifest], bool]:
    """Find out all that can be wrong; the values completed, what they are rendered to, and whether the nodes are to
    lose the network that they have."""
    with progress.step("Checking the cluster") as step:
        found = await survey(client, namespace)
        # What is missing yet, ranges and an address, changes neither the kinds nor the roles.
        values = choose_cluster_id(values, found.cluster_id)
        manifests = render(values, namespace, version)
        await check_permissions(client, manifests, APPLY)
        await check_roles(client, manifests)
        values, told = await complete(client, values, found)
        doubt = await check_cluster(client, values, checks)
        manifests = render(values, namespace, version)
        await check_changes(client, values, manifests, namespace)
        leaving = not values.networking.enabled and await has_fabric(client, namespace)
        step.title = f"Kubernetes {found.kubernetes}, {_what(found, version)}"
    for text in [*told, *changed_values(found.values, tree(values))]:
        progress.note(text)
    if doubt:
        progress.warn(doubt)
    return values, manifests, leaving


async def leave_nodes(client: Client, namespace: str, deadline: Deadline, progress: Progress) -> None:
    """Take the network off every node, and end the agents. The controller must not look after it any more."""
    with progress.step("Taking the network off the nodes") as step:
        left = await end_fabric(client, namespace, deadline, step)
        step.title = "The network is taken off the nodes"
    if left:
        progress.warn(
            f"the agents of {', '.join(left)} did not end in time: what they set up may be there until a restart"
        )


async def _await_fabric(client: Client, namespace: str, deadline: Deadline, progress: Progress) -> None:
    with progress.step("Waiting for the network of nodes") as step:
        down = await wait_for_fabric(client, namespace, deadline, step)
        step.title = "The network of nodes is ready"
    if down:
        progress.warn(f"not waited for, since they are not ready themselves: nodes {', '.join(down)}")


def _what(found: Survey, version: str) -> str:
    if not found.cluster_id:
        return "nothing installed yet"
    return f'version {found.version or "unknown"} installed as "{found.cluster_id}", now {version}'


def changed_values(before: Tree, after: Tree) -> list[str]:
    """What an upgrade does to the recorded values, one line each: forgotten flags are seen this way."""
    return (
        [f"value {name}: {_shown(old)} becomes {_shown(new)}" for name, old, new in changes(before, after)]
        if before
        else []
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "unset" if value in (None, "", [], {}) else str(value)


async def _apply(
    client: Client,
    manifests: list[Manifest],
    namespace: str,
    deadline: Deadline,
    progress: Progress,
    *,
    pruning: bool,
) -> None:
    definitions = [each for each in manifests if each["kind"] == "CustomResourceDefinition"]
    spaces = [each for each in manifests if each["kind"] == "Namespace"]
    rest = [each for each in manifests if each not in definitions and each not in spaces]
    with progress.step(f"Having {len(definitions)} kinds served") as step:
        await apply_together(client, definitions)
        if not await wait_established(client, definitions, deadline.within(SERVING_PATIENCE), step):
            raise InstallError(
                "the API server does not serve the kinds of Isthmus", "look at kubectl get crd"
            )
        step.title = f"{len(definitions)} kinds served"
    with progress.step(f"Applying {len(rest) + 1} objects") as step:
        await drop_changed(client, manifests, namespace)
        await apply_all(client, spaces + rest, deadline)
        removed = await prune(client, manifests, namespace) if pruning else 0
        step.title = f"{len(rest) + 1} objects applied" + (
            f", {removed} no longer wanted removed" if removed else ""
        )

"""Taking the tunnel between two clusters down: gateways and keys, and with a reset the Configurations as well.

What the controllers made of them goes with them; `leftovers` is what has to be gone in the end.
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.ipam import IPS, NETWORKS
from isthmus.api.networking import (
    CONFIGURATIONS,
    CONNECTIONS,
    GATEWAY_CLIENTS,
    GATEWAY_SERVERS,
    INTERNAL_FABRICS,
    PUBLIC_KEYS,
    WG_GATEWAY_CLIENTS,
    WG_GATEWAY_SERVERS,
)
from isthmus.cli.network_check import End, list_ends
from isthmus.cli.preflight import Pair
from isthmus.cli.progress import Progress
from isthmus.cli.removal import Group, await_gone, list_left, remove
from isthmus.cli.waiting import Deadline
from isthmus.kube.builtin import DEPLOYMENTS, PODS, SECRETS, SERVICES
from isthmus.kube.objects import Object
from isthmus.kube.times import deleting_for


def gateway_groups(pair: Pair) -> list[Group]:
    """What users and commands wrote of the tunnel, the clients first as wire.md 9 has it."""
    return [
        Group(end.cluster, kind, end.namespace, end.selector)
        for kind in (GATEWAY_CLIENTS, GATEWAY_SERVERS, PUBLIC_KEYS)
        for end in list_ends(pair)
    ]


def configuration_groups(pair: Pair) -> list[Group]:
    """What each cluster was told of the other's ranges."""
    return [Group(end.cluster, CONFIGURATIONS, end.namespace, end.selector) for end in list_ends(pair)]


def leftovers(pair: Pair, *, ranges: bool) -> list[Group]:
    """What was made of all that; with `ranges` that of the Configurations too."""
    return [group for end in list_ends(pair) for group in _made(end, ranges)]


def _made(end: End, ranges: bool) -> list[Group]:
    gateways = f"{labels.GATEWAY_COMPONENT}={labels.GATEWAY_COMPONENT_VALUE}"
    groups = [Group(end.cluster, kind, end.namespace, gateways) for kind in (DEPLOYMENTS, SERVICES)]
    groups.append(Group(end.cluster, PODS, end.namespace, gateways, _is_awaited))
    groups.append(
        Group(end.cluster, SECRETS, end.namespace, f"{labels.GATEWAY_RESOURCE},{end.selector}", _is_made)
    )
    groups += [
        Group(end.cluster, kind, end.namespace)
        for kind in (WG_GATEWAY_CLIENTS, WG_GATEWAY_SERVERS, CONNECTIONS, INTERNAL_FABRICS)
    ]
    if ranges:
        groups += [Group(end.cluster, kind, end.namespace, "", _is_owned) for kind in (NETWORKS, IPS)]
    return groups


def _is_awaited(pod: Object) -> bool:
    # A pod whose grace period is over and that is still there is on a node that does not answer.
    return not pod.deleting or deleting_for(pod) < 0


def _is_made(found: Object) -> bool:
    # A key that a user brought stays with the user.
    return bool(found.metadata.owner_references)


def _is_owned(found: Object) -> bool:
    # A user's own IP in the tenant namespace is not the peering's.
    return any(owner.kind == CONFIGURATIONS.kind for owner in found.metadata.owner_references)


async def separate_networks(
    pair: Pair, progress: Progress, deadline: Deadline, *, ranges: bool, wait: bool, mend: str
) -> int:
    """Remove the tunnel, with `ranges` the Configurations too, and with `wait` all that was made of them.

    Returns how many objects there were. Raises CommandError naming what is left when the time is over.
    """
    steps = [("Gateways removed", gateway_groups(pair))]
    if ranges:
        steps.append(("Network configurations removed", configuration_groups(pair)))
    count = 0
    for title, groups in steps:
        if not any([await group.list() for group in groups]):
            continue
        with progress.step(title) as current:
            if wait:
                count += await remove(groups, deadline, current, mend)
            else:
                count += sum([await group.delete() for group in groups])
    made = leftovers(pair, ranges=ranges)
    # An earlier run may have given up on what was made while the rest was gone already.
    if wait and (count or await list_left(made)):
        with progress.step("Nothing of the tunnel left") as current:
            await await_gone(made, deadline, current, mend)
    return count

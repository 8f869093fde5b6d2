"""Whether a ShadowPod may be created under a Quota: the rules and their messages (wire.md 8), pure."""

from __future__ import annotations

from isthmus.api.offloading import Quota
from isthmus.api.quantity import format_quantity, parse_resources
from isthmus.offloading.quota.requests import PODS, Amounts, Container, PodResources, container_requests

NONE, SOFT, HARD = "None", "Soft", "Hard"
MANDATORY = ("cpu", "memory")


def quota_limits(quota: Quota) -> Amounts:
    """What the Quota grants. Raises ValueError naming a malformed quantity."""
    return parse_resources(quota.spec.resources)


def mode_problem(mode: str, pod: PodResources) -> str:
    """What a limits enforcement of None, Soft or Hard finds wrong with the pod's containers, "" for nothing.

    Raises ValueError naming a malformed quantity.
    """
    for container in [*(pod.containers or []), *pod.init_containers]:
        problem = _container_problem(mode, container)
        if problem:
            return problem
    return ""


def _container_problem(mode: str, container: Container) -> str:
    if mode not in (SOFT, HARD):
        return ""
    asked = container_requests(container)
    if any(name not in asked for name in MANDATORY):
        return f"CPU and/or memory requests not set for container {container.name}"
    if mode == SOFT:
        return ""
    limits = parse_resources(container.resources.limits)
    for name in sorted({*MANDATORY, *asked, *limits}):
        if limits.get(name) != asked.get(name):
            return f"{name} limits and requests are not equal for container {container.name}"
    return ""


def missing_limit(limits: Amounts, asked: Amounts) -> str:
    """The denial for a resource the Quota does not speak of, "" for none; pods need not be limited."""
    for name, amount in sorted(asked.items()):
        if amount and name not in limits and name != PODS:
            return f"{name} quota limit not found for this peering"
    return ""


def exceeded(name: str, free: int, asked: int) -> str:
    """The denial where not enough is free."""
    return (
        f"peering {name} quota usage exceeded - "
        f"free {format_quantity(free)} / requested {format_quantity(asked)}"
    )

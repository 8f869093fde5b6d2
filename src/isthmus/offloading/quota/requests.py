"""What a pod asks for, counted as Kubernetes' scheduler counts it: pure functions over a PodSpec's JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, field

from isthmus.api.quantity import NANO, parse_resources
from isthmus.kube.objects import Base

Amounts = dict[str, int]
"""Resource name to nano units."""

PODS = "pods"


class ResourceRequirements(Base, frozen=True, kw_only=True):
    """Requests and limits as the manifest has them."""

    requests: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)


class Container(Base, frozen=True, kw_only=True):
    """What of a container is counted."""

    name: str = ""
    restart_policy: str = ""
    resources: ResourceRequirements = field(default_factory=ResourceRequirements)


class PodResources(Base, frozen=True, kw_only=True):
    """What of a PodSpec is counted."""

    containers: list[Container] | None = None
    init_containers: list[Container] = field(default_factory=list)
    resources: ResourceRequirements = field(default_factory=ResourceRequirements)
    overhead: dict[str, Any] = field(default_factory=dict)


def read_pod(spec: Raw) -> PodResources:
    """Decode what is counted of a PodSpec. Raises msgspec.DecodeError where it is malformed."""
    return msgspec.json.decode(spec, type=PodResources)


def container_requests(container: Container) -> Amounts:
    """A container's requests; where one is missing the limit stands for it, as Kubernetes defaults it.

    Raises ValueError naming a malformed quantity, or one below zero, with which a quota could be talked up.
    """
    return _amounts({**container.resources.limits, **container.resources.requests})


def _amounts(resources: dict[str, Any]) -> Amounts:
    amounts = parse_resources(resources)
    for name, amount in amounts.items():
        if amount < 0:
            raise ValueError(f"{name} request {resources[name]} is negative")
    return amounts


def pod_requests(pod: PodResources) -> Amounts:
    """What the pod takes while it runs: containers and sidecars together, or the largest step of its start.

    One pod is counted as well. Raises ValueError as `container_requests` does.
    """
    running: Amounts = {}
    starting: Amounts = {}
    for container in pod.init_containers:
        asked = container_requests(container)
        if container.restart_policy == "Always":  # a sidecar: stays on
            running = add(running, asked)
            starting = largest(starting, running)
        else:
            starting = largest(starting, add(running, asked))
    for container in pod.containers or []:
        running = add(running, container_requests(container))
    whole = {
        **largest(running, starting),
        **_amounts({**pod.resources.limits, **pod.resources.requests}),
    }
    return {**add(whole, _amounts(pod.overhead)), PODS: NANO}


def add(a: Amounts, b: Amounts) -> Amounts:
    """The sum, resource by resource."""
    return {name: a.get(name, 0) + b.get(name, 0) for name in a.keys() | b.keys()}


def largest(a: Amounts, b: Amounts) -> Amounts:
    """The larger amount, resource by resource."""
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in a.keys() | b.keys()}

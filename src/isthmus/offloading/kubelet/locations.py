"""Where offloaded pods really run, as the kubelet API needs to know it; told by the virtual nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from isthmus.kube.builtin import Pod
from isthmus.kube.client import Client


class Location(Struct, frozen=True):
    """Where a local pod really runs: under its own name in a namespace of a provider."""

    client: Client
    """The client of the provider, with the identity of the slice."""
    remote_namespace: str
    node: str
    """The virtual node that the local pod is bound to."""
    pod_uid: str
    """The UID of the local pod."""


class OffloadedPods(Protocol):
    """What the kubelet API asks of the virtual nodes (virtualnode/registry.py)."""

    def locate(self, namespace: str, pod: str) -> Location | None:
        """Where a local pod runs, None where it is not on a virtual node of ours."""

    def pods_on(self, node: str) -> Iterable[Pod]:
        """The local pods bound to a virtual node."""

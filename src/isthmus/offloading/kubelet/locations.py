"""What the kubelet API asks of the virtual nodes; `virtualnode.registry` answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from isthmus.kube.builtin import Pod
from isthmus.kube.client import Client


class Location(Protocol):
    """Where a local pod really runs: under its own name in a namespace of a provider."""

    @property
    def client(self) -> Client:
        """The client of the provider, with the identity of the slice."""

    @property
    def remote_namespace(self) -> str:
        """The twin namespace."""

    @property
    def node(self) -> str:
        """The virtual node that the local pod is bound to."""

    @property
    def pod_uid(self) -> str:
        """The UID of the local pod."""


class OffloadedPods(Protocol):
    """The virtual nodes of this process and their pods."""

    def locate(self, namespace: str, pod: str) -> Location | None:
        """Where a local pod runs, None where it is not on a virtual node of ours."""

    def pods_on(self, node: str) -> Iterable[Pod]:
        """The local pods bound to a virtual node."""

    def nodes(self) -> Iterable[str]:
        """The names of the virtual nodes that run."""

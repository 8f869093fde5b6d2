"""What is to be tested, as plain values: clusters, their ranges, probe pods, Services; who sees whom how. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from isthmus.api.peer_ranges import PeerRanges, real_address, seen_address

Place = Literal["pod", "node"]


@dataclass(frozen=True, slots=True)
class ProbePod:
    """A probe that runs: in which cluster it was created (`owner`) and in which it runs (`cluster`).

    `address` is the one that the cluster it runs in knows it by; a `place` of node means the node's own network.
    """

    owner: str
    cluster: str
    name: str
    node: str
    address: str
    place: Place = "pod"

    @property
    def identity(self) -> str:
        """How it introduces itself to those it answers: node names may recur in another cluster."""
        return f"{self.owner}/{self.name}"

    @property
    def title(self) -> str:
        """How reports name it."""
        if self.place == "node":
            return f"node {self.node}"
        return self.name if self.owner == self.cluster else f"{self.name} (of {self.owner})"


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster: how it sees each peer's addresses, and its nodes' own addresses by name."""

    id: str
    ranges: dict[str, PeerRanges] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The test's Service of `owner` as it is in a cluster: the owner itself, or a provider with its twin."""

    owner: str
    cluster: str
    address: str
    node_ports: dict[str, int] = field(default_factory=dict)
    balancers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LentHost:
    """A host outside its pod network that a cluster lends its peers under an address of its external range."""

    cluster: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything that probes are planned from."""

    sites: dict[str, Site]
    pods: tuple[ProbePod, ...]
    services: tuple[ServiceView, ...] = ()
    hosts: tuple[LentHost, ...] = ()

    def replicas(self, owner: str) -> tuple[ProbePod, ...]:
        """The pods behind the Service of a cluster."""
        return tuple(pod for pod in self.pods if pod.owner == owner and pod.place == "pod")

    def see(self, viewer: str, pod: ProbePod) -> str:
        """The address by which a cluster sees a pod, "" where their networks are not joined."""
        return self._see(viewer, pod.cluster, pod.address, external=False)

    def see_replica(self, view: ServiceView, pod: ProbePod) -> str:
        """The address that a Service's endpoints have of a pod in that cluster, "" where it cannot be foretold.

        Of a pod in a third cluster its owner lends one, whether or not the two others are joined as well.
        """
        foretold = view.cluster == view.owner or pod.cluster in (view.owner, view.cluster)
        return self.see(view.cluster, pod) if foretold else ""

    def see_host(self, viewer: str, host: LentHost) -> str:
        """The address by which a cluster sees a host that a peer lends, "" where it does not."""
        return self._see(viewer, host.cluster, host.address, external=True)

    def _see(self, viewer: str, cluster: str, address: str, *, external: bool) -> str:
        if viewer == cluster:
            return address
        ranges = self.sites[viewer].ranges.get(cluster)
        if ranges is None:
            return ""
        return seen_address(address, ranges.external if external else ranges.pods)

    def separate(self) -> list[tuple[str, str]]:
        """The pairs of clusters of which the first does not see the second's pods."""
        return [
            (one, other)
            for one in self.sites
            for other in self.sites
            if one != other and other not in self.sites[one].ranges
        ]


def address_at_home(address: str, ranges: PeerRanges | None) -> str:
    """The address that a pod has in the cluster it runs in, from the one its owner shows; "" where none can be."""
    return real_address(address, ranges.pods) if ranges is not None else ""


def pick_nodes(
    addresses: Iterable[tuple[str, str, bool]], which: Literal["all", "workers", "control-planes"]
) -> dict[str, str]:
    """The nodes to try NodePorts of: from name, address, whether of the control plane."""
    return {
        name: address
        for name, address, control in addresses
        if address and (which == "all" or control == (which == "control-planes"))
    }

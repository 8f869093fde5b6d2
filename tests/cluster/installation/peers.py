"""A thousand peers as Configurations in their tenant namespaces: what they announce, and what became of them.

Whoever makes them removes them. Fails with CommandError or KubeError where the API server refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

from isthmus.api import labels
from isthmus.api.networking import CONFIGURATIONS as CONFIGURATION
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.objects import Manifest
from tests.cluster.support import Cluster

CONFIGURATIONS = "configurations.networking.liqo.io"
NETWORKS = "networks.ipam.liqo.io"
IPS = "ips.ipam.liqo.io"
PARALLEL = 8

MALFORMED: tuple[tuple[list[str], list[str]], ...] = (
    (["0.0.0.0/0"], ["10.70.0.0/24"]),
    (["anything"], ["10.70.0.0/24"]),
    (["10.244.0.1/16"], ["10.70.0.0/24"]),
    (["fd00::/64"], ["10.70.0.0/24"]),
    (["127.0.0.0/8"], ["10.70.0.0/24"]),
    (["10.244.0.0/16"], ["10.244.7.0/24"]),
    (["10.244.0.0/31"], ["10.70.0.0/24"]),
    (["10.244.0.0/16"], ["169.254.0.0/16"]),
    (["10.244.0.0/16"], []),
)


@dataclass(frozen=True)
class Peer:
    """What a peer announces; `fit` where a cluster can have it."""

    name: str
    pod: list[str]
    external: list[str]
    fit: bool = True

    @property
    def namespace(self) -> str:
        """Its tenant namespace."""
        return f"liqo-tenant-{self.name}"


def announce(number: int, family: str = "peer") -> Peer:
    """The peer of a number: most overlap our ranges and one another, one in ten is malformed."""
    name, kind = f"{family}{number}", number % 10
    if kind < 4:
        return Peer(name, ["10.244.0.0/20"], ["10.70.0.0/24"])
    if kind == 4:
        return Peer(name, ["10.96.0.0/20"], ["10.80.0.0/24"])
    if kind == 5:
        alone = IPv4Address("172.16.0.0") + (number // 10 % 200) * 4096
        return Peer(name, [f"{alone}/21"], [f"{alone + 2048}/24"])
    if kind == 6:
        return Peer(name, ["100.64.0.0/20"], ["198.51.100.0/24"])
    if kind == 7:
        return Peer(name, ["192.168.0.0/22", "10.244.16.0/22"], ["10.70.0.0/24"])
    if kind == 8:
        pod, external = MALFORMED[number // 10 % len(MALFORMED)]
        return Peer(name, pod, external, fit=False)
    if number % 100 == 9:
        return Peer(name, ["10.244.0.0/16"], ["10.70.0.0/16"])
    return Peer(name, ["10.244.128.0/19"], ["10.70.128.0/22"])


def create(cluster: Cluster, peers: list[Peer], *, namespaces: bool) -> None:
    """Make the Configurations, with `namespaces` the tenant namespaces before them."""

    async def one(client: Client, peer: Peer) -> None:
        mark = {labels.REMOTE_CLUSTER_ID: peer.name}
        if namespaces:
            marks = mark | {labels.TENANT_NAMESPACE: labels.TRUE}
            await client.create(NAMESPACES.partial(), {"metadata": {"name": peer.namespace, "labels": marks}})
        manifest: Manifest = {
            "metadata": {"name": peer.name, "labels": mark},
            "spec": {"remote": {"cidr": {"pod": peer.pod, "external": peer.external}}},
        }
        await client.create(CONFIGURATION.partial(), manifest, peer.namespace)

    asyncio.run(_for_each(cluster, peers, one))


def remove(cluster: Cluster, peers: list[Peer]) -> None:
    """Delete the Configurations, and do not wait for what goes with them."""

    async def one(client: Client, peer: Peer) -> None:
        await client.delete(CONFIGURATION, peer.name, peer.namespace)

    asyncio.run(_for_each(cluster, peers, one))


async def _for_each(
    cluster: Cluster, peers: list[Peer], work: Callable[[Client, Peer], Awaitable[None]]
) -> None:
    """Several at a time: kubectl, one after the other, takes longer than what is tested."""
    waiting = list(reversed(peers))

    async def worker(client: Client) -> None:
        while waiting:
            await work(client, waiting.pop())

    async with Client(load_kubeconfig(cluster.kubeconfig)) as client, asyncio.TaskGroup() as group:
        for _ in range(PARALLEL):
            group.create_task(worker(client))


def verdicts(cluster: Cluster) -> dict[str, tuple[str, str, str]]:
    """Of each Configuration, by name: what its condition says, as status, reason and message."""
    found = {}
    for one in cluster.items(CONFIGURATIONS, "-A"):
        condition = next(iter(one.get("status", {}).get("conditions", [])), None)
        if condition is not None:
            found[one["metadata"]["name"]] = (condition["status"], condition["reason"], condition["message"])
    return found


def ranges(cluster: Cluster) -> dict[str, IPv4Network]:
    """The ranges in use, by namespace and name of their Networks."""
    return {
        f"{one['metadata']['namespace']}/{one['metadata']['name']}": IPv4Network(one["status"]["cidr"])
        for one in cluster.items(NETWORKS, "-A")
        if one.get("status", {}).get("cidr")
    }


def overlapping(found: dict[str, IPv4Network]) -> list[tuple[str, str]]:
    """The pairs of neighbours that share an address; none where all are disjoint."""
    order = sorted(found.items(), key=lambda one: (one[1].network_address, one[1].prefixlen))
    return [(one, other) for (one, range_), (other, next_) in pairwise(order) if range_.overlaps(next_)]


def count(cluster: Cluster, kind: str) -> int:
    """How many objects of a kind the whole cluster has."""
    return len(cluster.kubectl("get", kind, "-A", "-o", "name").stdout.split())

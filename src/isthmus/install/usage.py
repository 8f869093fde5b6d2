"""What still needs an installation: peerings and extended namespaces. Reads only; works without the controller."""

from __future__ import annotations

from isthmus.api import labels, names
from isthmus.api.crds import KINDS
from isthmus.install.errors import InstallError
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.client import Client
from isthmus.kube.errors import Forbidden, NotFound
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource

_PEERING_KINDS = (
    "Tenant",
    "Identity",
    "ResourceSlice",
    "VirtualNode",
    "GatewayServer",
    "GatewayClient",
    "Configuration",
)

_COPY = "ResourceSlice granted to it"
_CONSUMERS = {"Tenant", _COPY}
"""What there is of a cluster that uses this one."""
_PROVIDERS = {"Identity", "ResourceSlice", "VirtualNode"}
"""What there is of a cluster that this one uses; all else is there in both directions."""


def liqo_resources() -> dict[str, Resource[Object]]:
    """Every kind of ours by its name, of which only metadata is read."""
    return {
        kind.name: Resource(
            kind.group,
            kind.version,
            kind.plural,
            kind.name,
            Object,
            namespaced=kind.namespaced,
            metadata_only=True,
        )
        for kind in KINDS
    }


async def list_served(client: Client, resource: Resource[Object]) -> list[Object]:
    """Every object of a kind, none where the kind itself is not there."""
    try:
        return (await client.list(resource)).items
    except NotFound:
        return []


async def find_network_test(client: Client) -> Object | None:
    """The namespace that `isthmus test network` has left; None also for who may not see it, and so has not made it."""
    try:
        found = await client.find(NAMESPACES.partial(), names.NETWORK_TEST)
    except Forbidden:
        return None
    is_ours = found and found.metadata.labels.get(labels.APP_MANAGED_BY) == names.NETWORK_TEST
    return found if is_ours else None


async def check_unused(client: Client) -> None:
    """Raise InstallError naming every peering and every extended namespace there is, and how to end them.

    The namespace of `isthmus test network` is nobody's use of it.
    """
    resources = liqo_resources()
    test = await find_network_test(client)
    extended = [
        each.metadata.namespace
        for each in await list_served(client, resources["NamespaceOffloading"])
        if test is None or each.metadata.namespace != test.metadata.name
    ]
    peers: dict[str, list[str]] = {}
    for kind in _PEERING_KINDS:
        for found in await list_served(client, resources[kind]):
            peer = found.metadata.labels.get(labels.REMOTE_CLUSTER_ID, f"unknown ({found.key})")
            kinds = peers.setdefault(peer, [])
            name = _COPY if found.metadata.labels.get(labels.REPLICATED) == labels.TRUE else kind
            if name not in kinds:
                kinds.append(name)
    problems, mends = describe_usage(sorted(extended), peers)
    if problems:
        raise InstallError(f"Isthmus is in use: {'; '.join(problems)}", "; ".join(mends))


def describe_usage(extended: list[str], peers: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """What is in use, and what to do about it."""
    problems: list[str] = []
    mends: list[str] = []
    if extended:
        problems.append(f"namespaces extended to other clusters: {', '.join(extended)}")
        mends.append(f"isthmus unoffload namespace {' '.join(extended)}")
    providers = sorted(peer for peer, kinds in peers.items() if _PROVIDERS & set(kinds))
    consumers = sorted(peer for peer, kinds in peers.items() if _CONSUMERS & set(kinds))
    joined = sorted(peers.keys() - set(providers) - set(consumers))

    def listed(some: list[str]) -> str:
        return ", ".join(f"{peer} ({', '.join(peers[peer])})" for peer in some)

    if providers:
        problems.append(f"clusters that this one uses: {listed(providers)}")
        mends.append("isthmus unpeer --remote-kubeconfig FILE")
    if consumers:
        problems.append(f"consumers of this cluster: {listed(consumers)}")
        mends.append("isthmus unpeer, run there with this cluster as the remote one")
    if joined:
        problems.append(f"joined networks: {listed(joined)}")
        mends.append("isthmus network reset --remote-kubeconfig FILE")
    if peers:
        mends.append("for a cluster that is gone for good, isthmus force unpeer ID")
    return problems, mends

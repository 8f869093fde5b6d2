"""All objects of one direction of a peering, each found by what marks it (wire.md 1.1, 2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from isthmus.api import labels, names
from isthmus.api.authentication import IDENTITIES, RENEWS, RESOURCE_SLICES, TENANTS
from isthmus.api.offloading import NAMESPACE_MAPS, QUOTAS, VIRTUAL_NODES
from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.preflight import Pair
from isthmus.cli.removal import Group
from isthmus.kube.builtin import NAMESPACES, PODS, SECRETS
from isthmus.kube.objects import Object


class Peering:
    """The objects of one direction of a peering, from the consumer `local` to the provider `remote`."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._of_remote = f"{labels.REMOTE_CLUSTER_ID}={pair.remote.id}"
        self._of_local = f"{labels.REMOTE_CLUSTER_ID}={pair.local.id}"
        self._wished = f"{labels.REPLICATION}={labels.TRUE},{labels.REMOTE_ID}={pair.remote.id}"
        self._copied = f"{labels.REPLICATED}={labels.TRUE},{labels.ORIGIN_ID}={pair.local.id}"

    def virtual_nodes(self) -> Group:
        """The virtual nodes of the provider, wherever they are declared."""
        return Group(self.pair.local, VIRTUAL_NODES, "", self._of_remote)

    def slices(self) -> Group:
        """The shares asked of the provider."""
        return Group(self.pair.local, RESOURCE_SLICES, "", self._wished)

    def namespace_maps(self) -> Group:
        """The wishes for twin namespaces."""
        return Group(self.pair.local, NAMESPACE_MAPS, "", self._wished)

    def identities(self) -> Group:
        """The identities on the provider."""
        return Group(self.pair.local, IDENTITIES, "", self._of_remote)

    def renewals(self) -> Group:
        """The wishes for new certificates, which go with the identities."""
        return Group(self.pair.local, RENEWS, "", self._wished)

    def kubeconfigs(self) -> Group:
        """The kubeconfigs of the identities."""
        return Group(self.pair.local, SECRETS, "", f"{labels.IDENTITY_TYPE},{self._of_remote}")

    def copies(self) -> list[Group]:
        """What was replicated to the provider, and what came of it there."""
        there, namespace = self.pair.remote, self.pair.remote_namespace
        kinds = (RESOURCE_SLICES, NAMESPACE_MAPS, RENEWS)
        return [
            *(Group(there, kind, namespace, self._copied) for kind in kinds),
            Group(there, QUOTAS, namespace, self._of_local),
        ]

    def twin_namespaces(self) -> Group:
        """The namespaces the provider made for this consumer."""
        made = partial(_is_made_for, f"{self.pair.remote_namespace}/")
        return Group(self.pair.remote, NAMESPACES, "", self._of_local, made)

    def tenant(self) -> Group:
        """The tenant on the provider."""
        return Group(self.pair.remote, TENANTS, self.pair.remote_namespace, "", self._is_our_tenant)

    def reverse_tenant(self) -> Group:
        """The tenant of the other direction: the remote cluster as a consumer of the local one."""
        return Group(self.pair.local, TENANTS, self.pair.local_namespace)

    def proofs(self) -> list[Group]:
        """The nonces and certificates of the handshake, which would be in the way of the next one."""
        pair = self.pair
        return [
            Group(pair.local, SECRETS, pair.local_namespace, "", is_named(names.SIGNED_NONCE_SECRET)),
            Group(pair.remote, SECRETS, pair.remote_namespace, "", is_named(names.NONCE_SECRET)),
            Group(pair.remote, SECRETS, pair.remote_namespace, "", _is_certificate),
        ]

    def everything(self) -> list[Group]:
        """All of the above."""
        consumer = [self.virtual_nodes(), self.slices(), self.namespace_maps(), self.identities()]
        consumer += [self.renewals(), self.kubeconfigs()]
        return [*consumer, *self.copies(), self.twin_namespaces(), self.tenant(), *self.proofs()]

    def _is_our_tenant(self, found: Object) -> bool:
        return found.metadata.name == self.pair.local.id

    async def question(self) -> str:
        """What the user is asked before anything is deleted."""
        local, remote = self.pair.local, self.pair.remote
        with explained(local, "reading the virtual nodes"):
            nodes = [node.metadata.name for node in await self.virtual_nodes().list()]
            pods = await count_offloaded_pods(local, nodes)
        lost = f" Virtual node {', '.join(nodes)} goes, with {pods} offloaded pods on it." if nodes else ""
        return f"End the peering in which {local.id} uses {remote.id}?{lost}"


def _is_made_for(owner: str, found: Object) -> bool:
    return found.metadata.annotations.get(labels.MANAGED_BY_NAMESPACE_MAP, "").startswith(owner)


def is_named(name: str) -> Callable[[Object], bool]:
    """A condition for `Group`: the object of that name alone."""
    return partial(_has_name, name)


def _has_name(name: str, found: Object) -> bool:
    return found.metadata.name == name


def _is_certificate(found: Object) -> bool:
    return found.metadata.name.startswith(names.REMOTE_CERTIFICATE_SECRET)


async def count_offloaded_pods(cluster: Cluster, nodes: list[str]) -> int:
    """How many pods are on the virtual nodes. Raises KubeError."""
    count = 0
    for node in nodes:
        page = await cluster.client.list(PODS.partial(), field_selector=f"spec.nodeName={node}")
        count += len(page.items)
    return count

"""All that is checked before a peering is made: every wrong input is told before the first write.

The order is that of a user's questions: can both clusters be reached, are they two, is Isthmus installed and
running in both, have they usable and different ids, may this user write, and does another cluster of the same id
stand in the way. Reads only.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlsplit

from isthmus.api import labels, names
from isthmus.api.authentication import GROUP, IDENTITIES, TENANTS
from isthmus.api.networking import GROUP as NETWORKING_GROUP
from isthmus.cli import installation
from isthmus.cli.cluster import Cluster, explained, step
from isthmus.cli.errors import CommandError
from isthmus.cli.permissions import Need, check_permissions
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.kube.builtin import NAMESPACES, NODES, SECRETS
from isthmus.kube.certificates import KeyPair, same_key
from isthmus.kube.errors import ConfigurationError, Forbidden
from isthmus.peering import secret_data
from isthmus.peering.handshake import MAXIMUM_SLICE_NAME
from isthmus.peering.keys import parse_keys

CONTROLLER_PATIENCE = 30.0
"""Seconds to wait for a controller that is installed but not ready yet."""


@dataclass(slots=True)
class Pair:
    """A consumer (local) and a provider (remote) that were found fit to peer, and their tenant namespaces."""

    local: Cluster
    remote: Cluster
    local_namespace: str = ""
    remote_namespace: str = ""


async def check_identities(pair: Pair, progress: Progress) -> None:
    """Reach both clusters, tell them apart and read their ids. Raises CommandError."""
    await check_two_clusters(pair, progress, installation.CONSUMER_KINDS, installation.PROVIDER_KINDS)


async def check_two_clusters(
    pair: Pair,
    progress: Progress,
    local_kinds: dict[str, tuple[str, ...]] | None = None,
    remote_kinds: dict[str, tuple[str, ...]] | None = None,
) -> None:
    """As `check_identities`, for commands that need other kinds than a peering does."""
    with progress.step("Reaching both clusters") as current:
        first, second = await installation.gather_both(pair.local, pair.remote)
        refuse_same(pair, bool(first.cluster_uid) and first.cluster_uid == second.cluster_uid)
        await installation.check_kinds(pair.local, local_kinds or {})
        await installation.check_kinds(pair.remote, remote_kinds or {})
        mine = await installation.read_cluster_id(pair.local)
        theirs = await installation.read_cluster_id(pair.remote)
        refuse_same(pair, mine.metadata.uid == theirs.metadata.uid)
        if pair.local.id == pair.remote.id:
            raise CommandError(
                f'both clusters have the id "{pair.local.id}" ({pair.local.server} and {pair.remote.server})',
                "ids must differ: reinstall one of them with another --cluster-id",
            )
        for cluster in (pair.local, pair.remote):
            _refuse_long_id(cluster)
        current.title = f"{pair.local.id} ({first.version}) and {pair.remote.id} ({second.version}) answer"


def refuse_same(pair: Pair, same: bool) -> None:
    """Raise CommandError where both kubeconfigs were found to lead to one cluster."""
    if same:
        raise CommandError(
            f"the local and the remote kubeconfig lead to the same cluster ({pair.local.server} and "
            f"{pair.remote.server})",
            "give the other cluster with --remote-kubeconfig or --remote-context",
        )


def _refuse_long_id(cluster: Cluster) -> None:
    if len(cluster.id) > MAXIMUM_SLICE_NAME:
        raise CommandError(
            f'the id "{cluster.id}" of the {cluster.side} cluster has {len(cluster.id)} characters',
            f"names made from it allow {MAXIMUM_SLICE_NAME}: reinstall it with a shorter --cluster-id",
        )


async def check_controllers(pair: Pair, progress: Progress, deadline: Deadline) -> None:
    """Wait, not long, for both controllers to be ready. Raises CommandError."""
    for cluster in (pair.local, pair.remote):
        with step(progress, "Controller ready", cluster) as current:

            async def is_ready(cluster: Cluster = cluster) -> bool | None:
                try:
                    found = await installation.find_controller(cluster)
                except Forbidden:
                    return True  # A peering user may not look; the handshake will tell.
                if found is None:
                    raise CommandError(
                        f'namespace "{cluster.namespace}" of {cluster.title} has no controller Deployment',
                        "run isthmus install there again",
                    )
                current.update(f"Deployment {found.key} has no ready pod")
                return True if installation.ready_replicas(found) else None

            await wait_for(
                is_ready,
                deadline.within(CONTROLLER_PATIENCE),
                current,
                f"the controller of {cluster.title} did not become ready",
                f"look at its pods in namespace {cluster.namespace}",
            )


async def read_keys(cluster: Cluster, progress: Progress, deadline: Deadline) -> KeyPair:
    """The key pair of the local cluster, which its controller makes when it first runs. Raises CommandError."""
    with step(progress, "Key pair of the cluster", cluster) as current:

        async def find() -> KeyPair | None:
            secret = await cluster.client.find(SECRETS, names.AUTHENTICATION_KEYS, cluster.namespace)
            try:
                return None if secret is None else parse_keys(secret)
            except ConfigurationError as error:
                raise CommandError(f"{cluster.title}: {error}") from error

        return await wait_for(
            find,
            deadline.within(CONTROLLER_PATIENCE),
            current,
            f"the controller of {cluster.title} did not make Secret {names.AUTHENTICATION_KEYS}",
            f"look at the log of the controller in namespace {cluster.namespace}",
        )


async def find_tenant_namespace(cluster: Cluster, peer: str) -> tuple[str, bool]:
    """The name of the namespace for a peer, and whether it is there.

    The default name is asked for by name, as a peering user may not list; then any namespace labelled for the
    peer. Raises CommandError where the default one exists but is something else.
    """
    default = names.tenant_namespace(peer)
    with explained(cluster, "reading the tenant namespace"):
        found = await cluster.client.find(NAMESPACES, default)
        if found is None:
            selector = f"{labels.TENANT_NAMESPACE},{labels.REMOTE_CLUSTER_ID}={peer}"
            try:
                others = await cluster.client.list(NAMESPACES, label_selector=selector)
            except Forbidden:
                return default, False
            return (others.items[0].metadata.name, True) if others.items else (default, False)
    marked = found.metadata.labels
    if marked.get(labels.TENANT_NAMESPACE) != labels.TRUE or marked.get(labels.REMOTE_CLUSTER_ID) != peer:
        raise CommandError(
            f'namespace "{default}" of {cluster.title} exists but is not the tenant namespace of {peer}',
            f"label it {labels.TENANT_NAMESPACE}=true and {labels.REMOTE_CLUSTER_ID}={peer}, or delete it",
        )
    return default, True


_WRITE = ("get", "create", "update")


async def check_permissions_of_both(
    pair: Pair, *, authentication: bool = True, networking: bool = False
) -> None:
    """Find the tenant namespaces and ask whether all of the peering may be written. Raises CommandError."""
    pair.local_namespace, here = await find_tenant_namespace(pair.local, pair.remote.id)
    pair.remote_namespace, there = await find_tenant_namespace(pair.remote, pair.local.id)
    local = [Need("", "secrets", ("get", "create"), pair.local_namespace)]
    remote = [Need("", "secrets", ("get", "create"), pair.remote_namespace)]
    if authentication:
        local += [
            Need(GROUP, "identities", _WRITE, pair.local_namespace),
            Need(GROUP, "resourceslices", _WRITE, pair.local_namespace),
        ]
        remote += [Need(GROUP, "tenants", _WRITE, pair.remote_namespace)]
    if networking:
        for needs, namespace in ((local, pair.local_namespace), (remote, pair.remote_namespace)):
            needs += [
                Need(NETWORKING_GROUP, plural, _WRITE, namespace)
                for plural in ("configurations", "gatewayservers", "gatewayclients", "publickeies")
            ]
    create_namespace = Need("", "namespaces", ("create",))
    await check_permissions(pair.local, local if here else [create_namespace, *local])
    await check_permissions(pair.remote, remote if there else [create_namespace, *remote])


async def check_conflicts(pair: Pair, keys: KeyPair) -> None:
    """Refuse where a peering with another cluster of the same id exists, or a node has the name.

    Otherwise one of them would silently take the other's place. Raises CommandError.
    """
    with explained(pair.remote, "reading the tenant"):
        tenant = await pair.remote.client.find(TENANTS, pair.local.id, pair.remote_namespace)
    if tenant is not None and tenant.spec.public_key and not tenant.deleting:
        theirs = secret_data.decode(tenant.spec.public_key)
        if theirs != keys.public.encode() and not await same_key(theirs, keys.public.encode()):
            raise CommandError(
                f"{pair.remote.title} has a tenant {pair.local.id} with another key: either another cluster is "
                f'also called "{pair.local.id}", or this one was installed anew',
                "give one of them another --cluster-id, or run isthmus unpeer first",
            )
    with explained(pair.local, "reading the identity"):
        await _refuse_other_provider(pair)
        node = await pair.local.client.find(NODES, pair.remote.id)
    if node is not None and node.metadata.labels.get(labels.REMOTE_CLUSTER_ID) != pair.remote.id:
        raise CommandError(
            f'{pair.local.title} has a node "{pair.remote.id}" of its own, and the virtual node would be called so',
            "reinstall the remote cluster with another --cluster-id, or use --create-virtual-node=false",
        )


async def _refuse_other_provider(pair: Pair) -> None:
    name = names.control_plane_identity(pair.remote.id)
    identity = await pair.local.client.find(IDENTITIES, name, pair.local_namespace)
    if identity is None or identity.deleting:
        return
    known = identity.spec.auth_params
    expected = pair.remote.client.credentials
    same_address = urlsplit(known.api_server).netloc == urlsplit(expected.server).netloc
    if (
        not same_address
        and _decoded(known.ca) != expected.ca_data.strip().encode()
        and not await _same_nonce(pair)
    ):
        raise CommandError(
            f'{pair.local.title} is peered with another cluster called "{pair.remote.id}", at {known.api_server} '
            f"and not at {expected.server}",
            "give one of them another --cluster-id, or run isthmus unpeer with the first one's kubeconfig",
        )


async def _same_nonce(pair: Pair) -> bool:
    signed = await pair.local.client.find(SECRETS, names.SIGNED_NONCE_SECRET, pair.local_namespace)
    with explained(pair.remote, "reading the nonce"):
        given = await pair.remote.client.find(SECRETS, names.NONCE_SECRET, pair.remote_namespace)
    if signed is None or given is None:
        return False
    return secret_data.read(signed, "nonce") == secret_data.read(given, "nonce") != b""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text).strip()
    except binascii.Error:
        return b""

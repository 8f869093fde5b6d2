"""One task for each control-plane Secret: replication to that provider and the check of its API server.

The reconciler of control-plane Secrets starts the task, hands it a renewed certificate, starts it anew when server or
namespace change or the provider had refused the old certificate already, and stops it with the Secret. The Secret
keeps our finalizer until no object of ours has a copy at the provider, or until nobody waits for the provider any
more (`replication_release`). One that is to be made anew, because its Identity is still or again there, goes as soon
as no deletion needs it; in a namespace that is being deleted nothing is made anew, and Secrets may go first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence

from isthmus.api import labels, names
from isthmus.api.authentication import IDENTITIES
from isthmus.kube.builtin import NAMESPACES, SECRETS, Secret
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, parse_kubeconfig
from isthmus.kube.errors import ConfigurationError
from isthmus.kube.objects import Key, Object
from isthmus.kube.tasks import TaskSet
from isthmus.kube.times import deleting_for
from isthmus.peering import secret_data
from isthmus.peering.api_server_checks import check_api_server
from isthmus.peering.caches import PEER_INDEX, REPLICATED_KINDS, Caches, peer_of
from isthmus.peering.context import Context
from isthmus.peering.errors import RefusedError
from isthmus.peering.finalizers import add_finalizer, drop_finalizer
from isthmus.peering.kubeconfigs import KUBECONFIG
from isthmus.peering.peers import DELETION_BOUND, ERROR, Peers
from isthmus.peering.replication import Replicator, Route
from isthmus.peering.replication_release import (
    CHECK_SECONDS,
    is_control_plane_secret,
    is_unreachable,
    replicated_objects,
)

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = 15.0
REQUEST_ATTEMPTS = 2
"""Fewer than at home: the replicator's queue tries again anyway, and tells meanwhile that the peer is silent."""


class PeerReconciler:
    """Reconciles control-plane Secrets."""

    def __init__(self, context: Context, caches: Caches, peers: Peers, tasks: TaskSet) -> None:
        self._context = context
        self._caches = caches
        self._peers = peers
        self._tasks = tasks
        self._running: dict[Key, str] = {}
        """Which provider the task of a Secret is for."""
        self._credentials: dict[Key, Credentials] = {}
        """Of the task of a Secret, as they were read last."""
        self._remotes: dict[Key, Client] = {}
        """Towards the provider, while the task of a Secret runs."""

    async def reconcile(self, key: Key) -> float | None:
        """Run, restart or stop the task of a Secret."""
        secret = self._caches.secrets.get(key)
        if secret is None or not is_control_plane_secret(secret):
            await self._stop(key)
            return None
        if secret.deleting:
            return await self._release(secret)
        if rival := find_rival(secret, self._caches):
            await self._stop(key)
            message = f"Secret {rival.key} is for the same provider and older: delete one of the two"
            self._context.events.record(SECRETS, secret, "DuplicateControlPlaneSecret", message, "Warning")
            return None
        await self._keep_running(secret)
        return None

    def keys_of_secret(self, secret: Object) -> list[Key]:
        """The control-plane Secrets to look at when one changes: it, and those that it may have been in the way of."""
        if not is_control_plane_secret(secret):
            return []
        others = self._caches.secrets.by_index(PEER_INDEX, peer_of(secret))
        return [secret.key, *(other.key for other in others if is_control_plane_secret(other))]

    def keys_of_object(self, object_: Object) -> list[Key]:
        """The Secrets to look at when an object that is replicated to their provider changes."""
        return self._keys(object_.metadata.labels.get(labels.REMOTE_ID, ""))

    def keys_of_foreign_cluster(self, object_: Object) -> list[Key]:
        """The Secrets to look at when the ForeignCluster of their provider changes."""
        return self._keys(object_.metadata.name)

    def _keys(self, provider: str) -> list[Key]:
        return [
            secret.key for secret in self._caches.secrets.by_index(PEER_INDEX, provider) if secret.deleting
        ]

    async def _keep_running(self, secret: Object) -> None:
        try:
            await self._run(secret)
        except RefusedError as error:
            await self._stop(secret.key)
            self._disqualify(peer_of(secret), str(error))
            self._context.events.record(SECRETS, secret, error.reason, str(error), "Warning")

    async def _run(self, secret: Object) -> None:
        provider = require_route(secret, self._context.options.cluster_id)
        await add_finalizer(
            self._context.client, SECRETS.partial(), secret, labels.FINALIZER_REPLICATION_SECRET
        )
        full = await self._context.client.find(SECRETS, secret.metadata.name, secret.metadata.namespace)
        if full is None:
            return
        remote_namespace = secret.metadata.annotations[labels.REMOTE_TENANT_NAMESPACE]
        credentials = read_credentials(full)
        peer = self._peers.get(provider)
        if (peer.server, peer.proxy_url) != (credentials.server, credentials.proxy_url):
            peer.server, peer.proxy_url = credentials.server, credentials.proxy_url
            self._peers.changed(provider)
        if self._running.get(secret.key, provider) != provider:
            await self._stop(secret.key)
        self._running[secret.key] = provider
        if not self._start(secret.key, provider, credentials, remote_namespace):
            await self._renew(secret, provider, credentials, remote_namespace)

    def _start(self, key: Key, provider: str, credentials: Credentials, remote_namespace: str) -> bool:
        """Have the task run, with the latest credentials there are when it (re)starts; whether it was (re)started."""
        self._credentials[key] = credentials
        return self._tasks.ensure(
            task_name(key),
            fingerprint(provider, credentials, remote_namespace),
            lambda: self._serve(key, provider, remote_namespace),
        )

    async def _renew(
        self, secret: Object, provider: str, credentials: Credentials, remote_namespace: str
    ) -> None:
        """Hand changed credentials to the running task."""
        remote = self._remotes.get(secret.key)
        if remote is None or remote.credentials == credentials:
            return
        if self._peers.get(provider).refused:
            # Whatever was refused with the old ones pauses: begin anew.
            await self._tasks.stop(task_name(secret.key))
            self._peers.get(provider).admit()
            self._start(secret.key, provider, credentials, remote_namespace)
            return
        try:
            remote.renew(credentials)
        except ConfigurationError as error:
            message = f"the renewed credentials cannot be used, the old ones go on: {error}"
            self._context.events.record(SECRETS, secret, "InvalidKubeconfig", message, "Warning")
        else:
            logger.info("renewed: provider=%s", provider)

    async def _serve(self, key: Key, provider: str, remote_namespace: str) -> None:
        peer, interval = self._peers.get(provider), self._context.options.api_server_check_interval
        try:
            remote = Client(self._credentials[key], timeout=REQUEST_TIMEOUT, attempts=REQUEST_ATTEMPTS)
        except ConfigurationError as error:
            self._disqualify(provider, str(error))
            return  # Started anew when the Secret changes.
        route = Route(peer, remote, key.namespace, remote_namespace)
        self._remotes[key] = remote
        try:
            async with remote, asyncio.TaskGroup() as group:
                for kind in REPLICATED_KINDS:
                    local = self._caches.replicated[kind.plural]
                    group.create_task(Replicator(self._context, route, kind, local).run())
                group.create_task(check_api_server(remote, peer, self._peers, interval))
        finally:
            del self._remotes[key]

    def _disqualify(self, provider: str, message: str) -> None:
        """Nothing can be told to this provider: deletions must not wait for it."""
        self._peers.get(provider).refuse("kubeconfig")
        self._peers.report(provider, ERROR, message)

    async def _release(self, secret: Object) -> float | None:
        if labels.FINALIZER_REPLICATION_SECRET not in secret.metadata.finalizers:
            await self._stop(secret.key)
            return None
        provider = peer_of(secret)
        copied = replicated_objects(self._caches, provider, secret.metadata.namespace)
        wanted = await self._is_wanted(secret) and not await self._is_namespace_going(secret)
        if is_needed(secret, copied, wanted=wanted) and not self._given_up(provider):
            await self._keep_running(secret)  # After a restart nobody else would delete the copies.
            return CHECK_SECONDS
        if copied and not wanted:
            message = (
                f"{len(copied)} objects may still have a copy at {provider}, which is no longer told of them"
            )
            self._context.events.record(SECRETS, secret, "RemoteObjectsOrphaned", message, "Warning")
        await self._stop(secret.key)
        await drop_finalizer(
            self._context.client, SECRETS.partial(), secret, labels.FINALIZER_REPLICATION_SECRET
        )
        return None

    async def _is_wanted(self, secret: Object) -> bool:
        """Whether an Identity is there that has the Secret made anew once it is gone.

        Asked of the API server where the cache says so: a Secret that goes with its Identity may be seen to go first.
        """
        for found in self._caches.identities.list(secret.metadata.namespace):
            if names.kubeconfig_secret(found.metadata.name) == secret.metadata.name:
                identity = await self._context.client.find(
                    IDENTITIES, found.metadata.name, found.metadata.namespace
                )
                return identity is not None and not identity.deleting
        return False

    async def _is_namespace_going(self, secret: Object) -> bool:
        """Whether all that is beside a Secret is about to be deleted, in whatever order."""
        namespace = await self._context.client.find(NAMESPACES, secret.metadata.namespace)
        return namespace is None or namespace.deleting

    def _given_up(self, provider: str) -> bool:
        peer = self._peers.find(provider)
        return (peer is not None and peer.lost) or is_unreachable(
            self._caches.foreign_clusters.get(Key("", provider))
        )

    async def _stop(self, key: Key) -> None:
        await self._tasks.stop(task_name(key))
        self._credentials.pop(key, None)
        provider = self._running.pop(key, "")
        if provider and provider not in self._running.values():
            self._peers.forget(provider)


def task_name(key: Key) -> str:
    """The name of a Secret's task."""
    return f"peer {key}"


def fingerprint(provider: str, credentials: Credentials, remote_namespace: str) -> str:
    """What a task must be started anew for when it changes: not for another certificate."""
    route = credentials.route
    parts = (
        provider,
        remote_namespace,
        route.server,
        route.ca_data,
        route.tls_server_name,
        route.proxy_url,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_needed(secret: Object, copied: Sequence[Object], *, wanted: bool) -> bool:
    """Whether copies are still to be deleted through a Secret that is going.

    `copied` are the objects that may have one; `wanted`, whether the Secret is made anew once it is gone.
    """
    if deleting_for(secret) >= DELETION_BOUND:
        return False
    return any(object_.deleting for object_ in copied) or (bool(copied) and not wanted)


def require_route(secret: Object, own_id: str) -> str:
    """The provider a control-plane Secret is for. Raises RefusedError where label or annotation are unusable."""
    provider = peer_of(secret)
    namespace = secret.metadata.annotations.get(labels.REMOTE_TENANT_NAMESPACE, "")
    if not names.is_dns_label(provider) or provider == own_id:
        raise RefusedError(
            "InvalidPeer",
            f"label {labels.REMOTE_CLUSTER_ID} {provider[:64]!r} is not the id of another cluster",
        )
    if not names.is_dns_label(namespace):
        raise RefusedError(
            "InvalidPeer",
            f"annotation {labels.REMOTE_TENANT_NAMESPACE} {namespace[:64]!r} is not a valid namespace",
        )
    return provider


def find_rival(secret: Object, caches: Caches) -> Object | None:
    """An older control-plane Secret for the same provider."""
    age = (secret.metadata.creation_timestamp or "", secret.metadata.uid)
    for other in caches.secrets.by_index(PEER_INDEX, peer_of(secret)):
        older = (other.metadata.creation_timestamp or "", other.metadata.uid) < age
        if older and not other.deleting and is_control_plane_secret(other):
            return other
    return None


def read_credentials(secret: Secret) -> Credentials:
    """The way to the provider's API server. Raises RefusedError."""
    kubeconfig = secret_data.read(secret, KUBECONFIG)
    try:
        return parse_kubeconfig(kubeconfig, source=f"Secret {secret.key}")
    except ConfigurationError as error:
        raise RefusedError("InvalidKubeconfig", str(error)) from error

"""The reconciler of Configurations: the ranges of a peer, as they are seen here (behaviour.md 5.3, wire.md 10).

It fills spec.local, keeps one Network for each of the peer's ranges and copies what IPAM assigned into status.remote,
index by index. Until all is assigned, or while the announcement cannot be a cluster's, the condition is False and
there is no status.remote, so that nobody routes by half of it. All it makes is owned by the Configuration and goes
with it. Several workers: one peer's failure costs only its own.
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.ipam import IP, IPS, NETWORKS, Network
from isthmus.api.names import tenant_namespace
from isthmus.api.networking import CONFIGURATIONS, Cidrs, Configuration
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.errors import AlreadyExists, Conflict
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.kube.ownership import is_controlled_by
from isthmus.network.configuration.forge import (
    CONFIGURED,
    FORBIDDEN,
    INVALID,
    TAKEN,
    WAITING,
    Verdict,
    forge_networks,
    forge_unknown_source,
    is_same_host,
    own_ranges,
    peer_of,
    plan_local,
    plan_status,
    rule_on_missing,
    seen_ranges,
    unknown_source_name,
)
from isthmus.network.configuration.validation import AnnouncementError, require_ranges
from isthmus.network.ipam.caches import networks_in
from isthmus.network.ipam.refusals import Refusals

RETRY_SECONDS = 30.0


class ConfigurationReconciler:
    """Reconciles Configurations; `namespace` is the installation's."""

    def __init__(
        self,
        manager: Manager,
        configurations: Informer[Configuration],
        networks: Informer[Network],
        ips: Informer[IP],
        namespaces: Informer[Object],
        refusals: Refusals,
        namespace: str,
    ) -> None:
        self._client = manager.client
        self._events = manager.events
        self._configurations = configurations
        self._networks = networks
        self._ips = ips
        self._namespaces = namespaces
        self._refusals = refusals
        self._namespace = namespace

    async def reconcile(self, key: Key) -> float | None:
        """Bring the Configuration, its Networks and its IP up to date; returns seconds until another look."""
        configuration = self._configurations.get(key)
        if configuration is None or configuration.deleting:
            return None
        if not peer_of(configuration):
            return None  # Not of a peering (yet): the label is what everybody finds it by.
        if (refusal := self._stranger(configuration)) is not None:
            await self._say(configuration, refusal)
            return RETRY_SECONDS
        own = own_ranges(networks_in(self._networks, self._namespace))
        if own is not None and (patch := plan_local(configuration, own)) is not None:
            meta = configuration.metadata
            # The answer has the new generation, which the condition must carry.
            configuration = await self._client.patch(CONFIGURATIONS, meta.name, patch, meta.namespace)
        try:
            require_ranges(configuration.spec.remote.cidr)
        except AnnouncementError as error:
            await self._say(configuration, Verdict(status="False", reason=INVALID, message=str(error)))
            return None
        # Once known, our own ranges stay: a Network that is made anew must not cut every peer off.
        return await self._map(configuration, waits_for_own=own is None and configuration.spec.local is None)

    def _stranger(self, configuration: Configuration) -> Verdict | None:
        """Why a Configuration is not listened to: it is not in the tenant namespace of the peer it speaks for."""
        peer, name = peer_of(configuration), configuration.metadata.namespace
        if is_tenant_namespace_of(self._namespaces.get(Key("", name)), peer):
            return None
        message = (
            f"namespace {name} is not a tenant namespace of {peer}: move the Configuration to "
            f"{tenant_namespace(peer)}, or label the namespace {labels.TENANT_NAMESPACE}=true and "
            f"{labels.REMOTE_CLUSTER_ID}={peer}"
        )
        return Verdict(status="False", reason=FORBIDDEN, message=message)

    async def _map(self, configuration: Configuration, *, waits_for_own: bool) -> float | None:
        wanted = forge_networks(configuration)
        mine = {
            network.metadata.name: network
            for network in networks_in(self._networks, configuration.metadata.namespace)
            if is_controlled_by(network, configuration)
        }
        stale = [network for name, network in mine.items() if name not in wanted or network.deleting]
        if stale:
            await self._clear(configuration, stale)
            return None
        for name, manifest in wanted.items():
            if name not in mine:
                try:
                    created = await self._client.create(NETWORKS, manifest, configuration.metadata.namespace)
                except AlreadyExists:
                    return await self._yield(configuration, name)
                mine[name] = created
        remote, missing = seen_ranges(configuration, mine)
        if missing:
            refused = {
                name: self._refusals.get(Key(configuration.metadata.namespace, name)) for name in missing
            }
            await self._say(configuration, rule_on_missing(refused))
            return None
        if waits_for_own:
            message = (
                f"a pod or external Network of this cluster in {self._namespace} has no range: see its events"
            )
            await self._say(configuration, Verdict(status="False", reason=WAITING, message=message))
            return None
        message = "all ranges of the peer are assigned"
        await self._say(configuration, Verdict(status="True", reason=CONFIGURED, message=message), remote)
        return await self._name_unknown_source(configuration, remote)

    async def _clear(self, configuration: Configuration, stale: list[Network]) -> None:
        """Networks of ranges no longer announced go first: their place is free for the new ones."""
        names = ", ".join(network.metadata.name for network in stale)
        message = f"Network {names} is being removed: the peer no longer announces its range"
        await self._say(configuration, Verdict(status="False", reason=WAITING, message=message))
        for network in stale:
            if not network.deleting:
                meta = network.metadata
                await self._client.delete(NETWORKS, meta.name, meta.namespace, uid=meta.uid)

    async def _yield(self, configuration: Configuration, name: str) -> float:
        """An object of the name is there: one that the cache will show as ours in a moment, or another's."""
        namespace = configuration.metadata.namespace
        present = await self._client.find(NETWORKS, name, namespace)
        if present is None or is_controlled_by(present, configuration):
            raise Conflict(f"the cache does not show Network {namespace}/{name} yet")
        if present.deleting:
            message = f"an earlier Network {name} is still being removed"
            await self._say(configuration, Verdict(status="False", reason=WAITING, message=message))
            return RETRY_SECONDS
        message = f"Network {name} is there and not of this Configuration: remove it or rename one of the two"
        await self._say(configuration, Verdict(status="False", reason=TAKEN, message=message))
        return RETRY_SECONDS

    async def _say(self, configuration: Configuration, verdict: Verdict, remote: Cidrs | None = None) -> None:
        patch = plan_status(configuration, verdict, remote)
        if patch is None:
            return
        meta = configuration.metadata
        await self._client.patch(CONFIGURATIONS, meta.name, patch, meta.namespace, subresource="status")
        bad = verdict.status != "True" and verdict.reason != WAITING
        self._events.record(
            CONFIGURATIONS, configuration, verdict.reason, verdict.message, "Warning" if bad else "Normal"
        )

    async def _name_unknown_source(self, configuration: Configuration, remote: Cidrs) -> float | None:
        name, namespace = unknown_source_name(configuration), configuration.metadata.namespace
        external = remote.external[0]
        ip = self._ips.get(Key(namespace, name))
        if ip is not None and is_controlled_by(ip, configuration):
            if not is_same_host(ip, external) and not ip.deleting:
                # Immutable, so it is made anew; its going brings us back.
                await self._client.delete(IPS, name, namespace, uid=ip.metadata.uid)
            return None
        if ip is not None and ip.deleting:
            return RETRY_SECONDS  # That of an earlier Configuration of the name.
        if ip is None:
            try:
                await self._client.create(IPS, forge_unknown_source(configuration, external), namespace)
            except AlreadyExists:
                return RETRY_SECONDS
            return None
        message = f"IP {name} is there and not of this Configuration: remove it or rename one of the two"
        self._events.record(CONFIGURATIONS, configuration, TAKEN, message, "Warning")
        return RETRY_SECONDS

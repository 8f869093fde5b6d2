"""The controller of InternalFabrics: each gateway as the nodes of this cluster reach it (behaviour.md 5.5).

One key is one peer in one namespace, which is also the fabric's name. It is owned by the user's gateway and collected
with it. While the gateway has no active pod, or its Configuration no ranges, what is there stays: a tunnel that is
only restarted must not lose its routes.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.ipam import Network
from isthmus.api.networking import (
    CONFIGURATIONS,
    INTERNAL_FABRICS,
    Configuration,
    InternalFabric,
)
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.ownership import forge_controller, is_controlled_by
from isthmus.kube.reconcile import Controller
from isthmus.network.dataplane.hops import OVERLAY
from isthmus.network.gateways.caches import PEER_INDEX, Caches, index_by_peer
from isthmus.network.gateways.objects import DEFAULT_MTU, SIDES, Gateway, Side, peer_of
from isthmus.network.gateways.overlay_addresses import OverlayAddresses
from isthmus.network.gateways.requests import find_rival
from isthmus.network.gateways.writes import Writer
from isthmus.network.ipam.addresses import AddressesExhaustedError
from isthmus.network.ownership import drop_finalizer

AGAIN = 30.0
SOON = 1.0


def remote_cidrs(configuration: Configuration | None) -> list[str]:
    """What is reached through the gateway, as this cluster sees it."""
    if configuration is None:
        return []
    cidr = configuration.status.remote.cidr
    return [*cidr.pod, *cidr.external]


def forge_fabric(side: Side, gateway: Gateway, pod_ip: str, overlay_ip: str, remote: list[str]) -> Manifest:
    """The InternalFabric of a gateway."""
    peer = peer_of(gateway)
    return {
        "metadata": {
            "name": peer,
            "namespace": gateway.metadata.namespace,
            "labels": {labels.REMOTE_CLUSTER_ID: peer},
            "ownerReferences": [forge_controller(side.gateways, gateway)],
        },
        "spec": {
            "gatewayIP": pod_ip,
            "interface": {"gateway": {"ip": overlay_ip}, "node": {"name": OVERLAY}},
            "mtu": gateway.spec.mtu or DEFAULT_MTU,
            "remoteCIDRs": remote,
        },
    }


class FabricReconciler:
    """Reconciles InternalFabrics."""

    def __init__(self, manager: Manager, caches: Caches, addresses: OverlayAddresses) -> None:
        self._client, self._events = manager.client, manager.events
        self._caches = caches
        self._addresses = addresses
        self._fabrics = addresses.fabrics
        self._configurations = manager.informers.get(CONFIGURATIONS)
        self._configurations.add_index(PEER_INDEX, index_by_peer)
        self._writer = Writer(manager.client)

    def controller(self) -> Controller:
        """The loop, fed by gateways, Configurations, fabrics and the internal CIDR."""
        controller = Controller("internalfabric", self.reconcile)
        for side in SIDES:
            controller.watch(self._caches.gateways[side.mode], _key_of_peer)
        controller.watch(self._configurations, _key_of_peer)
        controller.watch(self._fabrics)
        controller.watch(self._addresses.networks, self._keys_of_network)
        controller.watch(
            self._caches.namespaces,
            lambda one: [Key(one.metadata.name, peer_of(one))] if peer_of(one) else [],
        )
        # Only to have read them before the first address is given: theirs are taken.
        controller.watch(self._addresses.nodes, lambda _: [])
        return controller

    def _keys_of_network(self, network: Network) -> Iterable[Key]:
        """Every gateway, where the range of their addresses changes."""
        if self._addresses.is_internal(network):
            for gateway in self._caches.all_gateways():
                yield from _key_of_peer(gateway)

    async def reconcile(self, key: Key) -> float | None:
        """Have the fabric of one peer's gateway."""
        live = self._fabrics.get(key)
        if live is not None:
            for finalizer in labels.FINALIZERS_INTERNAL_FABRIC:
                if finalizer in live.metadata.finalizers:
                    # Stock Liqo's, which nobody else would remove; its end brings us back.
                    await drop_finalizer(self._client, INTERNAL_FABRICS.partial(), live, finalizer)
                    return None
        found = self._gateway(key)
        if found is None:
            self._addresses.release_fabric(*key)
            self._writer.forget(INTERNAL_FABRICS, key)
            return None
        return await self._keep(key, *found, live)

    def _gateway(self, key: Key) -> tuple[Side, Gateway] | None:
        """The gateway of a peer; of several, the one that counts."""
        if not is_tenant_namespace_of(self._caches.namespaces.get(Key("", key.namespace)), key.name):
            return None
        rivals = self._caches.gateways_of(*key)
        for side in SIDES:
            for gateway in rivals:
                if gateway.deleting or not isinstance(gateway, side.gateways.type):
                    continue
                if find_rival(gateway, rivals) is None:
                    return side, gateway
        return None

    async def _keep(
        self, key: Key, side: Side, gateway: Gateway, live: InternalFabric | None
    ) -> float | None:
        if live is not None and not is_controlled_by(live, gateway):
            return self._foreign(side, gateway, live)
        internal = gateway.status.internal_endpoint
        pod_ip = internal.ip if internal is not None else (live.spec.gateway_ip if live is not None else "")
        remote = remote_cidrs(self._configuration(key)) or (
            live.spec.remote_cidrs if live is not None else []
        )
        if not pod_ip:
            return None
        try:
            overlay_ip = self._addresses.of_fabric(*key, live)
        except AddressesExhaustedError as error:
            return self._warn(side, gateway, str(error))
        if overlay_ip is None:
            return None  # The Network of the internal CIDR brings us back.
        manifest = forge_fabric(side, gateway, pod_ip, overlay_ip, remote)
        await self._writer.apply(INTERNAL_FABRICS, manifest, live)
        return None

    def _foreign(self, side: Side, gateway: Gateway, live: InternalFabric) -> float:
        if live.deleting or any(
            owner.kind.startswith(("Gateway", "WgGateway")) for owner in live.metadata.owner_references
        ):
            return SOON  # An earlier gateway's, which is being collected.
        name = live.metadata.name
        return self._warn(
            side, gateway, f"InternalFabric {name} exists and was not made for this gateway: delete it"
        )

    def _warn(self, side: Side, gateway: Gateway, message: str) -> float:
        self._events.record(side.gateways, gateway, "NoOverlayAddress", message, "Warning")
        return AGAIN

    def _configuration(self, key: Key) -> Configuration | None:
        for configuration in self._configurations.by_index(PEER_INDEX, f"{key.namespace}/{key.name}"):
            if not configuration.deleting:
                return configuration
        return None


def _key_of_peer(object_: Object) -> Iterable[Key]:
    peer = peer_of(object_)
    return [Key(object_.metadata.namespace, peer)] if peer else []

"""The controller of InternalNodes: each real node of the cluster as the gateways reach it (behaviour.md 5.5).

One key is one node. The InternalNode is owned by its Node and collected with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.ipam import Network
from isthmus.api.networking import INTERNAL_NODES, InternalNode
from isthmus.kube.builtin import NODES, Node
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.ownership import forge_controller
from isthmus.kube.reconcile import Controller
from isthmus.network.dataplane.hops import OVERLAY
from isthmus.network.gateways.caches import Caches
from isthmus.network.gateways.overlay_addresses import OverlayAddresses
from isthmus.network.gateways.writes import Writer
from isthmus.network.ipam.addresses import AddressesExhaustedError
from isthmus.network.ownership import drop_finalizer

AGAIN = 30.0


def forge_internal_node(node: Node, overlay_ip: str) -> Manifest:
    """The InternalNode of a node."""
    return {
        "metadata": {
            "name": node.metadata.name,
            "labels": {labels.MANAGED: labels.TRUE},
            "ownerReferences": [{**forge_controller(NODES, node), "blockOwnerDeletion": False}],
        },
        "spec": {"interface": {"gateway": {"name": OVERLAY}, "node": {"ip": overlay_ip}}},
    }


def plan_node_addresses(node: Node, live: InternalNode) -> Manifest | None:
    """The merge patch of the status, None where it is filled: the node's own address, as pods elsewhere see it."""
    if live.status.node_ip.local and live.status.node_ip.remote:
        return None
    for address in node.status.addresses:
        # IPv4 only, as all of Liqo's networking.
        if address.type == "InternalIP" and ":" not in address.address:
            return {"status": {"nodeIP": {"local": address.address, "remote": address.address}}}
    return None


class InternalNodeReconciler:
    """Reconciles InternalNodes."""

    def __init__(self, manager: Manager, caches: Caches, addresses: OverlayAddresses) -> None:
        self._client, self._events = manager.client, manager.events
        self._nodes = caches.nodes
        self._addresses = addresses
        self._internal = addresses.nodes
        self._writer = Writer(manager.client)

    def controller(self) -> Controller:
        """The loop, fed by nodes, InternalNodes and the internal CIDR."""
        controller = Controller("internalnode", self.reconcile)
        controller.watch(self._nodes)
        controller.watch(self._internal)
        # Only to have read them before the first address is given: theirs are taken.
        controller.watch(self._addresses.fabrics, lambda _: [])
        controller.watch(self._addresses.networks, self._keys_of_network)
        return controller

    def _keys_of_network(self, network: Network) -> Iterable[Key]:
        """Every node, where the range of their addresses changes."""
        return [node.key for node in self._nodes.list()] if self._addresses.is_internal(network) else []

    async def reconcile(self, key: Key) -> float | None:
        """Have the InternalNode of one real node."""
        live, node = self._internal.get(key), self._nodes.get(key)
        if live is not None and labels.FINALIZER_INTERNAL_NODE in live.metadata.finalizers:
            # Stock Liqo's, which nobody else would remove; its end brings us back.
            await drop_finalizer(self._client, INTERNAL_NODES.partial(), live, labels.FINALIZER_INTERNAL_NODE)
            return None
        if node is None or node.deleting:
            if live is None:
                self._addresses.release_node(key.name)
            self._writer.forget(INTERNAL_NODES, key)
            return None
        if live is not None and live.deleting:
            return None
        try:
            address = self._addresses.of_node(key.name, live)
        except AddressesExhaustedError as error:
            self._events.record(NODES, node, "NoOverlayAddress", str(error), "Warning")
            return AGAIN
        if address is None:
            return None  # The Network of the internal CIDR brings us back.
        await self._writer.apply(INTERNAL_NODES, forge_internal_node(node, address), live)
        if live is not None and (patch := plan_node_addresses(node, live)) is not None:
            await self._client.patch(
                INTERNAL_NODES.partial(),
                key.name,
                {"metadata": {"uid": live.metadata.uid}, **patch},
                subresource="status",
            )
        return None

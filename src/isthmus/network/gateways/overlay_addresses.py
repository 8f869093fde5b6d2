"""The addresses of nodes and gateways on the overlay, as the objects say them and as the allocator gives them."""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.cidr import CIDR, parse_address
from isthmus.api.ipam import NETWORKS, Network
from isthmus.api.networking import INTERNAL_FABRICS, INTERNAL_NODES, InternalFabric, InternalNode
from isthmus.kube.manager import Manager
from isthmus.network.ipam import InternalAddresses, internal_range
from isthmus.network.ipam.installation import INTERNAL

_BY_ADDRESS = "gateways/overlay-address"
_INTERNAL = "gateways/internal-cidr"


class OverlayAddresses:
    """One allocator for the controllers of nodes and of gateways; what is held is read from their objects."""

    def __init__(self, manager: Manager, namespace: str) -> None:
        informers = manager.informers
        self.nodes = informers.get(INTERNAL_NODES)
        self.fabrics = informers.get(INTERNAL_FABRICS)
        self.networks = informers.get(NETWORKS)
        self.nodes.add_index(_BY_ADDRESS, lambda node: [node.spec.interface.node.ip])
        self.fabrics.add_index(_BY_ADDRESS, lambda fabric: [fabric.spec.interface.gateway.ip])
        self.networks.add_index(_INTERNAL, lambda network: [namespace] if self.is_internal(network) else [])
        self._namespace = namespace
        self._given = InternalAddresses()

    def is_internal(self, network: Network) -> bool:
        """Whether it is the Network all of these addresses are from."""
        meta = network.metadata
        return meta.namespace == self._namespace and meta.labels.get(labels.NETWORK_TYPE) == INTERNAL

    def of_node(self, name: str, live: InternalNode | None) -> str | None:
        """The address of a node, None while the internal CIDR is not known. Raises AddressesExhaustedError."""
        return self._address(f"node/{name}", live.spec.interface.node.ip if live is not None else "")

    def of_fabric(self, namespace: str, name: str, live: InternalFabric | None) -> str | None:
        """The address of a gateway, None while the internal CIDR is not known. Raises AddressesExhaustedError."""
        own = live.spec.interface.gateway.ip if live is not None else ""
        return self._address(f"fabric/{namespace}/{name}", own)

    def release_node(self, name: str) -> None:
        """The node is gone."""
        self._given.release(f"node/{name}")

    def release_fabric(self, namespace: str, name: str) -> None:
        """The gateway is gone."""
        self._given.release(f"fabric/{namespace}/{name}")

    def _address(self, holder: str, own: str) -> str | None:
        range_ = internal_range(self.networks.by_index(_INTERNAL, self._namespace))
        if range_ is None:
            return None
        if self._is_settled(own, range_):
            return own
        return self._given.address(holder, range_, self._present())

    def _is_settled(self, address: str, range_: CIDR) -> bool:
        """Whether an address can stay, seen without going through all others."""
        holders = [*self.nodes.by_index(_BY_ADDRESS, address), *self.fabrics.by_index(_BY_ADDRESS, address)]
        if len(holders) != 1:
            return False
        try:
            place = parse_address(address)
        except ValueError:
            return False
        # The first and the last of a range are no host's.
        return range_.has(place - 1) and range_.has(place) and range_.has(place + 1)

    def _present(self) -> dict[str, str]:
        present = {f"node/{node.metadata.name}": node.spec.interface.node.ip for node in self.nodes.list()}
        for fabric in self.fabrics.list():
            meta = fabric.metadata
            present[f"fabric/{meta.namespace}/{meta.name}"] = fabric.spec.interface.gateway.ip
        return present

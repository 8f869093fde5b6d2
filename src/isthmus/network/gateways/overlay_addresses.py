"""The addresses of nodes and gateways on the overlay, as the objects say them and as the allocator gives them."""

from __future__ import annotations

from isthmus.api.ipam import NETWORKS
from isthmus.api.networking import INTERNAL_FABRICS, INTERNAL_NODES
from isthmus.kube.manager import Manager
from isthmus.network.ipam import InternalAddresses, internal_range


class OverlayAddresses:
    """One allocator for the controllers of nodes and of gateways; what is held is read from their objects."""

    def __init__(self, manager: Manager, namespace: str) -> None:
        informers = manager.informers
        self.nodes = informers.get(INTERNAL_NODES)
        self.fabrics = informers.get(INTERNAL_FABRICS)
        self.networks = informers.get(NETWORKS)
        self._namespace = namespace
        self._given = InternalAddresses()

    def of_node(self, name: str) -> str | None:
        """The address of a node, None while the internal CIDR is not known. Raises AddressesExhaustedError."""
        return self._address(f"node/{name}")

    def of_fabric(self, namespace: str, name: str) -> str | None:
        """The address of a gateway, None while the internal CIDR is not known. Raises AddressesExhaustedError."""
        return self._address(f"fabric/{namespace}/{name}")

    def release_node(self, name: str) -> None:
        """The node is gone."""
        self._given.release(f"node/{name}")

    def release_fabric(self, namespace: str, name: str) -> None:
        """The gateway is gone."""
        self._given.release(f"fabric/{namespace}/{name}")

    def _address(self, holder: str) -> str | None:
        range_ = internal_range(self.networks.list(self._namespace))
        return None if range_ is None else self._given.address(holder, range_, self._present())

    def _present(self) -> dict[str, str]:
        present = {f"node/{node.metadata.name}": node.spec.interface.node.ip for node in self.nodes.list()}
        for fabric in self.fabrics.list():
            meta = fabric.metadata
            present[f"fabric/{meta.namespace}/{meta.name}"] = fabric.spec.interface.gateway.ip
        return present

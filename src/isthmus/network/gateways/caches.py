"""What the controllers of gateways watch, each thing once."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.networking import WgGateway
from isthmus.kube.builtin import NAMESPACES, NODES, ROLE_BINDINGS, SECRETS, SERVICE_ACCOUNTS
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.network.gateways.endpoints import active_pod
from isthmus.network.gateways.objects import (
    DEPLOYMENTS,
    PODS,
    SELECTOR,
    SERVICES,
    SIDES,
    Gateway,
    GatewayPod,
    Side,
    peer_of,
)

PEER_INDEX = "gateways/peer"
"""Of objects about a peer, by namespace and peer."""
_NAME_INDEX = "gateways/name"
REAL_NODES = f"{labels.NODE_TYPE}!={labels.NODE_TYPE_VIRTUAL}"


class Caches:
    """The informers, shared by all controllers of this package."""

    def __init__(self, manager: Manager) -> None:
        get = manager.informers.get
        self.gateways: dict[str, Informer[Gateway]] = {side.mode: get(side.gateways) for side in SIDES}
        for informer in self.gateways.values():
            informer.add_index(PEER_INDEX, index_by_peer)
        self.made: dict[str, Informer[WgGateway]] = {side.mode: get(side.made) for side in SIDES}
        self.templates = {side.mode: get(side.templates) for side in SIDES}
        self.deployments = get(DEPLOYMENTS, label_selector=SELECTOR)
        self.services = get(SERVICES, label_selector=SELECTOR)
        self.pods = get(PODS, label_selector=SELECTOR)
        self.pods.add_index(_NAME_INDEX, lambda pod: [str(key) for key in keys_by_label(pod)])
        self.service_accounts = get(SERVICE_ACCOUNTS.partial(), label_selector=SELECTOR)
        self.role_bindings = get(ROLE_BINDINGS.partial(), label_selector=SELECTOR)
        self.secrets = get(SECRETS.partial(), label_selector=f"{labels.GATEWAY_RESOURCE}={labels.TRUE}")
        self.namespaces = get(NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID)
        self.nodes = get(NODES, label_selector=REAL_NODES)

    def all_gateways(self) -> list[Gateway]:
        """Servers and clients of every namespace."""
        return [gateway for side in SIDES for gateway in self.gateways[side.mode].list()]

    def gateways_of(self, namespace: str, peer: str) -> list[Gateway]:
        """Servers and clients of one peer in one namespace."""
        place = f"{namespace}/{peer}"
        return [one for side in SIDES for one in self.gateways[side.mode].by_index(PEER_INDEX, place)]

    def gateway_of(self, side: Side, key: Key) -> Gateway | None:
        """The GatewayServer or GatewayClient of a key."""
        return self.gateways[side.mode].get(key)

    def active_pod(self, key: Key) -> GatewayPod | None:
        """The active pod of the gateway of that name."""
        return active_pod(self.pods.by_index(_NAME_INDEX, str(key)))


def keys_by_label(object_: Object) -> Iterable[Key]:
    """The gateway an object of its belongs to."""
    name = object_.metadata.labels.get(labels.GATEWAY_NAME, "")
    return [Key(object_.metadata.namespace, name)] if name else []


def index_by_peer(object_: Object) -> Iterable[str]:
    """The place of an object in PEER_INDEX."""
    peer = peer_of(object_)
    return [f"{object_.metadata.namespace}/{peer}"] if peer else []

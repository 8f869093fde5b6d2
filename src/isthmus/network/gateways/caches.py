"""What the controllers of gateways watch, each thing once."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.networking import WgGateway
from isthmus.kube.builtin import NODES, ROLE_BINDINGS, SECRETS, SERVICE_ACCOUNTS
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
)

REAL_NODES = f"{labels.NODE_TYPE}!={labels.NODE_TYPE_VIRTUAL}"


class Caches:
    """The informers, shared by all controllers of this package."""

    def __init__(self, manager: Manager) -> None:
        get = manager.informers.get
        self.gateways: dict[str, Informer[Gateway]] = {side.mode: get(side.gateways) for side in SIDES}
        self.made: dict[str, Informer[WgGateway]] = {side.mode: get(side.made) for side in SIDES}
        self.templates = {side.mode: get(side.templates) for side in SIDES}
        self.deployments = get(DEPLOYMENTS, label_selector=SELECTOR)
        self.services = get(SERVICES, label_selector=SELECTOR)
        self.pods = get(PODS, label_selector=SELECTOR)
        self.service_accounts = get(SERVICE_ACCOUNTS.partial(), label_selector=SELECTOR)
        self.role_bindings = get(ROLE_BINDINGS.partial(), label_selector=SELECTOR)
        self.secrets = get(SECRETS.partial(), label_selector=f"{labels.GATEWAY_RESOURCE}={labels.TRUE}")
        self.nodes = get(NODES, label_selector=REAL_NODES)

    def all_gateways(self) -> list[Gateway]:
        """Servers and clients of every namespace."""
        return [gateway for side in SIDES for gateway in self.gateways[side.mode].list()]

    def gateway_of(self, side: Side, key: Key) -> Gateway | None:
        """The GatewayServer or GatewayClient of a key."""
        return self.gateways[side.mode].get(key)

    def active_pod(self, key: Key) -> GatewayPod | None:
        """The active pod of the gateway of that name."""
        return active_pod(pod for pod in self.pods.list(key.namespace) if _gateway_name(pod) == key.name)


def keys_by_label(object_: Object) -> Iterable[Key]:
    """The gateway an object of its belongs to."""
    name = _gateway_name(object_)
    return [Key(object_.metadata.namespace, name)] if name else []


def _gateway_name(object_: Object) -> str:
    return object_.metadata.labels.get(labels.GATEWAY_NAME, "")

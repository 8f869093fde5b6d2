"""The networking objects of each peer, for whoever sums up peerings: peering itself must not know of this module.

The entry point of the process makes one `NetworkSummaries` and hands it to peering's controller of ForeignClusters,
which watches through it and asks it for conditions. It owns no task and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from isthmus.api.networking import CONFIGURATIONS, CONNECTIONS, GATEWAY_CLIENTS, GATEWAY_SERVERS
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.kube.reconcile import Controller
from isthmus.kube.resource import Resource
from isthmus.network.conditions import Finding, NetworkFacts, summarize_networking
from isthmus.network.gateways.objects import DEPLOYMENTS, SELECTOR, peer_of

T = TypeVar("T", bound=Object)

_INDEX = "summaries/peer"


class NetworkSummaries:
    """What is known of the network towards each peer."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._configurations = self._get(CONFIGURATIONS)
        self._connections = self._get(CONNECTIONS)
        self._servers = self._get(GATEWAY_SERVERS)
        self._clients = self._get(GATEWAY_CLIENTS)
        self._deployments = self._get(DEPLOYMENTS, SELECTOR)

    def watch(self, controller: Controller, keys: Callable[[Object], Iterable[Key]]) -> None:
        """Feed a controller with the changes of every object; `keys` maps it to what is to be summed up."""
        informers: tuple[Informer[Any], ...] = (
            self._configurations,
            self._connections,
            self._servers,
            self._clients,
            self._deployments,
        )
        for informer in informers:
            controller.watch(informer, keys)

    def facts(self, peer: str) -> NetworkFacts:
        """The objects about a peer, those being deleted included: the peering is not over before they are gone."""
        return NetworkFacts(
            configurations=list(self._configurations.by_index(_INDEX, peer)),
            connections=list(self._connections.by_index(_INDEX, peer)),
            servers=list(self._servers.by_index(_INDEX, peer)),
            clients=list(self._clients.by_index(_INDEX, peer)),
            deployments={one.metadata.name: one for one in self._deployments.by_index(_INDEX, peer)},
        )

    def conditions(self, peer: str) -> list[Finding]:
        """The conditions of the networking module towards a peer, none where it is not in use."""
        return summarize_networking(self.facts(peer))

    def _get(self, resource: Resource[T], selector: str = "") -> Informer[T]:
        informer = self._manager.informers.get(resource, label_selector=selector)
        informer.add_index(_INDEX, lambda object_: [peer_of(object_)] if peer_of(object_) else [])
        return informer

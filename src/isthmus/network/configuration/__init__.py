"""Configurations: which ranges a peer has, and under which ones they are seen here (behaviour.md 5.3)."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.ipam import IPS, Network
from isthmus.api.networking import CONFIGURATIONS
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.kube.options import Options
from isthmus.kube.ownership import controller_keys
from isthmus.kube.reconcile import Controller
from isthmus.network.configuration.reconciler import ConfigurationReconciler
from isthmus.network.ipam.caches import watch_networks
from isthmus.network.ipam.installation import EXTERNAL, POD
from isthmus.network.ipam.refusals import Refusals

__all__ = ["setup"]

WORKERS = 2


def setup(manager: Manager, options: Options, refusals: Refusals) -> None:
    """Add the controller of Configurations to the process; `refusals` are those of its Networks."""
    configurations = manager.informers.get(CONFIGURATIONS)
    networks, ips = watch_networks(manager.informers), manager.informers.get(IPS)
    namespaces = manager.informers.get(NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID)
    reconciler = ConfigurationReconciler(
        manager, configurations, networks, ips, namespaces, refusals, options.namespace
    )
    controller = manager.add(Controller("configuration", reconciler.reconcile, workers=WORKERS))

    def keys_of_network(network: Network) -> Iterable[Key]:
        own = network.metadata.namespace == options.namespace
        if own and network.metadata.labels.get(labels.NETWORK_TYPE) in (POD, EXTERNAL):
            return [configuration.key for configuration in configurations.list()]
        return controller_keys(network, CONFIGURATIONS)

    def keys_of_namespace(namespace: Object) -> Iterable[Key]:
        return [configuration.key for configuration in configurations.list(namespace.metadata.name)]

    def look_again(network: Key) -> None:
        if (present := networks.get(network)) is not None:
            for key in controller_keys(present, CONFIGURATIONS):
                controller.enqueue(key)

    refusals.add_handler(look_again)
    controller.watch(configurations)
    controller.watch(namespaces, keys_of_namespace)
    controller.watch(networks, keys_of_network)
    controller.watch(ips, lambda ip: controller_keys(ip, CONFIGURATIONS))

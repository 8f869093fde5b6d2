"""IPAM: which ranges and addresses are in use in this cluster and how a peer's are seen (behaviour.md 5.2).

Two controllers. All they know is in the Network and IP objects, read anew at every start.
"""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.api import labels
from isthmus.api.cidr import parse_cidr
from isthmus.api.ipam import IPS
from isthmus.kube.builtin import NODES
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.network.ipam.caches import watch_networks
from isthmus.network.ipam.installation import DEFAULT_POOLS, InstalledRanges, forge_networks
from isthmus.network.ipam.internal import InternalAddresses, internal_range
from isthmus.network.ipam.ips import IPReconciler
from isthmus.network.ipam.ledger import NetworkLedger
from isthmus.network.ipam.networks import NetworkReconciler, retry_when_one_goes
from isthmus.network.ipam.refusals import Refusals
from isthmus.network.ipam.services import MANAGER, SLICE_MANAGED_BY, SLICES

__all__ = [
    "DEFAULT_POOLS",
    "InstalledRanges",
    "InternalAddresses",
    "Refusals",
    "forge_networks",
    "internal_range",
    "setup",
]


WORKERS = 4
"""Of Networks: their writes may wait for a slow API server side by side, choosing never waits."""


def setup(manager: Manager, options: Options, pools: Sequence[str] = DEFAULT_POOLS) -> Refusals:
    """Add the controllers of Networks and IPs to the process; why Networks have no range is what it returns.

    Raises ValueError for a pool that is no CIDR.
    """
    networks, ips = watch_networks(manager.informers), manager.informers.get(IPS)
    ledger = NetworkLedger([parse_cidr(pool) for pool in pools])
    # The ledger comes first: it must know of a change before the controller asks it.
    networks.add_handler(ledger.observe)
    nodes = manager.informers.get(NODES, label_selector=f"{labels.NODE_TYPE}!={labels.NODE_TYPE_VIRTUAL}")
    nodes.add_handler(ledger.observe_node)
    refusals = Refusals()
    reconciler = NetworkReconciler(manager, networks, ledger, refusals)
    controller = manager.add(Controller("network", reconciler.reconcile, workers=WORKERS))
    controller.watch(networks)
    controller.watch(nodes, lambda _: ())  # Nothing is to be done about them, but they have to be known.
    networks.add_handler(retry_when_one_goes(controller, reconciler.waiting))
    slices = manager.informers.get(SLICES.partial(), label_selector=f"{SLICE_MANAGED_BY}={MANAGER}")
    places = IPReconciler(manager, ips, networks, slices, options.namespace)
    addresses = manager.add(Controller("ip", places.reconcile))
    addresses.watch(ips)
    ips.add_handler(retry_when_one_goes(addresses, places.waiting))
    addresses.watch(slices)  # A slice has the name of its IP.
    addresses.watch(networks, places.keys_of_network)
    return refusals

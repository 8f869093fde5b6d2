"""Gateways: what users ask for with GatewayServers and GatewayClients, made and kept (behaviour.md 5.4 and 5.5).

A template becomes a Wg object, which becomes a Deployment, a Service, keys and permissions; nodes and gateways get
their places on the overlay. All controllers of a process share one set of watches and one allocator of addresses.
"""

from __future__ import annotations

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.network.gateways.caches import Caches
from isthmus.network.gateways.default_templates import TemplateValues, default_templates
from isthmus.network.gateways.exchange import ExchangeReconciler
from isthmus.network.gateways.fabrics import FabricReconciler
from isthmus.network.gateways.nodes import InternalNodeReconciler
from isthmus.network.gateways.objects import SIDES
from isthmus.network.gateways.overlay_addresses import OverlayAddresses
from isthmus.network.gateways.permissions import ClusterBindingReconciler, gateway_roles
from isthmus.network.gateways.rendering import GatewayReconciler
from isthmus.network.gateways.workloads import WorkloadReconciler

__all__ = ["TemplateValues", "default_templates", "gateway_roles", "setup"]


def setup(manager: Manager, options: Options) -> None:
    """Add the controllers of gateways, of their place on the overlay and of the nodes' to the process."""
    caches = Caches(manager)
    addresses = OverlayAddresses(manager, options.namespace)
    for side in SIDES:
        manager.add(GatewayReconciler(manager, caches, side, options.namespace).controller())
        manager.add(WorkloadReconciler(manager, caches, side).controller())
    manager.add(ClusterBindingReconciler(manager, caches).controller())
    manager.add(FabricReconciler(manager, caches, addresses).controller())
    manager.add(InternalNodeReconciler(manager, caches, addresses).controller())
    if "authentication" in options.modules:
        # Without it clusters share no ResourceSlices to announce in.
        manager.add(ExchangeReconciler(manager, caches).controller())

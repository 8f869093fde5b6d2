"""The IPs the controller makes by itself: of the API server, of its proxy, of offloaded pods (behaviour.md 5.2).

Each says that peers may reach a host through the external CIDR; which address it has there is IPAM's to say.
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.ipam import IPS
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.network.addresses.api_server import SLICE_SELECTOR, ApiServerReconciler
from isthmus.network.addresses.forge import API_SERVER_NAMESPACE, SLICES
from isthmus.network.addresses.pods import PodAddresses

__all__ = ["setup"]


def setup(manager: Manager, options: Options) -> None:
    """Add the controllers of these IPs to the process."""
    _set_up_api_server(manager, options)
    if "offloading" in options.modules:
        manager.add(PodAddresses(manager).controller())


def _set_up_api_server(manager: Manager, options: Options) -> None:
    ips = manager.informers.get(IPS)
    slices = None
    if options.api_server_through_endpoint_slices:
        slices = manager.informers.get(SLICES, API_SERVER_NAMESPACE, label_selector=SLICE_SELECTOR)
    reconciler = ApiServerReconciler(manager, ips, slices, options)
    controller = manager.add(Controller("api-server-ip", reconciler.reconcile))
    all_of_them = Key(options.namespace, labels.IP_TYPE_API_SERVER)
    controller.watch(ips, lambda ip: [all_of_them] if labels.IP_TYPE in ip.metadata.labels else [])
    if slices is not None:
        controller.watch(slices, lambda _: [all_of_them])
    controller.enqueue(all_of_them)

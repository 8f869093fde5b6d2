"""The reconciler of IPs: gives each an address for other clusters, and the Service it asks for (behaviour.md 5.2).

One worker, so that choosing is serialised. What is wrong with an IP is an event on it; it is looked at again when
its Network changes, and every half minute while it waits. Service and EndpointSlice are the IP's own and are
collected with it; ones of that name that are not its own are left alone. That an IP has them is known by its
EndpointSlice, which is made first and deleted last and the only one of the two that is watched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isthmus.api import labels
from isthmus.api.ipam import IP, IPS, Network
from isthmus.kube.builtin import SERVICES
from isthmus.kube.errors import BadRequest, Invalid
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.ownership import is_controlled_by
from isthmus.kube.resource import Resource
from isthmus.network.ipam.address_ledger import AddressLedger, Range
from isthmus.network.ipam.addresses import AddressesExhaustedError
from isthmus.network.ipam.caches import networks_in
from isthmus.network.ipam.services import SLICES, TemplateError, forge_service, forge_slice, read_template
from isthmus.network.ipam.sources import (
    SourceError,
    find_source,
    is_external,
    require_host,
    source_key,
    source_range,
)
from isthmus.network.ownership import drop_finalizer, guard

RETRY_SECONDS = 30.0
RECHECK_SECONDS = 600.0
"""How often the Service of an IP is looked after: Services are not watched for the few that there are."""
SOURCE_INDEX = "ipam/network"


class IPReconciler:
    """Reconciles IPs; `namespace` is the installation's."""

    def __init__(
        self,
        manager: Manager,
        ips: Informer[IP],
        networks: Informer[Network],
        slices: Informer[Object],
        namespace: str,
    ) -> None:
        self._client = manager.client
        self._events = manager.events
        self._ips = ips
        self._networks = networks
        self._slices = slices
        self._namespace = namespace
        self._ledger = AddressLedger(ips.list)
        self.waiting: set[Key] = set()
        """IPs that found their range full."""
        ips.add_handler(self._ledger.observe)
        ips.add_index(SOURCE_INDEX, self._sources)

    async def reconcile(self, key: Key) -> float | None:
        """Give the IP its address and Service; returns the seconds after which to look again."""
        ip = self._ips.get(key)
        self.waiting.discard(key)
        if ip is None or ip.deleting:
            if ip is not None:
                await drop_finalizer(self._client, IPS, ip, labels.FINALIZER_IP)
            return None
        try:
            require_host(ip)
            ip = await self._place(ip)
        except SourceError as error:
            self._events.record(IPS, ip, error.reason, str(error), "Warning")
            return None if error.reason == "InvalidIP" else RETRY_SECONDS
        except AddressesExhaustedError as error:
            self._events.record(IPS, ip, "AddressesExhausted", str(error), "Warning")
            self.waiting.add(key)
            return RETRY_SECONDS
        return await self._serve(ip)

    def keys_of_network(self, network: Network) -> list[Key]:
        """The IPs that take their addresses from the Network."""
        found = list(self._ips.by_index(SOURCE_INDEX, str(network.key)))
        if is_external(network, self._namespace):
            found += self._ips.by_index(SOURCE_INDEX, "")
        return [ip.key for ip in found]

    def _sources(self, ip: IP) -> Iterable[str]:
        key = source_key(ip, self._namespace)
        return [str(key) if key is not None else ""]

    async def _place(self, ip: IP) -> IP:
        own = networks_in(self._networks, self._namespace)
        network = find_source(ip, self._networks.get, own, self._namespace)
        range_ = source_range(network)
        if (marks := plan_marks(ip, network)) is not None:
            ip = await self._client.patch(IPS, ip.metadata.name, marks, ip.metadata.namespace)
        if self._ledger.standing(ip, range_):
            return ip
        return await self._assign(ip, range_)

    async def _assign(self, ip: IP, range_: Range) -> IP:
        address = self._ledger.assign(ip, range_)
        if ip.status.ip or ip.status.cidr:
            # Both are immutable once set, so they go before they come.
            message = f"its address {ip.status.ip} is no longer to be had: it becomes {address}"
            self._events.record(IPS, ip, "AddressMoved", message, "Warning")
            ip = await self._write(ip, {"ip": None, "cidr": None})
        return await self._write(ip, {"ip": address, "cidr": str(range_.cidr)})

    async def _write(self, ip: IP, status: Manifest) -> IP:
        patch = {"metadata": guard(ip), "status": status}
        return await self._client.patch(
            IPS, ip.metadata.name, patch, ip.metadata.namespace, subresource="status"
        )

    async def _serve(self, ip: IP) -> float | None:
        if ip.spec.service_template is None:
            await self._retire(ip)
            return None
        try:
            template = read_template(ip)
            for resource, manifest in (
                (SLICES, forge_slice(ip, template)),
                (SERVICES, forge_service(ip, template)),
            ):
                await self._ensure(resource, ip, manifest)
        except (TemplateError, Invalid, BadRequest) as error:
            self._events.record(IPS, ip, "InvalidServiceTemplate", str(error), "Warning")
        return RECHECK_SECONDS

    async def _retire(self, ip: IP) -> None:
        """The template is gone: so do what was made from it."""
        slice_ = self._slices.get(ip.key)
        if slice_ is None or slice_.deleting or not is_controlled_by(slice_, ip):
            return
        name, namespace = ip.metadata.name, ip.metadata.namespace
        service = await self._client.find(SERVICES.partial(), name, namespace)
        if service is not None and is_controlled_by(service, ip):
            await self._client.delete(SERVICES, name, namespace, uid=service.metadata.uid)
        await self._client.delete(SLICES, name, namespace, uid=slice_.metadata.uid)

    async def _ensure(self, resource: Resource[Any], ip: IP, manifest: Manifest) -> None:
        name, namespace = ip.metadata.name, ip.metadata.namespace
        present = await self._client.find(resource, name, namespace)
        if present is not None and not is_controlled_by(present, ip):
            raise TemplateError(
                f"spec.serviceTemplate: a {resource.kind} {name} that is not this IP's is there: rename one of the two"
            )
        # Not by force where none was seen: one that somebody makes this moment is theirs.
        await self._client.apply(resource, manifest, namespace, force=present is not None)


def plan_marks(ip: IP, network: Network) -> Manifest | None:
    """The patch that puts on the finalizer and the labels that name the Network, None where they are there.

    An IP that came with the installation gets no finalizer: it has to go with the controller.
    """
    meta = ip.metadata
    names = {
        labels.NETWORK_NAMESPACE: network.metadata.namespace,
        labels.NETWORK_NAME: network.metadata.name,
    }
    change: Manifest = {}
    if any(meta.labels.get(label) != value for label, value in names.items()):
        change["labels"] = names
    preinstalled = meta.annotations.get(labels.PREINSTALLED) == labels.TRUE
    if not preinstalled and labels.FINALIZER_IP not in meta.finalizers:
        change["finalizers"] = [*meta.finalizers, labels.FINALIZER_IP]
    return {"metadata": guard(ip) | change} if change else None

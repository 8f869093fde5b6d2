"""The reconciler of the IPs of the API server and of its proxy, all of them at a time.

They are found out by asking for two Services now and then, whose addresses last as long as they do; the API server's
own addresses, which change with its machines, are watched where they are used. While a Service cannot be found its IP
stays: peers hold its address. An IP of the name that somebody else made is left alone, and said to be in the way.
"""

from __future__ import annotations

from isthmus.api import labels, names
from isthmus.api.endpoints import EndpointSlice
from isthmus.api.ipam import IP, IPS
from isthmus.kube.errors import AlreadyExists, Conflict
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.network.addresses.forge import (
    API_SERVER_NAMESPACE,
    API_SERVER_SERVICE,
    SERVICE_ADDRESSES,
    Wanted,
    forge_ip,
    plan,
    want_endpoints,
    want_service,
)

SLICE_SELECTOR = f"{labels.SERVICE_NAME}={API_SERVER_SERVICE}"
RECHECK_SECONDS = 300.0
RETRY_SECONDS = 10.0
"""Seconds until a Service is asked for again that was not there, or an IP whose name was taken."""


class ApiServerReconciler:
    """Keeps the IPs; `slices` are the API server's own addresses, None where its Service's is used."""

    def __init__(
        self, manager: Manager, ips: Informer[IP], slices: Informer[EndpointSlice] | None, options: Options
    ) -> None:
        self._client = manager.client
        self._events = manager.events
        self._ips = ips
        self._slices = slices
        self._namespace = options.namespace
        self._has_proxy = bool(options.proxy_port)

    async def reconcile(self, _: Key) -> float | None:
        """Make the IPs what they should be; returns the seconds after which to look again."""
        wanted = await self._api_server() | await self._proxy()
        found = {one.type for one in wanted.values()}
        expected = {labels.IP_TYPE_API_SERVER} | ({labels.IP_TYPE_PROXY} if self._has_proxy else set())
        present = {ip.metadata.name: ip for ip in self._ips.list(self._namespace)}
        steps = plan(present, wanted, frozenset(expected - found))
        for ip in steps.delete:
            await self._client.delete(IPS, ip.metadata.name, self._namespace, uid=ip.metadata.uid)
        for name, patch in steps.mark.items():
            await self._client.patch(IPS, name, patch, self._namespace)
        for name in steps.create:
            await self._create(name, wanted[name])
        taken = [present[name] for name in steps.taken]
        for ip in taken:
            message = (
                f"peers cannot reach {ip.metadata.name}: remove this IP, whose name is needed for its address"
            )
            self._events.record(IPS, ip, "NameTaken", message, "Warning")
        return RETRY_SECONDS if taken or expected - found else RECHECK_SECONDS

    async def _api_server(self) -> dict[str, Wanted]:
        if self._slices is not None:
            return want_endpoints(self._slices.list())
        service = await self._client.find(SERVICE_ADDRESSES, API_SERVER_SERVICE, API_SERVER_NAMESPACE)
        return want_service(labels.IP_TYPE_API_SERVER, service)

    async def _proxy(self) -> dict[str, Wanted]:
        if not self._has_proxy:
            return {}
        service = await self._client.find(SERVICE_ADDRESSES, names.PROXY_SERVICE, self._namespace)
        return want_service(labels.IP_TYPE_PROXY, service)

    async def _create(self, name: str, wanted: Wanted) -> None:
        try:
            await self._client.create(IPS, forge_ip(name, self._namespace, wanted), self._namespace)
        except AlreadyExists:
            # The cache is behind: what it will show decides.
            raise Conflict(f"IP {self._namespace}/{name} is there and not seen yet") from None

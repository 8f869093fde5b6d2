"""The reconciler of Networks: gives each its range, in status.cidr (behaviour.md 5.2).

It asks the ledger, which the cache fills, and writes with the resourceVersion it read. Between the look at what a
Network has and the holding of what it gets nothing is awaited, so several workers never give one range twice. What
cannot be had is an event on the Network, tried again when another Network goes and every half minute; no failure of
one Network holds up another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from isthmus.api import labels
from isthmus.api.cidr import CIDR
from isthmus.api.ipam import NETWORKS, Network
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.reconcile import Controller
from isthmus.network.ipam.allocator import RangeRefusedError
from isthmus.network.ipam.ledger import NetworkLedger
from isthmus.network.ipam.refusals import Refusal, Refusals
from isthmus.network.ownership import drop_finalizer, guard

RETRY_SECONDS = 30.0
UNFIT = frozenset({"InvalidCIDR", "InvalidPreAllocated"})
"""Faults of the immutable spec: no use in trying again."""


class NetworkReconciler:
    """Reconciles Networks; `waiting` are those that were refused a range."""

    def __init__(
        self, manager: Manager, networks: Informer[Network], ledger: NetworkLedger, refusals: Refusals
    ) -> None:
        self._client = manager.client
        self._events = manager.events
        self._networks = networks
        self._ledger = ledger
        self._refusals = refusals
        self.waiting: set[Key] = set()

    async def reconcile(self, key: Key) -> float | None:
        """Give the Network a range where it has none; returns the seconds after which to try again."""
        network = self._networks.get(key)
        if network is None or network.deleting:
            self._withdraw(key)
            if network is not None:
                await drop_finalizer(self._client, NETWORKS, network, labels.FINALIZER_NETWORK)
            return None
        try:
            await self._settle(network)
        except RangeRefusedError as error:
            self._events.record(NETWORKS, network, error.reason, str(error), "Warning")
            self._refusals.note(key, Refusal(error.reason, str(error)))
            if error.reason in UNFIT:
                return None
            self.waiting.add(key)
            if network.status.cidr:
                await self._write(network, None)  # It was in another's way.
            return RETRY_SECONDS
        return None

    async def _settle(self, network: Network) -> None:
        marks = plan_finalizer(network, labels.FINALIZER_NETWORK)
        if self._ledger.standing(network) is None:
            cidr = self._ledger.assign(network)
            if marks is not None:
                network = await self._mark(network, marks)
                marks = None
            await self._write(network, cidr)
            self._tell(network, cidr)
        if marks is not None:
            await self._mark(network, marks)
        self._withdraw(network.key)

    def _withdraw(self, key: Key) -> None:
        self.waiting.discard(key)
        self._refusals.forget(key)

    async def _mark(self, network: Network, marks: Manifest) -> Network:
        return await self._client.patch(NETWORKS, network.metadata.name, marks, network.metadata.namespace)

    async def _write(self, network: Network, cidr: CIDR | None) -> None:
        patch = {"metadata": guard(network), "status": {"cidr": str(cidr) if cidr is not None else None}}
        meta = network.metadata
        await self._client.patch(NETWORKS, meta.name, patch, meta.namespace, subresource="status")

    def _tell(self, network: Network, cidr: CIDR) -> None:
        wished = network.spec.cidr
        if network.status.cidr:
            message = (
                f"{network.status.cidr} is in another Network's way: {wished} is seen as {cidr} from now on"
            )
            self._events.record(NETWORKS, network, "RangeMoved", message, "Warning")
        elif str(cidr) != wished:
            message = f"{wished} is in use or outside the pools: it is seen as {cidr}"
            self._events.record(NETWORKS, network, "RangeRemapped", message)


def plan_finalizer(network: Network, finalizer: str) -> Manifest | None:
    """The patch that puts the finalizer on, None where it is there or the Network came with the installation."""
    meta = network.metadata
    if finalizer in meta.finalizers or meta.annotations.get(labels.PREINSTALLED) == labels.TRUE:
        return None
    return {"metadata": guard(network) | {"finalizers": [*meta.finalizers, finalizer]}}


def retry_when_one_goes(
    controller: Controller, waiting: Iterable[Key]
) -> Callable[[Object | None, Object | None], None]:
    """The informer's handler that has those who wait tried again at once when an object of their kind is gone."""

    def handle(old: Object | None, new: Object | None) -> None:
        if new is None:
            for key in list(waiting):
                controller.enqueue(key)

    return handle

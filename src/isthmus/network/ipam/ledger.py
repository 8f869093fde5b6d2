"""The ranges in use as the Network objects say, and those just assigned that the cache does not show yet.

Nothing here is state of its own: the ledger is filled by the informer's handler, and what was assigned and not yet
seen is lost with the process only after it is in the object's status. One process asks it, and choosing is holding
with no wait between, so two Networks never get the same range; of the cluster's controllers only the one that holds
the lease runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from isthmus.api import labels
from isthmus.api.cidr import BITS, CIDR, parse_address, parse_cidr
from isthmus.api.ipam import Network
from isthmus.kube.builtin import Node
from isthmus.kube.objects import Key
from isthmus.network.ipam.allocator import Allocator, RangeRefusedError, Wish

Age = tuple[str, str]


class _Assigned(Struct, frozen=True):
    uid: str
    cidr: CIDR


def plan_wish(network: Network) -> Wish:
    """What a Network asks for. Raises RangeRefusedError naming the field that is wrong."""
    try:
        cidr = parse_cidr(network.spec.cidr)
    except ValueError as error:
        raise RangeRefusedError("InvalidCIDR", f"spec.cidr: {error}") from error
    if not 0 <= network.spec.pre_allocated <= cidr.size:
        raise RangeRefusedError(
            "InvalidPreAllocated",
            f"spec.preAllocated: {network.spec.pre_allocated} is more than {cidr} has: write at most {cidr.size}",
        )
    found = network.metadata.labels
    return Wish(
        cidr=cidr,
        immutable=found.get(labels.NETWORK_NOT_REMAPPED, labels.FALSE) != labels.FALSE,
        shared=found.get(labels.NETWORK_SHARED) == labels.TRUE,
    )


def assigned_range(network: Network, wish: Wish) -> CIDR | None:
    """The range in the status, None where there is none or none that fits the wish."""
    try:
        cidr = parse_cidr(network.status.cidr)
    except ValueError:
        return None
    fits = cidr == wish.cidr if wish.immutable else cidr.prefix == wish.cidr.prefix
    return cidr if fits else None


class NetworkLedger:
    """Who holds which range."""

    def __init__(self, pools: Sequence[CIDR]) -> None:
        self._allocator = Allocator(pools)
        self._unseen: dict[Key, _Assigned] = {}
        self._seniority: dict[str, Age] = {}

    def observe(self, old: Network | None, new: Network | None) -> None:
        """Take note of a change: the handler of the informer."""
        if new is not None:
            self._put(new)
        elif old is not None:
            self._unseen.pop(old.key, None)
            self._seniority.pop(str(old.key), None)
            self._allocator.release(str(old.key))

    def observe_node(self, old: Node | None, new: Node | None) -> None:
        """Take note of a node's addresses: no peer's range is seen under them, or the node would be cut off.

        Whoever has a range already keeps it, should a node come later.
        """
        before, after = _node_addresses(old), _node_addresses(new)
        for address in before - after:
            self._allocator.release(f"node {address}")
        for address in after - before:
            self._allocator.hold(f"node {address}", CIDR(address, BITS), shared=True)

    def standing(self, network: Network) -> CIDR | None:
        """The range a Network has and keeps, None where it must be given one.

        Of two exclusive Networks in each other's way (a status edited by hand, two controllers at once) the younger
        moves, unless it may not be remapped and the other may.
        """
        wish = plan_wish(network)
        cidr = assigned_range(network, wish)
        unseen = self._unseen.get(network.key)
        if unseen is not None and unseen.uid == network.metadata.uid and unseen.cidr != cidr:
            return None
        if cidr is None or wish.shared or wish.immutable:
            return cidr
        own = _age(network)
        for rival in self._allocator.rivals(cidr, shared=False, but=str(network.key)):
            seniority = self._seniority.get(rival)
            if seniority is not None and seniority < own:
                return None
        return cidr

    def assign(self, network: Network) -> CIDR:
        """Choose a range for a Network and hold it; the caller writes it. Raises RangeRefusedError.

        The same is chosen again while a write whose outcome is unknown is repeated.
        """
        wish, holder = plan_wish(network), str(network.key)
        unseen = self._unseen.get(network.key)
        if (
            unseen is not None
            and unseen.uid == network.metadata.uid
            and self._undisputed(unseen, wish, holder)
        ):
            return unseen.cidr
        cidr = self._allocator.choose(wish, but=holder)
        self._unseen[network.key] = _Assigned(network.metadata.uid, cidr)
        self._allocator.hold(holder, cidr, shared=wish.shared)
        return cidr

    def _undisputed(self, unseen: _Assigned, wish: Wish, holder: str) -> bool:
        return next(self._allocator.rivals(unseen.cidr, shared=wish.shared, but=holder), None) is None

    def _put(self, network: Network) -> None:
        holder = str(network.key)
        try:
            wish = plan_wish(network)
        except RangeRefusedError:
            return
        cidr = assigned_range(network, wish)
        self._rank(network, wish)
        unseen = self._unseen.get(network.key)
        if unseen is not None and unseen.cidr != cidr and unseen.uid == network.metadata.uid:
            return  # The cache is behind, or the write is yet to be repeated.
        self._unseen.pop(network.key, None)
        if cidr is not None:
            self._allocator.hold(holder, cidr, shared=wish.shared)
        elif wish.immutable and not network.deleting:
            self._allocator.hold(holder, wish.cidr, shared=wish.shared, pending=True)
        else:
            self._allocator.release(holder)

    def _rank(self, network: Network, wish: Wish) -> None:
        """Who must not make others move is left out: shared ones. Who may not move is before all who may."""
        if wish.shared:
            self._seniority.pop(str(network.key), None)
        else:
            self._seniority[str(network.key)] = ("", "") if wish.immutable else _age(network)


def _node_addresses(node: Node | None) -> set[int]:
    found = set()
    for one in node.status.addresses if node is not None else ():
        try:
            found.add(parse_address(one.address))
        except ValueError:
            continue  # a name, or IPv6
    return found


def _age(network: Network) -> Age:
    return network.metadata.creation_timestamp or "", network.metadata.uid

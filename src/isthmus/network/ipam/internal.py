"""Addresses of the internal CIDR: the ends of nodes and gateways on the overlay (behaviour.md 5.2). Pure.

The controllers of InternalNodes and InternalFabrics ask here and write the address into their object; what is held
is read from those objects, so that it survives a restart. Both must ask the same value, in one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isthmus.api import labels
from isthmus.api.cidr import CIDR, format_address, parse_address
from isthmus.api.ipam import Network
from isthmus.network.ipam.addresses import AddressBook
from isthmus.network.ipam.allocator import RangeRefusedError
from isthmus.network.ipam.installation import INTERNAL
from isthmus.network.ipam.ledger import assigned_range, plan_wish


def internal_range(networks: Iterable[Network]) -> CIDR | None:
    """The internal CIDR among the Networks of the installation's namespace, None while it has no range."""
    for network in sorted(networks, key=lambda one: one.metadata.name):
        if network.metadata.labels.get(labels.NETWORK_TYPE) == INTERNAL:
            try:
                return assigned_range(network, plan_wish(network))
            except RangeRefusedError:
                return None
    return None


class InternalAddresses:
    """Who has which address of the internal CIDR; a holder is named e.g. `node/worker-1` or `fabric/ns/name`."""

    def __init__(self) -> None:
        self._unseen: dict[str, str] = {}

    def address(self, holder: str, range_: CIDR, present: Mapping[str, str]) -> str:
        """The address of a holder: the one it has where that is in the range and its own alone, else a free one.

        `present` is every holder's address as the objects say. What was given stays held until it is seen there,
        or until `release`. Raises AddressesExhaustedError.
        """
        self._unseen = {name: text for name, text in self._unseen.items() if present.get(name) != text}
        held = {**present, **self._unseen}
        book = AddressBook(range_)
        for name, text in held.items():
            if (place := _inside(text, range_)) is not None:
                book.hold(name, place)
        own = book.held(holder)
        # Of several with one address the first by name keeps it: every process decides alike.
        if own is not None and not any(name < holder for name, text in held.items() if text == held[holder]):
            return format_address(own)
        book.release(holder)
        address = format_address(book.choose(holder))
        self._unseen[holder] = address
        return address

    def release(self, holder: str) -> None:
        """The holder is gone, or was never made."""
        self._unseen.pop(holder, None)


def _inside(text: str, range_: CIDR) -> int | None:
    try:
        address = parse_address(text)
    except ValueError:
        return None
    return address if range_.has(address) else None

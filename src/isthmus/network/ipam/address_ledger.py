"""The addresses in use as the IP objects say, and those just assigned that the cache does not show yet.

Filled by the informer's handler, as the ledger of Networks; a book of addresses is opened for a range when the first
of its addresses is asked for. Pure but for that memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from isthmus.api.cidr import CIDR, format_address, parse_address, parse_cidr
from isthmus.api.ipam import IP
from isthmus.kube.objects import Key
from isthmus.network.ipam.addresses import AddressBook


class Range(Struct, frozen=True):
    """A range that addresses are handed out of, without its first `reserved` ones."""

    cidr: CIDR
    reserved: int


class _Assigned(Struct, frozen=True):
    uid: str
    cidr: CIDR
    address: int


class AddressLedger:
    """Who holds which address; `all_ips` lists the cached IPs."""

    def __init__(self, all_ips: Callable[[], Iterable[IP]]) -> None:
        self._all_ips = all_ips
        self._books: dict[Range, AddressBook] = {}
        self._unseen: dict[Key, _Assigned] = {}

    def observe(self, old: IP | None, new: IP | None) -> None:
        """Take note of a change: the handler of the informer."""
        if new is not None:
            self._put(new)
        elif old is not None:
            self._unseen.pop(old.key, None)
            for range_, book in list(self._books.items()):
                book.release(str(old.key))
                if book.empty:
                    del self._books[range_]  # Its Network may be gone; one that is asked for is read anew.

    def standing(self, ip: IP, range_: Range) -> bool:
        """Whether the IP has an address of that range, and keeps it.

        Of two with the same address (a status edited by hand, two controllers at once) the younger gives way.
        """
        place = assigned_place(ip)
        unseen = self._own_unseen(ip)
        if place is None or place[0] != range_.cidr:
            return False
        if unseen is not None and (unseen.cidr, unseen.address) != place:
            return False
        if not self._book(range_).is_rivalled(str(ip.key)):
            return True
        rivals = (other for other in self._all_ips() if other.status.ip == ip.status.ip)
        return not any(_age(other) < _age(ip) for other in rivals)

    def assign(self, ip: IP, range_: Range) -> str:
        """Choose an address for an IP and hold it; the caller writes it. Raises AddressesExhaustedError.

        The same is chosen again while a write whose outcome is unknown is repeated.
        """
        book = self._book(range_)
        unseen = self._own_unseen(ip)
        if unseen is None or unseen.cidr != range_.cidr or book.is_rivalled(str(ip.key)):
            book.release(str(ip.key))
            address = book.choose(str(ip.key))
            self._unseen[ip.key] = unseen = _Assigned(ip.metadata.uid, range_.cidr, address)
        book.hold(str(ip.key), unseen.address)
        return format_address(unseen.address)

    def _own_unseen(self, ip: IP) -> _Assigned | None:
        unseen = self._unseen.get(ip.key)
        return unseen if unseen is not None and unseen.uid == ip.metadata.uid else None

    def _book(self, range_: Range) -> AddressBook:
        book = self._books.get(range_)
        if book is None:
            book = self._books[range_] = AddressBook(range_.cidr, range_.reserved)
            for ip in self._all_ips():
                self._put_into(book, ip)
            for key, unseen in self._unseen.items():
                if unseen.cidr == range_.cidr:
                    book.hold(str(key), unseen.address)
        return book

    def _put(self, ip: IP) -> None:
        unseen = self._own_unseen(ip)
        if unseen is not None and assigned_place(ip) != (unseen.cidr, unseen.address):
            return  # The cache is behind, or the write is yet to be repeated.
        self._unseen.pop(ip.key, None)
        for book in self._books.values():
            self._put_into(book, ip)

    def _put_into(self, book: AddressBook, ip: IP) -> None:
        place = assigned_place(ip)
        if place is not None and place[0] == book.cidr:
            book.hold(str(ip.key), place[1])
        else:
            book.release(str(ip.key))


def assigned_place(ip: IP) -> tuple[CIDR, int] | None:
    """The range and the address in the status, None where they are missing or do not fit each other."""
    try:
        cidr, address = parse_cidr(ip.status.cidr), parse_address(ip.status.ip)
    except ValueError:
        return None
    return (cidr, address) if cidr.has(address) else None


def _age(ip: IP) -> tuple[str, str]:
    return ip.metadata.creation_timestamp or "", ip.metadata.uid

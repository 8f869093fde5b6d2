"""IPv4 ranges and addresses as numbers, and the 1:1 mapping of one range onto another. Pure.

An address is an int of 32 bits, a range its first address and its prefix length. Two ranges either are disjoint
or one contains the other, which the allocator and the mapping rely on. `ipaddress` is left out of the
processes: it costs half a megabyte and ten times the time.
"""

from __future__ import annotations

from socket import AF_INET, inet_ntop, inet_pton
from typing import NamedTuple

BITS = 32


class CIDR(NamedTuple):
    """A range of IPv4 addresses; `first` has no bits beyond `prefix`. Sorts by place, larger before smaller."""

    first: int
    prefix: int

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return 1 << (BITS - self.prefix)

    @property
    def last(self) -> int:
        """The last address."""
        return self.first + (1 << (BITS - self.prefix)) - 1

    def contains(self, other: CIDR) -> bool:
        """Whether all of `other` lies in this range."""
        return self.prefix <= other.prefix and other.first >> (BITS - self.prefix) == self.first >> (
            BITS - self.prefix
        )

    def overlaps(self, other: CIDR) -> bool:
        """Whether the two have an address in common."""
        return self.contains(other) or other.contains(self)

    def has(self, address: int) -> bool:
        """Whether the address lies in this range."""
        return address >> (BITS - self.prefix) == self.first >> (BITS - self.prefix)

    def __str__(self) -> str:
        return f"{format_address(self.first)}/{self.prefix}"


def parse_address(text: str) -> int:
    """An IPv4 address in dotted notation as a number. Raises ValueError saying what is wrong."""
    try:
        return int.from_bytes(inet_pton(AF_INET, text), "big")
    except (OSError, ValueError):
        raise ValueError(f"{text[:64]!r} is not a valid IPv4 address: write for instance 10.1.2.3") from None


def format_address(address: int) -> str:
    """The dotted notation of an address."""
    return inet_ntop(AF_INET, address.to_bytes(4, "big"))


def parse_cidr(text: str) -> CIDR:
    """A range in CIDR notation, without host bits. Raises ValueError saying what is wrong and the mend."""
    address, _, length = text.partition("/")
    if not (length.isascii() and length.isdigit() and len(length) <= 2 and int(length) <= BITS):
        raise ValueError(f"{text[:64]!r} is not a valid IPv4 CIDR: write for instance 10.244.0.0/16")
    prefix = int(length)
    number = parse_address(address)
    first = number >> (BITS - prefix) << (BITS - prefix)
    if first != number:
        raise ValueError(f"{text!r} has host bits set: write {CIDR(first, prefix)}")
    return CIDR(first, prefix)


def dashed(cidr: CIDR) -> str:
    """The range as a part of an object's name: dots and the slash become dashes (wire.md 2)."""
    return str(cidr).replace("/", "-").replace(".", "-")


def map_address(ip: str, real: CIDR, seen: CIDR) -> str:
    """The address in `seen` of what has `ip` in `real`: the prefix changes, the host part stays.

    Works both ways round. Raises ValueError where the ranges differ in size or the address is not in `real`.
    """
    address = parse_address(ip)
    if real.prefix != seen.prefix:
        raise ValueError(f"{real} cannot be mapped to {seen}: they differ in size")
    if not real.has(address):
        raise ValueError(f"{ip} is not in {real}")
    return format_address(seen.first | (address - real.first))

"""Addresses that belong to no pod and no host beyond the one that sends, whoever announces them. Pure.

To route or translate them would cut a node off from itself, from its cloud's metadata or from the tunnel
(169.254.18.0/30 are the tunnel's own ends).
"""

from __future__ import annotations

from isthmus.api.cidr import CIDR

SPECIAL: tuple[tuple[CIDR, str], ...] = (
    (CIDR(0x00000000, 8), "addresses of this host (0.0.0.0/8)"),
    (CIDR(0x7F000000, 8), "loopback addresses (127.0.0.0/8)"),
    (CIDR(0xA9FE0000, 16), "link-local addresses (169.254.0.0/16)"),
    (CIDR(0xE0000000, 4), "multicast addresses (224.0.0.0/4)"),
    (CIDR(0xF0000000, 4), "reserved addresses and broadcast (240.0.0.0/4)"),
)


def special_in(cidr: CIDR) -> str:
    """What special addresses the range has, "" for none."""
    return next((name for special, name in SPECIAL if special.overlaps(cidr)), "")

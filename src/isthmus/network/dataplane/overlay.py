"""Who is on the overlay and how each is reached: the shared part of the plans of nodes and gateways. Pure.

One VXLAN device in external mode; every destination is a route that carries the outer address. The link-layer
address of a member is derived from its overlay address, so neighbours are permanent entries and nothing is learned.
"""

from __future__ import annotations

from isthmus.api.cidr import parse_address
from isthmus.network.dataplane import hops
from isthmus.network.dataplane.state import Link, Neighbour, Route


def mac(overlay: str) -> str:
    """The locally administered link-layer address of whoever has that overlay address."""
    number = parse_address(overlay)
    return ":".join(f"{octet:02x}" for octet in (0x0A, 0, *number.to_bytes(4, "big")))


def link(overlay: str, mtu: int, port: int = hops.OVERLAY_PORT) -> Link:
    """The overlay device of the member with that overlay address."""
    return Link(hops.OVERLAY, "vxlan", mtu, (f"{overlay}/32",), mac(overlay), port)


def neighbour(overlay: str) -> Neighbour:
    """How a member knows another one."""
    return Neighbour(hops.OVERLAY, overlay, mac(overlay))


def route(table: int, dst: str, outer: str, overlay: str) -> Route:
    """A range behind another member, whose address on the underlay is `outer`."""
    return Route(table, dst, hops.OVERLAY, overlay, outer, onlink=True)

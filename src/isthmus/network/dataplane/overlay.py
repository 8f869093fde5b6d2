"""Who is on the overlay and how each is reached: the shared part of the plans of nodes and gateways. Pure.

One VXLAN device in external mode; every destination is a route that carries the outer address, neighbours are
permanent entries and nothing is learned.

VXLAN knows no authentication, and any pod can send to a gateway's port, under whatever outer address where its CNI
does not look; a list of the nodes' addresses would not stop it, and would cut nodes whose CNI has them send from
others. So the invariant is another: **a packet of the overlay is taken only if it is addressed to the member's
link-layer address, and only who may read our objects knows that.** It is made of the uid of the member's own object
(InternalFabric of a gateway, InternalNode of a node): 46 bits that a pod can only guess. Three things keep it so:
- the kernel takes no packet for another link-layer address, and `ADDRESSED` none to all of them (broadcast);
- the device answers no question for its address: it speaks no ARP (`links`) and, by `SYSCTLS`, no IPv6;
- on the wire it is seen only by nodes, whose network namespace a pod without the node's own has no part in.
"""

from __future__ import annotations

import hashlib

from isthmus.network.dataplane import hops
from isthmus.network.dataplane.state import Link, Neighbour, Route

SYSCTLS = {f"net.ipv6.conf.{hops.OVERLAY}.disable_ipv6": "1"}
"""Neighbour discovery would tell the link-layer address to whoever asks."""
ADDRESSED = (
    "chain addressed {",
    "type filter hook prerouting priority raw - 10; policy accept;",
    f'iifname "{hops.OVERLAY}" meta pkttype != host counter drop',
    "}",
)
"""The lines of an nftables chain that takes from the overlay only what is addressed to us alone."""


def mac(overlay: str, uid: str) -> str:
    """The link-layer address, locally administered, of the member with that overlay address and object."""
    digest = hashlib.sha256(f"isthmus overlay {overlay} {uid}".encode()).digest()
    first = digest[0] & 0xFC | 0x02
    return ":".join(f"{octet:02x}" for octet in (first, *digest[1:6]))


def link(overlay: str, uid: str, mtu: int, port: int = hops.OVERLAY_PORT) -> Link:
    """The overlay device of the member with that overlay address, and that uid of its object."""
    return Link(hops.OVERLAY, "vxlan", mtu, (f"{overlay}/32",), mac(overlay, uid), port)


def neighbour(overlay: str, uid: str) -> Neighbour:
    """How a member knows another one."""
    return Neighbour(hops.OVERLAY, overlay, mac(overlay, uid))


def route(table: int, dst: str, outer: str, overlay: str) -> Route:
    """A range behind another member, whose address on the underlay is `outer`."""
    return Route(table, dst, hops.OVERLAY, overlay, outer, onlink=True)

"""The names, numbers and marks of the data path, and what a packet looks like at each of its hops.

Everything of ours in a kernel can be told by one of these marks, and nothing without one is ever touched: devices
by name (`OVERLAY`, `TUNNEL`), routes, policy rules and neighbours by their protocol number (`PROTOCOL`), nftables
tables by the beginning of their name (`TABLE`). Sysctls that were changed on a node are noted in the alias of the
overlay device, so that they can be put back by whichever process removes it.

A packet from a pod at home (address `a`) to a pod abroad (real address `b`, seen here as `b'`), where the other
side sees our pods as `a'`. Real addresses of both clusters may be the same; each side translates only the other's:

| hop | where | source | destination | decided by |
|---|---|---|---|---|
| 1 | leaves the pod's node by `OVERLAY` | a | b' | rule `RULE_NODE` -> `TABLE_NODE`, by outer address to the gateway |
| 2 | leaves our gateway by `TUNNEL` | a | b | nftables DNAT b' -> b; rule iif `OVERLAY` -> `TABLE_PEER` |
| 3 | enters their gateway by `TUNNEL` | a | b | what stock Liqo expects on the wire (wire.md 10) |
| 4 | leaves their gateway by `OVERLAY` | a' | b | SNAT a -> a'; rule iif `TUNNEL` -> `TABLE_PODS`, to b's node |
| 5 | enters b's node by `OVERLAY`, goes on to the pod | a' | b | the node's own routes (the CNI's) |

Answers go the same way back, translated by the connection tracking of the same gateway. Besides:
- What does not come from a pod (a node, a client of a NodePort) leaves the node with the node's overlay address as
  its source and the tunnel with the unknown-source address (the network address of our external CIDR). Connection
  tracking in the gateway undoes the second, so the answer is routed to that very node by its overlay address:
  no mark and no table a node is needed, and two nodes cannot clash in one port.
- To an address of our external CIDR that an IP object maps: DNAT in the gateway (hop 4) to the real address, which a
  node reaches; the node masquerades it if the object says so.
- From another peer (leaf to leaf through this hub): gateway to gateway over the overlay, leaving the second tunnel
  with the address that an IP object gives the source, else the unknown-source address.
- A pod abroad may have the very address of our gateway pod, of whichever range that is: there the gateway's own
  addresses are looked at after the peer's, and packets from the tunnel may have them as their source.
- On the node of a gateway whose pod is behind a bridge, what is encapsulated for it passes the bridge by
  (`bridge_ports`).
- Who may send over the overlay is decided by its link-layer addresses, which pods do not know (`overlay`).
- Nothing leaves a tunnel's routing tables to the main one: each ends in `unreachable`, so a missing gateway gives
  an error at once and no packet for a peer ever goes to the Internet.

The inner MTU is the smaller of the tunnel's MTU and the underlay's less 50 bytes (VXLAN over IPv4: 20 IP, 8 UDP,
8 VXLAN, 14 Ethernet); WireGuard takes 60 bytes more between the gateways (20 IP, 8 UDP, 32 of its own), hence
the usual 1340 for an underlay of 1500 with room for a CNI's own encapsulation.
"""

from __future__ import annotations

OVERLAY = "isthmus0"
"""The one overlay device of a node and of a gateway: VXLAN, told per route where to send."""
OVERLAY_PORT = 6091
"""UDP port of the overlay (value networking.genevePort)."""
OVERLAY_ID = 6091
"""The VXLAN network identifier, one for all."""
OVERLAY_OVERHEAD = 50
"""Bytes the overlay adds to a packet."""
TUNNEL = "liqo-tunnel"
"""The WireGuard device of a gateway; users name it in their own rules."""
PROTOCOL = 191
"""The routing protocol number that marks our routes, rules and neighbours; not in rt_protos."""
TABLE = "isthmus"
"""Our nftables tables are this one and those that begin with it and an underscore."""

TABLE_NODE = 6091
"""On a node: a route a remote CIDR. Only these are in it, so one rule that leads to it from everywhere is enough."""
TABLE_PEER = 6092
"""In a gateway: the peer's real CIDRs, through the tunnel."""
TABLE_PODS = 6093
"""In a gateway: our pods, other peers and mapped hosts, over the overlay."""
TABLE_PORTS = 6094
"""On a node with gateways: the devices of their pods, for packets of the overlay alone (`bridge_ports`)."""
USER_TABLES = 0x60910000
"""RouteConfigurations written by users get table numbers from here on."""
RULE_NODE = 500
"""Priority of the rule on a node (option routeConfigurationRulePriority)."""
RULE_GATEWAY = 600
"""Priority of the two rules in a gateway."""
RULE_LIVENESS = 590
"""Priority of the rule that keeps what is sent to the tunnel's own addresses in the gateway."""
RULE_LOCAL = 700
"""Priority at which a gateway looks at its own addresses: after the peer's, which may be the same."""
TABLE_LOCAL = 255
"""The kernel's table of a namespace's own addresses, which it looks at first unless told otherwise."""
TUNNEL_RANGE = "169.254.18.0/30"
"""The link of the tunnel."""
RULE_USER = 450
"""Priority of a user's rule that names none."""

PING_PORT = 12345
"""UDP port of liveness on the tunnel (wire.md 10)."""
SERVER_ADDRESS = "169.254.18.1"
CLIENT_ADDRESS = "169.254.18.2"
"""The two ends of the tunnel, in a /30."""
MINIMUM_MTU = 576
"""The least that an IPv4 host must take whole; an inner MTU below it cannot work."""


def inner_mtu(tunnel: int, underlay: int) -> int:
    """The MTU of the overlay device. Raises ValueError where it would be too small to work."""
    mtu = min(tunnel, underlay - OVERLAY_OVERHEAD)
    if mtu < MINIMUM_MTU:
        raise ValueError(
            f"an MTU of {mtu} cannot work (tunnel {tunnel}, underlay {underlay} less {OVERLAY_OVERHEAD} for the"
            f" overlay): it must be {MINIMUM_MTU} or more; raise spec.mtu of the gateway or the nodes' own MTU"
        )
    return mtu

"""Routes to what is behind gateways: on a node to every peer, in a gateway to the other peers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from isthmus.api.cidr import CIDR, parse_cidr
from isthmus.network.dataplane import overlay
from isthmus.network.dataplane.state import Neighbour, Route

SHORTEST_PREFIX = 8
"""A remote range larger than a /8 is a mistake or an attack: it would take in most of the Internet."""


class Fabric(Struct, frozen=True, kw_only=True):
    """A gateway as nodes and other gateways reach it; `address` "" while no pod of it is active, `uid` its object's."""

    name: str
    address: str
    overlay: str
    uid: str
    remote_cidrs: tuple[str, ...]
    mtu: int


def plan_fabrics(
    table: int, fabrics: Iterable[Fabric], own: Sequence[CIDR], refused: list[str]
) -> tuple[list[Route], list[Neighbour]]:
    """Routes to the remote ranges behind gateways, and the gateways as neighbours.

    A range that is malformed, too large, our own or another gateway's is refused. Of two gateways that claim one
    range the first by name has it: which one must not depend on the order of events.
    """
    routes: list[Route] = []
    neighbours: list[Neighbour] = []
    taken: list[tuple[CIDR, str]] = [(one, "this cluster") for one in own]
    for fabric in sorted(fabrics, key=lambda one: one.name):
        if fabric.address:
            neighbours.append(overlay.neighbour(fabric.overlay, fabric.uid))
        for text in fabric.remote_cidrs:
            try:
                remote = _check_remote(text, taken)
            except ValueError as error:
                refused.append(f"gateway {fabric.name}: {error}")
                continue
            taken.append((remote, fabric.name))
            if fabric.address:
                routes.append(overlay.route(table, str(remote), fabric.address, fabric.overlay))
            else:
                # An error at once, rather than a packet for a peer that wanders to the Internet.
                routes.append(Route(table, str(remote), unreachable=True))
    return routes, neighbours


def _check_remote(text: str, taken: Iterable[tuple[CIDR, str]]) -> CIDR:
    remote = parse_cidr(text)
    if remote.prefix < SHORTEST_PREFIX:
        raise ValueError(
            f"remote CIDR {remote} is too large: /{SHORTEST_PREFIX} is the largest that is routed"
        )
    for other, owner in taken:
        if other.overlaps(remote):
            raise ValueError(f"remote CIDR {remote} overlaps {other} of {owner}; it must be remapped")
    return remote

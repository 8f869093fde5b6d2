"""The desired state of one host or gateway, as values that compare. Pure.

Plans make a `State`; `apply` brings the kernel to it. Addresses and ranges are text in the form `ip` prints them.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, field


class Link(NamedTuple):
    """A device of ours; `kind` is vxlan or tunnel, `addresses` have their prefix length."""

    name: str
    kind: str
    mtu: int
    addresses: tuple[str, ...] = ()
    mac: str = ""
    port: int = 0


class Neighbour(NamedTuple):
    """The permanent link-layer address of a neighbour: no question is ever asked on the overlay."""

    device: str
    address: str
    mac: str


class Route(NamedTuple):
    """A route; with `outer`, what it takes is encapsulated and sent to that address of the underlay."""

    table: int
    dst: str
    device: str = ""
    via: str = ""
    outer: str = ""
    onlink: bool = False
    source: str = ""
    scope: str = ""
    unreachable: bool = False


class Rule(NamedTuple):
    """A policy rule; "" and 0 match everything."""

    priority: int
    table: int
    iif: str = ""
    oif: str = ""
    source: str = ""
    destination: str = ""
    fwmark: int = 0
    udp_port: int = 0
    """The port that UDP packets go to."""


class Table(NamedTuple):
    """An nftables table, rendered whole: what is between its braces."""

    family: str
    name: str
    body: str


class State(Struct, frozen=True, kw_only=True):
    """All that is ours on one host. The empty one is a host that we have left."""

    links: tuple[Link, ...] = ()
    neighbours: frozenset[Neighbour] = frozenset()
    routes: frozenset[Route] = frozenset()
    rules: frozenset[Rule] = frozenset()
    tables: tuple[Table, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """What is wrong in objects that users wrote, by kind and `namespace/name`."""
    owners: dict[str, str] = field(default_factory=dict)
    """Whose the users' tables are: table name to kind and `namespace/name`."""
    refused: tuple[str, ...] = ()
    """What was asked for and cannot be done, in words; the rest is done regardless."""

"""Which port of a bridge leads to a gateway's pod, so that its node can pass the bridge by.

Many CNIs (the `bridge` plugin, flannel and with it K3s) join a node's pods by a Linux bridge. Until Linux 6.19 a bridge
cuts large packets of an overlay into ones of the MTU, for its `hw_enc_features` promise nothing: all that a node sends
to a gateway beside it then costs three times the softirqs. The pod's own device, a port of that bridge, takes them
whole. So the node sends the overlay's packets, and only those, to that device:

- a policy rule for UDP to the overlay's port leads to a table of their own; everything else for the pod, and the
  kernel's check of the way back (`rp_filter`), goes by the bridge as before;
- the pod's link-layer address is what the node itself learned of it, and the port where the bridge saw it;
- when the device goes, the kernel takes route and neighbour with it, and the bridge has the packets again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from isthmus.network.dataplane.commands import Commands

SHOW_BRIDGES = ("ip", "-j", "-d", "link", "show", "type", "bridge")
SHOW_NEIGHBOURS = ("ip", "-4", "-j", "neigh", "show")
SHOW_STATIONS = ("bridge", "-j", "fdb", "show", "dynamic")


Shown = TypeVar("Shown")


class Port(NamedTuple):
    """A pod on this node: its address, the device that leads to it alone, its link-layer address."""

    address: str
    device: str
    mac: str


class _BridgeData(Struct, frozen=True):
    vlan_filtering: int = 1


class _BridgeInfo(Struct, frozen=True):
    info_data: _BridgeData = _BridgeData()


class _Bridge(Struct, frozen=True):
    ifname: str = ""
    linkinfo: _BridgeInfo = _BridgeInfo()


class _Known(Struct, frozen=True):
    dst: str = ""
    dev: str = ""
    lladdr: str = ""


class _Station(Struct, frozen=True):
    mac: str = ""
    ifname: str = ""
    master: str = ""
    state: str = ""


def plain_bridges(text: str) -> frozenset[str]:
    """The bridges that do not look at VLANs, from the text of `SHOW_BRIDGES`; past others is no way as good."""
    return frozenset(
        bridge.ifname
        for bridge in _decode(text, _Bridge)
        if bridge.ifname and not bridge.linkinfo.info_data.vlan_filtering
    )


def find_ports(
    addresses: Collection[str], bridges: Collection[str], neighbours: str, stations: str
) -> tuple[Port, ...]:
    """The ports that lead to pods of this node, as the texts of `SHOW_NEIGHBOURS` and `SHOW_STATIONS` tell.

    An address that is not behind one of the bridges, or not known to both, has none.
    """
    ports = {
        (station.master, station.mac): station.ifname
        for station in _decode(stations, _Station)
        if station.master in bridges and station.ifname != station.master and not station.state
    }
    found = {
        Port(known.dst, ports[known.dev, known.lladdr], known.lladdr)
        for known in _decode(neighbours, _Known)
        if known.dst in addresses and (known.dev, known.lladdr) in ports
    }
    return tuple(sorted(found))


async def look_for_ports(commands: Commands, addresses: Collection[str]) -> tuple[Port, ...]:
    """The ports of this host's bridges that lead to pods with these addresses, by now."""
    if not addresses or not (bridges := plain_bridges(await commands.find(*SHOW_BRIDGES))):
        return ()
    neighbours = await commands.find(*SHOW_NEIGHBOURS)
    return find_ports(addresses, bridges, neighbours, await commands.find(*SHOW_STATIONS))


def _decode(text: str, kind: type[Shown]) -> list[Shown]:
    try:
        return msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]
    except msgspec.DecodeError:
        return []  # The program is not there, or says nothing that we know: the bridge will do.

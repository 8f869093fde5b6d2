"""Devices, addresses and neighbours: what `ip -j` says of them, and the commands that bring them to what is wanted.

Pure. A device of the wrong kind or with settings that cannot be changed is made anew; it is ours by its name.
"""

from __future__ import annotations

import re
from typing import Any

from isthmus.network.dataplane.hops import PROTOCOL
from isthmus.network.dataplane.state import Link, Neighbour

_LINK_LAYER = re.compile(r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b")
Present = dict[str, Any]
"""One element of the answer of `ip -j -d addr show dev NAME`; {} where there is no such device."""


def is_other(link: Link, present: Present) -> bool:
    """Whether the device that is there can only be made anew to be the wanted one."""
    if not present:
        return False
    info = present.get("linkinfo") or {}
    if link.kind != "vxlan":
        return info.get("info_kind") not in ("wireguard", "tun")
    data = info.get("info_data") or {}
    return (
        info.get("info_kind") != "vxlan"
        or not data.get("external")
        or data.get("port") != link.port
        or present.get("address") != link.mac
    )


def creation(link: Link) -> list[str]:
    """The `ip -batch` lines that make the overlay device."""
    return [
        f"link add {link.name} address {link.mac} mtu {link.mtu} arp off"
        f" type vxlan external dstport {link.port} nolearning"
    ]


def changes(link: Link, present: Present) -> list[str]:
    """The `ip -batch` lines from a device that is there (or just made: {}) to the wanted one."""
    lines = []
    if present.get("mtu") != link.mtu:
        lines.append(f"link set {link.name} mtu {link.mtu}")
    has = {
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in present.get("addr_info", ())
        if entry.get("family") == "inet"
    }
    lines += [f"addr add {address} dev {link.name}" for address in link.addresses if address not in has]
    lines += [f"addr del {address} dev {link.name}" for address in sorted(has - set(link.addresses))]
    if link.kind == "vxlan" and "NOARP" not in present.get("flags", ()):
        lines.append(f"link set {link.name} arp off")
    if "UP" not in present.get("flags", ()):
        lines.append(f"link set {link.name} up")
    return lines


def without_addresses(line: str) -> str:
    """An `ip -batch` line as it may be logged: without link-layer addresses."""
    return _LINK_LAYER.sub("(address)", line)


def parse_neighbours(device: str, present: list[Present]) -> set[Neighbour]:
    """Our neighbours, from `ip -j neigh show nud permanent`: all of our `device`, and elsewhere those we marked."""
    return {
        Neighbour(entry["dev"], entry["dst"], entry.get("lladdr", ""))
        for entry in present
        if ":" not in entry["dst"] and (entry["dev"] == device or entry.get("protocol") == str(PROTOCOL))
    }


def neighbour_changes(wanted: frozenset[Neighbour], present: set[Neighbour]) -> list[str]:
    """The `ip -batch` lines from the neighbours that are there to the wanted ones."""
    addresses = {(entry.device, entry.address) for entry in wanted}
    lines = [
        f"neigh del {entry.address} dev {entry.device}"
        for entry in sorted(present)
        if (entry.device, entry.address) not in addresses
    ]
    lines += [
        f"neigh replace {entry.address} lladdr {entry.mac} dev {entry.device} nud permanent protocol {PROTOCOL}"
        for entry in sorted(wanted - present)
    ]
    return lines

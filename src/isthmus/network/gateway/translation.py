"""The nftables of a gateway: prefixes, mapped hosts, the unknown source, what is let through, MSS. Pure.

Rendered whole. A range that is the same on both sides has no rule; a peering where no range differs and no host is
mapped translates only what does not come from a pod. Names of chains say what they do to whom.
"""

from __future__ import annotations

from msgspec import Struct

from isthmus.network.dataplane import hops, overlay
from isthmus.network.remap import Pair


class Translation(Struct, frozen=True, kw_only=True):
    """What is translated: `hosts` are pairs of a real address and the one peers use."""

    pairs: tuple[Pair, ...]
    pod_cidrs: tuple[str, ...]
    unknown_source: str
    hosts: tuple[tuple[str, str], ...]
    peer_address: str
    port: int = hops.OVERLAY_PORT
    mss_clamp: bool = True


OVERLAY_IN, OVERLAY_OUT = f'iifname "{hops.OVERLAY}"', f'oifname "{hops.OVERLAY}"'
TUNNEL_IN, TUNNEL_OUT = f'iifname "{hops.TUNNEL}"', f'oifname "{hops.TUNNEL}"'


def render_translation(wanted: Translation) -> str:
    """The body of the gateway's table."""
    chains = {
        "destinations": ("nat hook prerouting priority dstnat", _destinations(wanted)),
        "sources": ("nat hook postrouting priority srcnat", _sources(wanted)),
        "passage": ("filter hook forward priority mangle", _passage(wanted)),
        "liveness": ("filter hook input priority filter", [
            f"udp dport {hops.PING_PORT} iifname != \"{hops.TUNNEL}\" drop",
            # The overlay's own packets never come by the tunnel or the overlay: inside one, a peer or a pod could
            # hide another packet from all that is looked at on its way.
            f"udp dport {wanted.port} iifname {{ \"{hops.OVERLAY}\", \"{hops.TUNNEL}\" }} counter drop",
        ]),
        "untracked_in": ("filter hook prerouting priority raw", [f"udp dport {wanted.port} notrack"]),
        "untracked_out": ("filter hook output priority raw", [f"udp dport {wanted.port} notrack"]),
    }  # fmt: skip
    lines = [*overlay.ADDRESSED]
    for name, (hook, rules) in chains.items():
        if rules:
            lines += [f"chain {name} {{", f"type {hook}; policy accept;", *rules, "}"]
    return "".join(f"{line}\n" for line in lines)


def _destinations(wanted: Translation) -> list[str]:
    rules = []
    if moved := _moved(wanted):
        pairs = ", ".join(f"{seen} : {real}" for real, seen in moved)
        rules.append(f"{OVERLAY_IN} dnat ip prefix to ip daddr map {{ {pairs} }}")
    if wanted.hosts:
        hosts = ", ".join(f"{seen} : {real}" for real, seen in sorted(wanted.hosts, key=lambda pair: pair[1]))
        rules.append(f"{TUNNEL_IN} dnat to ip daddr map {{ {hosts} }}")
    return rules


def _sources(wanted: Translation) -> list[str]:
    rules = []
    if moved := _moved(wanted):
        pairs = ", ".join(f"{real} : {seen}" for real, seen in moved)
        rules.append(f"{OVERLAY_OUT} snat ip prefix to ip saddr map {{ {pairs} }}")
    if wanted.pod_cidrs:
        rules.append(f"{TUNNEL_OUT} ip saddr {{ {', '.join(wanted.pod_cidrs)} }} return")
    # The gateway's own pings carry the tunnel's addresses, which both sides know.
    rules.append(f"{TUNNEL_OUT} ip daddr {wanted.peer_address} return")
    hosts: dict[str, str] = {}
    for real, seen in sorted(wanted.hosts):
        hosts.setdefault(real, seen)
    if hosts:
        pairs = ", ".join(f"{real} : {seen}" for real, seen in hosts.items())
        rules.append(f"{TUNNEL_OUT} snat to ip saddr map {{ {pairs} }}")
    if wanted.unknown_source:
        rules.append(f"{TUNNEL_OUT} snat to {wanted.unknown_source}")
    return rules


def _passage(wanted: Translation) -> list[str]:
    known = ", ".join(sorted(str(real) for real, _ in wanted.pairs))
    rules = [f"{TUNNEL_IN} ip saddr != {{ {known} }} counter drop" if known else f"{TUNNEL_IN} counter drop"]
    if not wanted.unknown_source and wanted.pod_cidrs:
        # Without an address of ours to take, what is no pod's could not be answered.
        rules.append(f"{TUNNEL_OUT} ip saddr != {{ {', '.join(wanted.pod_cidrs)} }} drop")
    if wanted.mss_clamp:
        rules.append(
            f'oifname {{ "{hops.OVERLAY}", "{hops.TUNNEL}" }} tcp flags syn / syn,rst'
            " tcp option maxseg size set rt mtu"
        )
    return rules


def _moved(wanted: Translation) -> list[Pair]:
    return [(real, seen) for real, seen in wanted.pairs if real != seen]

"""What can go wrong with a joined network, done for real: the tunnel cut; and what a pod is called abroad."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from tests.cluster.support import Cluster
from tests.switch import nft, node_range


@contextlib.contextmanager
def cut(one: str, other: str) -> Iterator[None]:
    """No UDP between the nodes of two clusters; their API servers stay in reach."""
    a, b = node_range(one), node_range(other)
    rules = f"""
        table bridge cut {{
            chain forward {{
                type filter hook forward priority 0;
                ip saddr {a} ip daddr {b} ip protocol udp drop
                ip saddr {b} ip daddr {a} ip protocol udp drop
            }}
        }}
    """
    nft("-f", "-", rules=rules)
    try:
        yield
    finally:
        nft("delete", "table", "bridge", "cut")


def seen_from(cluster: Cluster, peer: str, address: str) -> str:
    """The address under which a cluster sees a pod of a peer."""
    (configuration,) = cluster.items("configurations.networking.liqo.io", "-n", f"liqo-tenant-{peer}")
    pairs = zip(
        configuration["spec"]["remote"]["cidr"]["pod"],
        configuration["status"]["remote"]["cidr"]["pod"],
        strict=True,
    )
    for real, seen in pairs:
        if IPv4Address(address) in IPv4Network(real):
            offset = int(IPv4Address(address)) - int(IPv4Network(real).network_address)
            return str(IPv4Network(seen).network_address + offset)
    raise AssertionError(f"{address} is in none of {configuration['spec']['remote']}")

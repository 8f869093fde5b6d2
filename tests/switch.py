"""The lab's bridge, which all traffic between nodes crosses: where tests cut it and count it, outside every process.

Owns nothing: who adds a table takes it away. Fails with CalledProcessError where nftables refuses.
"""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Network

from isthmus import lab
from isthmus.lab.network import NETNS
from isthmus.lab.plan import site_from_environment


def nft(*words: str, rules: str | None = None) -> str:
    """What `nft` prints in the bridge's network namespace, given `rules` on its standard input."""
    command = ["nsenter", f"--net={NETNS / site_from_environment().switch}", "nft", *words]
    return subprocess.run(command, input=rules, capture_output=True, text=True, timeout=30, check=True).stdout


def node_range(cluster: str) -> IPv4Network:
    """The addresses of a cluster's nodes and of its API server."""
    address = next(one.address for one in lab.clusters() if one.name == cluster)
    return IPv4Network(f"{address}/24", strict=False)

"""What can go wrong with a joined network, done for real: processes killed, cables cut, tables flushed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from isthmus import lab
from tests.cluster.support import Cluster, run

SWITCH = "/run/netns/isthmus-switch"


@dataclass(frozen=True)
class Process:
    """A process of ours on this machine."""

    pid: int
    settings: dict[str, object]
    node: str

    def kill(self) -> None:
        """End it as the kernel would for want of memory."""
        os.kill(self.pid, signal.SIGKILL)

    def run(self, *command: str) -> str:
        """What a command prints in the network namespace of the process, with this machine's programs."""
        return run(["nsenter", f"--target={self.pid}", "--net", *command]).stdout


def processes(role: str) -> list[Process]:
    """The processes of a role, `gateway` or `node`, in all clusters of the lab."""
    found, variable = [], f"ISTHMUS_{role.upper()}="
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().split(b"\0")
            entries = (path / "environ").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        settings = next(
            (entry.removeprefix(variable) for entry in entries if entry.startswith(variable)), None
        )
        if settings is None or command[-2:-1] != [role.encode()]:
            continue
        node = next((entry[10:] for entry in entries if entry.startswith("NODE_NAME=")), "")
        found.append(Process(int(path.name), json.loads(settings), node))
    return found


def gateways(cluster: str) -> list[Process]:
    """The gateway processes of a cluster."""
    return [one for one in processes("gateway") if one.settings.get("cluster_id") == cluster]


def agent(node: str) -> Process:
    """The node agent of a node."""
    return next(one for one in processes("node") if one.node == node)


@contextlib.contextmanager
def cut(one: str, other: str) -> Iterator[None]:
    """No UDP between the nodes of two clusters; their API servers stay in reach."""
    ranges = {cluster.name: IPv4Network(f"{cluster.address}/24", strict=False) for cluster in lab.clusters()}
    a, b = ranges[one], ranges[other]
    rules = f"""
        table bridge cut {{
            chain forward {{
                type filter hook forward priority 0;
                ip saddr {a} ip daddr {b} ip protocol udp drop
                ip saddr {b} ip daddr {a} ip protocol udp drop
            }}
        }}
    """
    nft = ["nsenter", f"--net={SWITCH}", "nft"]
    subprocess.run([*nft, "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*nft, "delete", "table", "bridge", "cut"], check=True)


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

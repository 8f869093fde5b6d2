"""What the joined network costs beside its bare tunnel: throughput, latency, and our own CPU while traffic flows.

    PYTHONPATH=. .venv/bin/python tests/bench/network.py netns
    PYTHONPATH=. .venv/bin/python tests/bench/network.py lab [--beside-gateway]

`netns` joins two small clusters of network namespaces with gateways as processes of their own. `lab` measures two
joined clusters of the lab, between a pod of each, on other nodes than the gateways' unless told otherwise. The bare
tunnel is the same device between the same two gateways, without overlay and translation; both are measured in turns,
so that what else the machine does is shared. Needs root and a Debian machine, on which it installs iperf3. Exit code 1
where a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from isthmus.lab import packages
from isthmus.network.dataplane.hops import SERVER_ADDRESS
from tests.bench.network_lab import places

Prefix = tuple[str, ...]
THROUGHPUT, LATENCY = 0.9, 1.15
"""Targets, as parts of the bare tunnel's."""
PINGS = 200
CONGESTION = "cubic"
"""The default of Linux, whatever this machine's is: bbr's rates differ by half from one round to the next."""


def run(prefix: Prefix, *command: str) -> str:
    """Output of a command in a namespace. Raises CalledProcessError."""
    return subprocess.run((*prefix, *command), capture_output=True, text=True, check=True).stdout


def throughput(server: Prefix, client: Prefix, address: str, seconds: float) -> float:
    """Megabits a second over one TCP connection."""
    with subprocess.Popen((*server, "iperf3", "-s", "-1"), stdout=subprocess.DEVNULL) as listening:
        try:
            for _ in range(100):
                if ":5201" in run(server, "ss", "-ltn"):
                    break
                time.sleep(0.02)
            out = run(client, "iperf3", "-J", "-C", CONGESTION, "-c", address, "-t", str(seconds))
            listening.wait(10)
        finally:
            listening.kill()
    value: float = json.loads(out)["end"]["sum_received"]["bits_per_second"]
    return value / 1e6


def latency(client: Prefix, address: str) -> float:
    """Median milliseconds there and back of small echoes."""
    out = run(client, "busybox", "ping", "-c", str(PINGS), "-i", "0.01", "-s", "56", address)
    return statistics.median(float(value) for value in re.findall(r"time=([\d.]+) ms", out))


def cpu(pid: int) -> float:
    """Seconds of CPU a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def pss(pid: int) -> float:
    """MiB of memory that are a process's share."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure(
    pods: tuple[Prefix, Prefix],
    gateways: tuple[Prefix, Prefix],
    address: str,
    ours: Sequence[int],
    args: argparse.Namespace,
) -> bool:
    """Measure and print; whether both targets are met."""
    paths = {"bare tunnel": (gateways, SERVER_ADDRESS), "pod to pod": (pods, address)}
    rates: dict[str, list[float]] = {name: [] for name in paths}
    times: dict[str, list[float]] = {name: [] for name in paths}
    used, begun = [cpu(pid) for pid in ours], time.monotonic()
    for _ in range(args.rounds):
        for name, ((client, server), there) in paths.items():
            rates[name].append(throughput(server, client, there, args.seconds))
            times[name].append(latency(client, there))
    elapsed = time.monotonic() - begun
    for name in paths:
        print(
            f"{name:12} {statistics.median(rates[name]):8.0f} Mbit/s"
            f" {statistics.median(times[name]):8.3f} ms   rounds: {[round(rate) for rate in rates[name]]}"
        )
    rate, delay = (
        statistics.median(found["pod to pod"]) / statistics.median(found["bare tunnel"])
        for found in (rates, times)
    )
    print(
        f"throughput ratio {rate:.2f} (target >= {THROUGHPUT}), latency ratio {delay:.2f} (target <= {LATENCY})"
    )
    for pid, before in zip(ours, used, strict=True):
        share = (cpu(pid) - before) / elapsed
        print(f"our process {pid}: {share:.2%} of a CPU while traffic flowed, PSS {pss(pid):.1f} MiB")
    return rate >= THROUGHPUT and delay <= LATENCY


async def in_namespaces(args: argparse.Namespace) -> bool:
    """The measurement between two clusters of network namespaces."""
    import os

    from isthmus.lab import binaries
    from tests.network.netns.joined import SEEN_POD
    from tests.network.netns.processes import processes
    from tests.network.netns.support import clusters

    folder = binaries.ensure_wireguard(print).parent
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    with clusters() as pair, tempfile.TemporaryDirectory() as scratch:
        async with processes(pair, Path(scratch)) as joined:
            ours = [one.child.pid for one in joined.gateways if one.child is not None]
            await idle(ours, args.idle)
            carriers = [pid for one in joined.gateways for pid in one.carriers()]
            print(f"userspace WireGuard, idle: PSS {', '.join(f'{pss(pid):.1f} MiB' for pid in carriers)}")
            pods = (pair[0].pod.prefix, pair[1].pod.prefix)
            gateways = (pair[0].gateway.prefix, pair[1].gateway.prefix)
            return await asyncio.to_thread(measure, pods, gateways, SEEN_POD, ours, args)


async def idle(pids: Sequence[int], seconds: float) -> None:
    """Print what processes use while nothing happens but their own pings."""
    before = [cpu(pid) for pid in pids]
    await asyncio.sleep(seconds)
    for pid, used in zip(pids, before, strict=True):
        print(f"our process {pid}, idle: {(cpu(pid) - used) / seconds:.2%} of a CPU, PSS {pss(pid):.1f} MiB")


def inside(pid: int) -> Prefix:
    """What a command is prefixed with to run in the network of a process."""
    return ("nsenter", "-t", str(pid), "-n", "--")


def main() -> int:
    """Measure as the arguments say; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("where", choices=("netns", "lab"))
    parser.add_argument(
        "--beside-gateway", action="store_true", help="have the pods on their gateways' nodes (lab)"
    )
    parser.add_argument("--seconds", type=float, default=5, help="of each transfer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=20, help="seconds of idleness first")
    args = parser.parse_args()
    args.seconds = int(args.seconds) or 1
    packages.ensure((*packages.NETWORK, "iperf3"), print)
    if args.where == "netns":
        return 0 if asyncio.run(in_namespaces(args)) else 1
    with places(args.beside_gateway) as found:
        asyncio.run(idle(found.gateways, args.idle))
        pods, gateways = ((inside(one), inside(other)) for one, other in (found.pods, found.gateways))
        return 0 if measure(pods, gateways, found.address, found.gateways, args) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The footprint figures of docs/benchmarks.md: `make bench`, on the lab's clusters, nothing simulated, everything on.

For both control planes: PSS and CPU of every process from /proc. For the burst: the same Deployment made directly
on the provider (vanilla) and offloaded from the consumer, turn by turn in the same run. For the traffic: counters
on the lab's bridge. Needs root and Isthmus installed in both clusters; peers them, networks joined, if they are not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from tests.bench import footprint, report
from tests.bench.bursts import Clusters, burst, remove
from tests.bench.traffic import Traffic, difference, peak, rates
from tests.cluster.support import deployment, isthmus, lab_cluster

NAMESPACE = "bench"
SETTLE_SECONDS = 15.0
LOADED_SETTLE_SECONDS = 90.0
"""A kubelet writes the status of each pod once more about a minute after its start."""


async def measure(clusters: Clusters, pods: int, rounds: int, idle: float) -> dict[str, Any]:
    """All figures, as a JSON-ready dict."""
    for cluster in (clusters.rome, clusters.milan):
        cluster.kubectl("create", "namespace", NAMESPACE, check=False)
    isthmus("offload", "namespace", NAMESPACE, "--kubeconfig", str(clusters.rome.kubeconfig))
    figures: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "pods": pods, "idle_s": idle, "rounds": []}
    with Traffic("rome", "milan") as traffic:
        await asyncio.sleep(SETTLE_SECONDS)
        figures["load"] = os.getloadavg()[0]
        figures["yardstick_ms"] = yardstick()
        figures["idle"] = await idle_figures(traffic, idle)
        for _ in range(rounds):
            figures["rounds"].append(await one_round(clusters, traffic, pods, idle))
    return figures


def yardstick() -> float:
    """Milliseconds of CPU for a million additions in Python: how quick the machine is, which differs by the hour."""
    started, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    return (time.process_time() - started) * 1000


async def idle_figures(traffic: Traffic, seconds: float) -> dict[str, Any]:
    """PSS now, and the CPU and traffic of `seconds` in which nothing is asked of the control planes."""
    before = traffic.read()
    cpu = await footprint.percent(seconds)
    return {"pss_mb": footprint.pss(), "cpu_percent": cpu, "kbit_s": rates(before, traffic.read())}


async def one_round(clusters: Clusters, traffic: Traffic, pods: int, idle: float) -> dict[str, Any]:
    """Vanilla on the provider, then the same Deployment offloaded, left alone for a while, and removed."""
    vanilla = await burst(
        clusters.abroad, clusters.milan, NAMESPACE, deployment("burst", replicas=pods), pods
    )
    await remove(clusters.milan, NAMESPACE, [])
    await asyncio.sleep(SETTLE_SECONDS)
    figures = await offloaded(clusters, traffic, pods)
    await asyncio.sleep(LOADED_SETTLE_SECONDS)
    loaded = await idle_figures(traffic, idle)
    await remove(clusters.rome, NAMESPACE, [(clusters.milan, f"{NAMESPACE}-rome")])
    await asyncio.sleep(SETTLE_SECONDS)
    return {"vanilla_s": vanilla, **figures, "loaded": loaded}


async def offloaded(clusters: Clusters, traffic: Traffic, pods: int) -> dict[str, Any]:
    """The burst offloaded: its seconds, what it cost in CPU and bytes, and the most traffic over a second."""
    meter, before = footprint.Meter(), traffic.read()
    traffic.samples = [before]
    sampling = asyncio.create_task(traffic.sample())
    manifest = deployment("burst", replicas=pods, remote_only=True)
    took = await burst(clusters.home, clusters.rome, NAMESPACE, manifest, pods)
    await asyncio.sleep(5)
    sampling.cancel()
    return {
        "offloaded_s": took,
        "cpu_s": meter.seconds(),
        "bytes": difference(before, traffic.read()),
        "peak_kbit_s": peak(traffic.samples),
    }


async def main(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the document's table unless told otherwise."""
    rome, milan = lab_cluster("rome"), lab_cluster("milan")
    isthmus(
        "peer",
        *("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig)),
        *("--gw-server-service-type", "NodePort"),
    )
    async with (
        Client(load_kubeconfig(rome.kubeconfig)) as home,
        Client(load_kubeconfig(milan.kubeconfig)) as abroad,
    ):
        clusters = Clusters(rome, milan, home, abroad)
        figures = await measure(clusters, arguments.pods, arguments.rounds, arguments.idle)
    await asyncio.to_thread(publish, figures, arguments.json, arguments.write)


def publish(figures: dict[str, Any], raw: str | None, write: bool) -> None:
    """Print the table; write the raw figures and the document's table where asked."""
    text = report.render(figures)
    print(text)
    if raw:
        Path(raw).write_text(json.dumps(figures, indent=1))
    if write:
        report.write(text)


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=100, help="pods a burst")
    parser.add_argument("--rounds", type=int, default=3, help="bursts of each kind")
    parser.add_argument(
        "--idle", type=float, default=60, help="seconds over which idle CPU and traffic are taken"
    )
    parser.add_argument("--json", help="write the raw figures to this file")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))

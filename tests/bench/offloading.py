"""The footprint figures of docs/benchmarks.md: `make bench`, on the lab's clusters, nothing simulated.

For the controllers of both clusters: PSS and CPU from /proc. For the burst: the same Deployment made directly
on the provider (vanilla) and offloaded from the consumer, turn by turn in the same run; a pod counts as Ready
when our own watch sees it so. For the traffic: nftables counters in the network namespace of the consumer's
controller, so that TLS and TCP are in the figure. Needs root; peers the clusters if they are not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import field

from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Base
from tests.cluster.support import Cluster, deployment, eventually, isthmus, lab_cluster

NAMESPACE = "bench"
DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


class Condition(Base, frozen=True, kw_only=True):
    """A pod's condition."""

    type: str = ""
    status: str = ""


class Status(Base, frozen=True, kw_only=True):
    """What of a pod's status tells whether it is Ready."""

    conditions: list[Condition] = field(default_factory=list)


@dataclass
class Process:
    """A controller's process and what it used."""

    pid: int
    cluster: str

    def pss(self) -> float:
        """Proportional set size in MB (1,000,000 bytes)."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return (
            int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))) * 1024 / 1e6
        )

    def cpu(self) -> float:
        """CPU seconds of the process and the children it waited for."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(fields[n]) for n in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def controllers() -> dict[str, Process]:
    """The controller of each cluster id, found by what it was started with."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().split(b"\0")
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        options = next((e[16:] for e in environment if e.startswith(b"ISTHMUS_OPTIONS=")), b"")
        if b"isthmus" in command and b"controller" in command and options:
            cluster = json.loads(options)["cluster_id"]
            found[cluster] = Process(int(path.name), cluster)
    return found


class Traffic:
    """Counts bytes between the consumer's controller and the provider's API server, outside the process."""

    def __init__(self, pid: int, server: str) -> None:
        address = urlsplit(server)
        self._enter = ["nsenter", "-t", str(pid), "-n", "nft"]
        host, port = address.hostname, address.port
        table = f"""table inet isthmus_bench {{
            counter sent {{}}
            counter received {{}}
            chain out {{
                type filter hook output priority 0;
                ip daddr {host} tcp dport {port} counter name sent;
            }}
            chain in {{
                type filter hook input priority 0;
                ip saddr {host} tcp sport {port} counter name received;
            }}
        }}
        """
        subprocess.run([*self._enter, "-f", "-"], input=table, text=True, check=True)

    def bytes(self) -> tuple[int, int]:
        """(sent, received) so far."""
        listing = subprocess.run(
            [*self._enter, "-j", "list", "counters", "table", "inet", "isthmus_bench"],
            capture_output=True,
            text=True,
            check=True,
        )
        counters = {
            entry["counter"]["name"]: entry["counter"]["bytes"]
            for entry in json.loads(listing.stdout)["nftables"]
            if "counter" in entry
        }
        return counters["sent"], counters["received"]

    def close(self) -> None:
        """Take the counters away again."""
        subprocess.run([*self._enter, "delete", "table", "inet", "isthmus_bench"], check=True)


@dataclass
class Clusters:
    """Both clusters and their admin clients."""

    rome: Cluster
    milan: Cluster
    home: Client
    abroad: Client


def _is_ready(pod: Pod) -> bool:
    status = msgspec.json.decode(pod.status, type=Status)
    return any(c.type == "Ready" and c.status == "True" for c in status.conditions)


async def burst(
    client: Client, cluster: Cluster, namespace: str, manifest: dict[str, Any], pods: int
) -> float:
    """Make the Deployment and wait until all its pods are Ready; returns the seconds."""
    informer = Informer(client, PODS, namespace)
    done = asyncio.Event()
    ready: set[str] = set()

    def watch(_: Pod | None, new: Pod | None) -> None:
        if new is not None and _is_ready(new):
            ready.add(new.metadata.uid)
            if len(ready) == pods:
                done.set()

    informer.add_handler(watch)
    running = asyncio.create_task(informer.run())
    await informer.synced.wait()
    manifest["metadata"]["namespace"] = namespace
    start = time.monotonic()
    await asyncio.to_thread(cluster.apply, manifest)
    await asyncio.wait_for(done.wait(), 300)
    took = time.monotonic() - start
    running.cancel()
    return took


async def remove(cluster: Cluster, namespace: str, others: list[tuple[Cluster, str]]) -> None:
    """Delete the Deployment and wait until no pod of it is left anywhere."""

    def gone() -> bool:
        return not any(c.items("pods", "-n", n) for c, n in [(cluster, namespace), *others])

    await asyncio.to_thread(cluster.kubectl, "delete", "deployment", "--all", "-n", namespace)
    await asyncio.to_thread(eventually, gone, within=180, what="the end of the burst's pods", every=1)


async def measure(clusters: Clusters, pods: int, rounds: int, idle: float) -> dict[str, Any]:
    """All figures, as a JSON-ready dict."""
    figures: dict[str, Any] = {"pods": pods, "rounds": []}
    processes = controllers()
    for name in ("rome", "milan"):
        clusters_namespace = clusters.rome if name == "rome" else clusters.milan
        clusters_namespace.kubectl("create", "namespace", NAMESPACE, check=False)
    isthmus("offload", "namespace", NAMESPACE, "--kubeconfig", str(clusters.rome.kubeconfig))
    await asyncio.sleep(15)
    figures["idle"] = await idle_figures(processes, idle)
    traffic = Traffic(processes["rome"].pid, clusters.milan.server)
    try:
        for _ in range(rounds):
            figures["rounds"].append(await one_round(clusters, processes, traffic, pods, idle))
    finally:
        traffic.close()
    return figures


async def idle_figures(processes: dict[str, Process], seconds: float) -> dict[str, Any]:
    """PSS now, and the share of a core over `seconds` in which nothing is asked of the controllers."""
    before = {name: process.cpu() for name, process in processes.items()}
    await asyncio.sleep(seconds)
    return {
        name: {
            "pss_mb": process.pss(),
            "cpu_percent": (process.cpu() - before[name]) / seconds * 100,
        }
        for name, process in processes.items()
    }


async def one_round(
    clusters: Clusters, processes: dict[str, Process], traffic: Traffic, pods: int, idle: float
) -> dict[str, Any]:
    """Vanilla on the provider, then the same Deployment offloaded."""
    vanilla = await burst(
        clusters.abroad, clusters.milan, NAMESPACE, deployment("burst", replicas=pods), pods
    )
    await remove(clusters.milan, NAMESPACE, [])
    await asyncio.sleep(5)
    before = {name: process.cpu() for name, process in processes.items()}
    sent, received = traffic.bytes()
    offloaded = await burst(
        clusters.home, clusters.rome, NAMESPACE, deployment("burst", replicas=pods, remote_only=True), pods
    )
    await asyncio.sleep(5)
    now_sent, now_received = traffic.bytes()
    cpu = {name: process.cpu() - before[name] for name, process in processes.items()}
    loaded = await idle_figures(processes, idle)
    await remove(clusters.rome, NAMESPACE, [(clusters.milan, f"{NAMESPACE}-rome")])
    await asyncio.sleep(5)
    return {
        "vanilla_s": vanilla,
        "offloaded_s": offloaded,
        "cpu_s": cpu,
        "sent_bytes": now_sent - sent,
        "received_bytes": now_received - received,
        "loaded": loaded,
    }


def render(figures: dict[str, Any]) -> str:
    """The figures as the Markdown that goes into docs/benchmarks.md."""
    rounds, pods = figures["rounds"], figures["pods"]

    def spread(values: list[float], unit: str, digits: int = 1) -> str:
        middle = statistics.median(values)
        if len(values) == 1:
            return f"{middle:.{digits}f}{unit}"
        return f"{middle:.{digits}f}{unit} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    def row(label: str, get: Any, unit: str, budget: str, digits: int = 1) -> str:
        return f"| {label} | {spread([get(r) for r in rounds], unit, digits)} | {budget} |"

    idle = figures["idle"]
    lines = [
        f"Taken {time.strftime('%Y-%m-%d')} by `make bench` on {os.cpu_count()} cores, Linux {platform.release()}; "
        f"{pods} pods a burst, {len(rounds)} bursts; median (least to most).",
        "",
        "| what | measured | budget |",
        "|---|---|---|",
        f"| consumer, peered and idle, PSS | {idle['rome']['pss_mb']:.1f} MB | |",
        f"| provider, peered and idle, PSS | {idle['milan']['pss_mb']:.1f} MB | |",
        f"| consumer, peered and idle, CPU | {idle['rome']['cpu_percent']:.2f} % of a core | 0.5 % |",
        f"| provider, peered and idle, CPU | {idle['milan']['cpu_percent']:.2f} % of a core | 0.5 % |",
        row(
            f"consumer with {pods} offloaded pods, PSS",
            lambda r: r["loaded"]["rome"]["pss_mb"],
            " MB",
            "60 MB",
        ),
        row(
            f"provider with {pods} offloaded pods, PSS",
            lambda r: r["loaded"]["milan"]["pss_mb"],
            " MB",
            "50 MB",
        ),
        row(
            f"consumer with {pods} pods, idle CPU",
            lambda r: r["loaded"]["rome"]["cpu_percent"],
            " % of a core",
            "0.5 %",
            2,
        ),
        row("consumer CPU a pod of the burst", lambda r: r["cpu_s"]["rome"] / pods * 1000, " ms", "20 ms"),
        row("provider CPU a pod of the burst", lambda r: r["cpu_s"]["milan"] / pods * 1000, " ms", ""),
        row("burst to all Ready, vanilla on the provider", lambda r: r["vanilla_s"], " s", ""),
        row("burst to all Ready, offloaded", lambda r: r["offloaded_s"], " s", ""),
        row("offloaded to vanilla", lambda r: r["offloaded_s"] / r["vanilla_s"], "", "1.25", 2),
        row("bytes to the provider's API server, a pod", lambda r: r["sent_bytes"] / pods / 1000, " kB", ""),
        row(
            "bytes from the provider's API server, a pod",
            lambda r: r["received_bytes"] / pods / 1000,
            " kB",
            "",
        ),
    ]
    return "\n".join(lines)


async def main(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the document's table unless told otherwise."""
    rome, milan = lab_cluster("rome"), lab_cluster("milan")
    isthmus("peer", "--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig))
    async with (
        Client(load_kubeconfig(rome.kubeconfig)) as home,
        Client(load_kubeconfig(milan.kubeconfig)) as abroad,
    ):
        clusters = Clusters(rome, milan, home, abroad)
        figures = await measure(clusters, arguments.pods, arguments.rounds, arguments.idle)
    await asyncio.to_thread(publish, figures, arguments.json, arguments.write)


def publish(figures: dict[str, Any], raw: str | None, write: bool) -> None:
    """Print the table; write the raw figures and the document's table where asked."""
    text = render(figures)
    print(text)
    if raw:
        Path(raw).write_text(json.dumps(figures, indent=1))
    if write:
        document = DOCUMENT.read_text()
        head, rest = document.split(BEGIN)
        DOCUMENT.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=100, help="pods a burst")
    parser.add_argument("--rounds", type=int, default=3, help="bursts of each kind")
    parser.add_argument("--idle", type=float, default=60, help="seconds over which idle CPU is taken")
    parser.add_argument("--json", help="write the raw figures to this file")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))

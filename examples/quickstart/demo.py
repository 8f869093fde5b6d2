"""`make demo`: from nothing to a pod of one cluster that runs in the other, with every command shown.

Each step prints the very command a user would type, its output where it says something, and its time. What
the lab had up already is used again; the clusters stay up at the end. A failing step ends the demo with its
command, its output and exit code 1.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ISTHMUS = Path(sys.executable).parent / "isthmus"
NAMESPACE = "demo"


class Demo:
    """The steps, their times, and how commands are shown."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self.kubeconfigs: dict[str, str] = {}

    def step(self, title: str) -> None:
        """Begin a step."""
        print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}", flush=True)
        self.times.append((title, time.monotonic()))

    def run(self, *command: str, show: bool = True, quiet: bool = False) -> str:
        """Run a command, shown as a user would type it; returns its standard output."""
        if show:
            print("$ " + self._shown(command), flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout, end="")
            sys.exit(f"demo: the command above ended with exit code {done.returncode}")
        if not quiet:
            print(done.stdout, end="", flush=True)
        return done.stdout

    def _shown(self, command: tuple[str, ...]) -> str:
        return shlex.join(command).replace(str(ISTHMUS), "isthmus")

    def isthmus(self, *arguments: str, quiet: bool = False, show: bool = True) -> str:
        """Run the isthmus command."""
        return self.run(str(ISTHMUS), *arguments, quiet=quiet, show=show)

    def on(self, cluster: str, *arguments: str, quiet: bool = False, show: bool = True) -> str:
        """Run stock kubectl against a cluster."""
        return self.isthmus("lab", "kubectl", cluster, *arguments, quiet=quiet, show=show)

    def clusters(self) -> list[dict[str, Any]]:
        """What the lab says of its clusters, none where it is not up."""
        command = [str(ISTHMUS), "lab", "status", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found: list[dict[str, Any]] = json.loads(done.stdout or "[]") if done.returncode == 0 else []
        return found


def main() -> None:
    """The demo, step by step."""
    demo = Demo()
    bring_up(demo)
    join(demo)
    offload(demo)
    show(demo)
    report(demo)


def bring_up(demo: Demo) -> None:
    """Two clusters with the image on their nodes; used again where they are up."""
    demo.step("Two real Kubernetes clusters, rome and milan")
    clusters = demo.clusters()
    if len(clusters) >= 2 and all(cluster["phase"] == "up" for cluster in clusters):
        print("They are up already.")
    else:
        demo.isthmus("lab", "down", quiet=True, show=False)
        demo.isthmus("lab", "up")
        clusters = demo.clusters()
    demo.kubeconfigs = {cluster["name"]: cluster["kubeconfig"] for cluster in clusters}
    demo.step("The image of Isthmus, built and loaded")
    demo.isthmus("lab", "images", "build")
    demo.step("Isthmus installed in both")
    for cluster in clusters[:2]:
        name, path, server = cluster["name"], cluster["kubeconfig"], cluster["server"]
        demo.isthmus("install", "--kubeconfig", path, "--cluster-id", name, "--api-server-url", server)


def join(demo: Demo) -> None:
    """Rome becomes a consumer of milan."""
    demo.step("Peering: rome may use milan")
    demo.isthmus(
        "peer", "--kubeconfig", demo.kubeconfigs["rome"], "--remote-kubeconfig", demo.kubeconfigs["milan"]
    )
    demo.on("rome", "get", "nodes")


def offload(demo: Demo) -> None:
    """A Deployment of rome whose pods run in milan."""
    demo.step("A Deployment of rome, offloaded to milan")
    if NAMESPACE not in demo.on("rome", "get", "namespaces", "-o", "name", quiet=True, show=False):
        demo.on("rome", "create", "namespace", NAMESPACE)
    demo.isthmus("offload", "namespace", NAMESPACE, "--kubeconfig", demo.kubeconfigs["rome"])
    demo.on("rome", "apply", "-n", NAMESPACE, "-f", str(HERE / "hello.yaml"))
    demo.on("rome", "rollout", "status", "-n", NAMESPACE, "deployment/hello", "--timeout=120s")


def show(demo: Demo) -> None:
    """Where the pods are, a line of a log and a command run in one, all asked of rome."""
    demo.step("Where the pods are")
    demo.on("rome", "get", "pods", "-n", NAMESPACE, "-o", "wide")
    demo.on("milan", "get", "pods", "-n", f"{NAMESPACE}-rome", "-o", "wide")
    demo.step("A log line and an exec, asked of rome, answered from milan")
    demo.on("rome", "logs", "-n", NAMESPACE, "deployment/hello", "--tail=1")
    demo.on("rome", "exec", "-n", NAMESPACE, "deployment/hello", "--", "sh", "-c", "echo I run on $NODE")
    demo.step("What the control plane costs")
    for name, (memory, processor) in control_planes().items():
        print(f"{name}: {memory:.1f} MB PSS, {processor:.2f} s CPU since its start")


def control_planes() -> dict[str, tuple[float, float]]:
    """Cluster id -> (megabytes PSS, CPU seconds) of each controller on this machine, read from /proc."""
    found: dict[str, tuple[float, float]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
            options = next((e[16:] for e in environment if e.startswith(b"ISTHMUS_OPTIONS=")), b"")
            if b"isthmus" not in command or b"controller" not in command or not options:
                continue
            rollup = (process / "smaps_rollup").read_text()
            times = (process / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        ticks = sum(int(times[field]) for field in (11, 12, 13, 14))
        found[json.loads(options)["cluster_id"]] = (pss / 1000, ticks / os.sysconf("SC_CLK_TCK"))
    return found


def report(demo: Demo) -> None:
    """The times, what to try next, and how to end it."""
    ends = [start for _, start in demo.times[1:]] + [time.monotonic()]
    print("\nTimes:")
    for (title, start), end in zip(demo.times, ends, strict=True):
        print(f"  {end - start:6.1f} s  {title}")
    rome = demo.kubeconfigs["rome"]
    print(
        f"""
The clusters stay up. Try next:
  export KUBECONFIG={rome}
  alias isthmus={ISTHMUS}
  isthmus lab kubectl rome scale -n {NAMESPACE} deployment/hello --replicas=20
  isthmus lab kubectl rome logs -f -n {NAMESPACE} deployment/hello
  isthmus info
  isthmus unpeer --remote-kubeconfig {demo.kubeconfigs["milan"]}
Remove everything:
  make lab-down"""
    )


if __name__ == "__main__":
    main()

"""`make demo`: from nothing to a pod of one cluster that runs in the other, with every command shown.

Each step prints the very command a user would type, its output where it says something, and its time. What
the lab had up already is used again; the clusters stay up at the end. A failing step ends the demo with its
command, its output and exit code 1.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.processes import processes

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
        """Run a command, shown as a user would type it; returns its standard output where that is not shown."""
        if show:
            print("$ " + self._shown(command), flush=True)
        # What is shown goes straight to where ours goes: line by line, and to a terminal as to one.
        done = subprocess.run(command, stdout=subprocess.PIPE if quiet else None, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout or "", end="")
            sys.exit(f"demo: {self._shown(command)} ended with exit code {done.returncode}")
        return done.stdout or ""

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
        print("They are up already.", flush=True)
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
    """Rome becomes a consumer of milan, and the pods of both reach one another."""
    demo.step("Peering: rome may use milan, and their pod networks are joined")
    both = ("--kubeconfig", demo.kubeconfigs["rome"], "--remote-kubeconfig", demo.kubeconfigs["milan"])
    # The lab has no load balancer.
    demo.isthmus("peer", *both, "--gw-server-service-type", "NodePort")
    demo.isthmus("info", "peer", "milan", "--kubeconfig", demo.kubeconfigs["rome"])
    demo.on("rome", "get", "nodes")


def offload(demo: Demo) -> None:
    """A Deployment of rome whose pods run in milan."""
    demo.step("A Deployment of rome, offloaded to milan")
    if NAMESPACE not in demo.on("rome", "get", "namespaces", "-o", "name", quiet=True, show=False):
        demo.on("rome", "create", "namespace", NAMESPACE)
    demo.isthmus("offload", "namespace", NAMESPACE, "--kubeconfig", demo.kubeconfigs["rome"])
    demo.on("rome", "apply", "-n", NAMESPACE, "-f", str(HERE / "hello.yaml"))
    for name in ("hello", "home"):
        demo.on("rome", "rollout", "status", "-n", NAMESPACE, f"deployment/{name}", "--timeout=120s")


def show(demo: Demo) -> None:
    """Where the pods are, a line of a log and a command run in one, all asked of rome."""
    demo.step("Where the pods are")
    demo.on("rome", "get", "pods", "-n", NAMESPACE, "-o", "wide")
    demo.on("milan", "get", "pods", "-n", f"{NAMESPACE}-rome", "-o", "wide")
    demo.step("A log line and an exec, asked of rome, answered from milan")
    demo.on("rome", "logs", "-n", NAMESPACE, "deployment/hello", "--tail=1")
    demo.on("rome", "exec", "-n", NAMESPACE, "deployment/hello", "--", "sh", "-c", "echo I run on $NODE")
    demo.step("A request from a pod at home to a pod abroad, and the other way")
    print(
        "Both clusters use the same addresses, 10.244.0.0/16; each sees the other's pods as 10.0.0.0/16.",
        flush=True,
    )
    path = "{.items[0].status.podIP}"
    query = ("get", "pods", "-n", NAMESPACE, "-l", "app=hello", "-o", f"jsonpath={path}")
    abroad = demo.on("rome", *query, quiet=True, show=False)
    fetch = ("--", "curl", "-fsS", "--max-time", "5")
    demo.on("rome", "exec", "-n", NAMESPACE, "deployment/home", *fetch, f"http://{abroad}:8080")
    service = "curl -fsS --max-time 5 http://$HOME_SERVICE_HOST"
    demo.on("rome", "exec", "-n", NAMESPACE, "deployment/hello", "--", "sh", "-c", service)
    demo.step("What the control plane costs")
    for name, (memory, processor) in control_planes().items():
        print(
            f"{name}: {memory:.1f} MB PSS, {processor:.2f} s CPU since the start: controller, node agents, gateway",
            flush=True,
        )


def control_planes() -> dict[str, tuple[float, float]]:
    """Cluster id -> (megabytes PSS, CPU seconds) of all processes of ours in it, read from /proc."""
    found: dict[str, tuple[float, float]] = {}
    for process in processes():
        memory, seconds = found.get(process.cluster, (0.0, 0.0))
        found[process.cluster] = (memory + process.pss(), seconds + process.cpu())
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

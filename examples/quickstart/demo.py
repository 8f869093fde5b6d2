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

HERE = Path(__file__).parent
ISTHMUS = Path(sys.executable).parent / "isthmus"
CONFIGURATION = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "isthmus"
NAMESPACE = "demo"


class Demo:
    """The steps, their times, and how commands are shown."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self.kubectl = "kubectl"
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
        text = shlex.join(command)
        return text.replace(str(ISTHMUS), "isthmus").replace(self.kubectl, "kubectl")

    def isthmus(self, *arguments: str, quiet: bool = False, show: bool = True) -> str:
        """Run the isthmus command."""
        return self.run(str(ISTHMUS), *arguments, quiet=quiet, show=show)

    def on(self, cluster: str, *arguments: str, quiet: bool = False, show: bool = True) -> str:
        """Run stock kubectl against a cluster."""
        return self.run(
            self.kubectl, "--kubeconfig", self.kubeconfigs[cluster], *arguments, quiet=quiet, show=show
        )


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
    status = json.loads(demo.isthmus("lab", "status", "-o", "json", quiet=True, show=False) or "{}")
    clusters = status.get("clusters", [])
    if len(clusters) >= 2 and all(cluster["healthy"] for cluster in clusters):
        print("They are up already.")
    else:
        demo.isthmus("lab", "down", quiet=True, show=False)
        demo.isthmus("lab", "up")
    status = json.loads(demo.isthmus("lab", "status", "-o", "json", quiet=True, show=False))
    demo.kubectl = status["kubectl"]
    CONFIGURATION.mkdir(parents=True, exist_ok=True)
    for name in ("rome", "milan"):
        path = CONFIGURATION / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(demo.isthmus("lab", "kubeconfig", name, quiet=True, show=False))
        demo.kubeconfigs[name] = str(path)
    demo.step("The image of Isthmus, built and loaded")
    demo.isthmus("lab", "images", "build")
    demo.step("Isthmus installed in both")
    servers = {cluster["name"]: cluster["server"] for cluster in status["clusters"]}
    for name, path in demo.kubeconfigs.items():
        demo.isthmus("install", "--kubeconfig", path, "--cluster-id", name, "--api-server-url", servers[name])


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
  {demo.kubectl} scale -n {NAMESPACE} deployment/hello --replicas=20
  {demo.kubectl} logs -f -n {NAMESPACE} deployment/hello
  {ISTHMUS} info
  {ISTHMUS} unpeer --remote-kubeconfig {demo.kubeconfigs["milan"]}
Remove everything:
  make lab-down"""
    )


if __name__ == "__main__":
    main()

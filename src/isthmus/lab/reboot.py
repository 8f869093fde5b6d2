"""A worker node that crashes and comes back, as a machine does whose power was cut.

Everything of its kernel is lost: processes, links, routes, rules, mounts, what is in /run. What is on its disk
stays: images, the kubelet's and containerd's files. Fails with `LabError`.
"""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from isthmus.lab import cgroups, cluster, network, node, processes, state
from isthmus.lab.errors import LabError
from isthmus.lab.plan import Cluster, Site, Worker, namespace

KILL_SECONDS = 30.0
VOLATILE = ("run", "netns")


def reboot_node(site: Site, name: str) -> None:
    """Crash a worker node and start it again; returns when its programs run. Raises LabError."""
    record = state.require(site)
    found, worker = _find(record.plan(site), name)
    programs = Path(record.binaries[found.name])
    with state.locked(site):
        _crash(site, worker)
        cgroups.remove(f"{site.cgroup}/{worker.name}")
        cgroups.create(site.cgroup, [worker.name])
        network.create_again(site, found, worker)
        cluster.start_node(site, worker, programs)


def _find(clusters: tuple[Cluster, ...], name: str) -> tuple[Cluster, Worker]:
    for one in clusters:
        for worker in one.workers:
            if worker.name == name:
                return one, worker
    names = ", ".join(worker.name for one in clusters for worker in one.workers)
    raise LabError(f"no worker node {name!r}: there are {names}")


def _crash(site: Site, worker: Worker) -> None:
    """Kill every process of the node and forget what a reboot loses. Raises LabError when some will not go."""
    holder = processes.find(site, worker.name, node.HOLDER)
    namespaces = {
        _identity(Path(f"/proc/{holder.pid}/ns/mnt")),
        _identity(network.NETNS / namespace(site, worker.name)),
    } - {None}
    deadline = time.monotonic() + KILL_SECONDS
    while pids := _members(site, worker, namespaces):
        if time.monotonic() > deadline:
            raise LabError(f"these processes of {worker.name} do not end: {sorted(pids)}")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(processes.POLL_SECONDS)
    for part in VOLATILE:
        folder = node.folder(site, worker.name) / part
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)


def _members(site: Site, worker: Worker, namespaces: set[tuple[int, int] | None]) -> set[int]:
    """The node's programs, by the namespaces they share, and what runs in its pods, by their control group."""
    found = set()
    in_pods = cgroups.members(f"{site.cgroup}/{worker.name}")
    for pid in cgroups.members(site.cgroup):
        places = {_identity(Path(f"/proc/{pid}/ns/{kind}")) for kind in ("mnt", "net")}
        if pid in in_pods or places & namespaces:
            found.add(pid)
    return found


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one namespace from another; None where the process is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

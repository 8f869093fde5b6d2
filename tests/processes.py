"""The processes of ours that run in the lab's clusters, found in /proc: which they are and what they use.

A process is ours when it is in a container of the lab that `python3 -m isthmus ROLE` was started in, so programs
that a role starts (userspace WireGuard) count too. Which lab and which node follow from the control group, so
that several labs on one machine do not mix. A process that ends while it is read is left out or raises OSError.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import lab
from isthmus.lab.plan import site_from_environment

PROC = Path("/proc")
SETTINGS = {"controller": "ISTHMUS_OPTIONS", "gateway": "ISTHMUS_GATEWAY", "node": "ISTHMUS_NODE"}


@contextlib.contextmanager
def halted(pid: int) -> Iterator[None]:
    """A process, of ours or of Kubernetes', does nothing until the block ends, as on a machine that hangs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Process:
    """A process of ours: its role is that of its container, its program is `isthmus` or what it started."""

    pid: int
    role: str
    program: str
    cluster: str
    node: str
    settings: dict[str, Any]

    def kill(self) -> None:
        """End it as the kernel would for want of memory."""
        os.kill(self.pid, signal.SIGKILL)

    def stopped(self) -> contextlib.AbstractContextManager[None]:
        """It does nothing for a while; what it started goes on."""
        return halted(self.pid)

    def run(self, *command: str) -> str:
        """What a command prints in the network namespace of the process, with this machine's programs."""
        enter = ["nsenter", f"--target={self.pid}", "--net"]
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, timeout=120, check=True
        ).stdout

    def pss(self) -> float:
        """Proportional set size in MB (1,000,000 bytes). Raises OSError when it has ended."""
        lines = (PROC / str(self.pid) / "smaps_rollup").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) * 1024 / 1e6

    def cpu(self) -> float:
        """CPU seconds of the process and of the children it waited for. Raises OSError when it has ended."""
        fields = (PROC / str(self.pid) / "stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(fields[n]) for n in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def processes(role: str | None = None, cluster: str | None = None) -> list[Process]:
    """Our processes in the lab's clusters, in the order of cluster, role, node and pid.

    Only those of a role or a cluster where given. The children of a role are among them: see `mains`.
    """
    nodes = {worker.name: one.name for one in lab.clusters() for worker in one.workers}
    containers: dict[str, dict[int, tuple[bytes, ...]]] = {}
    for path in PROC.glob("[0-9]*"):
        try:
            # A process that has ended and is not waited for yet has no command line any more.
            command = tuple((path / "cmdline").read_bytes().split(b"\0")[:-1])
            if command and (group := _container(path)):
                containers.setdefault(group, {})[int(path.name)] = command
        except OSError:
            continue
    found = [one for group, members in containers.items() for one in _ours(group, members, nodes)]
    found = [one for one in found if role in (None, one.role) and cluster in (None, one.cluster)]
    return sorted(found, key=lambda one: (one.cluster, one.role, one.node, one.pid))


def mains(role: str, cluster: str | None = None) -> list[Process]:
    """The processes that are a role itself, `controller`, `gateway` or `node`, without what they started."""
    return [one for one in processes(role, cluster) if one.program == "isthmus"]


def agent(node: str) -> Process:
    """The node agent of a node."""
    return next(one for one in mains("node") if one.node == node)


def _container(path: Path) -> str | None:
    """The control group of a process below the lab's own, where it is a pod's container."""
    for line in (path / "cgroup").read_text().splitlines():
        _, _, group = line.partition(f":/{site_from_environment().cgroup}/")
        if "/kubepods/" in group:
            return group
    return None


def _role(command: tuple[bytes, ...]) -> str | None:
    words = [word.decode(errors="replace") for word in command]
    return words[-1] if words[-3:-1] == ["-m", "isthmus"] and words[-1] in SETTINGS else None


def _ours(group: str, members: dict[int, tuple[bytes, ...]], nodes: dict[str, str]) -> list[Process]:
    """What a container's processes are; none where no role of ours runs in it."""
    node = group.split("/", 1)[0]
    main = next((pid for pid, command in members.items() if _role(command)), None)
    if main is None or node not in nodes:
        return []
    role = str(_role(members[main]))
    try:
        settings = _settings(main, SETTINGS[role])
    except OSError:
        return []
    return [
        Process(pid, role, _program(command), nodes[node], node, settings) for pid, command in members.items()
    ]


def _program(command: tuple[bytes, ...]) -> str:
    return "isthmus" if _role(command) else Path(command[0].decode(errors="replace")).name


def _settings(pid: int, variable: str) -> dict[str, Any]:
    for entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == variable.encode():
            return dict(json.loads(value))
    return {}

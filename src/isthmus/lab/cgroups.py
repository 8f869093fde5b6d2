"""Control groups: how the lab knows its own processes, whatever became of the records.

Owns one group of the lab in every hierarchy. Every process that `up` starts enters it before it becomes the
program, and children inherit it; so ending all in it ends exactly what the lab made, containers and their shims
included. Works with the unified hierarchy and with the older ones, whichever the machine has.
Fails with `LabError` when processes survive SIGKILL.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from isthmus.lab.errors import LabError

ROOT = Path("/sys/fs/cgroup")
# The group that holds no processes of its own is the parent: the unified hierarchy insists on leaves.
PROCESSES = "system"
KILL_SECONDS = 30.0
SETTLE_SECONDS = 0.02


def unified() -> bool:
    """Whether the machine has only the unified hierarchy (version 2)."""
    return (ROOT / "cgroup.controllers").exists()


def parse_mounts(mounts: str) -> list[Path]:
    """The roots of all hierarchies, from the text of /proc/mounts.

    Beside the older ones a hybrid machine has a unified one, in which containers get a group all the same.
    """
    rows = (line.split() for line in mounts.splitlines())
    return [Path(row[1]) for row in rows if len(row) > 2 and row[2] in ("cgroup", "cgroup2")]


def hierarchies() -> list[Path]:
    """The root of every hierarchy in which containers get groups."""
    if unified():
        return [ROOT]
    return parse_mounts(Path("/proc/mounts").read_text())


def tracking() -> Path:
    """The root of the hierarchy that the lab keeps its processes in. Raises LabError when there is none."""
    if unified():
        return ROOT
    for name in ("pids", "freezer", "memory"):
        if (ROOT / name / "cgroup.procs").exists():
            return ROOT / name
    raise LabError(
        "no control groups are mounted under /sys/fs/cgroup: Kubernetes cannot run on this machine"
    )


def create(group: str, nodes: list[str]) -> None:
    """Make the lab's group and, under it, one for its programs and one for the pods of each node."""
    for root in hierarchies():
        for path in (group, f"{group}/{PROCESSES}", *(f"{group}/{node}" for node in nodes)):
            _make(root / path)


def _make(path: Path) -> None:
    path.mkdir(exist_ok=True)
    if unified():
        controllers = (path.parent / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in controllers)
        with contextlib.suppress(OSError):
            (path.parent / "cgroup.subtree_control").write_text(wanted)
        return
    # A new cpuset of the older kind is empty, and nothing can run in it.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (path / name).exists():
            (path / name).write_text((path.parent / name).read_text())


def enter_script(group: str) -> list[str]:
    """The start of a command line: it enters the lab's group and becomes the command that follows."""
    procs = tracking() / group / PROCESSES / "cgroup.procs"
    return ["sh", "-c", f'echo $$ >{procs} && exec "$@"', "sh"]


def members(group: str) -> set[int]:
    """The ids of all processes of the lab."""
    found: set[int] = set()
    for folder in _folders(tracking() / group):
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
    return found


def end(group: str) -> None:
    """Kill every process of the lab and wait until none is left. Raises LabError when some will not go."""
    deadline = time.monotonic() + KILL_SECONDS
    while pids := members(group):
        if time.monotonic() > deadline:
            raise LabError(f"these processes of the lab do not end: {sorted(pids)}")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(SETTLE_SECONDS)


def remove(group: str) -> None:
    """Remove the lab's groups from every hierarchy; the kernel may need a moment until they count as empty."""
    deadline = time.monotonic() + KILL_SECONDS
    for root in hierarchies():
        while (root / group).exists():
            for folder in reversed(list(_folders(root / group))):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if (root / group).exists():
                if time.monotonic() > deadline:
                    raise LabError(f"the control group {root / group} cannot be removed")
                time.sleep(SETTLE_SECONDS)


def _folders(top: Path) -> Iterator[Path]:
    """A group and all below it, parents first."""
    for folder, _, _ in os.walk(top):
        yield Path(folder)

"""The programs of the lab as processes of this machine: starting, recognising, ending.

Owns the folder `processes` of the state: one record for each program, written before the program starts, with
all that is needed to start it again. A process is recognised by its id and its start time, for ids are used anew.
Fails with `LabError` when a program ends before it is ready, quoting the end of its log.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from isthmus.lab import cgroups
from isthmus.lab.errors import LabError
from isthmus.lab.plan import Site

POLL_SECONDS = 0.05
LOG_LINES = 12


@dataclass(frozen=True)
class Process:
    """A program that the lab started or is about to start (`pid` 0)."""

    owner: str
    """The cluster or node it belongs to."""
    name: str
    command: tuple[str, ...]
    log: str
    pid: int = 0
    start_time: int = 0
    """When it started, in the kernel's ticks since boot."""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.pid > 0 and read_start_time(self.pid) == self.start_time


def read_start_time(pid: int) -> int:
    """When a process started, in ticks since boot; -1 when there is none, or only its exit status is left.

    While any of its threads is still ending it is there, and holds its ports, though its first one is a zombie.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    # The program's name, in brackets, may itself hold brackets and blanks.
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX" and not _other_threads(pid):
        return -1
    return int(fields[19])


def _other_threads(pid: int) -> bool:
    try:
        return any(entry.name != str(pid) for entry in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False


def start(site: Site, owner: str, name: str, command: Sequence[str]) -> Process:
    """Start a program in the lab's control group, apart from this process's terminal and signals."""
    log = site.state / "logs" / owner / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    process = Process(owner, name, tuple(command), str(log))
    _write(site, process)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*cgroups.enter_script(site.cgroup), *command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
        )  # fmt: skip
    # Not ours to wait for: it outlives this command.
    child.returncode = 0
    process = replace(process, pid=child.pid, start_time=read_start_time(child.pid))
    _write(site, process)
    return process


def load(site: Site) -> list[Process]:
    """Every program on record, by owner and name."""
    found = []
    for file in sorted((site.state / "processes").glob("*.json")):
        fields = json.loads(file.read_text())
        found.append(Process(**{**fields, "command": tuple(fields["command"])}))
    return found


def find(site: Site, owner: str, name: str) -> Process:
    """One program on record. Raises LabError when there is none."""
    for process in load(site):
        if (process.owner, process.name) == (owner, name):
            return process
    raise LabError(f"{owner} has no {name}")


def stop(process: Process, number: signal.Signals, seconds: float = 60.0) -> None:
    """Signal a process and wait until it is gone. Raises LabError when it is not, after so many seconds."""
    deadline = time.monotonic() + seconds
    if process.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
    while process.alive:
        # It may be our own child, whose exit status nobody else collects.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise LabError(f"{process.name} of {process.owner} (process {process.pid}) does not end")
        time.sleep(POLL_SECONDS)


def wait(what: str, ready: Callable[[], bool], needed: Sequence[Process], seconds: float) -> None:
    """Wait until something is so, while the needed processes live. Raises LabError when it does not come about."""
    deadline = time.monotonic() + seconds
    while not ready():
        for process in needed:
            if not process.alive:
                raise LabError(f"{process.name} of {process.owner} ended by itself:\n{log_end(process)}")
        if time.monotonic() > deadline:
            logs = "\n".join(f"{process.name}:\n{log_end(process)}" for process in needed)
            raise LabError(f"{what} took more than {seconds:.0f} s:\n{logs}")
        time.sleep(POLL_SECONDS)


def log_end(process: Process) -> str:
    """The last lines of a program's log, indented."""
    try:
        lines = Path(process.log).read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line[:400]}" for line in lines)


def _write(site: Site, process: Process) -> None:
    file = site.state / "processes" / f"{process.owner}.{process.name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(process), indent=2) + "\n")
    temporary.replace(file)

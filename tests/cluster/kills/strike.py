"""One process of ours killed at a moment of a phase, while the isthmus command that carries it out runs.

A command that was killed is run again, as its user would; nothing else is.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile

from tests.cluster.kills.plan import COMMAND, WIREGUARD, Run, Target
from tests.cluster.support import ISTHMUS, Cluster, CommandError
from tests.processes import Process, processes

PATIENCE = 240.0
"""Seconds any one command may take. The longest wait of one is two minutes, on a machine that is busy."""
LOOK = 0.05
LATE = 5.0
"""Seconds after the moment in which a process that runs is found and killed, on a machine that is busy too."""
KILLED = -9


class NothingRanError(Exception):
    """The phase was over before the moment of the kill, and nothing that could be killed runs any more."""


@dataclass
class Started:
    """A command under way for a cluster."""

    cluster: str
    process: subprocess.Popen[str]
    struck: bool = False


class Strike:
    """Kills what a run says when it says, from a thread of its own; without a run it kills nothing."""

    def __init__(self, run: Run | None) -> None:
        self._run = run
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._commands: list[Started] = []
        self._began = 0.0
        self.done = ""
        """What was killed, and when; "" as long as nothing was."""

    @contextmanager
    def around(self) -> Iterator[None]:
        """The kill falls into the block, or to its end where the block is quicker. Raises NothingRanError where
        nothing that could be killed is left by then."""
        if self._run is None:
            yield
            return
        self._began = time.monotonic()
        thread = threading.Thread(target=self._strike, args=(self._run,))
        thread.start()
        try:
            yield
            thread.join(max(0.0, self._began + self._run.moment - time.monotonic()) + LATE)
            if not self.done:
                raise NothingRanError(f"{self._run}: nothing ran then")
        finally:
            self._over.set()
            thread.join()

    def isthmus(self, cluster: Cluster, *arguments: str, check: bool = True) -> str:
        """Run a command for a cluster to its end, anew where it is killed; returns what it said.

        Raises CommandError where it fails or takes too long.
        """
        while True:
            with TemporaryFile("w+") as output:
                process = subprocess.Popen(
                    [*ISTHMUS, *arguments], stdout=output, stderr=subprocess.STDOUT, text=True
                )
                started = Started(cluster.name, process)
                with self._lock:
                    self._commands.append(started)
                try:
                    code = process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = process.wait()
                with self._lock:
                    self._commands.remove(started)
                output.seek(0)
                said = output.read()
            if code == KILLED and started.struck:
                continue
            if code and check:
                raise CommandError(f"isthmus {' '.join(arguments)} ended with {code} ({self.done})\n{said}")
            return said

    def _strike(self, run: Run) -> None:
        self._over.wait(run.moment)
        while not self._over.is_set():
            running = processes()
            for target in run.targets:
                if self._kill(target, running):
                    self.done = f"{target} killed after {time.monotonic() - self._began:.2f} s"
                    return
            self._over.wait(LOOK)

    def _kill(self, target: Target, running: list[Process]) -> bool:
        """Whether a process of the target ran and is killed."""
        if target.role == COMMAND:
            return self._kill_command(target)
        role, program = ("gateway", "wireguard-go") if target.role == WIREGUARD else (target.role, "isthmus")
        found = [
            one for one in running if (one.role, one.program, one.cluster) == (role, program, target.cluster)
        ]
        if not found:
            return False
        try:
            found[int(target.share * len(found))].kill()
        except ProcessLookupError:
            return False
        return True

    def _kill_command(self, target: Target) -> bool:
        with self._lock:
            for one in self._commands:
                if one.cluster == target.cluster and one.process.poll() is None:
                    one.struck = True
                    one.process.kill()
                    return True
        return False

"""Kubernetes' own conformance suite: which of its specs are run, and how. Pure but for running it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

GROUPS = ("sig-node", "sig-storage", "sig-apps", "sig-network", "sig-cli")
LEFT_OUT = ("Serial", "Disruptive", "Slow")
PROCESSES = 6
TIMEOUT = "3h"
REPORT, JUNIT, LOG = "report.json", "junit.xml", "e2e.log"
PROGRESS_SECONDS = 15.0
ENDED = "•".encode()
"""What the runner prints for each spec that has ended."""

Report = Callable[[str], None]


class Plan(Struct, frozen=True, kw_only=True):
    """What holds for each run: the programs, the cluster, and what is left out."""

    suite: Path
    runner: Path
    kubectl: Path
    kubeconfig: Path
    skipped: list[str] = []
    """Whole names of specs."""
    processes: int = PROCESSES


def label_filter() -> str:
    """The specs in the words of the runner: conformance of the groups, without what disturbs others or takes long."""
    return f"Conformance && ({' || '.join(GROUPS)}) && !({' || '.join(LEFT_OUT)})"


def command(plan: Plan, folder: Path, focus: Iterable[str]) -> list[str]:
    """The command line that runs the specs that one of some regular expressions matches, with reports in a folder."""
    return [
        str(plan.runner),
        f"--procs={plan.processes}",
        f"--label-filter={label_filter()}",
        *(f"--focus={expression}" for expression in focus),
        *(f"--skip={quote(name)}" for name in plan.skipped),
        f"--timeout={TIMEOUT}",
        f"--output-dir={folder}",
        f"--json-report={REPORT}",
        f"--junit-report={JUNIT}",
        "--no-color",
        "--silence-skips",
        str(plan.suite),
        "--",
        "--provider=skeleton",
        f"--kubeconfig={plan.kubeconfig}",
        f"--kubectl-path={plan.kubectl}",
        # The nodes at home take no pods, and the virtual node's taint is no reason to wait.
        "--allowed-not-ready-nodes=10",
        "--non-blocking-taints=virtual-node.liqo.io/not-allowed",
    ]


def quote(name: str) -> str:
    """The regular expression that only this name matches; Go knows no escaped space, as Python's quoting has."""
    return re.sub(r"([][\\.+*?()|{}^$])", r"\\\1", name)


async def run(words: list[str], log: Path, report: Report) -> int:
    """Run the suite with its output in a log, and tell how far it is; returns its exit code."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(*words, stdout=output, stderr=asyncio.subprocess.STDOUT)
        try:
            while True:
                try:
                    async with asyncio.timeout(PROGRESS_SECONDS):
                        return await child.wait()
                except TimeoutError:
                    ended = (await asyncio.to_thread(log.read_bytes)).count(ENDED)
                    report(f"{ended} specs have ended, {loop.time() - started:.0f} s")
        finally:
            if child.returncode is None:
                child.terminate()
                await child.wait()

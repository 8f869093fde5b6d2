"""`make conformance [FOCUS=…]`: Kubernetes' conformance suite, every pod in another cluster (docs/conformance.md)."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from isthmus import lab
from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.manager import Manager
from isthmus.lab import binaries
from tests.cluster.support import lab_cluster
from tests.conformance import clusters, images, outcome, suite
from tests.conformance.clusters import HOME, PROVIDER
from tests.conformance.offloader import offload_namespaces
from tests.conformance.outcome import Facts, Result

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "build" / "conformance"
PAGE = CHECKOUT / "docs" / "conformance.md"


def report(text: str) -> None:
    """Say how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    """Build, bring up, run and tell; 1 where a spec failed of which nothing is known."""
    arguments = _parser().parse_args()
    builds = binaries.conformance_builds()[:2]
    tests, runner = binaries.ensure_programs(builds, report)
    if not arguments.standing:
        clusters.bring_up(report)
        images.load(tests, PROVIDER, report)
    known, started = outcome.read_known(), time.monotonic()
    plan = suite.Plan(
        suite=tests,
        runner=runner,
        kubectl=lab.kubectl(HOME),
        kubeconfig=lab_cluster(HOME).kubeconfig,
        skipped=[] if arguments.everything else list(known.not_applicable),
        processes=arguments.processes,
    )
    results, names = _run(plan, FOLDER / "first", [arguments.focus] if arguments.focus else [])
    if strangers := {*known.not_applicable, *known.failing} - names:
        sys.exit(f"{outcome.KNOWN} names specs that there are not: {', '.join(sorted(strangers))}")
    if failed := outcome.unexplained(outcome.judge(results, known), known):
        report(f"running again what failed: {len(failed)} specs")
        again, _ = _run(plan, FOLDER / "again", [suite.quote(result.name) for result in failed])
        results = outcome.run_again(results, again)
    found = outcome.judge(results, known)
    print(outcome.summarize(found, known))
    if arguments.document:
        minutes = (time.monotonic() - started) / 60
        facts = Facts(time.strftime("%Y-%m-%d"), _commit(), builds[0].version, minutes, arguments.processes)
        section = outcome.document(found, known, facts)
        PAGE.write_text(outcome.insert(PAGE.read_text("utf-8"), section), "utf-8")
    return 1 if outcome.unexplained(found, known) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--focus", default="", help="a regular expression: only specs whose name it matches")
    parser.add_argument(
        "--standing", action="store_true", help="on the clusters of the run before, as they are"
    )
    parser.add_argument("--everything", action="store_true", help="the specs that cannot apply as well")
    parser.add_argument("--document", action="store_true", help="write the outcome into docs/conformance.md")
    parser.add_argument("--processes", type=int, default=suite.PROCESSES, help="specs at a time")
    return parser


def _run(plan: suite.Plan, folder: Path, focus: Iterable[str]) -> tuple[list[Result], set[str]]:
    """Run specs with every namespace of theirs offloaded; what came of them, and the names of all that there are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / suite.REPORT).unlink(missing_ok=True)
    asyncio.run(_offloaded(suite.command(plan, folder, focus), plan.kubeconfig, folder / suite.LOG))
    return outcome.read_report((folder / suite.REPORT).read_bytes())


async def _offloaded(command: list[str], kubeconfig: Path, log: Path) -> None:
    async with Client(load_kubeconfig(kubeconfig)) as client:
        manager = Manager(client)
        offload_namespaces(manager)
        offloading = asyncio.create_task(manager.run())
        running = asyncio.create_task(suite.run(command, log, report))
        done, rest = await asyncio.wait({offloading, running}, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            task.result()


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout

    changed = git("status", "--porcelain", "--untracked-files=no").strip()
    return git("rev-parse", "--short", "HEAD").strip() + (" with changes" if changed else "")


if __name__ == "__main__":
    sys.exit(main())

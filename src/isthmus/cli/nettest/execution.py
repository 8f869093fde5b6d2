"""Having the planned checks done: each pod its share in one exec, several pods at a time, the machine's own here.

A pod that cannot be driven does not end the test: all its checks are failed, with why. Bounded by the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from isthmus.cli.cluster import Cluster
from isthmus.cli.nettest.agent import perform_all
from isthmus.cli.nettest.manifests import NAMESPACE
from isthmus.cli.nettest.plan import MACHINE, Check
from isthmus.cli.nettest.probes import CONTAINER, Probe, Result, Results, Work
from isthmus.cli.nettest.topology import ProbePod
from isthmus.cli.nettest.verdict import Outcome
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline
from isthmus.kube.errors import KubeError
from isthmus.kube.remote_command import run_command

PARALLEL = 4
"""Pods that probe at a time: more would measure their nodes' processors rather than the network."""
COMMAND = ["/usr/bin/python3", "-m", "isthmus", "probe", "run"]
GRACE = 30.0
"""Seconds that probes which have begun may go on beyond the time given: the longest takes as much."""


async def perform_checks(
    kind: str,
    checks: Sequence[Check],
    clusters: dict[str, Cluster],
    progress: Progress,
    deadline: Deadline,
) -> list[Outcome]:
    """Do all checks of a kind, and show how many are done."""
    shares: dict[ProbePod, list[Check]] = {}
    for check in checks:
        shares.setdefault(check.source, []).append(check)
    slots = asyncio.Semaphore(PARALLEL)
    outcomes: list[Outcome] = []
    with progress.step(kind[0].upper() + kind[1:]) as current:

        async def perform_share(source: ProbePod, share: list[Check]) -> None:
            async with slots:
                results = await _ask(source, [check.probe for check in share], clusters, deadline)
            outcomes.extend(Outcome(*pair) for pair in zip(share, results, strict=True))
            current.update(f"{len(outcomes)} of {len(checks)}")

        async with asyncio.TaskGroup() as tasks:
            for source, share in shares.items():
                tasks.create_task(perform_share(source, share))
        failed = sum(not one.result.ok for one in outcomes)
        current.title += f": {len(outcomes) - failed} of {len(outcomes)} probes passed"
    return outcomes


async def _ask(
    source: ProbePod, probes: list[Probe], clusters: dict[str, Cluster], deadline: Deadline
) -> list[Result]:
    numbered = [msgspec.structs.replace(probe, id=number) for number, probe in enumerate(probes)]
    work = Work(numbered, deadline.left())
    if deadline.left() == 0:
        return [Result(one.id, False, 0.0, "not tried: no time was left") for one in numbered]
    if source == MACHINE:
        return await asyncio.to_thread(perform_all, work)
    try:
        output = await run_command(
            clusters[source.owner].client,
            NAMESPACE,
            source.name,
            CONTAINER,
            COMMAND,
            stdin=msgspec.json.encode(work) + b"\n",
            timeout=work.seconds + GRACE,
        )
    except KubeError as error:
        return _failed(numbered, str(error))
    if output.code != 0:
        text = output.stderr.decode("utf-8", "replace").strip().splitlines()
        return _failed(numbered, f"the agent ended with {output.code}: {text[-1] if text else 'no word'}")
    try:
        return match_results(numbered, output.stdout)
    except (ValueError, msgspec.DecodeError) as error:
        return _failed(numbered, f"the agent's answer cannot be read: {error}")


def match_results(probes: Sequence[Probe], answer: bytes) -> list[Result]:
    """The result of each probe. Raises ValueError where the answer is not one for these probes."""
    results = {one.id: one for one in msgspec.json.decode(answer, type=Results).results}
    if set(results) != {one.id for one in probes}:
        raise ValueError(f"{len(results)} results for {len(probes)} probes")
    return [results[one.id] for one in probes]


def _failed(probes: Sequence[Probe], why: str) -> list[Result]:
    return [Result(one.id, False, 0.0, f"not done: {why}") for one in probes]

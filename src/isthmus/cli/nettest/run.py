"""The test from beginning to end: survey, deploy, probe kind by kind, judge, clean up. Owns nothing between runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from isthmus.cli.cluster import Cluster
from isthmus.cli.errors import CommandError
from isthmus.cli.installation import read_cluster_id
from isthmus.cli.nettest import workload
from isthmus.cli.nettest.execution import perform_checks
from isthmus.cli.nettest.manifests import NAMESPACE
from isthmus.cli.nettest.plan import Choice, plan_checks
from isthmus.cli.nettest.survey import NodeChoice, Surveyed, survey
from isthmus.cli.nettest.topology import LentHost, ProbePod, ServiceView, Topology
from isthmus.cli.nettest.verdict import Outcome, Path, judge
from isthmus.cli.nettest.workload import Wanted
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline

REMOVAL_PATIENCE = 90.0
"""Seconds for cleaning up, also where the test has used up its own time."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the flags ask for."""

    choice: Choice
    nodes: NodeChoice
    image: str
    remove: bool
    fail_fast: bool
    timeout: float


@dataclass(frozen=True, slots=True)
class Findings:
    """The paths tried, and what was left out and why."""

    paths: list[Path]
    notes: list[str]


async def examine(clusters: Sequence[Cluster], wish: Wish, progress: Progress) -> Findings:
    """Run the test. Raises CommandError where it cannot be done; failed probes are findings."""
    try:
        return await _examine(clusters, wish, progress)
    finally:
        if wish.remove:
            try:
                await workload.remove(clusters, progress, Deadline(REMOVAL_PATIENCE))
            except CommandError as error:
                # What the test found, or was stopped by, matters more.
                progress.warn(str(error))


async def _examine(clusters: Sequence[Cluster], wish: Wish, progress: Progress) -> Findings:
    deadline = Deadline(wish.timeout)
    found = await _survey_all(clusters, wish, progress)
    notes = _tell_unready(found)
    if not any(other in one.site.ranges for one in found.values() for other in found):
        raise CommandError(
            f"the pod networks of {', '.join(found)} are not joined: none has a settled Configuration for another",
            "run isthmus peer or isthmus network connect, and see isthmus info",
        )
    topology = await _deploy_all(found, wish, progress, deadline)
    notes += [f"{one} is not joined with {other}: not tested" for one, other in topology.separate()]
    for note in notes:
        progress.note(note)
    return Findings(await _perform_all(topology, found, wish, progress, deadline), notes)


async def _survey_all(clusters: Sequence[Cluster], wish: Wish, progress: Progress) -> dict[str, Surveyed]:
    with progress.step("Clusters, nodes and address ranges") as current:
        await asyncio.gather(*(read_cluster_id(one) for one in clusters))
        seen: dict[str, Cluster] = {}
        for cluster in clusters:
            if cluster.id in seen:
                raise CommandError(
                    f'{cluster.server} and {seen[cluster.id].server} are both cluster "{cluster.id}"',
                    "give each cluster once with --remote-kubeconfigs, and the first not at all",
                )
            seen[cluster.id] = cluster
        surveyed = await asyncio.gather(*(survey(one, wish.nodes, wish.image) for one in clusters))
        current.title = f"Clusters {', '.join(seen)}: {sum(len(one.nodes) for one in surveyed)} nodes, " + (
            f"{sum(len(one.virtual) for one in surveyed)} virtual nodes"
        )
    return {one.site.id: one for one in surveyed}


def _tell_unready(found: dict[str, Surveyed]) -> list[str]:
    notes = [
        f"node {node} of {one.site.id} is not Ready: not tested"
        for one in found.values()
        for node in one.unready
    ]
    return notes + [
        f"virtual node {node} of {one.site.id} is of {provider or 'an unknown cluster'}, whose kubeconfig is not given "
        "with --remote-kubeconfigs: not tested"
        for one in found.values()
        for node, provider in one.virtual.items()
        if provider not in found
    ]


async def _deploy_all(
    found: dict[str, Surveyed], wish: Wish, progress: Progress, deadline: Deadline
) -> Topology:
    balancers, basic = wish.choice.balancers, wish.choice.basic
    images = {one.site.id: one.image for one in found.values()}
    wanted = {id_: workload.list_wanted(one, tuple(found), basic) for id_, one in found.items()}
    twins: dict[str, str] = {}

    # One after the other, as there is one line that shows progress; pods of all start while the first are awaited.
    for id_, one in found.items():
        await workload.prepare_namespace(one.cluster, progress, deadline)
        if _providers(one, wanted[id_]):
            twins[id_] = await workload.offload_namespace(one.cluster, progress, deadline)
        await workload.deploy(one, wanted[id_], images, balancers, progress, deadline)
    pods: list[ProbePod] = []
    for id_, one in found.items():
        pods += await workload.await_pods(one, wanted[id_], progress, deadline)
    topology = Topology({id_: one.site for id_, one in found.items()}, tuple(pods))
    if basic:
        return topology
    services: list[ServiceView] = []
    for owner, one in found.items():
        places = [(owner, NAMESPACE)] + [(each, twins[owner]) for each in _providers(one, wanted[owner])]
        for place, namespace in places:
            cluster = found[place].cluster
            view = await workload.view_service(owner, cluster, namespace, progress, deadline)
            if balancers and place == owner:
                view = await workload.await_balancer(cluster, view, progress, deadline)
            await workload.await_endpoints(topology, view, cluster, namespace, progress, deadline)
            services.append(view)
    hosts: list[LentHost] = []
    if wish.choice.hosts:
        hosts = [await workload.lend_host(one.cluster, progress, deadline) for one in found.values()]
    return replace(topology, services=tuple(services), hosts=tuple(hosts))


def _providers(one: Surveyed, wanted: Sequence[Wanted]) -> list[str]:
    """The clusters that pods of this one run in as well, each once."""
    return list(dict.fromkeys(each.cluster for each in wanted if each.cluster != one.site.id))


async def _perform_all(
    topology: Topology, found: dict[str, Surveyed], wish: Wish, progress: Progress, deadline: Deadline
) -> list[Path]:
    clusters = {id_: one.cluster for id_, one in found.items()}
    outcomes: list[Outcome] = []
    for kind, checks in plan_checks(topology, wish.choice).items():
        outcomes += await perform_checks(kind, checks, clusters, progress, deadline)
        if wish.fail_fast and not all(one.result.ok for one in outcomes):
            break
    return judge(outcomes)

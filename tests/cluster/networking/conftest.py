"""Two clusters with the same address ranges whose pod networks are joined, and a namespace of both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from isthmus import lab
from tests.cluster import peering
from tests.cluster.endings import Endings
from tests.cluster.networking import failures, traffic
from tests.cluster.networking.traffic import Flow
from tests.cluster.peering import Pair
from tests.cluster.support import Cluster


@pytest.fixture(scope="module")
def joined(installed: Pair) -> Pair:
    """Rome may use milan and their pods reach one another; made again where a test before took it away."""
    peering.establish(*installed)
    return installed


@pytest.fixture(scope="module")
def flows(joined: Pair, endings: Endings) -> Iterator[list[Flow]]:
    """Traffic from each node of each cluster to each node of the other, without an offloaded pod."""
    name = f"flows-{uuid.uuid4().hex[:8]}"
    workers = {one.name: [worker.name for worker in one.workers] for one in lab.clusters()}

    def answer(cluster: Cluster) -> dict[str, str]:
        cluster.kubectl("create", "namespace", name)
        echoes = (traffic.pod(f"echo-{node}", traffic.ECHO, nodeName=node) for node in workers[cluster.name])
        return traffic.run_pods(cluster, name, *echoes)

    def ask(here: Cluster, there: Cluster, echoes: dict[str, str]) -> list[Flow]:
        made = [Flow(one, other, here, name) for one in workers[here.name] for other in workers[there.name]]
        seen = {
            node: failures.seen_from(here, there.name, echoes[f"echo-{node}"]) for node in workers[there.name]
        }
        targets = {one.name: seen[one.target] for one in made}
        traffic.start(here, name, targets, {one.name: one.source for one in made})
        return made

    with ThreadPoolExecutor() as both:
        rome, milan = both.map(answer, joined)
        found = [flow for made in both.map(ask, joined, joined[::-1], (milan, rome)) for flow in made]
    traffic.await_flowing(found, "the first answers")
    yield found
    for cluster in joined:
        endings.delete(cluster, name)

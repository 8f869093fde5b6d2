"""Two replicas of each gateway: the passive one carries the traffic after the death of the other.

Within 5 s, which is held in `make figures`, where nothing else keeps the machine busy.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from isthmus import lab
from isthmus.api import labels
from isthmus.lab import processes as programs
from isthmus.lab.plan import site_from_environment
from tests.cluster.networking import traffic
from tests.cluster.networking.traffic import PATIENCE, Flow, back
from tests.cluster.support import Cluster, eventually, isthmus
from tests.processes import Process, halted, mains

Scenario = Callable[[str, tuple[Cluster, Cluster], list[Flow]], float]
TAKEN_OVER = 5.0
"""Seconds after the kill within which traffic must flow again."""
ACTIVE = f"{labels.ACTIVE_GATEWAY}={labels.TRUE}"


def _install(cluster: Cluster, replicas: int) -> None:
    isthmus(
        *("install", "--kubeconfig", str(cluster.kubeconfig), "--cluster-id", cluster.name),
        *("--api-server-url", cluster.server),
        *("--set", f"networking.gatewayTemplates.replicas={replicas}"),
    )


def _active(cluster: Cluster) -> list[str]:
    """The nodes of the pods that are labelled as the ones that carry the tunnel."""
    pods = cluster.items("pods", "-A", "-l", ACTIVE)
    return [pod["spec"]["nodeName"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def _has_replicas(cluster: Cluster, number: int) -> bool:
    found = [one for one in cluster.items("deployments", "-A") if one["metadata"]["name"].startswith("gw-")]
    if len(found) != 1:
        return False
    deployment = found[0]
    return (
        deployment["spec"]["replicas"] == number
        and deployment["status"].get("readyReplicas", 0) == deployment["status"].get("replicas") == number
        and len(mains("gateway", cluster.name)) == number
        and len(_active(cluster)) == 1
    )


@pytest.fixture(scope="module")
def replicated(joined: tuple[Cluster, Cluster]) -> Iterator[tuple[Cluster, Cluster]]:
    """Both gateways with two replicas; with one again afterwards."""
    if min(len(cluster.workers) for cluster in lab.clusters()[:2]) < 2:
        pytest.fail("this needs a lab with two workers a cluster: isthmus lab up --workers 2")
    for number in (2, 1):
        for cluster in joined:
            _install(cluster, number)
        for cluster in joined:
            eventually(
                lambda cluster=cluster, number=number: _has_replicas(cluster, number),
                within=120,
                what=f"{number} replicas of the gateway of {cluster.name}",
            )
        if number == 2:
            yield joined


def _kubelet_stopped(node: str) -> contextlib.AbstractContextManager[None]:
    """Nothing is started again on the node meanwhile."""
    return halted(programs.find(site_from_environment(), node, "kubelet").pid)


def _leader(cluster: Cluster) -> Process:
    (node,) = _active(cluster)
    (found,) = [one for one in mains("gateway", cluster.name) if one.node == node]
    return found


def take_over(cluster: str, replicated: tuple[Cluster, Cluster], flows: list[Flow]) -> float:
    """The leader is killed for good; the seconds until all traffic flows through the other replica."""
    here = next(one for one in replicated if one.name == cluster)
    traffic.await_flowing(flows, "traffic before")
    leader = _leader(here)
    since = time.time()
    with _kubelet_stopped(leader.node):
        # Nothing is started again until the other one leads; then the kubelet is needed to read what probes say.
        leader.kill()
        eventually(
            lambda: [one for one in _active(here) if one != leader.node],
            within=PATIENCE,
            every=0.1,
            what="another leader",
        )
        (node,) = _active(here)
    took = back(flows, since, f"leading gateway of {cluster} killed for good, from the kill")
    assert took > 0.0
    eventually(
        lambda: _has_replicas(here, 2), within=PATIENCE, what="the dead replica, back as the passive one"
    )
    assert _active(here) == [node], "the one that took over goes on"
    back(flows, time.time(), f"the killed gateway of {cluster} back as the passive one")
    return took


def kill_the_leaders_process(cluster: str, replicated: tuple[Cluster, Cluster], flows: list[Flow]) -> float:
    here = next(one for one in replicated if one.name == cluster)
    traffic.await_flowing(flows, "traffic before")
    since = time.time()
    _leader(here).kill()
    took = back(flows, since, f"process of the leading gateway of {cluster} killed, from the kill")
    assert took > 0.0
    eventually(lambda: _has_replicas(here, 2), within=PATIENCE, what="two replicas again")
    return took


@pytest.mark.endurance
@pytest.mark.parametrize("cluster", ["rome", "milan"])
@pytest.mark.parametrize("scenario", [take_over, kill_the_leaders_process])
def test_traffic_goes_on_through_the_other_replica(
    replicated: tuple[Cluster, Cluster], flows: list[Flow], scenario: Scenario, cluster: str
) -> None:
    scenario(cluster, replicated, flows)


@pytest.mark.figures
@pytest.mark.parametrize("cluster", ["rome", "milan"])
@pytest.mark.parametrize("scenario", [take_over, kill_the_leaders_process])
def test_traffic_goes_on_through_the_other_replica_within_seconds(
    replicated: tuple[Cluster, Cluster], flows: list[Flow], scenario: Scenario, cluster: str
) -> None:
    assert scenario(cluster, replicated, flows) < TAKEN_OVER

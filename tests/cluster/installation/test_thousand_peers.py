"""A thousand peers, most with our own ranges, while the controller is killed over and over: mapped, and gone again."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from threading import Thread

import pytest

from tests.cluster.installation import peers
from tests.cluster.installation.conftest import lab_apart
from tests.cluster.support import Cluster, eventually, isthmus
from tests.processes import Process, mains

# Several waits of PATIENCE, for each of which a busy machine may need much of it.
pytestmark = [pytest.mark.endurance, pytest.mark.timeout(1500)]

ENVIRONMENT = {"ISTHMUS_LAB_NAME": "peers", "ISTHMUS_LAB_NETWORK": "10.218.0.0/16"}
PEERS = 1000
KILLS = 3
PATIENCE = 400.0
"""Seconds for some 12,000 requests, on a machine that may be doing other work."""
CPU_EACH = 0.03
"""Seconds of CPU a peer may take, 0.02 were measured: work for each pair of peers is far more."""
MEMORY = 80.0
"""MB with a thousand peers; 46 were measured."""


@pytest.fixture(scope="module")
def lab_of_its_own() -> Iterator[Cluster]:
    """Isthmus in a cluster that goes as a whole: Kubernetes takes minutes to remove a thousand namespaces."""
    with lab_apart(ENVIRONMENT) as cluster:
        isthmus(
            *("install", "--kubeconfig", str(cluster.kubeconfig)),
            *("--cluster-id", "rome", "--api-server-url", cluster.server),
        )
        yield cluster


@pytest.fixture
def cluster(lab_of_its_own: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster; its lab's processes are found through the settings."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return lab_of_its_own


def _controller(other_than: int = 0) -> Process:
    def found() -> list[Process]:
        return [one for one in mains("controller") if one.pid != other_than]

    eventually(found, within=120, what="the controller")
    return found()[-1]


def _settled(cluster: Cluster, all_: list[peers.Peer]) -> bool:
    """Whether each peer has its condition, and each that is fit its ranges."""
    said = peers.verdicts(cluster)
    return all(
        said.get(one.name, ("", ""))[:2]
        == (("True", "NetworkCIDRsConfigured") if one.fit else ("False", "InvalidRemoteCIDRs"))
        for one in all_
    )


def _await_empty(cluster: Cluster, before: dict[str, IPv4Network], ips: int) -> None:
    eventually(
        lambda: (
            peers.count(cluster, peers.NETWORKS) == len(before) and peers.count(cluster, peers.IPS) == ips
        ),
        within=PATIENCE,
        every=1,
        what="nothing left of the peers",
    )
    assert peers.ranges(cluster) == before


def _await_networks(cluster: Cluster, least: int) -> None:
    eventually(
        lambda: peers.count(cluster, peers.NETWORKS) > least, within=PATIENCE, what=f"{least} Networks"
    )


def test_a_thousand_peers_are_mapped_and_leave_no_trace(cluster: Cluster) -> None:
    before, ips = peers.ranges(cluster), peers.count(cluster, peers.IPS)
    all_ = [peers.announce(number) for number in range(PEERS)]
    coming = Thread(target=peers.create, args=(cluster, all_), kwargs={"namespaces": True})
    coming.start()
    for number in range(1, KILLS + 1):
        _await_networks(cluster, PEERS * number // (2 * KILLS))
        killed = _controller()
        killed.kill()
        last = _controller(killed.pid)
    coming.join()
    fit = [one for one in all_ if one.fit]
    eventually(lambda: _settled(cluster, all_), within=PATIENCE, every=1, what="every peer's condition")
    eventually(
        lambda: peers.count(cluster, peers.IPS) == ips + len(fit),
        within=PATIENCE,
        what="their unknown sources",
    )
    given = peers.ranges(cluster)
    assert len(given) - len(before) == sum(len(one.pod) + len(one.external) for one in fit)
    assert peers.overlapping(given) == []
    assert last.cpu() < PEERS * CPU_EACH
    assert last.pss() < MEMORY
    peers.remove(cluster, all_)
    _await_empty(cluster, before, ips)
    assert last.pss() < MEMORY


def test_full_pools_are_told_and_the_next_in_line_gets_what_comes_free(cluster: Cluster) -> None:
    before, ips = peers.ranges(cluster), peers.count(cluster, peers.IPS)
    # Of the eight /11 in 10.0.0.0/8 this cluster has pods, Services, its external range or nodes in four.
    large = [peers.Peer(f"large{number}", ["100.64.0.0/11"], ["192.168.1.0/24"]) for number in range(7)]
    peers.create(cluster, large, namespaces=True)

    def count(status: str, reason: str) -> int:
        return [said[:2] for said in peers.verdicts(cluster).values()].count((status, reason))

    def are(mapped: int, refused: int) -> bool:
        told = count("True", "NetworkCIDRsConfigured"), count("False", "PoolsExhausted")
        return told == (mapped, refused)

    eventually(
        lambda: are(4, 3),
        within=60,
        what="four peers mapped and three refused",
        instead=lambda: peers.verdicts(cluster),
    )
    said = peers.verdicts(cluster)
    full = next(said[one.name][2] for one in large if said[one.name][0] == "False")
    assert "the pools (10.0.0.0/8, 192.168.0.0/16, 172.16.0.0/12) have no other free /11" in full
    assert "remove Networks no longer needed or add a range to ipam.pools" in full
    peers.remove(cluster, [next(one for one in large if said[one.name][0] == "True")])
    eventually(lambda: are(4, 2), within=60, what="one of the three mapped in its place")
    peers.remove(cluster, large)
    _await_empty(cluster, before, ips)

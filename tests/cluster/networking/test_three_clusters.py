"""Three clusters with the same ranges, as hub and spokes and all joined; and two whose ranges are disjoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.networking.labs import count_paths, lab_apart, peer, try_paths
from tests.cluster.support import Cluster

pytestmark = pytest.mark.endurance

SIZES = ("--sizes", "64,1400,8000")


@pytest.fixture(scope="module")
def three() -> Iterator[tuple[Cluster, ...]]:
    """Rome, which uses milan and naples."""
    with lab_apart(3) as clusters:
        rome, milan, naples = clusters
        peer(rome, milan)
        peer(rome, naples)
        yield clusters


def test_hub_then_all_joined(three: tuple[Cluster, ...]) -> None:
    _, milan, naples = three
    hub = try_paths(three, *SIZES)
    assert hub["failed"] == 0
    assert hub["notes"] == [
        "milan is not joined with naples: not tested",
        "naples is not joined with milan: not tested",
    ]
    assert ("milan", "naples") not in count_paths(hub, "pod to pod")
    # The one way from a pod in milan to one in naples is the Service of rome, by an address that rome lends.
    through = [path for path in hub["paths"] if path["to"]["name"].startswith("Service of rome")]
    assert {path["from"]["cluster"] for path in through} == {"rome", "milan", "naples"}

    peer(milan, naples)
    mesh = try_paths(three, *SIZES, "--ip", "--rm")
    print(f"{hub['probes']} probes with a hub, {mesh['probes']} with all joined, none failed")
    assert mesh["failed"] == 0
    assert mesh["notes"] == []
    # Pods: one in rome; in milan its own and one of rome; in naples its own, one of rome and one of milan.
    pods = {"rome": 1, "milan": 2, "naples": 3}
    assert count_paths(mesh, "pod to pod") == {
        (one, other): pods[one] * (pods[other] - (one == other))
        for one in pods
        for other in pods
        if (one, other) != ("rome", "rome")
    }
    assert count_paths(mesh, "node to pod") == {(one, other): pods[other] for one in pods for other in pods}


@pytest.fixture
def disjoint() -> Iterator[tuple[Cluster, ...]]:
    """Rome, which uses milan, and no range of one overlaps one of the other."""
    with lab_apart(2, disjoint=True) as clusters:
        peer(*clusters)
        yield clusters


def test_disjoint_ranges_are_not_translated(disjoint: tuple[Cluster, ...]) -> None:
    report = try_paths(disjoint, *SIZES, "--ip")
    print(f"{report['probes']} probes with disjoint ranges, none failed")
    assert report["failed"] == 0
    assert count_paths(report, "pod to pod")["rome", "milan"] == 2
    for cluster in disjoint:
        (configuration,) = cluster.items("configurations.networking.liqo.io", "-A")
        assert configuration["status"]["remote"]["cidr"] == configuration["spec"]["remote"]["cidr"]
        (gateway,) = cluster.items("pods", "-A", "-l", "networking.liqo.io/component=gateway")
        where = gateway["metadata"]
        rules = cluster.kubectl(
            *("exec", "-n", where["namespace"], where["name"], "--", "nft", "list", "table", "ip", "isthmus")
        ).stdout
        assert "chain sources" in rules
        assert "ip prefix to" not in rules, rules
    pods = disjoint[1].items("pods", "-n", "isthmus-test-network-rome")
    seen = {pod["status"]["podIP"] for pod in disjoint[0].items("pods", "-n", "isthmus-test-network")}
    assert pods
    assert {pod["status"]["podIP"] for pod in pods} <= seen

"""Every pod and node of two clusters with the same ranges reaches every other, by all protocols and sizes."""

from __future__ import annotations

import pytest

from tests.cluster.networking.labs import count_paths, try_paths
from tests.cluster.support import Cluster

SIZES = (64, 1340, 8000)
"""Bytes; below, at and above what the tunnel carries whole (MTU 1340): the last takes seven fragments."""
MORE_SIZES = (64, 512, 1300, 1340, 1400, 4000, 8000)


def real_nodes(cluster: Cluster) -> int:
    return len(cluster.items("nodes", "-l", "liqo.io/type!=virtual-node"))


@pytest.mark.parametrize("sizes", [SIZES, pytest.param(MORE_SIZES, marks=pytest.mark.endurance)])
def test_every_pod_and_node_reaches_every_pod(
    joined: tuple[Cluster, Cluster], sizes: tuple[int, ...]
) -> None:
    rome, milan = joined
    report = try_paths(joined, "--sizes", ",".join(map(str, sizes)), "--np-ext", "--ip", "--rm")
    print(f"{report['probes']} probes, {report['failed']} failed")
    assert report["ok"] is True
    assert report["failed"] == 0
    assert report["notes"] == []

    # One pod on each node, and one of rome's that runs in milan.
    at_rome, at_milan = real_nodes(rome), real_nodes(milan) + 1
    assert count_paths(report, "pod to pod") == {
        ("rome", "rome"): at_rome * (at_rome - 1),
        ("rome", "milan"): at_rome * at_milan,
        ("milan", "rome"): at_milan * at_rome,
        ("milan", "milan"): at_milan * (at_milan - 1),
    }
    assert count_paths(report, "node to pod") == {
        ("rome", "rome"): at_rome * at_rome,
        ("rome", "milan"): at_rome * at_milan,
        ("milan", "rome"): (at_milan - 1) * at_rome,
        ("milan", "milan"): (at_milan - 1) * at_milan,
    }
    for path in report["paths"]:
        if path["check"] in ("pod to pod", "node to pod"):
            tried = sorted((one["protocol"], one["bytes"]) for one in path["probes"])
            assert tried == sorted((each, size) for each in ("tcp", "udp", "icmp") for size in sizes)
    kinds = {path["check"] for path in report["paths"]}
    assert kinds >= {"pod to service", "pod to name", "pod to NodePort", "pod to external IP"}
    for cluster in joined:
        assert cluster.get("namespace", "isthmus-test-network") is None

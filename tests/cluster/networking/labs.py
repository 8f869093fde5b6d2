"""Labs of their own for tests that need other clusters than the shared two, and what is asked of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from isthmus import lab
from tests.cluster.support import Cluster, isthmus, lab_cluster

ENVIRONMENT = {"ISTHMUS_LAB_NAME": "paths", "ISTHMUS_LAB_NETWORK": "10.215.0.0/16"}


@contextmanager
def lab_apart(
    clusters: int,
    *,
    disjoint: bool = False,
    certificate_life: str = "",
    environment: Mapping[str, str] = ENVIRONMENT,
) -> Iterator[tuple[Cluster, ...]]:
    """Clusters with one node each and Isthmus installed, gone afterwards; ranges overlap unless `disjoint`.

    What the clusters sign is valid for `certificate_life` ("2m"), else for a year.
    `environment` names the lab and its network.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        lab.down()
        try:
            made = lab.up(clusters=clusters, workers=1, disjoint=disjoint, certificate_life=certificate_life)
            lab.load_image(str(lab.build_image()))
            found = tuple(lab_cluster(one.name) for one in made)
            for number, cluster in enumerate(found):
                external = f"10.{70 + number if disjoint else 70}.0.0/16"
                install(cluster, "--set", f"ipam.externalCIDR={external}")
            yield found
        finally:
            lab.down()


def install(cluster: Cluster, *arguments: str) -> None:
    """Install Isthmus under the cluster's own name."""
    isthmus(
        *("install", "--kubeconfig", str(cluster.kubeconfig), "--cluster-id", cluster.name),
        *("--api-server-url", cluster.server, *arguments),
    )


def peer(consumer: Cluster, provider: Cluster) -> None:
    """Let one cluster use another; their networks are joined."""
    isthmus(
        *("peer", "--kubeconfig", str(consumer.kubeconfig), "--remote-kubeconfig", str(provider.kubeconfig)),
        *("--gw-server-service-type", "NodePort"),
    )


def try_paths(clusters: Sequence[Cluster], *arguments: str) -> dict[str, Any]:
    """`isthmus test network` from the first cluster, its report; AssertionError naming what fails."""
    first, *others = clusters
    done = isthmus(
        *("test", "network", "--kubeconfig", str(first.kubeconfig), "-o", "json", "--timeout", "4m"),
        *("-p", ",".join(str(one.kubeconfig) for one in others), *arguments),
        timeout=300,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    failed = [path for path in report.get("paths", []) if not path["ok"]]
    assert done.returncode == 0, f"{done.stderr}\n{json.dumps(failed, indent=1)[:4000]}"
    return report


def count_paths(report: dict[str, Any], check: str) -> dict[tuple[str, str], int]:
    """How many paths of a kind were tried from each cluster to each."""
    counts: dict[tuple[str, str], int] = {}
    for path in report["paths"]:
        if path["check"] == check:
            pair = (path["from"]["cluster"], path["to"]["cluster"])
            counts[pair] = counts.get(pair, 0) + 1
    return counts

"""A provider that is gone for good: with its API server stopped the consumer gets rid of all of it, in time.

Should it come back after all, a later `peer` or `unpeer` clears what it still holds.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from isthmus import lab
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

Pair = tuple[Cluster, Cluster]
BOUND = 30.0
RETURN_BOUND = 60.0


@pytest.fixture
def plainly_peered(installed: Pair) -> Iterator[Pair]:
    """A peering without networks; both clusters without a trace of it afterwards."""
    rome, milan = installed
    both = ("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig))
    isthmus("peer", *both, "--networking-disabled")
    yield installed
    lab.start_api_server("milan")
    eventually(lambda: milan.get("namespace", "default"), within=60, what="the provider's API server")
    isthmus("unpeer", *both, "--skip-confirm", "--delete-namespaces", timeout=180)


def _wait_for_control_plane(cluster: Cluster) -> None:
    """Return once namespaces end again.

    Kubernetes' controller manager returns to an API server that was away with a delay of its own, up to a minute:
    until then no namespace ends in that cluster, whoever deletes it.
    """
    name = f"probe-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    eventually(
        lambda: cluster.get("namespace", name) is None, within=120, what="the end of an empty namespace"
    )


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(("peer", "--networking-disabled"), id="peer", marks=pytest.mark.endurance),
        pytest.param(("unpeer", "--skip-confirm"), id="unpeer"),
    ],
)
def test_nothing_is_left_of_a_provider_that_is_dead(plainly_peered: Pair, later: tuple[str, ...]) -> None:
    rome, milan = plainly_peered
    name = f"test-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    rome.apply(
        deployment("away", replicas=3, remote_only=True) | {"metadata": {"name": "away", "namespace": name}}
    )
    eventually(lambda: len(ready_pods(rome, name)) == 3, within=90, what="the pods")
    lab.stop_api_server("milan")
    started = time.monotonic()
    isthmus("force", "unpeer", "milan", "--kubeconfig", str(rome.kubeconfig), "--skip-confirm")
    assert time.monotonic() - started < BOUND
    for kind in ("virtualnodes", "resourceslices", "identities", "namespacemaps", "foreignclusters"):
        assert rome.items(kind, "-A") == [], kind
    assert rome.get("namespace", "liqo-tenant-milan") is None
    assert rome.get("node", "milan") is None
    pods = rome.items("pods", "-n", name)
    assert all(pod["spec"].get("nodeName", "") != "milan" for pod in pods)
    rome.kubectl("delete", "namespace", name, "--wait=false")
    eventually(lambda: rome.get("namespace", name) is None, within=60, what="the end of the namespace")

    lab.start_api_server("milan")
    assert milan.items("pods", "-n", f"{name}-rome"), "nobody has told the provider yet"
    _wait_for_control_plane(milan)
    started = time.monotonic()
    both = ("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig))
    isthmus(*later, *both, timeout=RETURN_BOUND)
    kinds = () if later[0] == "peer" else ("rslice", "namespacemaps", "renews", "quotas", "tenants")
    eventually(
        lambda: (
            milan.get("namespace", f"{name}-rome") is None
            and not [kind for kind in kinds if milan.items(kind, "-A")]
        ),
        within=RETURN_BOUND - (time.monotonic() - started),
        what="the provider clean",
    )


def test_a_cluster_that_is_unknown_is_told_so(installed: Pair) -> None:
    rome, _ = installed
    done = isthmus(
        "force", "unpeer", "nowhere", "--kubeconfig", str(rome.kubeconfig), "--skip-confirm", check=False
    )
    assert done.returncode == 1
    assert 'has nothing to do with "nowhere"' in done.stderr

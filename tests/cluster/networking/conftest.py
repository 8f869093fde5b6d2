"""Two clusters with the same address ranges whose pod networks are joined, and a namespace of both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from isthmus import lab
from tests.cluster.networking import failures, traffic
from tests.cluster.networking.traffic import Flow
from tests.cluster.support import Cluster, eventually, isthmus


@pytest.fixture(scope="module")
def joined(installed: tuple[Cluster, Cluster]) -> tuple[Cluster, Cluster]:
    """Rome may use milan and their pods reach one another; made again where a test before took it away."""
    rome, milan = installed
    isthmus(
        "peer",
        *("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig)),
        *("--gw-server-service-type", "NodePort"),
    )
    return rome, milan


@pytest.fixture(scope="module")
def flows(joined: tuple[Cluster, Cluster]) -> Iterator[list[Flow]]:
    """Traffic from each node of each cluster to each node of the other, without an offloaded pod."""
    name = f"flows-{uuid.uuid4().hex[:8]}"
    for cluster in joined:
        cluster.kubectl("create", "namespace", name)
    workers = {one.name: [worker.name for worker in one.workers] for one in lab.clusters()}
    echoes = {
        cluster.name: traffic.run_pods(
            cluster,
            name,
            *(traffic.pod(f"echo-{node}", traffic.ECHO, nodeName=node) for node in workers[cluster.name]),
        )
        for cluster in joined
    }
    found = []
    for here, there in (joined, joined[::-1]):
        for source in workers[here.name]:
            for target in workers[there.name]:
                address = failures.seen_from(here, there.name, echoes[there.name][f"echo-{target}"])
                probe = traffic.start(here, name, f"{source}-{target}", address, nodeName=source)
                found.append(Flow(source, target, probe))
    yield found
    for cluster in joined:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def shared(joined: tuple[Cluster, Cluster]) -> Iterator[str]:
    """A fresh namespace of rome, offloaded with its pods free to run in either cluster, gone afterwards."""
    rome, milan = joined
    name = f"net-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
    yield name
    rome.kubectl("delete", "namespace", name, "--wait=false")
    eventually(
        lambda: rome.get("namespace", name) is None and milan.get("namespace", f"{name}-rome") is None,
        within=90,
        what=f"the end of namespace {name} and its twin",
    )

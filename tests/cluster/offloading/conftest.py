"""A peering, offloaded namespaces and virtual nodes, each made for as long as a module or a test needs them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.offloading.objects import API, TENANT, Pair, offload
from tests.cluster.support import eventually, isthmus


@pytest.fixture(scope="module")
def pair(installed: Pair) -> Pair:
    """Rome may use milan."""
    rome, milan = installed
    isthmus(
        *("peer", "--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig)),
        *("--gw-server-service-type", "NodePort"),
    )
    return rome, milan


@pytest.fixture(scope="module")
def space(pair: Pair) -> Iterator[Callable[..., str]]:
    """Makes namespaces of rome, each offloaded as the flags say; all are gone at the end, with their twins."""
    rome, milan = pair
    made: list[str] = []

    def make(*flags: str) -> str:
        name = f"opt-{uuid.uuid4().hex[:8]}"
        made.append(name)
        rome.kubectl("create", "namespace", name)
        offload(rome, name, *flags)
        return name

    yield make
    rome.kubectl("delete", "namespace", "--wait=false", "--ignore-not-found", *made)

    def gone() -> bool:
        left = {one["metadata"]["name"] for one in rome.items("namespaces") + milan.items("namespaces")}
        return not any(one.startswith(tuple(made)) for one in left)

    eventually(gone, within=90, what=f"the end of {made} and their twins")


@pytest.fixture
def virtual_node(pair: Pair) -> Iterator[Callable[..., str]]:
    """Makes virtual nodes of the slice milan with a spec of their own; they are gone afterwards."""
    rome, _ = pair
    slice_node = rome.get("virtualnode", "milan", "-n", TENANT)["spec"]
    made: list[str] = []

    def make(**spec: Any) -> str:
        name = f"also-{uuid.uuid4().hex[:6]}"
        made.append(name)
        own = {key: slice_node[key] for key in ("clusterID", "kubeconfigSecretRef", "resourceQuota")}
        metadata = {
            "name": name,
            "namespace": TENANT,
            "labels": {"liqo.io/remote-cluster-id": "milan"},
        }
        rome.apply({"apiVersion": API, "kind": "VirtualNode", "metadata": metadata, "spec": {**own, **spec}})
        return name

    yield make
    if made:
        rome.kubectl("delete", "virtualnode", "-n", TENANT, "--ignore-not-found", "--timeout=50s", *made)

"""A peering, offloaded namespaces and virtual nodes, each made for as long as a module or a test needs them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster import peering
from tests.cluster.endings import Endings
from tests.cluster.offloading.objects import API, TENANT, Pair, offload


@pytest.fixture(scope="module")
def pair(installed: Pair) -> Pair:
    """Rome may use milan."""
    peering.establish(*installed)
    return installed


@pytest.fixture(scope="module")
def space(pair: Pair, endings: Endings) -> Iterator[Callable[..., str]]:
    """Makes namespaces of rome, each offloaded as the flags say; they end with the module, and their twins too."""
    rome, milan = pair
    made: dict[str, str] = {}

    def make(*flags: str) -> str:
        name = f"opt-{uuid.uuid4().hex[:8]}"
        made[name] = _twin(name, flags)
        rome.kubectl("create", "namespace", name)
        offload(rome, name, *flags)
        return name

    yield make
    if made:
        endings.delete(rome, *made)
        endings.expect(milan, *made.values())


def _twin(name: str, flags: tuple[str, ...]) -> str:
    """What a namespace is called in milan."""
    if "--remote-namespace-name" in flags:
        return flags[flags.index("--remote-namespace-name") + 1]
    return name if "EnforceSameName" in flags else f"{name}-rome"


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

"""Under which address an offloaded pod is shown: the one it is reached by here, and none while that is not known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from isthmus.api import labels
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.virtualnode.home import Home
from tests.apiserver import ApiServer, Json, running

MARKS = {labels.REMOTE_CLUSTER_ID: "milan"}
TENANT = "liqo-tenant-milan"
RANGES = {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}
SEEN = {"pod": ["10.71.0.0/16"], "external": ["10.72.0.0/16"]}


def namespace(name: str = TENANT) -> Json:
    return {"metadata": {"name": name, "labels": {**MARKS, labels.TENANT_NAMESPACE: labels.TRUE}}}


def configuration(name: str = "milan", place: str = TENANT, *, configured: bool = True) -> Json:
    return {
        "metadata": {"name": name, "namespace": place, "labels": MARKS},
        "spec": {"remote": {"cidr": RANGES}},
        "status": {"remote": {"cidr": SEEN}} if configured else {},
    }


@asynccontextmanager
async def home(*objects: tuple[str, Json]) -> AsyncIterator[tuple[ApiServer, Home]]:
    """The caches of a cluster with these objects, once they are full."""
    api, homes = ApiServer(), list[Home]()
    for plural, manifest in objects:
        api.create(plural, manifest)

    def setup(manager: Manager, options: Options) -> None:
        homes.append(Home(manager.informers, "liqo"))

    async with running(api, setup):
        await homes[0].synced()
        yield api, homes[0]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def shown(cluster: Home, address: str) -> str:
    """What a pod's address becomes."""
    return cluster.translation("milan")(address)


async def test_it_stays_as_it_is_towards_a_provider_whose_network_is_not_joined() -> None:
    async with home(("namespaces", namespace())) as (_, cluster):
        assert shown(cluster, "10.244.1.5") == "10.244.1.5"


async def test_it_is_never_one_that_a_pod_of_ours_may_have() -> None:
    ours = {
        "metadata": {"name": "pods", "namespace": "liqo", "labels": {labels.NETWORK_TYPE: "pod-cidr"}},
        "spec": {"cidr": "10.244.0.0/16"},
    }
    async with home(("namespaces", namespace()), ("networks", ours)) as (_, cluster):
        assert shown(cluster, "10.244.1.5") == ""
        assert shown(cluster, "10.245.1.5") == "10.245.1.5"


async def test_it_is_the_one_the_configuration_maps_it_to() -> None:
    async with home(("namespaces", namespace()), ("configurations", configuration())) as (_, cluster):
        assert shown(cluster, "10.244.1.5") == "10.71.1.5"
        assert shown(cluster, "192.168.0.1") == ""
        assert cluster.translation("turin")("10.244.1.5") == "10.244.1.5"


async def test_none_is_shown_before_it_is_known_or_where_it_is_not_clear() -> None:
    tenant = ("namespaces", namespace())
    async with home(tenant, ("configurations", configuration(configured=False))) as (_, cluster):
        assert shown(cluster, "10.244.1.5") == ""
    async with home(
        tenant, ("configurations", configuration()), ("configurations", configuration("second"))
    ) as (_, cluster):
        assert shown(cluster, "10.244.1.5") == ""


async def test_a_configuration_outside_the_tenant_namespace_says_nothing() -> None:
    forged = configuration("milan", "liqo-tenant-turin")
    async with home(("namespaces", namespace()), ("configurations", forged)) as (_, cluster):
        assert shown(cluster, "10.244.1.5") == ""


async def test_pods_are_looked_at_again_when_the_way_there_is_found() -> None:
    calls: list[str] = []
    async with home(("configurations", configuration(configured=False))) as (api, cluster):
        remove = cluster.on_change("milan", lambda: calls.append("milan"))
        cluster.on_change("turin", lambda: calls.append("turin"))
        calls.clear()
        api.merge("configurations", TENANT, "milan", {"status": {"remote": {"cidr": SEEN}}})
        await eventually(lambda: calls == ["milan"])
        assert shown(cluster, "10.244.1.5") == ""  # Nobody says yet that the namespace is that peer's.
        api.create("namespaces", namespace())
        await eventually(lambda: calls == ["milan", "milan"])
        assert shown(cluster, "10.244.1.5") == "10.71.1.5"
        remove()
        api.delete("configurations", TENANT, "milan")
        await eventually(lambda: shown(cluster, "10.244.1.5") == "10.244.1.5")
        assert calls == ["milan", "milan"]

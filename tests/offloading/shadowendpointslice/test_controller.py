"""The controller at work: EndpointSlices follow what consumers say, what peers announce and how they fare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from isthmus.api import labels
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.options import Options
from isthmus.offloading.shadowendpointslice.controller import ShadowEndpointSliceController
from isthmus.offloading.shadowendpointslice.mapping import Policy
from tests.apiserver import ApiServer, Request, running

SLICES, SHADOWS = "endpointslices", "shadowendpointslices"
KEY = Key("shop-rome", "web-1")

pytestmark = pytest.mark.looptime


def named(name: str, namespace: str = "", **rest: Any) -> Manifest:
    metadata = {key: rest.pop(key) for key in ("labels", "annotations") if key in rest}
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, **rest}


def shadow(*addresses: str, name: str = "web-1", origin: str = "rome", direct: Any = None) -> Manifest:
    template = {"addressType": "IPv4", "endpoints": [{"addresses": [one]} for one in addresses], "ports": []}
    data = msgspec.json.encode({"clusterAddresses": direct}).decode()
    return named(
        name,
        "shop-rome",
        labels={labels.ORIGIN: origin, labels.SERVICE_NAME: "web"},
        annotations={labels.DIRECT_CONNECTIONS_DATA: data} if direct else {},
        spec={"template": template},
    )


def foreign_cluster(name: str, connection: str = "Established") -> Manifest:
    conditions = [{"type": "NetworkConnectionStatus", "status": connection}]
    return named(
        name, status={"modules": {"networking": {"enabled": True, "conditions": conditions}, **MODULES}}
    )


MODULES: Manifest = {"authentication": {"enabled": True}, "offloading": {"enabled": True}}


def configuration(peer: str, seen: str, namespace: str = "") -> Manifest:
    return named(
        peer,
        namespace or f"liqo-tenant-{peer}",
        labels={labels.REMOTE_CLUSTER_ID: peer},
        spec={"remote": {"cidr": {"pod": ["10.244.0.0/16"]}}},
        status={"remote": {"cidr": {"pod": [seen]}}},
    )


def provider_cluster(**settings: bool) -> ApiServer:
    cluster = ApiServer(**settings)
    cluster.put("namespaces", named("shop-rome", labels={labels.REMOTE_CLUSTER_ID: "rome"}))
    for peer, seen in (("rome", "10.71.0.0/16"), ("naples", "10.72.0.0/16")):
        tenant = {labels.REMOTE_CLUSTER_ID: peer, labels.TENANT_NAMESPACE: "true"}
        cluster.put("namespaces", named(f"liqo-tenant-{peer}", labels=tenant))
        cluster.put("foreignclusters", foreign_cluster(peer))
        cluster.put("configurations", configuration(peer, seen))
    return cluster


@asynccontextmanager
async def controlling(cluster: ApiServer, **policy: Any) -> AsyncIterator[None]:
    def setup(manager: Manager, _: Options) -> None:
        manager.add(ShadowEndpointSliceController(manager, Policy(**policy)).controller())

    async with running(cluster, setup):
        yield


def writes(cluster: ApiServer) -> list[Request]:
    """The writes of slices that the controller asked for."""
    return cluster.asked("write", SLICES)


def told(cluster: ApiServer) -> list[str]:
    """What the events say."""
    return [one["message"] for one in cluster.list("events")]


def made(cluster: ApiServer) -> list[tuple[str, bool | None]] | None:
    """Address and readiness of each endpoint, None where there is no slice."""
    found = cluster.get(SLICES, *KEY)
    if found is None:
        return None
    return [(one["addresses"][0], one.get("conditions", {}).get("ready")) for one in found["endpoints"]]


async def test_a_slice_follows_its_shadow() -> None:
    cluster = provider_cluster()
    async with controlling(cluster):
        cluster.put(SHADOWS, shadow("10.244.1.7"))
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", None)])
        cluster.put(SHADOWS, shadow("10.244.1.7", "10.244.1.8"))
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", None), ("10.71.1.8", None)])
        before = len(writes(cluster))
        cluster.put(SHADOWS, shadow("10.244.1.7", "10.244.1.8"))
        await asyncio.sleep(300)
        assert len(writes(cluster)) == before, "nothing changed"
    assert {one.manager for one in writes(cluster)} == {"shadow-endpointslice-controller"}
    assert not told(cluster)


def pod(namespace: str, phase: str = "Running") -> Manifest:
    marks = {labels.MANAGED_BY: labels.MANAGED_BY_SHADOW_POD}
    return named("web-0", namespace, labels=marks, status={"phase": phase, "podIP": "10.244.1.20"})


async def test_an_endpoint_that_is_an_own_pod_comes_and_goes_with_the_pod() -> None:
    cluster = provider_cluster()
    cluster.put(SHADOWS, shadow("10.244.1.20", direct={"milan": ["10.244.1.20"]}))
    async with controlling(cluster, own_id="milan"):
        cluster.put("pods", pod("other-rome"))
        await cluster.until(lambda: told(cluster))
        assert made(cluster) is None, "a pod of another namespace is none of its own"
        cluster.put("pods", pod("shop-rome"))
        await cluster.until(lambda: made(cluster) == [("10.244.1.20", None)])
        cluster.put("pods", pod("shop-rome", "Succeeded"))
        await cluster.until(lambda: made(cluster) == [])


async def test_readiness_follows_the_tunnel_and_addresses_the_configuration() -> None:
    cluster = provider_cluster()
    cluster.put(SHADOWS, shadow("10.244.1.7", "10.244.0.5", direct={"naples": ["10.244.0.5"]}))
    async with controlling(cluster):
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", None), ("10.72.0.5", None)])
        cluster.put("foreignclusters", foreign_cluster("naples", "Error"))
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", None), ("10.72.0.5", False)])
        cluster.put("foreignclusters", foreign_cluster("rome", "Error"))
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", False), ("10.72.0.5", False)])
        cluster.put("foreignclusters", foreign_cluster("naples"))
        cluster.put("foreignclusters", foreign_cluster("rome"))
        cluster.put("configurations", configuration("rome", "10.74.0.0/16"))
        await cluster.until(lambda: made(cluster) == [("10.74.1.7", None), ("10.72.0.5", None)])
        cluster.delete("configurations", "liqo-tenant-rome", "rome")
        await cluster.until(lambda: made(cluster) == [("10.72.0.5", None)])


async def test_a_slice_waits_for_the_configuration() -> None:
    cluster = provider_cluster()
    cluster.delete("configurations", "liqo-tenant-rome", "rome")
    cluster.put("configurations", configuration("rome", "10.9.0.0/16", "liqo-tenant-naples"))
    async with controlling(cluster):
        cluster.put(SHADOWS, shadow("10.244.1.7"))
        await cluster.until(lambda: told(cluster))
        assert made(cluster) is None, "naples does not speak for rome"
        cluster.put("configurations", configuration("rome", "10.71.0.0/16"))
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", None)])


async def test_nobody_writes_into_anothers_name() -> None:
    cluster = provider_cluster()
    async with controlling(cluster):
        cluster.put(SHADOWS, shadow("10.244.1.7", origin="naples"))
        await cluster.until(lambda: told(cluster))
        assert "not that cluster's" in told(cluster)[0]
        assert made(cluster) is None
        cluster.put(SHADOWS, shadow("10.244.1.7"))
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", None)])
        cluster.put("namespaces", named("shop-rome"))
        await cluster.until(lambda: made(cluster) is None)


async def test_a_foreign_slice_is_left_alone() -> None:
    cluster = provider_cluster()
    cluster.put(SLICES, named(*reversed(KEY), endpoints=[], addressType="IPv4", ports=[]))
    async with controlling(cluster):
        cluster.put(SHADOWS, shadow("10.244.1.7"))
        await cluster.until(lambda: told(cluster))
        await asyncio.sleep(300)
    assert made(cluster) == []
    assert len(told(cluster)) == 1


async def test_a_slice_goes_with_its_shadow_even_without_the_garbage_collector() -> None:
    cluster = provider_cluster(collection=False)
    async with controlling(cluster):
        cluster.put(SHADOWS, shadow("10.244.1.7"))
        await cluster.until(lambda: made(cluster))
        cluster.delete(SHADOWS, *KEY)
        await cluster.until(lambda: made(cluster) is None)
        cluster.put(SHADOWS, shadow("10.244.1.8"))
        await cluster.until(lambda: made(cluster) == [("10.71.1.8", None)])


async def test_what_others_add_is_not_fought_over() -> None:
    cluster = provider_cluster()
    async with controlling(cluster):
        cluster.put(SHADOWS, shadow("10.244.1.7"))
        await cluster.until(lambda: made(cluster))
        cluster.merge(SLICES, *KEY, {"metadata": {"labels": {"mesh": "on"}}})
        await asyncio.sleep(300)
        assert len(writes(cluster)) == 1
        for number in range(20):
            cluster.merge(SLICES, *KEY, {"endpoints": [{"addresses": [f"10.71.9.{number}"]}]})
            await asyncio.sleep(0.2)
        assert len(writes(cluster)) < 12, "undone ever more slowly"
        await cluster.until(lambda: made(cluster) == [("10.71.1.7", None)])

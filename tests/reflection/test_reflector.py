"""The loop at work: what brings a copy up to date, and what is told about one that is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isthmus.api import labels
from isthmus.kube.objects import Manifest
from tests.apiserver import ApiServer
from tests.reflection.support import named, reflecting

SLICES, SHADOWS = "endpointslices", "shadowendpointslices"


def endpoints(*addresses: str, node: str = "worker") -> list[Manifest]:
    return [
        {"addresses": [address], "nodeName": node, "conditions": {"ready": True}} for address in addresses
    ]


def slice_(*found: Manifest) -> Manifest:
    marks = {labels.SERVICE_NAME: "web"}
    return named(
        "web-1", "shop", labels=marks, addressType="IPv4", endpoints=list(found), ports=[{"port": 80}]
    )


def service(**metadata: Any) -> Manifest:
    spec = {"type": "ClusterIP", "selector": {"app": "web"}, "ports": [{"protocol": "TCP", "port": 80}]}
    return named("web", "shop", spec=spec, **metadata)


def faults(home: ApiServer) -> list[str]:
    """What the user was told is not reflected."""
    return home.events("FailedReflection")


def home_cluster() -> ApiServer:
    home = ApiServer()
    home.put("nodes", named("worker"))
    home.put("nodes", named("milan", labels={labels.REMOTE_CLUSTER_ID: "milan"}))
    home.put(
        "networks",
        named("pods", "liqo", labels={labels.NETWORK_TYPE: "pod-cidr"}, status={"cidr": "10.244.0.0/16"}),
    )
    home.put("services", service())
    return home


def told(provider: ApiServer) -> list[str] | None:
    """The addresses of the copy, None where there is none."""
    found = provider.get(SHADOWS, "shop-rome", "web-1")
    if found is None:
        return None
    return [address for one in found["spec"]["template"]["endpoints"] for address in one["addresses"]]


pytestmark = pytest.mark.looptime


async def test_nothing_of_the_network_is_reflected_unless_a_session_asks() -> None:
    home, provider = home_cluster(), ApiServer()
    home.put(SLICES, slice_(*endpoints("10.244.1.7")))
    async with reflecting(home, provider, services=False):
        await asyncio.sleep(10)
    assert not provider.objects
    assert {one.plural for one in home.asked("watch")} == {"configmaps", "secrets", "pods"}


async def test_endpoints_follow_and_those_without_an_address_join_as_they_get_one() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        home.put(SLICES, slice_(*endpoints("10.244.1.7"), *endpoints("192.0.2.1")))
        await home.until(lambda: told(provider) == ["10.244.1.7"])
        assert faults(home) == [], "an address may be about to come"
        assert "192.0.2.1" in (await home.until(lambda: faults(home)))[0]
        home.put("ips", named("x", "shop", spec={"ip": "192.0.2.1"}, status={"ip": "10.70.0.9"}))
        await home.until(lambda: told(provider) == ["10.244.1.7", "10.70.0.9"])
        home.put(SLICES, slice_(*endpoints("10.244.1.8")))
        await home.until(lambda: told(provider) == ["10.244.1.8"])
        home.delete(SLICES, "shop", "web-1")
        await home.until(lambda: told(provider) is None)
    assert len(faults(home)) == 1
    assert {one.manager for one in provider.asked("apply")} == {"reflection.liqo.io"}


async def test_following_is_no_repair_and_never_slows_down() -> None:
    home, provider = home_cluster(), ApiServer()
    addresses = [f"192.0.2.{number}" for number in range(1, 20)]
    home.put(SLICES, slice_(*endpoints(*addresses)))
    async with reflecting(home, provider):
        for number, address in enumerate(addresses, start=1):
            name = f"ip-{number}"
            home.put("ips", named(name, "shop", spec={"ip": address}, status={"ip": f"10.70.0.{number}"}))
            await asyncio.sleep(0.5)
            assert len(told(provider) or ()) == number


async def test_endpoints_follow_their_nodes() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        home.put(SLICES, slice_(*endpoints("10.244.1.7", node="late"), *endpoints("10.73.0.5", node="milan")))
        await home.until(lambda: told(provider) == [])
        home.put("nodes", named("late"))
        await home.until(lambda: told(provider) == ["10.244.1.7"])
        home.delete("nodes", "", "late")
        await home.until(lambda: told(provider) == [])


async def test_a_service_takes_its_endpoints_along() -> None:
    home, provider = home_cluster(), ApiServer()
    home.put(SLICES, slice_(*endpoints("10.244.1.7")))
    copy = ("services", "shop-rome", "web")
    async with reflecting(home, provider):
        await home.until(lambda: told(provider) and copy in provider.objects)
        home.put("services", service(annotations={labels.SKIP_REFLECTION: "true"}))
        await home.until(lambda: told(provider) is None and copy not in provider.objects)
        home.put("services", service())
        await home.until(lambda: told(provider) and copy in provider.objects)


async def test_what_is_there_already_is_left_alone() -> None:
    home, provider = home_cluster(), ApiServer()
    foreign = {labels.ORIGIN: "rome", labels.DESTINATION: "milan"}
    provider.put(SHADOWS, named("web-1", "shop-rome", labels=foreign, spec={}))
    async with reflecting(home, provider):
        home.put(SLICES, slice_(*endpoints("10.244.1.7")))
        await home.until(lambda: faults(home))
        await asyncio.sleep(600)
    assert provider.objects[SHADOWS, "shop-rome", "web-1"]["spec"] == {}
    assert faults(home) == ["Not reflected: shop-rome/web-1 already exists at the provider"]

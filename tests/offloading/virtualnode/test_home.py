"""The way home: only where the networks are joined, only by addresses this cluster itself gave out, never half."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from msgspec import convert, json

from isthmus.api import labels
from isthmus.api.offloading import OffloadingPatch
from isthmus.kube.builtin import Pod
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Manifest
from isthmus.kube.options import Options
from isthmus.kube.resource import Resource
from isthmus.offloading.pods.api_server import HomeApiServer
from isthmus.offloading.pods.creation import create_shadow
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.metadata import Identity
from isthmus.offloading.pods.pace import Pace
from isthmus.offloading.pods.spec import Terms
from isthmus.offloading.virtualnode.home import Home
from tests.apiserver import ApiServer, Json, running


def ip(name: str, namespace: str, address: str) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {labels.IP_TYPE: "api-server"}},
        "spec": {"ip": "10.96.0.1"},
        "status": {"ip": address} if address else {},
    }


async def test_only_ips_of_the_installation_and_joined_providers_count() -> None:
    api = ApiServer()
    api.create("ips", ip("api-server", "liqo", "10.70.0.1"))
    api.create("ips", ip("evil", "liqo-tenant-milan", "10.70.0.66"))
    marks = {labels.REMOTE_CLUSTER_ID: "milan"}
    place = {"name": "milan", "namespace": "liqo-tenant-milan", "labels": marks}
    api.create("configurations", {"metadata": place, "spec": {}})
    homes: list[Home] = []

    def setup(manager: Manager, options: Options) -> None:
        homes.append(Home(manager.informers, "liqo"))

    async with running(api, setup):
        home = homes[0]
        await home.synced()
        assert home.api_server() == HomeApiServer(("10.70.0.1",))
        assert home.joined("milan")
        assert not home.joined("turin")


class Provider:
    """Takes what is created, and writes down what local pods are told."""

    def __init__(self) -> None:
        self.created: list[Manifest] = []
        self.told: list[str] = []

    async def create(self, resource: Resource[Any], manifest: Manifest, *_: Any, **__: Any) -> Any:
        self.created.append(manifest)
        return convert(manifest, resource.type)

    async def patch(self, resource: Resource[Any], name: str, patch: Any, *_: Any, **__: Any) -> Pod:
        return pod()

    def record(self, resource: Resource[Any], about: Any, reason: str, message: str, type_: str) -> None:
        self.told.append(message)


def pod(**annotations: str) -> Pod:
    place = {"name": "web", "namespace": "demo", "uid": "u1", "annotations": annotations}
    manifest = {"metadata": place, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}}
    return json.decode(json.encode(manifest), type=Pod)


async def created_by(provider: Provider, pod: Pod, terms: Terms) -> list[Manifest]:
    context: Any = SimpleNamespace(
        terms=lambda: terms, local=provider, remote=provider, events=provider, pace=Pace()
    )
    twin: Any = SimpleNamespace(local="demo", remote="demo-rome")
    await create_shadow(context, twin, pod, PodMemory("u1"))
    return provider.created


TERMS = Terms(Identity("rome", "milan", "milan"), OffloadingPatch())
LACKING = Terms(Identity("rome", "milan", "milan"), OffloadingPatch(), lacks_home=True)


async def test_pod_waits_for_the_address_of_its_home_and_its_owner_is_told() -> None:
    provider = Provider()
    assert await created_by(provider, pod(), LACKING) == []
    assert "no address" in provider.told[0]
    assert len(await created_by(provider, pod(), TERMS)) == 1


async def test_pod_that_does_not_want_its_home_does_not_wait() -> None:
    unwanted = pod(**{labels.API_SERVER_SUPPORT: "disabled"})
    assert len(await created_by(Provider(), unwanted, LACKING)) == 1


async def test_pod_of_a_node_that_takes_no_pods_is_told_so() -> None:
    provider = Provider()
    closed = Terms(Identity("rome", "milan", "milan"), OffloadingPatch(), takes_pods=False)
    context: Any = SimpleNamespace(
        terms=lambda: closed, local=provider, remote=provider, events=provider, node_name="milan"
    )
    twin: Any = SimpleNamespace(local="demo", remote="demo-rome")
    assert await create_shadow(context, twin, pod(), PodMemory("u1"))
    assert provider.created == []
    assert "spec.reflectorsConfig.pod.workers" in provider.told[0]

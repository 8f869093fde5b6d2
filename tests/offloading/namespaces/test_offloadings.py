"""A NamespaceOffloading is told to the providers, its user told how it fares, and its deletion undoes all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.namespaces.maps import MapController
from isthmus.offloading.namespaces.offloadings import DELETION_BOUND, OffloadingController
from tests.apiserver import ApiServer, Json, running
from tests.apiserver.clock import VIRTUAL_TIME, Clock

pytestmark = VIRTUAL_TIME
ENABLED = "liqo.io/scheduling-enabled"


def consumer(manager: Manager, options: Options) -> None:
    manager.add(MapController(manager, options).controller())
    manager.add(OffloadingController(manager, options).controller())


def add_provider(api: ApiServer, name: str, **labels: str) -> None:
    meta = {"name": name, "namespace": f"liqo-tenant-{name}"}
    api.create("virtualnodes", {"metadata": meta, "spec": {"clusterID": name, "labels": labels}})


def offload(api: ApiServer, namespace: str = "demo", **spec: Any) -> None:
    if not api.get("namespaces", "", namespace):
        api.create("namespaces", {"metadata": {"name": namespace}})
    api.create(
        "namespaceoffloadings", {"metadata": {"name": "offloading", "namespace": namespace}, "spec": spec}
    )


def mapping(api: ApiServer, provider: str) -> Any:
    """What the provider is asked for, None while it has no map."""
    map_ = api.get("namespacemaps", f"liqo-tenant-{provider}", provider)
    return None if map_ is None else map_["spec"].get("desiredMapping", {})


def answer(api: ApiServer, provider: str, phase: str, local: str = "demo", remote: str = "demo-rome") -> None:
    """The provider's answer, as it is replicated back."""
    current = {local: {"remoteNamespace": remote, "phase": phase}} if phase else {}
    map_ = dict(api.get("namespacemaps", f"liqo-tenant-{provider}", provider) or {})
    api.put("namespacemaps", map_ | {"status": {"currentMapping": current}})


def status(api: ApiServer, namespace: str = "demo") -> Json:
    found = api.get("namespaceoffloadings", namespace, "offloading") or {}
    return dict(found.get("status", {}))


def conditions(api: ApiServer, provider: str) -> dict[str, str]:
    found = status(api).get("remoteNamespacesConditions", {}).get(provider, [])
    return {one["type"]: one["status"] for one in found}


def phase(api: ApiServer) -> str:
    return str(status(api).get("offloadingPhase", ""))


def labelled(api: ApiServer, namespace: str = "demo") -> bool:
    found = api.get("namespaces", "", namespace) or {"metadata": {}}
    return found["metadata"].get("labels", {}).get(ENABLED) == "true"


def gone(api: ApiServer, namespace: str = "demo") -> bool:
    return api.get("namespaceoffloadings", namespace, "offloading") is None


async def test_an_offloading_is_told_to_the_provider_and_its_outcome_to_the_user() -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: mapping(api, "milan") == {"demo": "demo-rome"})
        map_ = api.get("namespacemaps", "liqo-tenant-milan", "milan")
        assert map_
        assert map_["metadata"]["labels"]["liqo.io/replication"] == "true", "it is replicated to the provider"
        await api.until(lambda: phase(api) == "InProgress")
        assert status(api)["remoteNamespaceName"] == "demo-rome"
        assert labelled(api), "the pod webhook is asked about its pods"
        answer(api, "milan", "Accepted")
        await api.until(lambda: phase(api) == "Ready")
        assert conditions(api, "milan") == {"OffloadingRequired": "True", "Ready": "True"}
        assert status(api)["observedGeneration"] == 1
        answer(api, "milan", "CreationLoopBackOff")
        await api.until(lambda: phase(api) == "AllFailed")
        assert conditions(api, "milan")["Ready"] == "False"


async def test_only_the_providers_that_are_selected_are_asked() -> None:
    north = {"matchExpressions": [{"key": "region", "operator": "In", "values": ["north"]}]}
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan", region="north")
        add_provider(api, "turin", region="south")
        offload(api, clusterSelector={"nodeSelectorTerms": [north]})
        await api.until(lambda: mapping(api, "milan") == {"demo": "demo-rome"})
        await api.until(lambda: conditions(api, "turin") == {"OffloadingRequired": "False"})
        assert mapping(api, "turin") == {}
        api.merge("virtualnodes", "liqo-tenant-turin", "turin", {"spec": {"labels": {"region": "north"}}})
        await api.until(lambda: mapping(api, "turin") == {"demo": "demo-rome"})
        answer(api, "milan", "Accepted")
        answer(api, "turin", "CreationLoopBackOff")
        await api.until(lambda: phase(api) == "SomeFailed")


async def test_an_offloading_that_selects_nobody_says_so() -> None:
    api = ApiServer()
    async with running(api, consumer):
        offload(api)
        await api.until(lambda: phase(api) == "NoClusterSelected")


@pytest.mark.parametrize(
    ("spec", "remote"),
    [
        ({"namespaceMappingStrategy": "EnforceSameName"}, "demo"),
        ({"namespaceMappingStrategy": "SelectedName", "remoteNamespaceName": "far"}, "far"),
    ],
)
async def test_the_remote_name_is_the_one_asked_for(spec: dict[str, str], remote: str) -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api, **spec)
        await api.until(lambda: mapping(api, "milan") == {"demo": remote})
        await api.until(lambda: status(api).get("remoteNamespaceName") == remote)


async def test_pods_that_stay_at_home_are_not_asked_about() -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: labelled(api))
        api.merge("namespaceoffloadings", "demo", "offloading", {"spec": {"podOffloadingStrategy": "Local"}})
        await api.until(lambda: not labelled(api))
        assert mapping(api, "milan") == {"demo": "demo-rome"}, "its Services are still reflected"


async def test_a_deletion_waits_for_the_provider_and_brings_the_namespace_back(clock: Clock) -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: mapping(api, "milan"))
        answer(api, "milan", "Accepted")
        await api.until(lambda: phase(api) == "Ready")
        api.delete("namespaceoffloadings", "demo", "offloading")
        await api.until(lambda: mapping(api, "milan") == {})
        await api.until(lambda: phase(api) == "Terminating")
        assert not gone(api)
        assert conditions(api, "milan") == {"OffloadingRequired": "False", "Ready": "False"}
        assert not labelled(api), "new pods stay at home at once"
        answer(api, "milan", "")
        begun = clock.monotonic()
        await api.until(lambda: gone(api))
        assert clock.monotonic() - begun <= 1


async def test_a_provider_that_is_away_holds_a_deletion_up_for_two_minutes_only(clock: Clock) -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: mapping(api, "milan"))
        answer(api, "milan", "Accepted")
        await api.until(lambda: phase(api) == "Ready")
        begun = clock.monotonic()
        api.delete("namespaceoffloadings", "demo", "offloading")
        await api.until(lambda: gone(api), DELETION_BOUND + 10)
        assert clock.monotonic() - begun >= DELETION_BOUND - 2
        assert mapping(api, "milan") == {}, "it learns of it when it is back"


async def test_the_last_virtual_node_takes_the_map_along() -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: mapping(api, "milan"))
        api.delete("virtualnodes", "liqo-tenant-milan", "milan")
        await api.until(lambda: mapping(api, "milan") is None)
        await api.until(lambda: phase(api) == "NoClusterSelected")


async def test_a_map_that_somebody_changed_or_deleted_is_put_right() -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: mapping(api, "milan"))
        await asyncio.sleep(20)
        api.merge("namespacemaps", "liqo-tenant-milan", "milan", {"spec": {"desiredMapping": {"x": "y"}}})
        await api.until(lambda: mapping(api, "milan") == {"demo": "demo-rome"})
        api.delete("namespacemaps", "liqo-tenant-milan", "milan")
        await api.until(lambda: mapping(api, "milan") == {"demo": "demo-rome"})


async def test_the_copy_of_a_consumers_wish_is_not_touched() -> None:
    api = ApiServer()
    copy = {"liqo.io/originID": "milan", "liqo.io/replicated": "true", "liqo.io/remoteID": "rome"}
    meta = {"name": "milan", "namespace": "liqo-tenant-milan", "labels": copy}
    api.create("namespacemaps", {"metadata": meta, "spec": {"desiredMapping": {"theirs": "theirs-milan"}}})
    async with running(api, consumer):
        offload(api)
        add_provider(api, "milan")
        await api.until(lambda: phase(api) == "InProgress")
        assert mapping(api, "milan") == {"theirs": "theirs-milan"}


async def test_an_offloading_by_another_name_is_none() -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        api.create("namespaceoffloadings", {"metadata": {"name": "other", "namespace": "x"}, "spec": {}})
        offload(api)
        await api.until(lambda: mapping(api, "milan") == {"demo": "demo-rome"})
        await api.until(lambda: phase(api) == "InProgress")
        assert "status" not in (api.get("namespaceoffloadings", "x", "other") or {})


async def test_conflicts_refusals_and_lost_answers_on_the_way_are_overcome() -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        api.lose_answer(verb="create", plural="namespacemaps")
        api.fail(409, "Conflict", verb="patch", plural="namespaceoffloadings", subresource="")
        api.fail(500, "InternalError", verb="patch", plural="namespaces")
        offload(api)
        await api.until(lambda: phase(api) == "InProgress")
        assert labelled(api)
        await api.until(lambda: mapping(api, "milan") == {"demo": "demo-rome"})
        answer(api, "milan", "Accepted")
        await api.until(lambda: phase(api) == "Ready")


async def test_a_manager_that_is_killed_during_a_deletion_is_carried_on_by_the_next() -> None:
    api = ApiServer()
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: mapping(api, "milan"))
        answer(api, "milan", "Accepted")
        await api.until(lambda: phase(api) == "Ready")
        api.delete("namespaceoffloadings", "demo", "offloading")
        await api.until(lambda: phase(api) == "Terminating")
    answer(api, "milan", "")
    async with running(api, consumer):
        await api.until(lambda: gone(api))
        await api.until(lambda: mapping(api, "milan") == {})


async def test_a_namespace_that_is_labelled_without_an_offloading_loses_the_label() -> None:
    api = ApiServer()
    async with running(api, consumer):
        api.create("namespaces", {"metadata": {"name": "demo", "labels": {ENABLED: "true"}}})
        await api.until(lambda: not labelled(api))


async def test_a_namespace_goes_with_its_offloading() -> None:
    api = ApiServer(check_namespaces=True)
    for name in ("liqo-tenant-milan", "demo"):
        api.create("namespaces", {"metadata": {"name": name}})
    async with running(api, consumer):
        add_provider(api, "milan")
        offload(api)
        await api.until(lambda: labelled(api))
        api.delete("namespaces", "", "demo")
        await api.until(lambda: mapping(api, "milan") == {})
        await api.until(lambda: api.get("namespaces", "", "demo") is None)

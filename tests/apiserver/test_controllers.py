"""What follows from a write: what is owned, what a namespace holds, which kinds are served."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.api.crds import custom_resource_definitions
from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube import errors
from isthmus.kube.builtin import CONFIG_MAPS, CRDS, NAMESPACES
from tests.apiserver import ApiServer, Json, connected


def owned_by(*owners: Json, **more: Any) -> list[Json]:
    metas = [one["metadata"] for one in owners]
    return [{"kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"], **more} for meta in metas]


def make(api: ApiServer, name: str, *references: Json, namespace: str = "demo", **metadata: Any) -> Json:
    meta = {"name": name, "namespace": namespace, "ownerReferences": list(references), **metadata}
    return api.create("configmaps", {"metadata": meta})


async def test_what_is_owned_goes_with_the_last_of_its_owners() -> None:
    api = ApiServer()
    first, second = make(api, "first"), make(api, "second")
    make(api, "both", *owned_by(first, second))
    one = make(api, "one", *owned_by(first))
    make(api, "grandchild", *owned_by(one))
    api.delete("configmaps", "demo", "first")
    assert api.named("configmaps") == {"second", "both"}
    assert api.objects["configmaps", "demo", "both"]["metadata"]["ownerReferences"] == owned_by(second)
    api.delete("configmaps", "demo", "second")
    assert not api.named("configmaps")
    make(api, "late", *owned_by(first))
    assert not api.named("configmaps"), "its owner had gone already"


async def test_an_owner_in_another_namespace_is_none() -> None:
    api = ApiServer()
    owner = make(api, "owner")
    make(api, "elsewhere", *owned_by(owner), namespace="other")
    assert api.named("configmaps") == {"owner"}
    cluster = api.create("namespaces", {"metadata": {"name": "wide"}})
    make(api, "of-the-cluster", *owned_by(cluster))
    assert api.named("configmaps") == {"owner", "of-the-cluster"}


async def test_without_the_collector_everything_stays() -> None:
    api = ApiServer(collection=False)
    make(api, "child", *owned_by(make(api, "owner")))
    api.delete("configmaps", "demo", "owner")
    assert api.named("configmaps") == {"child"}


async def test_foreground_waits_for_what_blocks_it_and_orphan_leaves_it() -> None:
    api = ApiServer()
    owner = make(api, "owner")
    make(api, "child", *owned_by(owner, blockOwnerDeletion=True), finalizers=["a/b"])
    async with connected(api) as client:
        await client.delete(CONFIG_MAPS, "owner", "demo", propagation="Foreground")
        assert api.named("configmaps") == {"owner", "child"}
        assert "deletionTimestamp" in api.objects["configmaps", "demo", "child"]["metadata"]
        api.merge("configmaps", "demo", "child", {"metadata": {"finalizers": None}})
        assert not api.named("configmaps")
        make(api, "left", *owned_by(make(api, "parent")))
        await client.delete(CONFIG_MAPS, "parent", "demo", propagation="Orphan")
        assert api.named("configmaps") == {"left"}
        assert "ownerReferences" not in api.objects["configmaps", "demo", "left"]["metadata"]


async def test_a_namespace_ends_with_the_last_of_its_contents() -> None:
    api = ApiServer()
    async with connected(api) as client:
        await client.create(NAMESPACES, {"metadata": {"name": "demo"}})
        make(api, "plain")
        make(api, "held", finalizers=["a/b"])
        make(api, "elsewhere", namespace="other")
        await client.delete(NAMESPACES, "demo")
        assert api.named("configmaps") == {"held", "elsewhere"}
        namespace = api.objects["namespaces", "", "demo"]
        assert namespace["status"]["phase"] == "Terminating"
        with pytest.raises(errors.Forbidden, match="because it is being terminated"):
            await client.create(CONFIG_MAPS, {"metadata": {"name": "new"}}, "demo")
        api.merge("configmaps", "demo", "held", {"metadata": {"finalizers": None}})
        assert not api.named("namespaces")
        assert api.named("configmaps") == {"elsewhere"}


async def test_a_kind_is_served_as_long_as_its_definition_is_there() -> None:
    api = ApiServer(liqo=False)
    (crd,) = (one for one in custom_resource_definitions() if one["spec"]["names"]["plural"] == "shadowpods")
    async with connected(api) as client:
        with pytest.raises(errors.NotFound):
            await client.list(SHADOW_PODS)
        await client.create(CRDS, crd)
        conditions = api.objects["customresourcedefinitions", "", crd["metadata"]["name"]]["status"][
            "conditions"
        ]
        assert {"type": "Established", "status": "True"} in conditions
        await client.create(SHADOW_PODS, {"metadata": {"name": "web"}, "spec": {}}, "demo")
        answer = await client.request("GET", "/apis/offloading.liqo.io/v1beta1")
        assert b'"shadowpods/status"' in answer.body
        await client.create(
            SHADOW_PODS, {"metadata": {"name": "held", "finalizers": ["x/y"]}, "spec": {}}, "demo"
        )
        await client.delete(CRDS, crd["metadata"]["name"])
        assert [one.metadata.name for one in (await client.list(SHADOW_PODS)).items] == ["held"]
        await client.patch(SHADOW_PODS, "held", {"metadata": {"finalizers": None}}, "demo")
        with pytest.raises(errors.NotFound):
            await client.list(SHADOW_PODS)
    assert not api.named("customresourcedefinitions")
    assert not [place for place in api.objects if place[0] == "shadowpods"]

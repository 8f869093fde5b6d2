"""The rules of single objects, as the product's own client meets them."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.api.offloading import SHADOW_PODS, ShadowPod
from isthmus.kube import errors
from isthmus.kube.builtin import CONFIG_MAPS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from isthmus.kube.objects import RawObject
from tests.apiserver import Admission, ApiServer, Json, StatusError, connected

RAW = CONFIG_MAPS.view(RawObject)


def named(name: str, **rest: Any) -> Json:
    return {"metadata": {"name": name, **rest.pop("metadata", {})}, **rest}


async def test_an_object_has_what_the_server_gives_it() -> None:
    api = ApiServer(clock=lambda: 0.0)
    async with connected(api) as client:
        first = await client.create(
            SHADOW_PODS, named("web", spec={"pod": {}}, status={"phase": "Forged"}), "demo"
        )
        second = await client.create(SHADOW_PODS, {"metadata": {"generateName": "web-"}}, "demo")
        assert first.metadata.uid != second.metadata.uid
        assert (first.api_version, first.kind) == ("offloading.liqo.io/v1beta1", "ShadowPod")
        assert first.metadata.generation == 1
        assert first.metadata.creation_timestamp == "1970-01-01T00:00:00Z"
        assert second.metadata.name.startswith("web-")
        assert len(second.metadata.name) == len("web-") + 5
        assert "status" not in api.objects["shadowpods", "demo", "web"]
        with pytest.raises(errors.AlreadyExists):
            await client.create(SHADOW_PODS, named("web"), "demo")
        with pytest.raises(errors.NotFound):
            await client.get(SHADOW_PODS, "none", "demo")


async def test_generations_count_changes_of_the_spec_alone() -> None:
    api = ApiServer()
    api.create("shadowpods", named("web", metadata={"namespace": "demo"}, spec={"pod": {"a": 1}}))

    async with connected(api) as client:

        async def change(patch: Json, subresource: str = "") -> ShadowPod:
            return await client.patch(SHADOW_PODS, "web", patch, "demo", subresource=subresource)

        assert (await change({"metadata": {"labels": {"a": "b"}}})).metadata.generation == 1
        assert (await change({"status": {"phase": "Running"}}, "status")).metadata.generation == 1
        assert (await change({"spec": {"pod": {"a": 2}}})).metadata.generation == 2
        version = api.version
        assert (await change({"spec": {"pod": {"a": 2}}})).metadata.generation == 2
        assert api.version == version, "nothing changed"


async def test_status_is_written_by_its_subresource_alone() -> None:
    api = ApiServer()
    api.create("shadowpods", named("web", metadata={"namespace": "demo"}, spec={"pod": {}}))
    api.create("pods", named("web", metadata={"namespace": "demo"}, spec={}))
    both = {"metadata": {"labels": {"a": "b"}}, "spec": {"pod": {"x": 1}}, "status": {"phase": "Running"}}
    async with connected(api) as client:
        await client.patch(SHADOW_PODS, "web", both, "demo", subresource="status")
        custom = api.objects["shadowpods", "demo", "web"]
        assert (custom["spec"], custom["status"]) == ({"pod": {}}, {"phase": "Running"})
        assert "labels" not in custom["metadata"]
        await client.patch(SHADOW_PODS, "web", {**both, "status": {"phase": "Forged"}}, "demo")
        custom = api.objects["shadowpods", "demo", "web"]
        assert (custom["spec"], custom["status"]) == ({"pod": {"x": 1}}, {"phase": "Running"})
        await client.patch(PODS, "web", both, "demo", subresource="status")
        pod = api.objects["pods", "demo", "web"]
        assert (pod["spec"], pod["status"]) == ({}, {"phase": "Running"})
        assert pod["metadata"]["labels"] == {"a": "b"}, "built-in kinds take metadata along"


async def test_outdated_writes_conflict() -> None:
    api = ApiServer()
    async with connected(api) as client:
        old = await client.create(CONFIG_MAPS, named("a", data={"x": "1"}), "demo")
        version = {"resourceVersion": old.metadata.resource_version}
        await client.update(CONFIG_MAPS, named("a", metadata=version, data={"x": "2"}), "demo")
        with pytest.raises(errors.Conflict, match="has been modified"):
            await client.update(CONFIG_MAPS, named("a", metadata=version, data={"x": "3"}), "demo")
        with pytest.raises(errors.Conflict, match="has been modified"):
            await client.patch(CONFIG_MAPS, "a", {"metadata": version, "data": {"x": "3"}}, "demo")
        with pytest.raises(errors.Invalid, match="field is immutable"):
            await client.patch(CONFIG_MAPS, "a", {"metadata": {"uid": "another"}}, "demo")
        with pytest.raises(errors.Conflict):
            await client.apply(CONFIG_MAPS, named("a", metadata=version), "demo")
        with pytest.raises(errors.Conflict, match="uid mismatch"):
            await client.apply(CONFIG_MAPS, named("b", metadata={"uid": "gone"}), "demo")
        assert not await client.delete(CONFIG_MAPS, "a", "demo", uid="another")
        await client.apply(CONFIG_MAPS, named("new", metadata=version), "demo")
        await client.create(SHADOW_PODS, named("web"), "demo")
        with pytest.raises(errors.Invalid, match="resourceVersion"):
            await client.update(SHADOW_PODS, named("web"), "demo")
    assert api.objects["configmaps", "demo", "a"]["data"] == {"x": "2"}


async def test_a_json_patch_is_done_as_a_whole_or_not_at_all() -> None:
    api = ApiServer()
    made = api.create("configmaps", named("a", metadata={"namespace": "demo"}, data={"x": "1"}))
    add = {"op": "add", "path": "/data/y", "value": "2"}
    async with connected(api) as client:
        test = {"op": "test", "path": "/metadata/uid", "value": "another"}
        with pytest.raises(errors.Invalid):
            await client.patch(CONFIG_MAPS, "a", [add, test], "demo", type="json")
        assert api.objects["configmaps", "demo", "a"] == made
        await client.patch(
            CONFIG_MAPS, "a", [{**test, "value": made["metadata"]["uid"]}, add], "demo", type="json"
        )
    assert api.objects["configmaps", "demo", "a"]["data"] == {"x": "1", "y": "2"}


async def test_deletion_waits_for_finalizers() -> None:
    api = ApiServer(clock=lambda: 60.0)
    marks = {"namespace": "demo", "finalizers": ["a/b", "c/d"]}
    api.create("shadowpods", named("web", metadata=marks))
    async with connected(api) as client:
        assert await client.delete(SHADOW_PODS, "web", "demo")
        going = await client.get(SHADOW_PODS, "web", "demo")
        assert going.metadata.deletion_timestamp == "1970-01-01T00:01:00Z"
        assert going.metadata.generation == 2
        version = api.version
        assert await client.delete(SHADOW_PODS, "web", "demo")
        assert api.version == version
        patch: Json = {"metadata": {"finalizers": ["a/b", "new/one"]}}
        with pytest.raises(errors.Invalid, match="no new finalizers"):
            await client.patch(SHADOW_PODS, "web", patch, "demo")
        await client.patch(SHADOW_PODS, "web", {"metadata": {"finalizers": ["c/d"]}}, "demo")
        assert api.get("shadowpods", "demo", "web")
        await client.patch(SHADOW_PODS, "web", {"metadata": {"finalizers": None}}, "demo")
        assert api.get("shadowpods", "demo", "web") is None
        assert not await client.delete(SHADOW_PODS, "web", "demo")


async def test_a_pod_of_a_node_has_a_grace_period_where_that_matters() -> None:
    api = ApiServer(graceful_pods=True)
    for name, spec in (("bound", {"nodeName": "worker"}), ("waiting", {})):
        api.create("pods", named(name, metadata={"namespace": "demo"}, spec=spec))
    async with connected(api) as client:
        await client.delete(PODS, "waiting", "demo")
        await client.delete(PODS, "bound", "demo")
        assert api.named("pods") == {"bound"}
        assert api.objects["pods", "demo", "bound"]["metadata"]["deletionGracePeriodSeconds"] == 30
        await client.delete(PODS, "bound", "demo", grace_period_seconds=0)
        assert api.named("pods") == set()


async def test_admission_refuses_and_changes() -> None:
    def hook(review: Admission) -> Json | None:
        if review.operation == "DELETE":
            raise StatusError(403, "Forbidden", "policy: it stays")
        assert review.object is not None
        return {**review.object, "data": {"seen": review.operation}}

    api = ApiServer()
    api.admission.append(hook)
    async with connected(api) as client:
        assert (await client.create(CONFIG_MAPS, named("a"), "demo")).data == {"seen": "CREATE"}
        assert (await client.patch(CONFIG_MAPS, "a", {"data": {"x": "y"}}, "demo")).data == {"seen": "UPDATE"}
        with pytest.raises(errors.Forbidden, match="it stays"):
            await client.delete(CONFIG_MAPS, "a", "demo")


async def test_a_dry_run_changes_nothing() -> None:
    api = ApiServer()
    api.create("configmaps", named("a", metadata={"namespace": "demo"}))
    async with connected(api) as client:
        body = b'{"metadata": {"name": "b"}}'
        path = CONFIG_MAPS.path("demo")
        answer = await client.request("POST", path, query=[("dryRun", "All")], body=body)
        assert b'"uid"' in answer.body
        with pytest.raises(errors.AlreadyExists):
            await client.request("POST", path, query=[("dryRun", "All")], body=body.replace(b"b", b"a", 1))
        await client.request("DELETE", f"{path}/a", query=[("dryRun", "All")])
        query = [("dryRun", "All"), ("fieldManager", "x")]
        content = "application/apply-patch+yaml"
        await client.request(
            "PATCH", f"{path}/a", query=query, body=b'{"data": {"x": "y"}}', content_type=content
        )
    assert api.named("configmaps") == {"a"}
    assert "data" not in api.objects["configmaps", "demo", "a"]


async def test_metadata_alone_is_shown_to_who_asks_for_it() -> None:
    api = ApiServer()
    api.create("shadowpods", named("web", metadata={"namespace": "demo"}, spec={"pod": {}}))
    async with connected(api) as client:
        whole = await client.get(SHADOW_PODS.view(RawObject), "web", "demo")
        lean = await client.get(SHADOW_PODS.partial(), "web", "demo")
        assert bytes(whole.spec) == b'{"pod":{}}'
        assert lean.kind == "PartialObjectMetadata"
        assert lean.metadata == whole.metadata


async def test_what_is_not_there_is_404_and_what_is_missing_400() -> None:
    api = ApiServer(check_namespaces=True)
    async with connected(api) as client:
        with pytest.raises(errors.NotFound, match="404 page not found"):
            await client.request("GET", "/apis/other.example/v1/things")
        with pytest.raises(errors.NotFound, match='namespaces "demo" not found'):
            await client.create(CONFIG_MAPS, named("a"), "demo")
        await client.create(NAMESPACES, named("demo"))
        await client.create(CONFIG_MAPS, named("a"), "demo")
        with pytest.raises(errors.ApiError, match="does not allow this method"):
            await client.request("POST", "/api/v1/configmaps", body=b'{"metadata": {"name": "a"}}')
        with pytest.raises(errors.BadRequest):
            await client.request("POST", CONFIG_MAPS.path("demo"), body=b"{")
    with pytest.raises(LookupError):
        api.get("things", "", "a")


async def test_pods_have_their_subresources_and_service_accounts_tokens() -> None:
    api = ApiServer()
    containers = [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]
    pod = named("web", metadata={"namespace": "demo"}, spec={"containers": containers})
    api.create("pods", pod)
    api.create("serviceaccounts", named("default", metadata={"namespace": "demo"}))
    async with connected(api) as client:
        patch = {"spec": {"containers": [{"name": "d", "resources": {"limits": {"cpu": "2"}}}]}}
        await client.patch(PODS, "web", patch, "demo", type="strategic", subresource="resize")
        spec = api.objects["pods", "demo", "web"]["spec"]
        assert spec["containers"][1] == {"name": "d", "image": "i", "resources": {"limits": {"cpu": "2"}}}
        assert len(spec["containers"]) == 2
        token = await client.request(
            "POST", SERVICE_ACCOUNTS.path("demo", "default", "token"), body=b'{"spec": {}}'
        )
        assert b"token-" in token.body
        await client.request("POST", PODS.path("demo", "web", "eviction"), body=b"{}")
        assert api.named("pods") == set()
        with pytest.raises(errors.ApiError):
            await client.patch(SHADOW_PODS, "web", {}, "demo", type="strategic")

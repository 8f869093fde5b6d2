"""Server-side apply: what a manager drops, what it shares, what conflicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.networking import CONNECTIONS
from isthmus.kube import errors
from isthmus.kube.builtin import CONFIG_MAPS, DEPLOYMENTS, SERVICES, ConfigMap
from isthmus.kube.client import Client
from tests.apiserver import ApiServer, Json, connected
from tests.apiserver.apply import Managers


async def apply(client: Client, data: dict[str, str], manager: str = "a", **how: bool) -> ConfigMap:
    manifest = {"metadata": {"name": "c"}, "data": data}
    return await client.apply(CONFIG_MAPS, manifest, "demo", field_manager=manager, **how)


async def test_what_a_manager_no_longer_applies_goes_and_what_others_wrote_stays() -> None:
    async with connected(ApiServer()) as client:
        await apply(client, {"x": "1", "y": "1", "both": "1"})
        await apply(client, {"both": "1", "theirs": "1"}, "b")
        await client.patch(CONFIG_MAPS, "c", {"data": {"users": "1"}}, "demo")
        assert (await apply(client, {"x": "2"})).data == {"x": "2", "both": "1", "theirs": "1", "users": "1"}
        assert (await apply(client, {})).data == {"both": "1", "theirs": "1", "users": "1"}
        assert (await apply(client, {}, "b")).data == {"users": "1"}


async def test_what_another_changed_conflicts_unless_forced() -> None:
    async with connected(ApiServer()) as client:
        await apply(client, {"x": "1"})
        await apply(client, {"x": "1"}, "b", force=False)
        with pytest.raises(errors.Conflict, match=r'conflict with "a": \.data\.x'):
            await apply(client, {"x": "2"}, "b", force=False)
        await client.patch(CONFIG_MAPS, "c", {"data": {"x": "3"}}, "demo", field_manager="kubectl")
        with pytest.raises(errors.Conflict, match='conflict with "kubectl" using v1'):
            await apply(client, {"x": "1"}, force=False)
        assert (await apply(client, {"x": "1"})).data == {"x": "1"}
        assert (await apply(client, {"y": "1"})).data == {"y": "1"}


async def test_a_member_of_a_list_stays_with_what_others_manage_of_it() -> None:
    def manifest(*containers: Json) -> Json:
        return {"metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": [*containers]}}}}

    api, a, b = ApiServer(), {"name": "a", "image": "1"}, {"name": "b", "image": "1"}
    async with connected(api) as client:
        await client.apply(DEPLOYMENTS, manifest(a, b), "demo", field_manager="us")
        await client.apply(DEPLOYMENTS, manifest({"name": "b", "tty": True}), "demo", field_manager="them")
        await client.apply(DEPLOYMENTS, manifest(a), "demo", field_manager="us")
    (kept,) = api.list("deployments")
    assert kept["spec"]["template"]["spec"]["containers"] == [a, {"name": "b", "tty": True}]


async def test_members_of_lists_with_keys_are_merged_and_other_lists_replaced() -> None:
    api = ApiServer()

    def manifest(*containers: Json, **metadata: Any) -> Json:
        spec = {"template": {"spec": {"containers": [*containers]}}}
        return {"metadata": {"name": "d", **metadata}, "spec": spec}

    async with connected(api) as client:
        a, b = {"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "1"}
        await client.apply(DEPLOYMENTS, manifest(a, b, finalizers=["our/own"]), "demo", field_manager="us")
        injected = manifest({"name": "mesh", "image": "m"}, finalizers=["its/own"])
        await client.apply(DEPLOYMENTS, injected, "demo", field_manager="mesh")
        await client.apply(DEPLOYMENTS, manifest({**a, "args": ["y"]}), "demo", field_manager="us")
        found = api.objects["deployments", "demo", "d"]
        assert found["spec"]["template"]["spec"]["containers"] == [
            {"name": "a", "image": "1", "args": ["y"]},
            {"name": "mesh", "image": "m"},
        ]
        assert found["metadata"]["finalizers"] == ["its/own"]
        assert found["metadata"]["generation"] == 3
        port = {"port": 80, "nodePort": 30000}
        api.create("services", {"metadata": {"name": "s", "namespace": "demo"}, "spec": {"ports": [port]}})
        spec = {"ports": [{"port": 80, "protocol": "TCP", "name": "http"}]}
        await client.apply(SERVICES, {"metadata": {"name": "s"}, "spec": spec}, "demo")
        assert api.objects["services", "demo", "s"]["spec"]["ports"] == [{**port, **spec["ports"][0]}]


async def test_a_status_is_applied_by_itself() -> None:
    api = ApiServer()
    async with connected(api) as client:
        status = {"metadata": {"name": "c"}, "status": {"value": "Connected", "latency": {"value": "1ms"}}}
        with pytest.raises(errors.NotFound):
            await client.apply(CONNECTIONS, status, "demo", subresource="status")
        await client.apply(CONNECTIONS, {**status, "spec": {"type": "Server"}}, "demo")
        assert "status" not in api.objects["connections", "demo", "c"]
        await client.apply(CONNECTIONS, {**status, "spec": {"type": "Client"}}, "demo", subresource="status")
        found = api.objects["connections", "demo", "c"]
        assert (found["spec"], found["status"]["value"]) == ({"type": "Server"}, "Connected")
        await client.apply(
            CONNECTIONS, {**status, "status": {"value": "Error"}}, "demo", subresource="status"
        )
        assert api.objects["connections", "demo", "c"]["status"] == {"value": "Error"}
        assert api.objects["connections", "demo", "c"]["spec"] == {"type": "Server"}


_DATA = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)


@given(st.lists(st.tuples(st.sampled_from(["x", "y"]), _DATA), min_size=1))
def test_after_any_applies_there_is_what_somebody_applies_last(
    steps: list[tuple[str, dict[str, str]]],
) -> None:
    managers, live = Managers(), {"metadata": {}}
    last: dict[str, dict[str, str]] = {}
    for name, data in steps:
        wanted = {"data": data} if data else {}
        live = managers.apply((name, "Apply", ""), live, wanted, custom=False, force=True)
        rival = "y" if name == "x" else "x"
        # What was taken over by force is the other's no longer.
        last[rival] = {f: v for f, v in last.get(rival, {}).items() if data.get(f, v) == v}
        last[name] = data
        assert live.get("data", {}) == last["x"] | last["y"]

"""Lists and watches: pages, selectors that objects come and go under, versions that are forgotten."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube import errors
from isthmus.kube.builtin import CONFIG_MAPS, EVENTS, PODS
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.kube.resource import Resource
from tests.apiserver import ApiServer, connected


def put(
    api: ApiServer, name: str, namespace: str = "demo", plural: str = "configmaps", **labels: str
) -> None:
    api.put(plural, {"metadata": {"name": name, "namespace": namespace, "labels": labels}})


async def names(client: Client, resource: Resource[Any] = CONFIG_MAPS, **how: str) -> list[str]:
    return [one.metadata.name for one in (await client.list(resource, **how)).items]


async def test_lists_are_selected_by_labels_fields_and_namespace() -> None:
    api = ApiServer()
    put(api, "b", color="red")
    put(api, "a", color="blue", size="1")
    put(api, "c", "other", color="red")
    api.create("pods", {"metadata": {"name": "p", "namespace": "demo"}, "spec": {"nodeName": "milan"}})
    async with connected(api) as client:
        assert await names(client) == ["a", "b", "c"]
        assert await names(client, namespace="demo") == ["a", "b"]
        assert await names(client, label_selector="color in (red, green),!size") == ["b", "c"]
        assert await names(client, label_selector="color notin (red)") == ["a"]
        assert await names(client, field_selector="metadata.name=b,metadata.namespace!=other") == ["b"]
        assert await names(client, PODS, field_selector="spec.nodeName=milan") == ["p"]
        assert await names(client, PODS, field_selector="spec.hostNetwork=false") == ["p"]
        assert await names(client, PODS, field_selector="spec.nodeName=rome") == []
        with pytest.raises(errors.BadRequest, match="not a known field selector"):
            await client.list(CONFIG_MAPS, field_selector="data.x=1")
        with pytest.raises(errors.BadRequest, match="unable to parse"):
            await client.list(EVENTS, label_selector="a in")


async def test_a_list_in_pages_is_one_state_until_it_is_forgotten() -> None:
    api = ApiServer()
    for name in "abcde":
        put(api, name)
    async with connected(api) as client:
        pages = client.pages(CONFIG_MAPS, size=2)
        first = await anext(pages)
        put(api, "aa")
        rest = [page async for page in pages]
        found = [one.metadata.name for page in (first, *rest) for one in page.items]
        assert found == list("abcde")
        assert {page.resource_version for page in (first, *rest)} == {"6"}
        pages = client.pages(CONFIG_MAPS, size=2)
        await anext(pages)
        api.expire()
        with pytest.raises(errors.Expired):
            await anext(pages)
        assert len(await names(client)) == 6


async def test_a_watch_tells_of_objects_that_come_and_go_under_its_selector() -> None:
    api = ApiServer()
    put(api, "a", color="red")
    put(api, "b", color="blue")
    async with connected(api) as client:
        watch = client.watch(CONFIG_MAPS, "demo", label_selector="color=red", send_initial_events=True)
        async with aclosing(watch):

            async def told() -> tuple[str, str, str]:
                event = await anext(watch)
                meta = event.object.metadata
                return event.type, meta.name, meta.labels.get("color", "")

            assert await told() == ("ADDED", "a", "red")
            mark = await anext(watch)
            assert mark.type == "BOOKMARK"
            assert mark.object.metadata.annotations == {"k8s.io/initial-events-end": "true"}
            put(api, "b", color="red")
            put(api, "c", "elsewhere", color="red")
            put(api, "b", color="red", size="1")
            put(api, "a", color="green")
            put(api, "a", color="yellow")
            api.delete("configmaps", "demo", "b")
            assert [await told() for _ in range(4)] == [
                ("ADDED", "b", "red"),
                ("MODIFIED", "b", "red"),
                ("DELETED", "a", "red"),
                ("DELETED", "b", "red"),
            ]


async def test_a_watch_goes_on_from_a_version_it_knows() -> None:
    api = ApiServer()
    put(api, "a")
    version = str(api.version)
    put(api, "b")
    api.delete("configmaps", "demo", "a")
    async with connected(api) as client:
        watch = client.watch(CONFIG_MAPS.partial(), resource_version=version)
        async with aclosing(watch):
            events = [await anext(watch) for _ in range(2)]
        assert [(one.type, one.object.metadata.name) for one in events] == [("ADDED", "b"), ("DELETED", "a")]
        assert events[0].object.kind == "PartialObjectMetadata"
        assert int(events[1].object.metadata.resource_version) == api.version
        api.expire()
        with pytest.raises(errors.Expired):
            await anext(client.watch(CONFIG_MAPS, resource_version=version))
        version = api.version + 1
        watch = client.watch(CONFIG_MAPS, resource_version=str(version))  # One to come: nothing until then.
        async with aclosing(watch):
            told = asyncio.create_task(anext(watch))
            await api.until(lambda: api.reader.watches)
            put(api, "c")
            put(api, "d")
            assert (await told).object.metadata.name == "d"


@pytest.mark.parametrize("watch_list", [True, False])
async def test_an_informer_follows_through_everything_that_happens_to_a_watch(watch_list: bool) -> None:
    api = ApiServer(watch_list=watch_list)
    put(api, "web", plural="shadowpods")
    async with connected(api) as client:
        informer = Informer(client, SHADOW_PODS)

        def cached() -> set[str]:
            return {one.metadata.name for one in informer.list()}

        task = asyncio.create_task(informer.run())
        await informer.synced.wait()
        assert cached() == {"web"}
        put(api, "second", plural="shadowpods")
        await _eventually(lambda: cached() == {"web", "second"})
        api.end_watches("shadowpods")
        put(api, "third", plural="shadowpods")
        await _eventually(lambda: cached() == {"web", "second", "third"})
        await _eventually(lambda: informer.connected)
        api.end_watches(cut=False)
        api.delete("shadowpods", "demo", "web")
        await _eventually(lambda: cached() == {"second", "third"})
        await _eventually(lambda: informer.connected)
        api.expire()
        api.delete("shadowpods", "demo", "second")
        await _eventually(lambda: cached() == {"third"})
        await api.stop()
        api.delete("shadowpods", "demo", "third")
        put(api, "fourth", plural="shadowpods")
        await api.start()
        await _eventually(lambda: cached() == {"fourth"})
        task.cancel()
        await asyncio.wait([task])


async def _eventually(true: Any) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- the informer's cache has nobody to wake us
            await asyncio.sleep(0.005)

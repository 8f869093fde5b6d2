"""What goes wrong on demand, how waiting ends, and how commands are run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from isthmus.kube import errors
from isthmus.kube.builtin import CONFIG_MAPS, SECRETS
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from tests.apiserver import ApiServer, Json, command, connected, kubeconfig, running
from tests.kube.fake import Exchange


def named(name: str) -> Json:
    return {"metadata": {"name": name}}


async def test_requests_fail_as_often_as_is_said() -> None:
    api = ApiServer()
    async with connected(api) as client:
        fault = api.fail(409, "Conflict", "meddled with", times=2, verb="create", plural="configmaps")
        for _ in range(2):
            with pytest.raises(errors.Conflict, match="meddled with"):
                await client.create(CONFIG_MAPS, named("a"), "demo")
        await client.create(SECRETS, named("a"), "demo")
        await client.create(CONFIG_MAPS, named("a"), "demo")
        assert fault.hits == 2
        with api.failing(503, verb="write", name="a"):
            await client.get(CONFIG_MAPS, "a", "demo")
            with pytest.raises(errors.ServerError):
                await client.delete(CONFIG_MAPS, "a", "demo")
        await client.delete(CONFIG_MAPS, "a", "demo")
        verbs = [one.verb for one in api.asked(plural="configmaps")]
        assert verbs == ["create", "create", "create", "get", "delete", "delete"]
        assert [one.code for one in api.asked("create", "configmaps")] == [409, 409, 201]


async def test_an_answer_is_lost_once_the_write_is_done() -> None:
    api = ApiServer()
    api.lose_answer(verb="create", when=lambda request: request.answer["metadata"]["name"] == "lost")
    async with connected(api) as client:
        await client.create(CONFIG_MAPS, named("a"), "demo")
        with pytest.raises(errors.TransportError):
            await client.create(CONFIG_MAPS, named("lost"), "demo")
        assert api.named("configmaps") == {"a", "lost"}
        with pytest.raises(errors.AlreadyExists):
            await client.create(CONFIG_MAPS, named("lost"), "demo")


async def test_a_request_is_held_until_it_may_go_on() -> None:
    api = ApiServer()
    hold = api.hold(verb="create")
    async with connected(api) as client:
        creating = asyncio.create_task(client.create(CONFIG_MAPS, named("a"), "demo"))
        await api.until(lambda: hold.hits)
        await client.create(CONFIG_MAPS, named("b"), "demo")
        assert api.named("configmaps") == {"b"}
        api.faults.end(hold)
        await creating
        assert api.named("configmaps") == {"a", "b"}


async def test_some_requests_are_answered_by_the_test() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.respond(200, b"metrics")

    api = ApiServer()
    api.respond(answer, when=lambda request: request.path.endswith("/proxy/metrics"))
    async with connected(api) as client:
        got = await client.request("GET", "/api/v1/namespaces/demo/pods/web/proxy/metrics")
        assert got.body == b"metrics"


async def test_two_clusters_are_waited_for_together() -> None:
    one, two = ApiServer(), ApiServer()
    async with connected(one) as first, connected(two) as second:
        waiting = asyncio.create_task(one.until(lambda: one.named("secrets") & two.named("secrets")))
        await first.create(SECRETS, named("a"), "demo")
        await second.create(SECRETS, named("b"), "demo")
        await second.create(SECRETS, named("a"), "demo")
        assert await waiting == {"a"}
        with pytest.raises(TimeoutError, match="create secrets demo/ -> 201"):
            await two.until(lambda: False, timeout=0.01)


async def test_a_process_that_ends_fails_who_waits() -> None:
    def setup(manager: Manager, _: Options) -> None:
        async def run() -> None:
            raise LookupError("a fault")

        manager.add_task(run)

    api = ApiServer()
    with pytest.raises(ExceptionGroup) as ended:
        async with running(api, setup):
            await api.until(lambda: False)
    assert isinstance(ended.value.exceptions[0], LookupError)


async def test_a_command_runs_against_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    api = ApiServer()

    async def run(*arguments: Any) -> Any:
        return await command(*arguments, "--kubeconfig", kubeconfig(api, tmp_path))

    async with api:
        ended = await run("info")
        assert ended.code == 1
        assert "not installed" in ended.err
        assert api.asked("list", "configmaps")

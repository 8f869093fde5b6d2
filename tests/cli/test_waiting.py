"""Waiting for a cluster in real time: an API server that hangs ends it too, and what failed meanwhile is told."""

from __future__ import annotations

import asyncio
import io

import pytest

from isthmus.api.authentication import TENANTS
from isthmus.cli.errors import CommandError
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.cli.writes import write
from isthmus.kube.errors import KubeError, ServerError, TooManyRequests, TransportError
from tests.apiserver import ApiServer, connected

TENANT = {"metadata": {"namespace": "there", "name": "rome"}, "spec": {}}


@pytest.fixture(autouse=True)
def _in_real_time(_hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()


async def wait(read: object, seconds: float = 0.1) -> object:
    with Progress(io.StringIO()).step("Waiting") as current:
        current.update("nothing yet")
        return await wait_for(read, Deadline(seconds), current, "it was not there")  # type: ignore[arg-type]


async def test_what_hangs_is_given_up_when_the_time_is_over() -> None:
    async def hang() -> bool | None:
        await asyncio.sleep(60)
        return True

    with pytest.raises(CommandError) as told:
        await wait(hang)
    assert str(told.value) == "it was not there within 0.1 s (nothing yet): see --timeout"


@pytest.mark.parametrize(
    "error", [TransportError("the API server is gone"), ServerError("etcd is gone"), TooManyRequests("later")]
)
async def test_what_fails_meanwhile_is_told_and_asked_again(error: KubeError) -> None:
    failures = [error, error]

    async def read() -> str | None:
        if failures:
            raise failures.pop()
        return "there"

    assert await wait(read, 20.0) == "there"
    failures.extend([error] * 100)
    with pytest.raises(CommandError, match=rf"it was not there within 0.1 s \({error}\)"):
        await wait(read)


async def test_a_write_that_gets_no_answer_ends_with_the_time() -> None:
    api = ApiServer()
    async with connected(api) as client:
        held = api.hold(verb="create", plural="tenants")
        with pytest.raises(CommandError) as told:
            await write(client, TENANTS, TENANT, Deadline(0.2))
        api.faults.end(held)
    assert str(told.value) == (
        "Tenant there/rome could not be written within 0.2 s: it is being deleted, something else keeps changing it, "
        "or its admission webhook gives no answer: look whether it is going and whether the controller is ready, then "
        "run this again"
    )


async def test_a_write_whose_answer_was_lost_is_looked_for() -> None:
    api = ApiServer()
    async with connected(api) as client:
        api.lose_answer(verb="create", plural="tenants")
        assert await write(client, TENANTS, TENANT, Deadline(20.0))
        assert api.named("tenants") == {"rome"}
        api.delete("tenants", "there", "rome")
        api.respond(lambda exchange: cut(exchange), verb="create", plural="tenants")
        with pytest.raises(TransportError):
            await write(client, TENANTS, TENANT, Deadline(20.0))


async def cut(exchange: object) -> None:
    exchange.cut()  # type: ignore[attr-defined]

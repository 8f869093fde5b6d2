"""Which address a client's server is looked for at, on the event loop's own virtual time."""

from __future__ import annotations

import asyncio

import pytest

from isthmus.network.gateway.endpoint import Endpoint


@pytest.mark.looptime
async def test_the_next_address_has_its_turn_while_nothing_answers() -> None:
    seen: list[str] = []
    alive = False
    endpoint = Endpoint(
        ["192.0.2.1", "192.0.2.2"], 51840, alive=lambda: alive, changed=lambda: seen.append(endpoint.current)
    )
    task = asyncio.create_task(endpoint.run())
    await asyncio.sleep(40)
    assert seen[:3] == ["192.0.2.1:51840", "192.0.2.2:51840", "192.0.2.1:51840"]
    alive, count = True, len(seen)
    await asyncio.sleep(3600)
    assert len(seen) == count, "what works is not left"
    task.cancel()


@pytest.mark.looptime
async def test_a_name_is_resolved_again_and_keeps_its_last_address(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[str]] = [
        ["192.0.2.7"],
        [],
        ["192.0.2.9", "192.0.2.8"],
        ["192.0.2.9", "192.0.2.8", "192.0.2.1"],
    ]
    seen: list[str] = []

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        if not (found := answers.pop(0) if answers else ["192.0.2.8"]):
            raise OSError("no such name")
        return [(0, 0, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    endpoint = Endpoint(["gw.example"], 1, alive=lambda: False, changed=lambda: seen.append(endpoint.current))
    task = asyncio.create_task(endpoint.run())
    await asyncio.sleep(60)
    assert seen == ["192.0.2.7:1", "192.0.2.8:1"]
    task.cancel()


@pytest.mark.looptime
async def test_a_server_that_moves_is_followed_at_once() -> None:
    seen: list[tuple[float, str]] = []
    now = asyncio.get_running_loop().time
    endpoint = Endpoint([], 0, alive=lambda: True, changed=lambda: seen.append((now(), endpoint.current)))
    task = asyncio.create_task(endpoint.run())
    start = now()
    await asyncio.sleep(1)
    assert endpoint.current == "", "not told yet"
    endpoint.point(["192.0.2.1"], 51840)
    await asyncio.sleep(1)
    endpoint.point(["192.0.2.1"], 51840)
    await asyncio.sleep(1)
    endpoint.point(["192.0.2.9"], 30123)
    await asyncio.sleep(1)
    assert [(at - start, where) for at, where in seen] == [(1, "192.0.2.1:51840"), (3, "192.0.2.9:30123")]
    task.cancel()

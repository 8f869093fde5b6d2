"""Who is let in, asked of an API server that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import ServerError
from isthmus.kube.server import Answer, Request, Server
from isthmus.offloading.kubelet.access import Access, Ask, User, bearer_token, certified_user
from isthmus.offloading.kubelet.expiring import Expiring

MARY = User(username="mary", groups=["devs", "system:authenticated"], extra={"scope": ["a"]})


@asynccontextmanager
async def reviewed_by(review: Callable[[str, Any], Any]) -> AsyncIterator[tuple[Access, list[Any]]]:
    """An Access whose API server answers with what `review(kind, spec)` says, and the specs it was asked."""
    asked: list[Any] = []

    async def handle(request: Request) -> Answer:
        body = msgspec.json.decode(request.body)
        asked.append(body["spec"])
        status = review(body["kind"], body["spec"])
        return Answer(500) if status is None else Answer(201, msgspec.json.encode({"status": status}))

    server = Server(handle, host="127.0.0.1")
    running = asyncio.create_task(server.run())
    await server.started.wait()
    client = Client(Credentials(server=f"http://127.0.0.1:{server.port}"), attempts=1)
    try:
        yield Access(client), asked
    finally:
        await client.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def request(**settings: Any) -> Request:
    return Request("GET", "/pods", [], settings.pop("headers", {}), [], b"", **settings)


def test_a_certificate_names_a_user_and_groups() -> None:
    subject = (("organizationName", "system:masters"), ("organizationName", "b"), ("commonName", "api"))
    assert certified_user(subject) == User(
        username="api", groups=["system:masters", "b", "system:authenticated"]
    )
    assert certified_user((("organizationName", "system:masters"),)) is None
    assert certified_user((("commonName", "a"), ("commonName", "b"))) is None


def test_only_a_bearer_token_is_a_token() -> None:
    assert bearer_token({"authorization": "Bearer abc"}) == "abc"
    assert bearer_token({"authorization": "bearer  abc "}) == "abc"
    assert bearer_token({"authorization": "Basic abc"}) == ""
    assert bearer_token({"authorization": "Bearer " + "x" * 20_000}) == ""
    assert bearer_token({}) == ""


async def test_nobody_is_anonymous() -> None:
    async with reviewed_by(lambda kind, spec: None) as (access, asked):
        assert await access.authenticate(request()) is None
        assert asked == []


async def test_a_token_is_reviewed_once_a_minute() -> None:
    def review(kind: str, spec: Any) -> Any:
        known = spec["token"].startswith("good")
        return {"authenticated": known, "user": {"username": "mary", "groups": ["devs"]} if known else {}}

    async with reviewed_by(review) as (access, asked):
        for _ in range(3):
            user = await access.authenticate(request(headers={"authorization": "Bearer good"}))
            assert user is not None
            assert (user.username, user.groups) == ("mary", ["devs"])
        assert len(asked) == 1
        for _ in range(2):
            assert await access.authenticate(request(headers={"authorization": "Bearer bad"})) is None
        assert len(asked) == 3, "what was refused is asked again"


async def test_access_is_reviewed_for_the_very_user_verb_and_node() -> None:
    def review(kind: str, spec: Any) -> Any:
        return {"allowed": spec["resourceAttributes"].get("name") == "milan"}

    async with reviewed_by(review) as (access, asked):
        assert await access.allows(MARY, Ask("get", "proxy", "milan"))
        assert await access.allows(MARY, Ask("get", "proxy", "milan"))
        assert not await access.allows(MARY, Ask("get", "proxy", "naples"))
        assert not await access.allows(MARY, Ask("get", "proxy", ""))
    assert asked[0] == {
        "user": "mary",
        "uid": "",
        "groups": ["devs", "system:authenticated"],
        "extra": {"scope": ["a"]},
        "resourceAttributes": {
            "verb": "get",
            "version": "v1",
            "resource": "nodes",
            "subresource": "proxy",
            "name": "milan",
        },
    }
    assert len(asked) == 3
    assert "name" not in asked[2]["resourceAttributes"]


async def test_a_denial_outweighs_and_no_answer_is_no_permission() -> None:
    async with reviewed_by(lambda kind, spec: {"allowed": True, "denied": True}) as (access, _):
        assert not await access.allows(MARY, Ask("get", "proxy", "milan"))
    async with reviewed_by(lambda kind, spec: None) as (access, _):
        with pytest.raises(ServerError):
            await access.allows(MARY, Ask("get", "proxy", "milan"))


def test_decisions_expire_and_are_bounded() -> None:
    memory: Expiring[str, int] = Expiring(60.0, size=3)
    memory.put("a", 1, 0.0)
    assert memory.get("a", 59.9) == 1
    assert memory.get("a", 60.0) is None
    for number in range(10):
        memory.put(f"k{number}", number, 0.0)
    assert [memory.get(f"k{number}", 1.0) for number in (6, 7, 8, 9)] == [None, 7, 8, 9]

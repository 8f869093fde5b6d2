"""Leader election against a Lease as the API server keeps it, under virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isthmus.kube.builtin import Lease, LeaseSpec
from isthmus.kube.client import Client
from isthmus.kube.errors import AlreadyExists, Conflict, TransportError
from isthmus.kube.lease import LeaderElection
from isthmus.kube.objects import ObjectMeta
from isthmus.kube.resource import Resource

pytestmark = pytest.mark.looptime


class Leases(Client):
    """The one Lease of an API server that may be away: create, and patch with optimistic locking."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] | None = None
        self.revision = 0
        self.away = False
        self.answers_lost = 0

    async def find(self, resource: Resource[Any], name: str, namespace: str = "") -> Any:
        await self.travel()
        if self.spec is None:
            return None
        spec = LeaseSpec(
            holder_identity=self.spec.get("holderIdentity"),
            lease_duration_seconds=self.spec.get("leaseDurationSeconds"),
            renew_time=self.spec.get("renewTime"),
            lease_transitions=self.spec.get("leaseTransitions"),
        )
        return Lease(metadata=ObjectMeta(name=name, resource_version=str(self.revision)), spec=spec)

    async def create(self, resource: Resource[Any], manifest: Any, namespace: str = "", **_: Any) -> Any:
        await self.travel()
        if self.spec is not None:
            raise AlreadyExists("there", code=409)
        self.spec, self.revision = dict(manifest["spec"]), 1

    async def patch(
        self, resource: Resource[Any], name: str, patch: Any, namespace: str = "", **_: Any
    ) -> Any:
        await self.travel()
        if patch["metadata"]["resourceVersion"] != str(self.revision):
            raise Conflict("changed", code=409)
        assert self.spec is not None
        self.spec.update(patch["spec"])
        self.revision += 1
        if self.answers_lost:
            self.answers_lost -= 1
            raise Conflict("the answer got lost and the request was sent again", code=409)

    async def travel(self) -> None:
        await asyncio.sleep(0.01)
        if self.away:
            raise TransportError("away")


def election(leases: Leases, identity: str) -> LeaderElection:
    return LeaderElection(leases, "lease", "ns", identity)


async def lead(leases: Leases, identity: str, leading: list[str]) -> None:
    candidate = election(leases, identity)
    await candidate.acquire()
    leading.append(identity)
    try:
        await candidate.hold()
    finally:
        leading.remove(identity)


async def test_one_leads_and_gives_back_when_it_ends() -> None:
    leases, loop = Leases(), asyncio.get_running_loop()
    leading: list[str] = []
    first = asyncio.create_task(lead(leases, "one", leading))
    await asyncio.sleep(1)
    second = asyncio.create_task(lead(leases, "two", leading))
    await asyncio.sleep(120)
    assert leading == ["one"]
    first.cancel()
    await asyncio.wait([first])
    begun = loop.time()
    while leading != ["two"]:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert loop.time() - begun < 4
    assert leases.spec is not None
    assert leases.spec["leaseTransitions"] == 1
    second.cancel()
    await asyncio.wait([second])
    assert leases.spec["holderIdentity"] == ""


async def test_a_dead_leader_is_replaced_after_the_duration_only() -> None:
    leases, loop = Leases(), asyncio.get_running_loop()
    leading: list[str] = []
    dead = election(leases, "dead")
    await dead.acquire()
    begun = loop.time()
    task = asyncio.create_task(lead(leases, "two", leading))
    while not leading:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    assert 15 <= loop.time() - begun < 20
    task.cancel()
    await asyncio.wait([task])


async def test_the_lead_is_given_up_before_another_can_take_it() -> None:
    leases, loop = Leases(), asyncio.get_running_loop()
    leading: list[str] = []
    task = asyncio.create_task(lead(leases, "one", leading))
    await asyncio.sleep(10)
    leases.away = True
    begun = loop.time()
    await asyncio.wait([task])
    assert 7 < loop.time() - begun <= 10.1
    assert leading == []


async def test_a_stolen_lease_ends_the_lead() -> None:
    leases = Leases()
    leading: list[str] = []
    task = asyncio.create_task(lead(leases, "one", leading))
    await asyncio.sleep(5)
    assert leases.spec is not None
    leases.spec["holderIdentity"] = "thief"
    leases.revision += 1
    await asyncio.sleep(3)
    assert leading == []
    assert task.done()


async def test_a_renewal_whose_answer_got_lost_does_not_end_the_lead() -> None:
    leases = Leases()
    leading: list[str] = []
    task = asyncio.create_task(lead(leases, "one", leading))
    await asyncio.sleep(5)
    leases.answers_lost = 1
    await asyncio.sleep(30)
    assert leading == ["one"]
    task.cancel()
    await asyncio.wait([task])


def test_times_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="duration"):
        LeaderElection(Leases(), "l", "n", "i", duration=5, renew_deadline=10)

"""A host is kept in its state: after every wake-up, every half minute, and after whatever went wrong meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.keeper import RESYNC, Keeper
from isthmus.network.dataplane.netlink import Wakeups
from isthmus.network.dataplane.state import Link, State
from tests.apiserver.clock import VIRTUAL_TIME
from tests.network.kernel import Kernel

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("deaf")]

OVERLAY = Link("isthmus0", "vxlan", 1340, ("10.80.0.5/32",), "0a:00:0a:50:00:05", 6091)
STATE = State(links=(OVERLAY,))


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody hear what the kernel tells."""

    def refuse(_: object) -> None:
        raise OSError("Operation not permitted")

    monkeypatch.setattr(Wakeups, "open", refuse)


class Planned:
    """What is planned, and how often it was asked for."""

    def __init__(self) -> None:
        self.state, self.asked, self.applied = STATE, 0, 0
        self.error: Exception | None = None

    async def plan(self) -> State:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.state

    async def after(self) -> None:
        self.applied += 1


@asynccontextmanager
async def keeping(kernel: Kernel, planned: Planned) -> AsyncIterator[Keeper]:
    keeper = Keeper(DataPlane(kernel), planned.plan, planned.after)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_others_change_is_mended_at_the_next_look_and_a_keeper_that_ends_leaves_it() -> None:
    kernel, planned = Kernel(), Planned()
    async with keeping(kernel, planned) as keeper:
        await keeper.applied.wait()
        kernel.forget("isthmus0")
        await asyncio.sleep(RESYNC - 1)
        assert "isthmus0" not in kernel.links
        await asyncio.sleep(2)
        assert "isthmus0" in kernel.links
        kernel.forget("isthmus0")
        keeper.wake()
        await asyncio.sleep(0.1)
    assert "isthmus0" in kernel.links


async def test_a_change_of_objects_that_changes_no_plan_costs_no_look() -> None:
    kernel, planned = Kernel(), Planned()
    async with keeping(kernel, planned) as keeper:
        await keeper.applied.wait()
        asked = planned.asked
        for _ in range(100):
            keeper.replan()
        await asyncio.sleep(1)
        assert planned.asked - asked <= 2, "they are collected"
        assert planned.applied == 1
        planned.state = State(links=(OVERLAY._replace(mtu=1400),))
        keeper.replan()
        await asyncio.sleep(1)
        assert kernel.links["isthmus0"]["mtu"] == 1400


async def test_what_cannot_be_done_is_told_once_and_tried_less_and_less_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    kernel, planned = Kernel(), Planned()
    kernel.refuses["type vxlan"] = "Cannot allocate memory"
    async with keeping(kernel, planned) as keeper:
        await asyncio.sleep(600)
        assert not keeper.applied.is_set()
        assert "Cannot allocate memory" in keeper.faults[0]
        told = [one for one in caplog.records if one.levelname == "ERROR"]
        assert len(told) == 1
        assert 20 < planned.asked < 40, "quickly at first, and every half minute at last"
        kernel.refuses.clear()
        await asyncio.sleep(RESYNC + 1)
        assert keeper.applied.is_set()
        assert keeper.faults == ()
        assert "the data path is as it should be again" in caplog.text


async def test_a_plan_that_lacks_something_leaves_what_is_there(caplog: pytest.LogCaptureFixture) -> None:
    kernel, planned = Kernel(), Planned()
    async with keeping(kernel, planned) as keeper:
        await keeper.applied.wait()
        planned.error = ValueError("there is no InternalFabric a/b with an address yet")
        keeper.wake()
        await asyncio.sleep(5)
        assert keeper.faults == ("there is no InternalFabric a/b with an address yet",)
        assert "isthmus0" in kernel.links
        planned.error = None
        planned.state = State(links=(OVERLAY,), refused=("range 10.0.0.0/8 overlaps our own",))
        await asyncio.sleep(RESYNC)
        assert keeper.faults == ("range 10.0.0.0/8 overlaps our own",)
    assert caplog.text.count("left out: range 10.0.0.0/8") == 1

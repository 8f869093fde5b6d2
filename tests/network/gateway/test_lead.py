"""Which of a gateway's replicas carries the tunnel: the lease, the label and the fence; virtual time."""

from __future__ import annotations

import asyncio
import contextlib

from isthmus.network.gateway.lead import DURATION, FENCE, MARGIN, Lead, fence, lease_name, opening
from isthmus.network.gateway.settings import Settings
from tests.apiserver import ApiServer, connected
from tests.apiserver.clock import VIRTUAL_TIME
from tests.network.kernel import Kernel

pytestmark = VIRTUAL_TIME

TNS, ACTIVE = "liqo-tenant-milan", "networking.liqo.io/active"


def settings(pod: str) -> Settings:
    return Settings(
        mode="server", name="milan", namespace=TNS, peer="milan", cluster_id="rome", mtu=1340, port=51840,
        replicas=2, pod_name=pod,
    )  # fmt: skip


def api_with(*pods: str) -> ApiServer:
    api = ApiServer()
    for name in pods:
        api.create("pods", {"metadata": {"name": name, "namespace": TNS, "labels": {"app": "gateway"}}})
    return api


def active(api: ApiServer) -> list[str]:
    return [
        one["metadata"]["name"] for one in api.list("pods") if one["metadata"]["labels"].get(ACTIVE) == "true"
    ]


async def test_one_leads_and_the_next_takes_the_label_from_it() -> None:
    api = api_with("a", "b")
    async with connected(api) as client:
        first, second = Lead(client, settings("a")), Lead(client, settings("b"))
        assert await first.holder() == ""
        await first.acquire()
        await first.announce("")
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(60)
        assert active(api) == ["a"]
        assert await second.holder() == "a"
        assert not waiting.done()
        began = asyncio.get_running_loop().time()
        api.fail(503, "ServiceUnavailable", verb="write", plural="leases")  # It dies without letting go.
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        await waiting
        assert asyncio.get_running_loop().time() - began < DURATION + 1.5
        await second.announce("a")
        assert active(api) == ["b"]


async def test_a_lead_that_cannot_be_renewed_is_lost_before_another_may_have_it() -> None:
    api = api_with("a")
    async with connected(api) as client:
        lead = Lead(client, settings("a"))
        await lead.acquire()
        holding = asyncio.create_task(lead.hold())
        await asyncio.sleep(10)
        began = asyncio.get_running_loop().time()
        with api.failing(503, "ServiceUnavailable", plural="leases"):
            await asyncio.wait_for(holding, 10)
        assert asyncio.get_running_loop().time() - began < DURATION


async def test_a_pod_that_led_before_it_was_restarted_is_not_labelled_while_it_waits() -> None:
    api = api_with("a", "b")
    api.merge("pods", TNS, "b", {"metadata": {"labels": {ACTIVE: "true"}}})
    async with connected(api) as client:
        first = Lead(client, settings("a"))
        await first.acquire()
        waiting = asyncio.create_task(Lead(client, settings("b")).acquire())
        await asyncio.sleep(1)
        assert active(api) == []
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


async def test_whose_pod_is_gone_is_nobody_to_take_the_label_from() -> None:
    api = api_with("b")
    async with connected(api) as client:
        lead = Lead(client, settings("b"))
        await lead.acquire()
        await lead.announce("gone")
        assert active(api) == ["b"]
        with api.failing(500, plural="leases"):
            assert await lead.holder() == "", "what cannot be read is nobody"


async def test_the_fence_is_open_for_as_long_as_the_lease_lasts_and_no_longer() -> None:
    api, kernel = api_with("a"), Kernel()
    table = fence()
    async with connected(api) as client:
        lead = Lead(client, settings("a"))
        await lead.acquire()
        holding, opening_ = asyncio.create_task(lead.hold()), asyncio.create_task(lead.keep_open(kernel))
        await asyncio.sleep(1)
        assert kernel.open_for == [], "there is no fence to open yet"
        kernel.tables[table.family, table.name] = table.body
        await asyncio.sleep(0.2)
        assert kernel.open_for, "it does not wait for the next renewal"
        await asyncio.sleep(10)
        longest = (DURATION - MARGIN) * 1000
        assert all(0 < one <= longest for one in kernel.open_for)
        assert kernel.open_for[-1] > longest - 1100
        api.fail(503, "ServiceUnavailable", plural="leases", times=None)
        await asyncio.sleep(DURATION)
        count = len(kernel.open_for)
        await asyncio.sleep(60)
        assert len(kernel.open_for) == count, "who cannot renew opens nothing"
        for task in (holding, opening_):
            task.cancel()
        await asyncio.gather(holding, opening_, return_exceptions=True)


def test_the_fence_drops_both_ways_what_the_set_does_not_let_through() -> None:
    table = fence()
    assert table.name == FENCE
    for words in (
        "hook forward",
        "hook output",
        'iifname "liqo-tunnel" iifname != @leading drop',
        "flags timeout",
    ):
        assert words in table.body
    assert (
        opening(2.5)
        == 'flush set ip isthmus_lead leading\nadd element ip isthmus_lead leading { "liqo-tunnel" timeout 2500ms }\n'
    )
    assert lease_name(settings("a")) == f"milan.{TNS}.server.connections.liqo.io"

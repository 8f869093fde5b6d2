"""The agent of a node: objects in, the kernel's state out, what users wrote with its fate, and the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.node.run import Agent
from isthmus.network.node.settings import Settings
from isthmus.network.process import Health
from tests.apiserver import ApiServer, Json, connected
from tests.apiserver.clock import VIRTUAL_TIME
from tests.network.kernel import NODE_IP, POD_IP, Kernel
from tests.network.played import WAKES

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("heard")]

TNS = "liqo-tenant-milan"
PEER = {"liqo.io/remote-cluster-id": "milan"}


def objects(api: ApiServer) -> None:
    """What a node needs to know of the peering with milan."""
    meta = {"name": "milan", "namespace": TNS, "labels": PEER}
    local = {"cidr": {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}}
    api.create("configurations", {"metadata": meta, "spec": {"local": local, "remote": local}})
    interface = {"gateway": {"ip": "10.80.0.2"}, "node": {"name": "isthmus0"}}
    fabric = {"gatewayIP": POD_IP, "interface": interface, "mtu": 1340, "remoteCIDRs": ["10.71.0.0/16"]}
    api.create("internalfabrics", {"metadata": meta, "spec": fabric})
    api.create(
        "internalnodes", {"metadata": {"name": "one"}, "spec": {"interface": {"node": {"ip": "10.80.0.5"}}}}
    )


@asynccontextmanager
async def agent(api: ApiServer, kernel: Kernel, health: Health | None = None) -> AsyncIterator[Agent]:
    """The agent of node one, until it is told to end."""
    async with connected(api) as client:
        one = Agent(client, Settings(node_name="one", node_ip=NODE_IP), DataPlane(kernel), kernel)
        task = asyncio.create_task(one.run(health or Health()))
        try:
            yield one
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_node_follows_its_objects_and_an_agent_that_ends_leaves_the_data_path() -> None:
    api, kernel, health = ApiServer(), Kernel(NODE_IP), Health()
    objects(api)
    async with agent(api, kernel, health):
        await asyncio.sleep(1)
        assert health.ready
        assert health.faults() == ()
        assert set(kernel.ours) == {"isthmus0", "route 10.71.0.0/16", "rule 500", "ip isthmus"}
        assert kernel.links["isthmus0"]["mtu"] == 1340
        api.merge("internalfabrics", TNS, "milan", {"spec": {"remoteCIDRs": ["10.73.0.0/16"]}})
        ip = {"spec": {"ip": "192.0.2.9", "masquerade": True}, "status": {"ip": "10.70.0.9"}}
        api.create("ips", {"metadata": {"name": "outside", "namespace": "default"}, **ip})
        await asyncio.sleep(1)
        assert "route 10.73.0.0/16" in kernel.ours
        assert "ip daddr { 192.0.2.9 } masquerade" in kernel.tables["ip", "isthmus"]
        assert "route 10.71.0.0/16" not in kernel.ours
    assert "isthmus0" in kernel.links
    kernel.log.clear()
    async with agent(api, kernel):
        await asyncio.sleep(1)
    assert {line.split()[0] for line in kernel.log} == {"nft"}, (
        "an agent that comes after it disturbs nothing"
    )


async def test_a_node_without_its_object_is_left_as_it_was_found() -> None:
    api, kernel = ApiServer(), Kernel(NODE_IP)
    before = dict(kernel.settings)
    objects(api)
    async with agent(api, kernel):
        await asyncio.sleep(1)
        api.delete("internalnodes", "", "one")
        await asyncio.sleep(1)
        assert kernel.ours == []
        assert kernel.settings == before


async def test_an_agent_that_ends_after_its_object_cleans_up_even_if_it_never_saw_that() -> None:
    api, kernel = ApiServer(), Kernel(NODE_IP)
    objects(api)
    async with agent(api, kernel):
        await asyncio.sleep(1)
        for watch in list(api.reader.watches):
            watch.tell = lambda change: None  # type: ignore[method-assign]
        api.delete("internalnodes", "", "one")
    assert kernel.ours == []


async def test_an_agent_that_cannot_ask_at_its_end_leaves_the_data_path() -> None:
    api, kernel = ApiServer(), Kernel(NODE_IP)
    objects(api)
    async with agent(api, kernel):
        await asyncio.sleep(1)
        api.hold(verb="get", plural="internalnodes", times=None)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 4
    assert "isthmus0" in kernel.links


async def test_an_agent_acts_on_nothing_before_it_knows_everything() -> None:
    api, kernel, health = ApiServer(), Kernel(NODE_IP), Health()
    objects(api)
    held = api.hold(plural="configurations", times=None)
    async with agent(api, kernel, health):
        await asyncio.sleep(1)
        assert kernel.log == []
        assert not health.ready
        api.faults.end(held)
        await asyncio.sleep(30)
        assert "isthmus0" in kernel.links


async def test_what_the_kernel_tells_of_ours_is_mended_at_once() -> None:
    api, kernel = ApiServer(), Kernel(NODE_IP)
    objects(api)
    async with agent(api, kernel):
        await asyncio.sleep(1)
        kernel.forget("isthmus0")
        WAKES[-1]()
        await asyncio.sleep(0.5)
        assert "isthmus0" in kernel.links


def rules(value: str) -> Json:
    match = [{"op": "eq", "ip": {"position": "dst", "value": value}}]
    chain = {"name": "c", "type": "filter", "hook": "forward", "priority": 0, "policy": "accept"}
    return {
        "table": {
            "name": "t",
            "family": "IPV4",
            "chains": [chain | {"rules": {"filterRules": [{"action": "drop", "match": match}]}}],
        }
    }


def fates(api: ApiServer, plural: str, name: str) -> list[tuple[str, str]]:
    status = (api.get(plural, TNS, name) or {}).get("status", {})
    return [(one["host"], one["type"]) for one in status.get("conditions", [])]


async def test_what_users_wrote_is_done_and_each_object_says_how_it_went() -> None:
    api, kernel = ApiServer(), Kernel(NODE_IP)
    objects(api)
    kernel.refuses["10.66.0.0/16"] = "Invalid argument"
    marks: dict[str, Any] = {"networking.liqo.io/firewall-category": "fabric"}
    for name, spec in (
        ("good", rules("10.1.0.0/16")),
        ("wrong", rules("nonsense")),
        ("refused", rules("10.66.0.0/16")),
    ):
        api.create(
            "firewallconfigurations",
            {"metadata": {"name": name, "namespace": TNS, "labels": marks}, "spec": spec},
        )
    other = {"host": "two", "type": "Applied", "status": "True"}
    route = {
        "table": {
            "name": "t",
            "rules": [{"dst": "10.9.0.0/16", "routes": [{"dst": "10.9.0.0/16", "dev": "eth0"}]}],
        }
    }
    labels = {"networking.liqo.io/route-category": "fabric"}
    api.create(
        "routeconfigurations",
        {
            "metadata": {"name": "way", "namespace": TNS, "labels": labels},
            "spec": route,
            "status": {"conditions": [other]},
        },
    )
    elsewhere = {
        "metadata": {
            "name": "elsewhere",
            "namespace": TNS,
            "labels": {**labels, "networking.liqo.io/route-unique": "two"},
        }
    }
    api.create("routeconfigurations", {**elsewhere, "spec": route})
    async with agent(api, kernel):
        await asyncio.sleep(40)
        assert fates(api, "firewallconfigurations", "good") == [("one", "Applied")]
        assert fates(api, "firewallconfigurations", "wrong") == [("one", "Error")]
        assert fates(api, "firewallconfigurations", "refused") == [("one", "Error")]
        assert fates(api, "routeconfigurations", "way") == [("two", "Applied"), ("one", "Applied")]
        assert fates(api, "routeconfigurations", "elsewhere") == []
        assert "route 10.9.0.0/16" in kernel.ours
        kernel.refuses.clear()
        api.merge("firewallconfigurations", TNS, "wrong", {"spec": rules("10.2.0.0/16")})
        await asyncio.sleep(40)
        assert fates(api, "firewallconfigurations", "wrong") == [("one", "Applied")]
        assert fates(api, "firewallconfigurations", "refused") == [("one", "Applied")]
        version = api.version
        await asyncio.sleep(300)
        assert api.version == version
        api.delete("firewallconfigurations", TNS, "good")
        await asyncio.sleep(1)
        assert sum(one[1].startswith("isthmus_user_") for one in kernel.tables) == 2


async def test_a_fate_that_cannot_be_written_is_written_later() -> None:
    api, kernel = ApiServer(), Kernel(NODE_IP)
    objects(api)
    marks: dict[str, Any] = {"networking.liqo.io/firewall-category": "fabric"}
    api.create(
        "firewallconfigurations",
        {"metadata": {"name": "good", "namespace": TNS, "labels": marks}, "spec": rules("10.1.0.0/16")},
    )
    api.fail(503, "ServiceUnavailable", verb="patch", plural="firewallconfigurations", times=5)
    api.fail(409, "Conflict", verb="patch", plural="firewallconfigurations")
    async with agent(api, kernel):
        await asyncio.sleep(120)
        assert fates(api, "firewallconfigurations", "good") == [("one", "Applied")]

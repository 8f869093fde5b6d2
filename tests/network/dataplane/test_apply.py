"""A host is brought to its desired state, kept there, and left as it was found, whatever happens in between."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from isthmus.network.dataplane import hops
from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.commands import CommandError
from isthmus.network.dataplane.fabrics import Fabric
from isthmus.network.dataplane.state import Rule, State, Table
from isthmus.network.node.plan import NodeFacts, plan_node
from tests.network.kernel import NODE_IP, POD_IP, Kernel

FACTS = NodeFacts(
    overlay="10.80.0.5",
    uid="uid-1",
    addresses=(NODE_IP,),
    underlay_mtu=1450,
    pod_cidrs=("10.244.0.0/16",),
    fabrics=(
        Fabric(
            name="liqo-tenant-milan/milan",
            address=POD_IP,
            overlay="10.80.0.2",
            uid="uid-2",
            remote_cidrs=("10.71.0.0/16",),
            mtu=1340,
        ),
    ),
    masqueraded=("192.0.2.7",),
)
STATE = plan_node(FACTS)


async def test_a_node_is_brought_to_its_plan_and_then_nothing_is_done() -> None:
    kernel = Kernel(NODE_IP)
    plane = DataPlane(kernel)
    done = await plane.apply(STATE)
    assert set(kernel.ours) == {"isthmus0", "route 10.71.0.0/16", "rule 500", "ip isthmus"}
    overlay = kernel.links["isthmus0"]
    assert overlay["flags"] == ["NOARP", "UP"]
    assert (overlay["mtu"], overlay["address"]) == (1340, STATE.links[0].mac)
    assert kernel.settings["net.ipv4.ip_forward"] == "1"
    order = [
        next(i for i, line in enumerate(kernel.log) if part in line)
        for part in ("nft", "link add", "link set isthmus0 up", "neigh", "route", "rule")
    ]
    assert order == sorted(order), "translated before routed, up only when it is set"
    assert "nft table ip isthmus" in done
    assert not any(STATE.links[0].mac in line for line in done), (
        "whoever reads the log could send over the overlay"
    )
    kernel.log.clear()
    assert await plane.apply(STATE) == []
    assert kernel.log == []


async def test_what_was_changed_by_others_is_mended_and_nothing_else_is_touched() -> None:
    kernel = Kernel(NODE_IP)
    plane = DataPlane(kernel)
    await plane.apply(STATE)
    kernel.log.clear()
    kernel.tables["ip", "isthmus"] += "a rule of somebody's\n"
    kernel.tables["ip", "theirs"] = "chain x { }\n"
    kernel.settings["net.ipv4.ip_forward"] = "0"
    kernel.links["isthmus0"]["mtu"] = 9000
    kernel.links["isthmus0"]["addr_info"].append({"family": "inet", "local": "192.0.2.1", "prefixlen": 24})
    kernel.links["eth0"]["mtu"] = 1400
    kernel.neighbours.clear()
    kernel.neighbours["eth0", "172.18.0.1"] = {
        "dev": "eth0",
        "dst": "172.18.0.1",
        "lladdr": "02:00:00:00:00:01",
    }
    kernel.rules = [one for one in kernel.rules if one["protocol"] != "191"]
    kernel.routes = {("6091", "10.99.0.0/16"): "10.99.0.0/16 dev isthmus0 table 6091 proto 191"}
    done = await plane.apply(STATE)
    assert {line.split()[0] for line in done} == {"nft", "sysctl", "link", "addr", "neigh", "route", "rule"}
    assert set(kernel.ours) == {"isthmus0", "route 10.71.0.0/16", "rule 500", "ip isthmus"}
    assert kernel.tables["ip", "theirs"]
    assert "somebody" not in kernel.tables["ip", "isthmus"]
    assert kernel.links["eth0"]["mtu"] == 1400
    assert ("eth0", "172.18.0.1") in kernel.neighbours
    assert await plane.apply(STATE) == []


async def test_a_device_that_cannot_be_changed_is_made_anew_and_what_was_found_stays_noted() -> None:
    kernel = Kernel(NODE_IP)
    await DataPlane(kernel).apply(STATE)
    await DataPlane(kernel).apply(plan_node(replace(FACTS, port=7000)))
    assert kernel.links["isthmus0"]["linkinfo"]["info_data"]["port"] == 7000
    await DataPlane(kernel).remove()
    assert kernel.settings["net.ipv4.ip_forward"] == "0"


async def test_a_node_is_left_as_it_was_found_by_whichever_process() -> None:
    kernel = Kernel(NODE_IP)
    before = dict(kernel.settings), list(kernel.rules), dict(kernel.tables)
    await DataPlane(kernel).apply(STATE)
    assert (kernel.settings, kernel.rules, kernel.tables) != before
    kernel.tables["ip", "isthmus_user_0badcafe"] = ""
    done = await DataPlane(kernel).remove()
    assert kernel.ours == []
    assert (kernel.settings, kernel.rules, kernel.tables) == before
    assert "sysctl net.ipv4.ip_forward=0" in done
    assert await DataPlane(kernel).remove() == []


@pytest.mark.parametrize(
    "part", ["nft -f", "type vxlan", "sysctl -qw", "up\n", "neigh", "route replace", "rule add"]
)
async def test_what_fails_is_told_the_rest_is_done_and_another_try_finishes_it(part: str) -> None:
    kernel = Kernel(NODE_IP)
    kernel.refuses[part] = "Cannot allocate memory"
    plane = DataPlane(kernel)
    with pytest.raises(CommandError, match="Cannot allocate memory"):
        await plane.apply(STATE)
    if part != "nft -f":
        assert ("ip", "isthmus") in kernel.tables
    kernel.refuses.clear()
    await plane.apply(STATE)
    assert set(kernel.ours) == {"isthmus0", "route 10.71.0.0/16", "rule 500", "ip isthmus"}
    assert await plane.apply(STATE) == []
    await plane.remove()
    assert kernel.settings["net.ipv4.ip_forward"] == "0"


async def test_a_process_that_is_killed_between_the_note_and_the_sysctl_loses_nothing() -> None:
    kernel = Kernel(NODE_IP)
    kernel.refuses["sysctl -qw"] = "killed"
    with pytest.raises(CommandError):
        await DataPlane(kernel).apply(STATE)
    assert "net.ipv4.ip_forward=0" in kernel.links["isthmus0"]["ifalias"]
    kernel.refuses.clear()
    await DataPlane(kernel).apply(STATE)
    await DataPlane(kernel).remove()
    assert kernel.settings["net.ipv4.ip_forward"] == "0"


async def test_a_users_table_that_the_kernel_refuses_costs_only_itself() -> None:
    kernel = Kernel(NODE_IP)
    plane = DataPlane(kernel)
    good, bad = (Table("ip", f"isthmus_user_{name}", f"chain {name} {{ }}\n") for name in ("good", "bad"))
    owners = {
        "isthmus_user_good": "FirewallConfiguration a/good",
        "isthmus_user_bad": "FirewallConfiguration a/bad",
    }
    kernel.refuses["table ip isthmus_user_bad {"] = "Invalid argument"
    await plane.apply(replace(STATE, tables=(*STATE.tables, bad, good), owners=owners))
    assert list(plane.refused) == ["FirewallConfiguration a/bad"]
    assert "Invalid argument" in plane.refused["FirewallConfiguration a/bad"]
    assert ("ip", "isthmus_user_good") in kernel.tables
    kernel.refuses.clear()
    await plane.apply(STATE)
    assert plane.refused == {}
    assert ("ip", "isthmus_user_good") not in kernel.tables


async def test_a_gateway_looks_at_its_own_addresses_after_the_peers_and_gives_that_back() -> None:
    kernel = Kernel()
    state = State(rules=frozenset({Rule(hops.RULE_LOCAL, hops.TABLE_LOCAL)}))
    plane = DataPlane(kernel)
    await plane.apply(state)
    assert [one["priority"] for one in kernel.rules if one["table"] in ("local", "255")] == [700]
    added, deleted = (kernel.log.index(line) for line in kernel.log if line.startswith("rule"))
    assert kernel.log[added].startswith("rule add")
    assert deleted > added, "at every moment one rule or another has them looked at"
    await plane.remove()
    assert [one["priority"] for one in kernel.rules if one["table"] in ("local", "255")] == [0]

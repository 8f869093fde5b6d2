"""The plan of a gateway: where things go, what is translated, and what is refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from isthmus.kube.errors import ConfigurationError
from isthmus.network.dataplane import hops
from isthmus.network.dataplane.fabrics import Fabric
from isthmus.network.dataplane.state import Route, Rule
from isthmus.network.gateway.plan import GatewayFacts, MappedHost, OverlayNode, Ranges, plan_gateway
from isthmus.network.gateway.settings import read_settings

OVERLAPPING = Ranges(
    local_pod=("10.244.0.0/16",), local_external=("10.70.0.0/16",),
    real_pod=("10.244.0.0/16",), real_external=("10.70.0.0/16",),
    seen_pod=("10.71.0.0/16",), seen_external=("10.72.0.0/16",),
)  # fmt: skip
DISJOINT = replace(
    OVERLAPPING, real_pod=("10.10.0.0/16",), seen_pod=("10.10.0.0/16",),
    real_external=("10.20.0.0/16",), seen_external=("10.20.0.0/16",),
)  # fmt: skip
NODES = (
    OverlayNode(name="n1", address="172.18.0.2", overlay="10.80.0.4", uid="u1", pod_cidrs=("10.244.1.0/24",)),
    OverlayNode(
        name="n2", address="172.18.0.3", overlay="10.80.0.5", uid="u2", pod_addresses=("10.244.9.9",)
    ),
)
FACTS = GatewayFacts(
    mode="client",
    mtu=1340,
    underlay_mtu=1450,
    overlay="10.80.0.2",
    uid="u",
    ranges=OVERLAPPING,
    nodes=NODES,
    own_node="n2",
)


def routes(facts: GatewayFacts, table: int) -> dict[str, Route]:
    return {route.dst: route for route in plan_gateway(facts).routes if route.table == table}


def body(facts: GatewayFacts) -> str:
    return plan_gateway(facts).tables[0].body


def test_to_the_peer_by_the_tunnel_and_nothing_to_anywhere_else() -> None:
    found = routes(FACTS, hops.TABLE_PEER)
    assert found["10.244.0.0/16"].via == "169.254.18.1"
    assert found["0.0.0.0/0"].unreachable
    assert set(found) == {"10.244.0.0/16", "10.70.0.0/16", "0.0.0.0/0"}
    assert Rule(600, hops.TABLE_PEER, iif="isthmus0") in plan_gateway(FACTS).rules


def test_to_pods_by_their_node_and_the_rest_of_their_range_by_our_own() -> None:
    found = routes(FACTS, hops.TABLE_PODS)
    assert {dst: route.outer for dst, route in found.items()} == {
        "10.244.1.0/24": "172.18.0.2",
        "10.244.9.9/32": "172.18.0.3",
        "10.244.0.0/16": "172.18.0.3",
        "10.80.0.4/32": "172.18.0.2",
        "10.80.0.5/32": "172.18.0.3",
        "0.0.0.0/0": "",
    }


def test_prefixes_are_translated_both_ways_where_they_differ() -> None:
    text = body(FACTS)
    assert (
        "dnat ip prefix to ip daddr map { 10.71.0.0/16 : 10.244.0.0/16, 10.72.0.0/16 : 10.70.0.0/16 }" in text
    )
    assert (
        "snat ip prefix to ip saddr map { 10.244.0.0/16 : 10.71.0.0/16, 10.70.0.0/16 : 10.72.0.0/16 }" in text
    )


def test_no_prefix_is_translated_where_nothing_overlaps() -> None:
    text = body(replace(FACTS, ranges=DISJOINT))
    assert "prefix" not in text
    assert "dnat" not in text


def test_hosts_are_mapped_and_reached_by_our_own_node() -> None:
    facts = replace(FACTS, hosts=(MappedHost(address="192.0.2.7", seen="10.70.0.9"),))
    assert 'iifname "liqo-tunnel" dnat to ip daddr map { 10.70.0.9 : 192.0.2.7 }' in body(facts)
    assert routes(facts, hops.TABLE_PODS)["192.0.2.7/32"].outer == "172.18.0.3"


def test_other_peers_are_reached_gateway_to_gateway() -> None:
    other = Fabric(
        name="b",
        address="10.244.1.77",
        overlay="10.80.0.3",
        uid="ub",
        remote_cidrs=("10.73.0.0/16",),
        mtu=1340,
    )
    found = routes(replace(FACTS, fabrics=(other,)), hops.TABLE_PODS)
    assert (found["10.73.0.0/16"].outer, found["10.73.0.0/16"].via) == ("10.244.1.77", "10.80.0.3")


def test_ranges_that_do_not_pair_are_refused_and_nothing_is_let_through() -> None:
    state = plan_gateway(
        replace(
            FACTS, ranges=replace(OVERLAPPING, seen_pod=("10.71.0.0/17",), real_external=(), seen_external=())
        )
    )
    assert "differ in size" in state.refused[0]
    assert 'iifname "liqo-tunnel" counter drop' in state.tables[0].body


def test_the_inner_mtu_is_the_smaller() -> None:
    assert plan_gateway(FACTS).links[0].mtu == 1340
    assert plan_gateway(replace(FACTS, underlay_mtu=1380)).links[0].mtu == 1330
    with pytest.raises(ValueError, match=r"an MTU of 550 cannot work.*raise spec\.mtu"):
        plan_gateway(replace(FACTS, underlay_mtu=600))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ('{"mode":"both"', "mode is 'both'"),
        ('{"mode":"client","addresses":["192.0.2.1"],"port":0', "port is 0"),
        ('{"mode":"server","mtu":100', "mtu is 100"),
        ('{"mode":"server","port":0', "port is 0"),
    ],
)
def test_wrong_settings_are_named(fields: str, fault: str) -> None:
    rest = {"name": "m", "namespace": "n", "peer": "p", "cluster_id": "c", "mtu": "1340", "port": "51840"}
    text = fields + "".join(
        f',"{key}":{value if value.isdigit() else chr(34) + value + chr(34)}'
        for key, value in rest.items()
        if f'"{key}"' not in fields
    )
    with pytest.raises(ConfigurationError, match=fault):
        read_settings({"ISTHMUS_GATEWAY": text + "}"})


def test_a_pod_abroad_may_have_the_address_of_the_gateway() -> None:
    """The kernel looks at a namespace's own addresses first, and would keep what is for the peer's pod."""
    state = plan_gateway(FACTS)
    place = {rule.table: rule.priority for rule in state.rules if not rule.destination}
    assert place[hops.TABLE_PEER] < place[hops.TABLE_LOCAL]
    assert place[hops.TABLE_PODS] < place[hops.TABLE_LOCAL]
    kept = next(rule for rule in state.rules if rule.destination)
    assert (kept.destination, kept.table) == ("169.254.18.0/30", hops.TABLE_LOCAL)
    assert kept.priority < min(place.values())
    assert state.sysctls["net.ipv4.conf.liqo-tunnel.accept_local"] == "1"

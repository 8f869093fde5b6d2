"""The plan of a node: what is reached through gateways, which sources packets have, and what is refused."""

from __future__ import annotations

from ipaddress import IPv4Address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from isthmus.kube.errors import ConfigurationError
from isthmus.network.dataplane import hops, overlay
from isthmus.network.dataplane.bridge_ports import Port
from isthmus.network.dataplane.fabrics import Fabric
from isthmus.network.dataplane.state import Neighbour, Route, Rule, State
from isthmus.network.node.plan import NodeFacts, plan_node
from isthmus.network.node.settings import read_settings

MILAN = Fabric(
    name="milan",
    address="10.244.1.9",
    overlay="10.80.0.2",
    uid="um",
    remote_cidrs=("10.71.0.0/16",),
    mtu=1340,
)
FACTS = NodeFacts(
    overlay="10.80.0.5",
    uid="u5",
    addresses=("172.18.0.2",),
    underlay_mtu=1500,
    pod_cidrs=("10.244.0.0/16",),
    fabrics=(MILAN,),
)


def test_one_rule_however_many_peers() -> None:
    fabrics = tuple(
        replace(
            MILAN,
            name=f"p{n}",
            overlay=f"10.80.{n >> 8}.{n & 255}",
            remote_cidrs=(f"11.{n >> 8}.{n & 255}.0/24",),
        )
        for n in range(1000)
    )
    state = plan_node(replace(FACTS, fabrics=fabrics))
    assert state.rules == {Rule(500, hops.TABLE_NODE)}
    assert len(state.routes) == 1000
    assert len(state.links) == 1


def test_only_the_overlays_packets_pass_the_bridge_by() -> None:
    port = Port("10.244.1.9", "veth1", "46:55:0b:16:92:86")
    state, before = plan_node(replace(FACTS, ports=(port,))), plan_node(FACTS)
    assert state.rules - before.rules == {Rule(500, hops.TABLE_PORTS, udp_port=hops.OVERLAY_PORT)}
    assert state.routes - before.routes == {Route(hops.TABLE_PORTS, "10.244.1.9/32", "veth1")}
    assert state.neighbours - before.neighbours == {Neighbour("veth1", port.address, port.mac)}


def test_a_peer_without_a_gateway_is_unreachable_rather_than_on_the_internet() -> None:
    state = plan_node(replace(FACTS, fabrics=(replace(MILAN, address=""),)))
    assert state.routes == {Route(hops.TABLE_NODE, "10.71.0.0/16", unreachable=True)}


def test_a_node_without_an_internal_node_is_left() -> None:
    assert plan_node(replace(FACTS, overlay="")) == State()


@pytest.mark.parametrize(
    ("cidr", "fault"),
    [
        ("0.0.0.0/0", "too large"),
        ("10.244.3.0/24", "overlaps 10.244.0.0/16 of this cluster"),
        ("172.18.0.0/16", "overlaps 172.18.0.2/32 of this cluster"),
        ("10.71.0.1/16", "host bits"),
        ("nonsense; drop", "is not a valid IPv4 CIDR"),
        ("10.71.8.0/24", "overlaps 10.71.0.0/16 of milan"),
    ],
)
def test_a_range_that_cannot_be_is_refused_and_the_rest_works(cidr: str, fault: str) -> None:
    bad = replace(MILAN, name="turin", overlay="10.80.0.3", remote_cidrs=(cidr, "10.99.0.0/16"))
    state = plan_node(replace(FACTS, fabrics=(bad, MILAN)))
    assert {route.dst for route in state.routes} == {"10.71.0.0/16", "10.99.0.0/16"}
    assert fault in state.refused[0]
    assert "turin" in state.refused[0]


def test_pods_keep_their_source_and_everything_else_takes_the_nodes() -> None:
    lines = plan_node(FACTS).tables[0].body.splitlines()
    keep = lines.index('oifname "isthmus0" snat ip prefix to ip saddr map { 10.244.0.0/16 : 10.244.0.0/16 }')
    assert lines[keep + 1] == 'oifname "isthmus0" snat to 10.80.0.5'
    full = plan_node(replace(FACTS, full_masquerade=True)).tables[0].body
    assert "prefix" not in full


@given(st.tuples(st.ip_addresses(v=4), st.uuids()), st.tuples(st.ip_addresses(v=4), st.uuids()))
def test_link_layer_addresses_are_distinct_unicast_and_local(
    one: tuple[IPv4Address, UUID], other: tuple[IPv4Address, UUID]
) -> None:
    first, second = (overlay.mac(str(address), str(uid)) for address, uid in (one, other))
    assert (first == second) == (one == other)
    assert int(first[:2], 16) & 3 == 2


def test_a_link_layer_address_needs_the_uid_of_the_object() -> None:
    assert overlay.mac("10.80.0.2", "um") == overlay.mac("10.80.0.2", "um")
    assert overlay.mac("10.80.0.2", "um") != overlay.mac("10.80.0.2", "made anew")
    neighbours = plan_node(FACTS).neighbours
    assert {one.mac for one in neighbours} == {overlay.mac("10.80.0.2", "um")}


def test_settings_need_the_nodes_name() -> None:
    with pytest.raises(ConfigurationError, match="NODE_NAME"):
        read_settings({})
    assert read_settings({"NODE_NAME": "n1", "POD_IP": "1.2.3.4"}).node_ip == "1.2.3.4"

"""What `ip` prints is understood, and only what differs is changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isthmus.network.dataplane import overlay, routes
from isthmus.network.dataplane.state import Route, Rule

PRINTED = """\
10.71.0.0/16  encap ip id 6091 src 0.0.0.0 dst 10.244.1.9 ttl 0 tos 0 via 10.80.0.2 dev isthmus0 table 6091 onlink
10.80.0.5  encap ip id 6091 src 0.0.0.0 dst 10.244.1.1 ttl 0 tos 0 csum via 10.80.0.5 dev isthmus0 table 6093 onlink
unreachable default table 6092
192.0.2.0/24 dev liqo-tunnel table 1620115456 scope link src 10.0.0.1 linkdown
"""
ENCAPSULATED = overlay.route(6091, "10.71.0.0/16", "10.244.1.9", "10.80.0.2")


def test_every_shape_that_is_printed_is_read() -> None:
    assert routes.parse_routes(PRINTED) == {
        ENCAPSULATED,
        overlay.route(6093, "10.80.0.5/32", "10.244.1.1", "10.80.0.5"),
        Route(6092, "0.0.0.0/0", unreachable=True),
        Route(1620115456, "192.0.2.0/24", "liqo-tunnel", source="10.0.0.1"),
    }


def test_what_is_there_is_not_touched() -> None:
    present = routes.parse_routes(PRINTED)
    assert routes.route_changes(frozenset(present), present) == []


def test_a_route_with_another_gateway_is_replaced_in_place() -> None:
    moved = ENCAPSULATED._replace(outer="10.244.2.7")
    assert routes.route_changes(frozenset({moved}), {ENCAPSULATED}) == [
        "route replace 10.71.0.0/16 encap ip id 6091 dst 10.244.2.7 via 10.80.0.2 dev isthmus0"
        " table 6091 proto 191 onlink"
    ]


def test_another_network_identifier_is_a_difference() -> None:
    text = PRINTED.splitlines()[0].replace("id 6091", "id 7")
    assert ENCAPSULATED not in routes.parse_routes(text)


RULES = st.frozensets(
    st.builds(
        Rule,
        st.integers(1, 5),
        st.integers(6091, 6093),
        st.sampled_from(["", "eth0"]),
        st.just(""),
        st.sampled_from(["", "10.0.0.0/8"]),
    ),
    max_size=6,
)


@given(RULES, st.lists(st.builds(Rule, st.integers(1, 5), st.just(6091)), max_size=6))
def test_changes_lead_from_any_rules_to_the_wanted_ones(wanted: frozenset[Rule], present: list[Rule]) -> None:
    after = [routes.render_rule(rule) for rule in present]
    for line in routes.rule_changes(wanted, present):
        verb, _, rule = line.removeprefix("rule ").partition(" ")
        after.append(rule) if verb == "add" else after.remove(rule)
    assert sorted(after) == sorted(routes.render_rule(rule) for rule in wanted)


def test_rules_of_others_are_not_ours() -> None:
    kernel = {"priority": 0, "src": "all", "table": "local", "protocol": "kernel"}
    own = {"priority": 600, "src": "all", "iif": "isthmus0", "table": "6092", "protocol": "191"}
    assert routes.parse_rules([kernel, own]) == [Rule(600, 6092, iif="isthmus0")]


def test_a_rule_for_a_udp_port_is_read_as_it_is_written() -> None:
    told = {
        "priority": 500,
        "src": "all",
        "ipproto": "udp",
        "dport": 6091,
        "table": "6094",
        "protocol": "191",
    }
    rule = Rule(500, 6094, udp_port=6091)
    assert routes.parse_rules([told]) == [rule]
    assert routes.render_rule(rule) == "ipproto udp dport 6091 priority 500 lookup 6094 protocol 191"


KERNELS_LOOK = {"priority": 0, "src": "all", "table": "local", "protocol": "kernel"}
OUR_LOOK = {"priority": 700, "src": "all", "table": "local", "protocol": "191"}
OUR_RULE = Rule(700, 255)


def test_the_kernels_look_at_local_addresses_gives_way_to_ours() -> None:
    wanted = frozenset({OUR_RULE})
    assert routes.local_rule_changes(wanted, [KERNELS_LOOK]) == ["rule del priority 0 lookup local"]
    assert routes.local_rule_changes(wanted, [KERNELS_LOOK, OUR_LOOK]) == ["rule del priority 0 lookup local"]
    assert routes.local_rule_changes(wanted, [OUR_LOOK]) == []


def test_it_comes_back_when_ours_goes() -> None:
    back = ["rule add priority 0 lookup local protocol kernel"]
    assert routes.local_rule_changes(frozenset(), [OUR_LOOK]) == back
    assert routes.local_rule_changes(frozenset(), []) == back
    assert routes.local_rule_changes(frozenset(), [KERNELS_LOOK]) == []

"""What users write is translated, and nothing of it reaches a command unchecked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.routing import FirewallConfiguration, RouteConfiguration
from isthmus.network.dataplane.selection import of_gateway, of_node
from isthmus.network.dataplane.state import Link, Route, Rule, State
from isthmus.network.dataplane.user import with_user_state
from isthmus.network.dataplane.user_firewall import render_table
from isthmus.network.dataplane.user_routes import assign_tables, plan_table

HOST = State(links=(Link("isthmus0", "vxlan", 1340),))


def firewall(rules: dict[str, Any], **chain: Any) -> FirewallConfiguration:
    fields = {"name": "c", "type": "filter", "hook": "forward", "priority": 0, "policy": "accept", **chain}
    table = {"name": "t", "family": "IPV4", "chains": [fields | {"rules": rules}]}
    return msgspec.convert(
        {"metadata": {"name": "fw", "namespace": "ns"}, "spec": {"table": table}}, FirewallConfiguration
    )


def route(rule: dict[str, Any]) -> RouteConfiguration:
    return msgspec.convert(
        {"metadata": {"name": "r", "namespace": "ns"}, "spec": {"table": {"name": "t", "rules": [rule]}}},
        RouteConfiguration,
    )


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            {"action": "drop", "counter": False, "match": [
                {"op": "eq", "ip": {"position": "src", "value": "10.0.0.0/8"}},
                {"op": "neq", "dev": {"position": "in", "value": "liqo-tunnel"}},
            ]},
            'ip saddr 10.0.0.0/8 iifname != "liqo-tunnel" drop',
        ),
        (
            {"action": "accept", "match": [
                {"op": "eq", "proto": {"value": "tcp"}, "port": {"position": "dst", "value": "80-90"}},
            ]},
            "tcp dport 80-90 counter accept",
        ),
        ({"action": "tcpmssclamp", "counter": False, "value": "0"},
         "tcp flags syn / syn,rst tcp option maxseg size set rt mtu"),
        ({"action": "ctmark", "counter": False, "value": "5"}, "ct mark set 5"),
        ({"action": "metamarkfromctmark", "counter": False}, "meta mark set ct mark"),
        (
            {"action": "drop", "counter": False, "match": [
                {"op": "eq", "ip": {"position": "dst", "value": "10.0.0.1-10.0.0.9"}, "proto": {"value": "udp"}},
            ]},
            "ip daddr 10.0.0.1-10.0.0.9 meta l4proto udp drop",
        ),
        (
            {"action": "reject", "counter": False, "match": [
                {"op": "neq", "port": {"position": "src", "value": "53"}},
            ]},
            "meta l4proto { tcp, udp } th sport != 53 reject",
        ),
    ],
)  # fmt: skip
def test_filter_rules(rule: dict[str, Any], text: str) -> None:
    assert text in render_table(firewall({"filterRules": [rule]})).body.splitlines()


def test_a_whole_range_is_translated_by_prefix() -> None:
    match = {"op": "eq", "ip": {"position": "dst", "value": "10.1.0.0/16"}}
    rule = {"natType": "dnat", "to": "10.2.0.0/16", "match": [match]}
    body = render_table(firewall({"natRules": [rule]}, type="nat", hook="prerouting")).body
    assert "ip daddr 10.1.0.0/16 dnat ip prefix to ip daddr map { 10.1.0.0/16 : 10.2.0.0/16 }" in body


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"natType": "masquerade", "match": []}, "masquerade"),
        ({"natType": "snat", "to": "10.2.0.1", "match": []}, "snat to 10.2.0.1"),
    ],
)
def test_translations(rule: dict[str, Any], text: str) -> None:
    body = render_table(firewall({"natRules": [rule]}, type="nat", hook="postrouting")).body
    assert text in body.splitlines()


ODD_DEVICE = [{"op": "eq", "dev": {"position": "in", "value": 'a" drop'}}]
ODD_TARGET = [{"natType": "dnat", "to": "1.2.3.4; drop"}]
TO_RANGE = {"op": "eq", "ip": {"position": "dst", "value": "10.1.0.0/16"}}


def nat(**rule: Any) -> FirewallConfiguration:
    return firewall({"natRules": [{"match": [], **rule}]}, type="nat", hook="prerouting")


def matching(**match: Any) -> FirewallConfiguration:
    return firewall({"filterRules": [{"action": "accept", "match": [{"op": "eq", **match}]}]})


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (firewall({"natRules": ODD_TARGET}, type="nat", hook="prerouting"), r"rules\.natRules\[0\]\.to"),
        (firewall({"filterRules": [{"action": "jump x"}]}), "action is 'jump x'"),
        (firewall({"filterRules": [{"action": "accept", "match": ODD_DEVICE}]}), "is not a valid device name"),
        (firewall({}, hook="ingress"), "not possible"),
        (firewall({}, name="c { drop }"), "name is"),
        (firewall({}, priority=100000), "must be -500 to 500"),
        (firewall({}, policy="queue"), "policy is 'queue': it must be accept or drop"),
        (firewall({"natRules": ODD_TARGET}), "translation needs a chain of type nat, not filter"),
        (nat(natType="both", to="1.2.3.4"), "natType is 'both': it must be snat, dnat or masquerade"),
        (nat(natType="dnat", to="10.2.0.0/16"), "a match of ip.position dst must name it"),
        (nat(natType="dnat", to="10.2.0.0/24", match=[TO_RANGE]), "must be as large as the matched 10.1.0.0/16"),
        (matching(op="lt"), "op is 'lt': it must be eq or neq"),
        (matching(proto={"value": "sctp"}), "proto.value is 'sctp': it must be tcp or udp"),
        (matching(ip={"position": "in", "value": "10.0.0.1"}), "position is 'in': it must be src or dst"),
        (matching(ip={"position": "src", "value": "10.0.0.7/8"}), r"match\[0\]\.ip\.value: .*10\.0\.0\.0/8"),
        (matching(port={"position": "dst", "value": "80-x"}), "it must be a number up to 65535"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(config: FirewallConfiguration, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        render_table(config)


@given(st.text(max_size=40))
def test_no_text_of_a_user_leaves_its_place(text: str) -> None:
    rules = {
        "filterRules": [
            {"action": "accept", "match": [{"op": "eq", "ip": {"position": "src", "value": text}}]}
        ]
    }
    try:
        body = render_table(firewall(rules, name="c")).body
    except ValueError:
        return
    assert set(body.splitlines()[2]) <= set("ip saddr0123456789./-counter accept")


def test_routes_and_rules_share_a_table_of_their_own() -> None:
    written = route(
        {
            "dst": "10.9.0.0/16",
            "iif": "isthmus0",
            "routes": [{"dst": "10.9.0.0/16", "dev": "liqo-tunnel", "gw": "169.254.18.2"}],
        }
    )
    assert plan_table(written, 77) == (
        {Route(77, "10.9.0.0/16", "liqo-tunnel", "169.254.18.2")},
        {Rule(450, 77, iif="isthmus0", destination="10.9.0.0/16")},
    )


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"routes": [{"dst": "", "dev": "eth0"}]}, r"routes\[0\]\.dst is empty"),
        ({"routes": [{"dst": "10.9.0.0/16"}]}, "has neither gw nor dev: the route leads nowhere"),
        (
            {"routes": [{"dst": "10.9.0.0/16", "dev": "eth0", "scope": "near"}]},
            "scope is 'near': it must be one of",
        ),
        ({"routes": [{"dst": "10.9.0.0/16", "gw": "10.9.0.0/16"}]}, r"routes\[0\]\.gw: "),
        ({"routes": [{"dst": "10.9.0.0/16", "dev": "a b"}]}, r"routes\[0\]\.dev"),
        ({"priority": 99999, "routes": []}, r"rules\[0\]\.priority is 99999: it must be 1 to"),
        ({"fwmark": 0, "routes": []}, r"rules\[0\]\.fwmark is 0: it must be 1 to"),
    ],
)
def test_what_is_wrong_with_a_route_is_named(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        plan_table(route({"dst": "10.9.0.0/16", **fields}), 77)


def test_one_wrong_object_costs_only_itself() -> None:
    right = route({"routes": [{"dst": "10.9.0.0/16", "dev": "eth0"}]})
    wrong = msgspec.structs.replace(route({"routes": [{"dst": "10.9.0.7/16", "dev": "eth0"}]}))
    wrong = msgspec.structs.replace(wrong, metadata=msgspec.structs.replace(wrong.metadata, name="wrong"))
    state = with_user_state(HOST, [right, wrong], [])
    assert {one.dst for one in state.routes} == {"10.9.0.0/16"}
    assert "ns/wrong" in state.refused[0]
    assert "10.9.0.0/16" in state.refused[0], "the mend is said"


def test_a_host_that_is_left_has_nothing_of_users() -> None:
    assert (
        with_user_state(State(), [route({"routes": [{"dst": "10.9.0.0/16", "dev": "eth0"}]})], []) == State()
    )


@given(st.sets(st.text(min_size=1), max_size=50))
def test_table_numbers_are_distinct_and_do_not_depend_on_order(names: set[str]) -> None:
    numbers = assign_tables(names)
    assert len(set(numbers.values())) == len(names)
    assert numbers == assign_tables(sorted(names, reverse=True))


def test_only_exact_sets_of_labels_select_a_host() -> None:
    assert of_gateway(("gateway", "", "milan"), "milan")
    assert of_gateway(("gateway", "all-gateways", ""), "milan")
    assert not of_gateway(("gateway", "", "turin"), "milan")
    assert of_node(("fabric", "single-node", "n1"), "n1")
    assert not of_node(("fabric", "single-node", "n2"), "n1")
    assert not of_node(("gateway", "", ""), "n1")

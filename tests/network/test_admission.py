"""FirewallConfigurations and RouteConfigurations that cannot be are refused at once, by field and value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isthmus.api.routing import FirewallConfiguration, RouteConfiguration
from isthmus.kube.admission import AdmissionRequest
from isthmus.network.admission import HANDLERS, firewall_problem, plan_names, routes_problem


def firewall(*chains: dict[str, Any], name: str = "mine") -> FirewallConfiguration:
    table = {"name": name, "family": "IPV4", "chains": list(chains)}
    metadata = {"name": "f", "namespace": "liqo"}
    return msgspec.convert({"metadata": metadata, "spec": {"table": table}}, FirewallConfiguration)


def chain(type_: str, hook: str, name: str = "c", **rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "type": type_, "hook": hook, "policy": "accept", "priority": 0, "rules": rules}


TO_WEB = {"match": [{"op": "eq", "ip": {"value": "10.0.0.1", "position": "dst"}}]}
DNAT = {**TO_WEB, "natType": "dnat", "to": "10.0.0.2"}
DROP = {**TO_WEB, "action": "drop"}


def test_a_sound_table_is_taken() -> None:
    sound = firewall(
        chain("nat", "prerouting", "n", natRules=[DNAT]), chain("filter", "forward", "f", filterRules=[DROP])
    )
    assert firewall_problem(sound, None) == ""
    assert firewall_problem(sound, sound) == ""


@pytest.mark.parametrize(
    ("chains", "part"),
    [
        ([chain("nat", "forward", natRules=[DNAT])], "is not possible"),
        ([chain("nat", "postrouting", natRules=[DNAT])], "dnat is not possible at hook postrouting"),
        ([chain("nat", "prerouting", natRules=[{**DNAT, "natType": "snat"}])], "snat is not possible"),
        ([chain("nat", "prerouting", natRules=[{**DNAT, "to": ""}])], "natRules[0].to"),
        (
            [chain("nat", "postrouting", natRules=[{"natType": "masquerade", "to": "10.0.0.2"}])],
            "masquerade takes none",
        ),
        ([chain("filter", "forward", natRules=[DNAT])], "a chain of type 'filter' has filterRules"),
        (
            [chain("filter", "forward", filterRules=[{**DROP, "name": "a"}, {**DROP, "name": "a"}])],
            "filterRules: two are named 'a'",
        ),
        ([chain("filter", "forward"), chain("filter", "input")], "chains: two are named 'c'"),
        ([chain("filter", "forward", name="")], "chains[0].name"),
        (
            [chain("filter", "forward", filterRules=[{**DROP, "action": "eat"}])],
            "filterRules[0].action is 'eat'",
        ),
        (
            [
                chain(
                    "filter", "forward", filterRules=[{"action": "drop", "match": [{"ip": {"value": "1.2"}}]}]
                )
            ],
            "filterRules[0].match[0].ip",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused(chains: list[dict[str, Any]], part: str) -> None:
    assert part in firewall_problem(firewall(*chains), None)


def test_the_table_keeps_its_name() -> None:
    assert firewall_problem(firewall(name=""), None) == "spec.table.name must be set"
    assert "is immutable" in firewall_problem(firewall(name="b"), firewall(name="a"))


def test_unnamed_rules_are_named_and_named_ones_keep_theirs() -> None:
    written = {
        "spec": {
            "table": {
                "chains": [chain("filter", "forward", filterRules=[DROP, {**DROP, "name": "rule-0"}, DROP])]
            }
        }
    }
    assert plan_names(written) == [
        {"op": "add", "path": "/spec/table/chains/0/rules/filterRules/0/name", "value": "rule-0-1"},
        {"op": "add", "path": "/spec/table/chains/0/rules/filterRules/2/name", "value": "rule-2"},
    ]
    assert plan_names({"spec": {}}) == []


def routes(*rules: dict[str, Any], name: str = "mine") -> RouteConfiguration:
    return msgspec.convert({"spec": {"table": {"name": name, "rules": list(rules)}}}, RouteConfiguration)


ROUTE = {"dst": "10.1.0.0/16", "gw": "10.0.0.1"}


@pytest.mark.parametrize(
    ("rules", "part"),
    [
        ([{"dst": "10.0.0.0/8", "routes": [ROUTE]}], ""),
        ([{"dst": "10.0.0.0/8"}, {"dst": "10.0.0.0/8"}], "rules[1] matches the same packets as rules[0]"),
        ([{"dst": "10.0.0.0/8", "routes": [ROUTE, ROUTE]}], "two lead to '10.1.0.0/16'"),
        ([{"dst": "10.0.0.0/8", "routes": [{"dst": "10.1.0.0/16"}]}], "neither gw nor dev"),
        ([{"dst": "10.0.0.0/80"}], "rules[0].dst"),
    ],
)
def test_routes(rules: list[dict[str, Any]], part: str) -> None:
    problem = routes_problem(routes(*rules), None)
    assert part in problem
    assert bool(problem) is bool(part)


def test_the_routing_table_keeps_its_name() -> None:
    assert "is immutable" in routes_problem(routes(name="b"), routes(name="a"))


def request(operation: str, new: object, old: object = None) -> AdmissionRequest:
    body = {"operation": operation, "object": msgspec.to_builtins(new), "oldObject": msgspec.to_builtins(old)}
    return msgspec.json.decode(msgspec.json.encode(body), type=AdmissionRequest)


async def test_the_webhooks_judge_by_what_is_written_and_by_what_was_there() -> None:
    sound, odd = (
        firewall(chain("nat", "prerouting", natRules=[DNAT])),
        firewall(chain("nat", "forward", natRules=[DNAT])),
    )
    judge = HANDLERS["/validate/firewallconfigurations"]
    assert (await judge(request("CREATE", sound))).allowed
    refused = await judge(request("CREATE", odd))
    assert not refused.allowed
    assert "is not possible" in refused.message
    renamed = firewall(chain("nat", "prerouting", natRules=[DNAT]), name="other")
    moved = await judge(request("UPDATE", renamed, sound))
    assert moved.allowed == (firewall_problem(renamed, sound) == "")
    going = msgspec.structs.replace(
        odd, metadata=msgspec.structs.replace(odd.metadata, deletion_timestamp="2026-12-01T00:00:00Z")
    )
    assert (await judge(request("UPDATE", going, odd))).allowed, (
        "who goes must be able to lose its finalizers"
    )
    named = await HANDLERS["/mutate/firewallconfigurations"](request("CREATE", sound))
    assert named.patch == plan_names(msgspec.to_builtins(sound))

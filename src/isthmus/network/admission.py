"""/mutate and /validate of FirewallConfigurations and RouteConfigurations: a fault is told before anything is stored.

What a node or a gateway could not apply is refused with its own words (`dataplane.user_firewall`, `user_routes`), and
what it would apply in a way the author did not mean. Tables of one name in two objects are fine: each has a table of
its own. Served by whoever runs a webhook server; pure but for the late imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from isthmus.api.routing import (
    Chain,
    FilterRule,
    FirewallConfiguration,
    NatRule,
    RouteConfiguration,
    RouteRule,
)
from isthmus.kube.admission import ALLOWED, AdmissionRequest, Handler, Operations, Verdict, deny

T = TypeVar("T", FirewallConfiguration, RouteConfiguration)

_LISTS = {"filter": "filterRules", "nat": "natRules", "route": "routeRules"}
_IMPOSSIBLE = {"dnat": ("postrouting", "input"), "snat": ("prerouting", "output")}


async def mutate_firewall(request: AdmissionRequest) -> Verdict:
    """Name the rules that have no name."""
    return Verdict(patch=plan_names(msgspec.json.decode(request.object)))


async def validate_firewall(request: AdmissionRequest) -> Verdict:
    """The verdict on a FirewallConfiguration created or updated."""
    new = msgspec.json.decode(request.object, type=FirewallConfiguration)
    old = _old(request, FirewallConfiguration)
    problem = "" if new.deleting else firewall_problem(new, old)
    return deny(problem) if problem else ALLOWED


async def validate_routes(request: AdmissionRequest) -> Verdict:
    """The verdict on a RouteConfiguration created or updated."""
    new = msgspec.json.decode(request.object, type=RouteConfiguration)
    old = _old(request, RouteConfiguration)
    problem = "" if new.deleting else routes_problem(new, old)
    return deny(problem) if problem else ALLOWED


def _old(request: AdmissionRequest, type_: type[T]) -> T | None:
    """The object as it was before an update."""
    return msgspec.json.decode(request.old_object, type=type_) if request.operation == "UPDATE" else None


HANDLERS: dict[str, Handler] = {
    "/mutate/firewallconfigurations": mutate_firewall,
    "/validate/firewallconfigurations": validate_firewall,
    "/validate/routeconfigurations": validate_routes,
}
"""By path, as the webhook configurations name them."""


def plan_names(written: dict[str, Any]) -> Operations:
    """The patch that names every unnamed rule of a FirewallConfiguration, unlike the others of its chain."""
    patch: Operations = []
    chains = ((written.get("spec") or {}).get("table") or {}).get("chains") or []
    for number, chain in enumerate(chains):
        for kind, rules in (chain.get("rules") or {}).items():
            taken = {rule.get("name") for rule in rules or []}
            for index, rule in enumerate(rules or []):
                if rule.get("name"):
                    continue
                name = next(n for n in _names(index) if n not in taken)
                taken.add(name)
                path = f"/spec/table/chains/{number}/rules/{kind}/{index}/name"
                patch.append({"op": "add", "path": path, "value": name})
    return patch


def _names(index: int) -> Iterable[str]:
    yield f"rule-{index}"
    yield from (f"rule-{index}-{number}" for number in range(1, 1 << 16))


def firewall_problem(new: FirewallConfiguration, old: FirewallConfiguration | None) -> str:
    """What is wrong with a FirewallConfiguration, naming field and value, "" for nothing."""
    table = new.spec.table
    problem = _name_problem(table.name, None if old is None else old.spec.table.name)
    if problem:
        return problem
    names = [chain.name for chain in table.chains]
    if twice := _twice(names):
        return f"spec.table.chains: two are named {twice!r}"
    for number, chain in enumerate(table.chains):
        problem = _chain_problem(chain)
        if problem:
            return f"spec.table.chains[{number}]{problem}"
    from isthmus.network.dataplane.user_firewall import render_table

    try:
        render_table(new)
    except ValueError as error:
        return str(error)
    return ""


def _chain_problem(chain: Chain) -> str:
    lists: dict[str, Sequence[FilterRule | NatRule | RouteRule]] = {
        "filter": chain.rules.filter_rules,
        "nat": chain.rules.nat_rules,
        "route": chain.rules.route_rules,
    }
    for type_, rules in lists.items():
        if rules and type_ != chain.type:
            return (
                f".rules.{_LISTS[type_]}: a chain of type {chain.type!r} has {_LISTS.get(chain.type, 'none')}"
            )
        if twice := _twice(rule.name for rule in rules):
            return f".rules.{_LISTS[type_]}: two are named {twice!r}"
    for number, rule in enumerate(chain.rules.nat_rules):
        where = f".rules.natRules[{number}]"
        if rule.nat_type == "masquerade" and rule.to:
            return f"{where}.to is {rule.to[:64]!r}: masquerade takes none"
        if chain.hook in _IMPOSSIBLE.get(rule.nat_type, ()):
            return f"{where}.natType: {rule.nat_type} is not possible at hook {chain.hook}"
    return ""


def routes_problem(new: RouteConfiguration, old: RouteConfiguration | None) -> str:
    """What is wrong with a RouteConfiguration, naming field and value, "" for nothing."""
    table = new.spec.table
    problem = _name_problem(table.name, None if old is None else old.spec.table.name)
    if problem:
        return problem
    seen: dict[tuple[object, ...], int] = {}
    for number, rule in enumerate(table.rules):
        same = seen.setdefault((rule.dst, rule.src, rule.iif, rule.oif, rule.fwmark), number)
        if same != number:
            return f"spec.table.rules[{number}] matches the same packets as rules[{same}]"
        if twice := _twice(route.dst for route in rule.routes):
            return f"spec.table.rules[{number}].routes: two lead to {twice!r}"
    from isthmus.network.dataplane.user_routes import plan_table

    try:
        plan_table(new, 0)
    except ValueError as error:
        return str(error)
    return ""


def _name_problem(name: str, before: str | None) -> str:
    if not name:
        return "spec.table.name must be set"
    if before is not None and before != name:
        return f"spec.table.name is immutable: it is {before[:64]!r}"
    return ""


def _twice(values: Iterable[str]) -> str:
    """The first value that is there twice, "" for none."""
    seen: set[str] = set()
    for value in values:
        if value and value in seen:
            return value[:64]
        seen.add(value)
    return ""

"""RouteConfigurations that users write, as routes and policy rules of ours. Pure.

Everything is parsed and rendered anew: nothing a user writes reaches a command as it stands. What is wrong is told
by field and value, and costs only its own object.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from isthmus.api.cidr import format_address, parse_address, parse_cidr
from isthmus.api.routing import Route as WrittenRoute
from isthmus.api.routing import RouteConfiguration, RoutingRule
from isthmus.network.dataplane import hops
from isthmus.network.dataplane.state import Route, Rule

DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,14}")
SCOPES = ("", "global", "link", "host", "site", "nowhere")
PRIORITIES = range(1, 32766)
TABLE_NUMBERS = 0x10000


def device(value: str, field: str) -> str:
    """A device's name as it may stand in a command. Raises ValueError."""
    if value and not DEVICE.fullmatch(value):
        raise ValueError(
            f"{field} is {value[:64]!r}, which is not a valid device name (1 to 15 letters, digits, . _ - :)"
        )
    return value


def assign_tables(names: Iterable[str]) -> dict[str, int]:
    """A table number for each name: the same for the same names in every process."""
    numbers: dict[str, int] = {}
    taken: set[int] = set()
    for name in sorted(set(names)):
        number = binascii.crc32(name.encode()) % TABLE_NUMBERS
        while number in taken:
            number = (number + 1) % TABLE_NUMBERS
        taken.add(number)
        numbers[name] = hops.USER_TABLES + number
    return numbers


def plan_user_routes(
    configurations: Iterable[RouteConfiguration],
) -> tuple[set[Route], set[Rule], dict[str, str]]:
    """Routes and rules of the configurations, and the faults of those left out, by `namespace/name`."""
    written = sorted(configurations, key=lambda one: one.key)
    numbers = assign_tables(str(one.key) for one in written)
    routes: set[Route] = set()
    rules: set[Rule] = set()
    faults: dict[str, str] = {}
    for one in written:
        try:
            own_routes, own_rules = plan_table(one, numbers[str(one.key)])
        except ValueError as error:
            faults[str(one.key)] = str(error)
            continue
        routes |= own_routes
        rules |= own_rules
    return routes, rules, faults


def plan_table(written: RouteConfiguration, table: int) -> tuple[set[Route], set[Rule]]:
    """Routes and rules of one configuration. Raises ValueError naming the field and the value."""
    routes: set[Route] = set()
    rules: set[Rule] = set()
    for index, rule in enumerate(written.spec.table.rules):
        where = f"spec.table.rules[{index}]"
        rules.add(_rule(rule, table, where))
        for number, route in enumerate(rule.routes):
            routes.add(_route(route, table, f"{where}.routes[{number}]"))
    return routes, rules


def _rule(rule: RoutingRule, table: int, where: str) -> Rule:
    priority = rule.priority or hops.RULE_USER
    if priority not in PRIORITIES:
        raise ValueError(f"{where}.priority is {priority}: it must be 1 to {PRIORITIES[-1]}")
    if rule.fwmark is not None and not 0 < rule.fwmark < 1 << 32:
        raise ValueError(f"{where}.fwmark is {rule.fwmark}: it must be 1 to {(1 << 32) - 1}")
    return Rule(
        priority,
        table,
        device(rule.iif, f"{where}.iif"),
        device(rule.oif, f"{where}.oif"),
        _range(rule.src, f"{where}.src"),
        _range(rule.dst, f"{where}.dst"),
        rule.fwmark or 0,
    )


def _route(route: WrittenRoute, table: int, where: str) -> Route:
    if not route.dst:
        raise ValueError(f"{where}.dst is empty: write the CIDR that the route is for")
    if route.scope not in SCOPES:
        raise ValueError(f"{where}.scope is {route.scope[:64]!r}: it must be one of {', '.join(SCOPES[1:])}")
    if not route.gw and not route.dev:
        raise ValueError(f"{where} has neither gw nor dev: the route leads nowhere")
    scope = "" if route.scope == ("global" if route.gw else "link") else route.scope
    return Route(
        table,
        _range(route.dst, f"{where}.dst"),
        device(route.dev, f"{where}.dev"),
        _address(route.gw, f"{where}.gw"),
        onlink=route.onlink,
        source=_address(route.src, f"{where}.src"),
        scope=scope,
    )


def _range(text: str, field: str) -> str:
    try:
        return str(parse_cidr(text)) if text else ""
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def _address(text: str, field: str) -> str:
    try:
        return format_address(parse_address(text)) if text else ""
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None

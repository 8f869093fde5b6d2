"""Routes and policy rules: what `ip` says of ours, and the commands that bring them to what is wanted. Pure.

Ours are those with our protocol number, in whatever table. Routes are read as text: in iproute2's JSON the
encapsulation's `dst` has the same key as the route's own, and a decoder keeps only one of the two.
"""

from __future__ import annotations

from typing import Any

from isthmus.network.dataplane.hops import OVERLAY_ID, PROTOCOL, TABLE_LOCAL
from isthmus.network.dataplane.state import Route, Rule

TYPES = {"unicast", "unreachable", "blackhole", "prohibit", "throw", "local", "broadcast", "multicast"}
FLAGS = {"onlink", "linkdown", "dead", "pervasive", "offload", "trap", "offload_failed", "notify", "rt_trap"}
ENCAPSULATION_FLAGS = {"key", "csum", "seq"}
SHOW_ROUTES = ("ip", "-4", "route", "show", "table", "all", "proto", str(PROTOCOL))
SHOW_RULES = ("ip", "-4", "-j", "-d", "rule", "show")


def parse_routes(text: str) -> set[Route]:
    """Our routes from the text of `SHOW_ROUTES`."""
    return {_parse_route(line.split()) for line in text.splitlines() if line.strip()}


def _parse_route(words: list[str]) -> Route:
    kind = words.pop(0) if words[0] in TYPES else "unicast"
    dst = words.pop(0)
    fields: dict[str, str] = {}
    outer = ""
    while words:
        word = words.pop(0)
        if word in FLAGS:
            fields[word] = word
        elif word == "encap":
            # encap ip id N src A dst A ttl N tos N [flags]
            del words[0]
            while words and words[0] in ("id", "src", "dst", "ttl", "hoplimit", "tos", "tc"):
                name, value = words.pop(0), words.pop(0)
                fields[f"encap {name}"] = value
            while words and words[0] in ENCAPSULATION_FLAGS:
                del words[0]
            outer = fields.get("encap dst", "")
        elif words:
            fields[word] = words.pop(0)
    via = fields.get("via", "")
    scope = fields.get("scope", "")
    if kind == "unreachable" or fields.get("encap id", str(OVERLAY_ID)) != str(OVERLAY_ID):
        outer = outer if kind == "unreachable" else "?"
    return Route(
        int(fields.get("table", "254")) if fields.get("table", "254").isdigit() else 254,
        _whole(dst),
        "" if kind == "unreachable" else fields.get("dev", ""),
        via,
        outer,
        "onlink" in fields,
        fields.get("src", ""),
        "" if scope in ("", "link" if not via else "global") else scope,
        kind == "unreachable",
    )


def _whole(dst: str) -> str:
    if dst == "default":
        return "0.0.0.0/0"
    return dst if "/" in dst else f"{dst}/32"


def render_route(route: Route) -> str:
    """The route as `ip` takes it after `route replace`."""
    words = [route.dst] if not route.unreachable else ["unreachable", route.dst]
    if route.outer:
        words += ["encap", "ip", "id", str(OVERLAY_ID), "dst", route.outer]
    for name, value in (("via", route.via), ("dev", route.device), ("src", route.source)):
        if value:
            words += [name, value]
    if route.scope:
        words += ["scope", route.scope]
    words += ["table", str(route.table), "proto", str(PROTOCOL)]
    if route.onlink:
        words.append("onlink")
    return " ".join(words)


def route_changes(wanted: frozenset[Route], present: set[Route]) -> list[str]:
    """The `ip -batch` lines from the routes that are there to the wanted ones; one that stays is not touched."""
    places = {(route.table, route.dst) for route in wanted}
    lines = [f"route replace {render_route(route)}" for route in sorted(wanted - present)]
    lines += [
        f"route del {'unreachable ' if route.unreachable else ''}{route.dst} table {route.table} proto {PROTOCOL}"
        for route in sorted(present - wanted)
        if (route.table, route.dst) not in places
    ]
    return lines


def parse_rules(present: list[dict[str, Any]]) -> list[Rule]:
    """Our policy rules from the answer of `SHOW_RULES`, repetitions included."""
    return [
        Rule(
            entry.get("priority", 0),
            _rule_table(entry),
            entry.get("iif", ""),
            entry.get("oif", ""),
            _rule_range(entry, "src"),
            _rule_range(entry, "dst"),
            int(entry.get("fwmark", "0"), 0),
            entry.get("dport", 0) if entry.get("ipproto") == "udp" else 0,
        )
        for entry in present
        if _is_ours(entry)
    ]


def local_rule_changes(wanted: frozenset[Rule], present: list[dict[str, Any]]) -> list[str]:
    """The `ip -batch` lines that take away the kernel's own first look at local addresses where the wanted rules
    have one at a later place, and that give it back where they have none."""
    # Ours do not count as theirs: those that are not wanted are about to go.
    theirs = [entry for entry in present if _rule_table(entry) == TABLE_LOCAL and not _is_ours(entry)]
    first = any(entry.get("priority", 0) == 0 for entry in theirs)
    if any(rule.table == TABLE_LOCAL and not rule.destination for rule in wanted):
        return ["rule del priority 0 lookup local"] if first else []
    return [] if theirs else ["rule add priority 0 lookup local protocol kernel"]


def _is_ours(entry: dict[str, Any]) -> bool:
    return str(entry.get("protocol", "")) == str(PROTOCOL)


def _rule_table(entry: dict[str, Any]) -> int:
    table = str(entry.get("table", ""))
    return int(table) if table.isdigit() else TABLE_LOCAL if table == "local" else 254


def _rule_range(entry: dict[str, Any], side: str) -> str:
    address = entry.get(side, "all")
    return "" if address == "all" else f"{address}/{entry.get(side + 'len', 32)}"


def render_rule(rule: Rule) -> str:
    """The rule as `ip` takes it after `rule add` and `rule del`."""
    words = []
    for name, value in (
        ("from", rule.source),
        ("to", rule.destination),
        ("iif", rule.iif),
        ("oif", rule.oif),
        ("fwmark", hex(rule.fwmark) if rule.fwmark else ""),
    ):
        if value:
            words += [name, value]
    if rule.udp_port:
        words += ["ipproto", "udp", "dport", str(rule.udp_port)]
    words += ["priority", str(rule.priority), "lookup", str(rule.table), "protocol", str(PROTOCOL)]
    return " ".join(words)


def rule_changes(wanted: frozenset[Rule], present: list[Rule]) -> list[str]:
    """The `ip -batch` lines from the rules that are there to the wanted ones, new ones first."""
    lines = [f"rule add {render_rule(rule)}" for rule in sorted(wanted - set(present))]
    left = list(present)
    for rule in wanted:
        if rule in left:
            left.remove(rule)
    return lines + [f"rule del {render_rule(rule)}" for rule in left]

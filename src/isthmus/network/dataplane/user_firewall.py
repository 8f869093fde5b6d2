"""FirewallConfigurations that users write, as nftables tables of ours. Pure.

Everything is parsed and rendered anew: nothing a user writes reaches `nft` as it stands. What is wrong is told by
field and value, and costs only its own object.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from isthmus.api.cidr import format_address, parse_address, parse_cidr
from isthmus.api.routing import Chain, FilterRule, FirewallConfiguration, Match, MatchSide, NatRule
from isthmus.network.dataplane import hops
from isthmus.network.dataplane.state import Table
from isthmus.network.dataplane.user_routes import device

FAMILIES = {"IPV4": "ip", "INET": "inet"}
HOOKS = {
    "nat": {"prerouting", "input", "output", "postrouting"},
    "filter": {"prerouting", "input", "forward", "output", "postrouting"},
    "route": {"output"},
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
PRIORITIES = range(-500, 501)
PLAIN_ACTIONS = {"accept": "accept", "drop": "drop", "reject": "reject", "notrack": "notrack"}
OPERATORS = {"eq": "", "neq": "!= "}


def plan_user_tables(configurations: Iterable[FirewallConfiguration]) -> tuple[list[Table], dict[str, str]]:
    """The tables of the configurations, and the faults of those left out, by `namespace/name`."""
    tables: list[Table] = []
    faults: dict[str, str] = {}
    for one in sorted(configurations, key=lambda each: each.key):
        try:
            tables.append(render_table(one))
        except ValueError as error:
            faults[str(one.key)] = str(error)
    return tables, faults


def render_table(written: FirewallConfiguration) -> Table:
    """The table of one configuration. Raises ValueError naming the field and the value."""
    table = written.spec.table
    family = FAMILIES.get(table.family)
    if family is None:
        raise ValueError(f"spec.table.family is {table.family[:64]!r}: it must be {' or '.join(FAMILIES)}")
    lines: list[str] = []
    for index, chain in enumerate(table.chains):
        lines += _chain(chain, index, family, f"spec.table.chains[{index}]")
    return Table(family, table_name(written), "".join(f"{line}\n" for line in lines))


def table_name(written: FirewallConfiguration) -> str:
    """The name of its table: two objects may name theirs alike, the digest of the object's own keeps them apart."""
    return f"{hops.TABLE}_user_{binascii.crc32(str(written.key).encode()):08x}"


def _chain(chain: Chain, index: int, family: str, where: str) -> list[str]:
    if chain.hook not in HOOKS.get(chain.type, ()):
        raise ValueError(
            f"{where}: a chain of type {chain.type[:64]!r} at hook {chain.hook[:64]!r} is not possible"
        )
    if chain.priority not in PRIORITIES:
        raise ValueError(f"{where}.priority is {chain.priority}: it must be -500 to 500")
    if chain.policy not in ("accept", "drop"):
        raise ValueError(f"{where}.policy is {chain.policy[:64]!r}: it must be accept or drop")
    if not NAME.fullmatch(chain.name):
        raise ValueError(f"{where}.name is {chain.name[:80]!r}: letters, digits, _ . - (at most 64)")
    # The number keeps chains apart whose names differ only in what a name of nftables cannot hold.
    name = f"c{index}_{re.sub(r'[^A-Za-z0-9_]', '_', chain.name)}"
    rules = [
        *(
            _filter(rule, f"{where}.rules.filterRules[{n}]")
            for n, rule in enumerate(chain.rules.filter_rules)
        ),
        *(
            _nat(rule, chain, family, f"{where}.rules.natRules[{n}]")
            for n, rule in enumerate(chain.rules.nat_rules)
        ),
    ]
    head = f"type {chain.type} hook {chain.hook} priority {chain.priority}; policy {chain.policy};"
    return [f"chain {name} {{", head, *rules, "}"]


def _filter(rule: FilterRule, where: str) -> str:
    words = [*_matches(rule.match, where), *(["counter"] if rule.counter else [])]
    if rule.action in PLAIN_ACTIONS:
        action = PLAIN_ACTIONS[rule.action]
    elif rule.action == "ctmark":
        action = f"ct mark set {_number(rule.value, (1 << 32) - 1, where + '.value')}"
    elif rule.action == "metamarkfromctmark":
        action = "meta mark set ct mark"
    elif rule.action == "tcpmssclamp":
        size = _number(rule.value or "0", 65535, where + ".value")
        words.insert(0, "tcp flags syn / syn,rst")
        action = f"tcp option maxseg size set {size or 'rt mtu'}"
    else:
        raise ValueError(f"{where}.action is {rule.action[:64]!r}, which is not known")
    return " ".join([*words, action])


def _nat(rule: NatRule, chain: Chain, family: str, where: str) -> str:
    if chain.type != "nat":
        raise ValueError(f"{where}: translation needs a chain of type nat, not {chain.type}")
    words = _matches(rule.match, where)
    if rule.nat_type == "masquerade":
        return " ".join([*words, "masquerade"])
    if rule.nat_type not in ("snat", "dnat"):
        raise ValueError(f"{where}.natType is {rule.nat_type[:64]!r}: it must be snat, dnat or masquerade")
    if "/" not in rule.to:
        target = "" if family == "ip" else "ip "
        return " ".join([*words, f"{rule.nat_type} {target}to {_address(rule.to, where + '.to')}"])
    position = "src" if rule.nat_type == "snat" else "dst"
    side = next((m.ip for m in rule.match if m.ip and m.ip.position == position and m.op == "eq"), None)
    if side is None:
        raise ValueError(
            f"{where}: to translate a whole range a match of ip.position {position} must name it"
        )
    real, to = _range(side.value, where + ".match"), _range(rule.to, where + ".to")
    if real.partition("/")[2] != to.partition("/")[2]:
        raise ValueError(f"{where}.to is {to}: it must be as large as the matched {real}")
    key = "saddr" if position == "src" else "daddr"
    return " ".join([*words, f"{rule.nat_type} ip prefix to ip {key} map {{ {real} : {to} }}"])


def _matches(matches: list[Match], where: str) -> list[str]:
    words: list[str] = []
    for index, match in enumerate(matches):
        words += _match(match, f"{where}.match[{index}]")
    return words


def _match(match: Match, where: str) -> list[str]:
    if match.op not in OPERATORS:
        raise ValueError(f"{where}.op is {match.op[:64]!r}: it must be eq or neq")
    negation = OPERATORS[match.op]
    words: list[str] = []
    protocol = match.proto.value if match.proto else ""
    if protocol not in ("", "tcp", "udp"):
        raise ValueError(f"{where}.proto.value is {protocol[:64]!r}: it must be tcp or udp")
    if match.dev:
        key = {"in": "iifname", "out": "oifname"}.get(match.dev.position)
        if key is None or not device(match.dev.value, f"{where}.dev.value"):
            raise ValueError(f"{where}.dev: position must be in or out, and value a device's name")
        words.append(f'{key} {negation}"{match.dev.value}"')
    if match.ip:
        words.append(
            f"ip {_side(match.ip, where + '.ip')}addr {negation}{_hosts(match.ip.value, where + '.ip.value')}"
        )
    if match.port:
        ports = _ports(match.port.value, where + ".port.value")
        key = f"{protocol or 'th'} {_side(match.port, where + '.port')}port"
        words += ([] if protocol else ["meta l4proto { tcp, udp }"]) + [f"{key} {negation}{ports}"]
    elif protocol:
        words.append(f"meta l4proto {negation}{protocol}")
    return words


def _side(side: MatchSide, where: str) -> str:
    if side.position not in ("src", "dst"):
        raise ValueError(f"{where}.position is {side.position[:64]!r}: it must be src or dst")
    return side.position[0]


def _hosts(text: str, where: str) -> str:
    if "/" in text:
        return _range(text, where)
    first, dash, last = text.partition("-")
    return _address(first, where) + (f"-{_address(last, where)}" if dash else "")


def _ports(text: str, where: str) -> str:
    first, dash, last = text.partition("-")
    return f"{_number(first, 65535, where)}" + (f"-{_number(last, 65535, where)}" if dash else "")


def _number(text: str, largest: int, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= largest):
        raise ValueError(f"{where} is {text[:64]!r}: it must be a number up to {largest}")
    return int(text)


def _range(text: str, where: str) -> str:
    try:
        return str(parse_cidr(text))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _address(text: str, where: str) -> str:
    try:
        return format_address(parse_address(text))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None

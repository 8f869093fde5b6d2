"""A kernel that is played: what `ip`, `nft`, `wg` and `sysctl` are asked to do is kept and shown as they would.

As far as our processes use them. `settings` are sysctls, `tables` nftables by family and name, `log` every command
that changed something; what `refuses` is true of fails with its words, as a program would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isthmus.network.dataplane.commands import CommandError, Commands

Entry = dict[str, Any]
POD_IP, NODE_IP, CNI = "10.244.1.9", "172.18.0.5", "eth0"
LOCAL_RULE: Entry = {"priority": 0, "src": "all", "table": "local", "protocol": "kernel"}
_TABLE = re.compile(r"table (\S+) (\S+)\ndelete table \1 \2\ntable \1 \2 \{\n(.*)\}\n", re.DOTALL)
_OPENING = re.compile(r"flush set (\S+) (\S+) (\S+)\nadd element .*timeout (\d+)ms \}\n")


@dataclass
class Peer:
    """A peer of a WireGuard device."""

    endpoint: str = ""
    handshake: int = 0


@dataclass
class WireGuard:
    """The configuration of a WireGuard device."""

    private: str = ""
    port: int = 41641
    peers: dict[str, Peer] = field(default_factory=dict)


class Kernel(Commands):
    """One network namespace."""

    def __init__(
        self, address: str = POD_IP, mtu: int = 1450, public_of: Callable[[str], str] = lambda key: key
    ) -> None:
        super().__init__(("played",))  # Its sysctls are not this machine's.
        address_info = [{"family": "inet", "local": address, "prefixlen": 24}]
        self.links: dict[str, Entry] = {
            CNI: {"ifname": CNI, "mtu": mtu, "flags": ["UP"], "addr_info": address_info}
        }
        self.neighbours: dict[tuple[str, str], Entry] = {}
        self.routes: dict[tuple[str, str], str] = {}
        self.rules: list[Entry] = [
            LOCAL_RULE,
            {"priority": 32766, "src": "all", "table": "main", "protocol": "kernel"},
        ]
        self.tables: dict[tuple[str, str], str] = {}
        self.open_for: list[int] = []
        """Milliseconds that a set with a timeout was filled for."""
        self.settings: dict[str, str] = {"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.rp_filter": "1"}
        self.wireguard: dict[str, WireGuard] = {}
        self.log: list[str] = []
        self.refuses: dict[str, str] = {}
        """By a part of the command, with its input: what is said about it."""
        self._public_of = public_of

    async def run(self, *command: str, text: str = "") -> str:
        """What the program prints. Raises CommandError where it fails."""
        whole = f"{' '.join(command)}\n{text}"
        for part, words in self.refuses.items():
            if part in whole:
                raise CommandError(f"{' '.join(command[:4])}: {words}")
        answer = {
            "ip": self._ip,
            "nft": self._nft,
            "wg": self._wg,
            "sysctl": self._sysctl,
            "bridge": self._bridge,
        }
        return answer[command[0]](list(command[1:]), text)

    @property
    def ours(self) -> list[str]:
        """The names of everything that bears a mark of ours."""
        rules = [f"rule {one['priority']}" for one in self.rules if one["protocol"] == "191"]
        tables = [" ".join(one) for one in self.tables if one[1].startswith("isthmus")]
        devices = [name for name in self.links if name in ("isthmus0", "liqo-tunnel")]
        return [*devices, *(f"route {dst}" for _, dst in self.routes), *rules, *tables]

    def _ip(self, words: list[str], text: str) -> str:
        options = [word for word in words if word.startswith("-")]
        words = [word for word in words if not word.startswith("-")]
        if "-batch" in options:
            self._batch(text.splitlines())
            return ""
        shown = {
            "addr": lambda: [one for name, one in self.links.items() if words[-1] in (name, "show")],
            "neigh": lambda: list(self.neighbours.values()),
            "rule": lambda: self.rules,
        }
        if words[0] in shown:
            return json.dumps(shown[words[0]]())
        if words[:2] == ["route", "show"]:
            return "".join(f"{line}\n" for line in self.routes.values())
        if words[:2] == ["route", "get"]:
            return json.dumps([{"dst": words[2], "dev": CNI}])
        if words[:2] == ["link", "show"]:
            found = [one for name, one in self.links.items() if name == words[-1]]
            return json.dumps(found) if words[-1] != "bridge" else "[]"
        self._change(words)
        return ""

    def _batch(self, lines: list[str]) -> None:
        """With -force: what fails keeps nothing else back."""
        faults = []
        for line in lines:
            try:
                self._change(line.split())
            except CommandError as error:
                faults.append(str(error))
        if faults:
            raise CommandError("; ".join(faults))

    def _change(self, words: list[str]) -> None:
        for name in ("isthmus0", "liqo-tunnel"):
            if (
                name in words
                and name not in self.links
                and words[:2] != ["link", "add"]
                and "rule" not in words
            ):
                raise CommandError(f'ip: Cannot find device "{name}"')
        self.log.append(" ".join(words))
        kind, verb, *rest = words
        if kind == "link":
            self._change_link(verb, rest)
        elif kind == "addr":
            address, length = rest[0].split("/")
            entry = {"family": "inet", "local": address, "prefixlen": int(length)}
            info = self.links[rest[2]]["addr_info"]
            info.append(entry) if verb == "add" else info.remove(entry)
        elif kind == "neigh":
            after = dict(zip(rest[1::2], rest[2::2], strict=True))
            key = after["dev"], rest[0]
            self.neighbours.pop(key, None)
            if verb == "replace":
                self.neighbours[key] = {"dst": rest[0], "protocol": "191"} | after
        elif kind == "route":
            dst = rest[1] if rest[0] == "unreachable" else rest[0]
            key = rest[rest.index("table") + 1], dst
            self.routes.pop(key, None)
            if verb == "replace":
                self.routes[key] = " ".join(rest)
        elif kind == "rule":
            self._change_rule(verb, _rule(rest))

    def _change_link(self, verb: str, rest: list[str]) -> None:
        if verb == "add":
            after = dict(zip(rest[1::2], rest[2::2], strict=False))
            name = rest[0]
            info: Entry = {"info_kind": rest[rest.index("type") + 1]}
            if "vxlan" in rest:
                info["info_data"] = {"external": True, "port": int(rest[rest.index("dstport") + 1])}
            else:
                self.wireguard[name] = WireGuard()
            entry = {"ifname": name, "mtu": int(rest[rest.index("mtu") + 1]), "flags": [], "addr_info": []}
            self.links[name] = {**entry, "address": after.get("address", ""), "linkinfo": info}
        elif verb == "del":
            self.forget(rest[0])
        else:
            name, key, value = [word for word in rest if word != "dev"][:3] + [""] * (3 - len(rest))
            if key == "mtu":
                self.links[name]["mtu"] = int(value)
            elif key == "alias":
                self.links[name]["ifalias"] = " ".join(rest[rest.index("alias") + 1 :])
            else:
                self.links[name]["flags"].append({"up": "UP", "arp": "NOARP"}[key])

    def forget(self, name: str) -> None:
        """Take a device away, and with it what leads there."""
        del self.links[name]
        self.wireguard.pop(name, None)
        self.settings = {key: value for key, value in self.settings.items() if f".{name}." not in key}
        self.routes = {key: line for key, line in self.routes.items() if f"dev {name}" not in line}
        self.neighbours = {key: one for key, one in self.neighbours.items() if key[0] != name}

    def _change_rule(self, verb: str, rule: Entry) -> None:
        if verb == "add":
            self.rules.append(rule)
            return
        found = [one for one in self.rules if rule.items() <= one.items()]
        if not found:
            raise CommandError("ip: RTNETLINK answers: No such file or directory")
        self.rules.remove(found[0])

    def _nft(self, words: list[str], text: str) -> str:
        if words[0] == "-f":
            self._load(text)
        elif words[0] == "delete":
            self.log.append(" ".join(["nft", *words]))
            del self.tables[words[2], words[3]]
        elif words == ["list", "tables"]:
            return "".join(f"table {family} {name}\n" for family, name in self.tables)
        else:
            key = words[-2], words[-1]
            if key not in self.tables:
                raise CommandError("nft: Error: No such file or directory")
            return f"table {key[0]} {key[1]} {{\n{self.tables[key]}}}\n"
        return ""

    def _load(self, text: str) -> None:
        if opening := _OPENING.fullmatch(text):
            if (opening[1], opening[2]) not in self.tables:
                raise CommandError("nft: Error: No such file or directory")
            self.open_for.append(int(opening[4]))
            return
        found = _TABLE.fullmatch(text)
        assert found, text
        self.log.append(f"nft table {found[1]} {found[2]}")
        self.tables[found[1], found[2]] = found[3]

    def _wg(self, words: list[str], text: str) -> str:
        name = words[1]
        if name not in self.wireguard:
            raise CommandError(f"wg: Unable to access interface {name}: No such device")
        device = self.wireguard[name]
        if words[0] == "show":
            lines = [f"{device.private}\t{self._public_of(device.private)}\t{device.port}\toff"]
            for key, peer in device.peers.items():
                lines.append(
                    f"{key}\t(none)\t{peer.endpoint or '(none)'}\t0.0.0.0/0\t{peer.handshake}\t0\t0\toff"
                )
            return "\n".join(lines) + "\n"
        self.log.append(f"wg {words[0]}")
        if words[0] == "set":
            device.peers.pop(words[3], None)
            return ""
        values = dict(line.split(" = ") for line in text.splitlines() if " = " in line)
        device.private, device.port = values["PrivateKey"], int(values.get("ListenPort", device.port))
        kept = device.peers.get(values.get("PublicKey", ""), Peer())
        device.peers = {values["PublicKey"]: kept} if "PublicKey" in values else {}
        if "Endpoint" in values:
            kept.endpoint = values["Endpoint"]
        return ""

    def _sysctl(self, words: list[str], _: str) -> str:
        if words[0] == "-n":
            return (
                self.settings.get(words[1], "0" if any(name in words[1] for name in self.links) else "")
                + "\n"
            )
        name, _, value = words[1].partition("=")
        self.log.append(f"sysctl {words[1]}")
        self.settings[name] = value
        return ""

    def _bridge(self, words: list[str], text: str) -> str:
        return "[]"


def _rule(words: list[str]) -> Entry:
    """A rule as `ip -j` shows it, from the words that add it."""
    given = dict(zip(words[::2], words[1::2], strict=True))
    shown: Entry = {
        "priority": int(given["priority"]),
        "table": given["lookup"],
        "protocol": given.get("protocol", "kernel"),
    }
    for side, key in (("from", "src"), ("to", "dst")):
        if side in given:
            shown[key], length = given[side].split("/")
            shown[f"{key}len"] = int(length)
    shown |= {key: given[key] for key in ("iif", "oif", "fwmark", "ipproto") if key in given}
    if "dport" in given:
        shown["dport"] = int(given["dport"])
    return shown

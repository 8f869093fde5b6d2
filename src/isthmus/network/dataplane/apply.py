"""Bringing a host to its desired state: read what is there, change only what differs, touch only what is ours.

A `DataPlane` remembers how the kernel lists each nftables table it put there, so that a later change by anyone is
seen without parsing; at its first run it replaces them, which disturbs no connection. Steps are apart: what fails
in one is told at the end (`CommandError`), and the others are done. Who calls it again is `keeper`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from isthmus.network.dataplane import hops, links, routes, sysctls
from isthmus.network.dataplane.commands import CommandError, Commands
from isthmus.network.dataplane.state import Link, State, Table

logger = logging.getLogger(__name__)

DEVICES = (hops.TUNNEL, hops.OVERLAY)

MakeTunnel = Callable[[Link], Awaitable[None]]
"""Makes the device of a tunnel; raises CommandError."""


def lacks_support(words: str) -> bool:
    """Whether a program's words say that the kernel has no such kind of object, rather than that one is wrong."""
    return any(
        sign in words for sign in ("Unknown device type", "Operation not supported", "Protocol not supported")
    )


async def _no_tunnel(link: Link) -> None:
    raise CommandError(f"{link.name}: nothing here makes tunnels")


class DataPlane:
    """The kernel's side of one network namespace."""

    def __init__(self, commands: Commands, make_tunnel: MakeTunnel = _no_tunnel) -> None:
        self._commands = commands
        self._make_tunnel = make_tunnel
        self._listings: dict[Table, str] = {}
        self._found: dict[str, str] = {}
        self._down: list[str] = []
        self.refused: dict[str, str] = {}
        """What the kernel said to tables of users, by the object's name."""

    async def apply(self, state: State) -> list[str]:
        """Bring the kernel to `state`; what was changed, in words. Raises CommandError after doing the rest."""
        done: list[str] = []
        failures: list[str] = []
        # Translation comes before routes on the way up, so that no packet passes untranslated.
        failures += await self._missing(state)
        for step in (
            self._tables,
            self._links,
            self._sysctls,
            self._up,
            self._neighbours,
            self._routes,
            self._rules,
        ):
            try:
                done += await step(state)
            except (CommandError, OSError, msgspec.DecodeError) as error:
                failures.append(str(error))
        try:
            done += await self._leave(state)
        except (CommandError, OSError) as error:
            failures.append(str(error))
        if failures:
            raise CommandError("; ".join(failures))
        return done

    async def _missing(self, state: State) -> list[str]:
        """What the kernel lacks of nftables, which every plan needs; asked only until the first table was made."""
        if not state.tables or self._listings:
            return []
        try:
            await self._commands.run("nft", "list", "tables")
        except CommandError as error:
            if lacks_support(str(error)):
                return [f"this kernel has no nftables: load the module nf_tables on the nodes ({error})"]
        return []

    async def remove(self) -> list[str]:
        """Take away everything of ours and put sysctls back. Raises CommandError after doing the rest."""
        return await self.apply(State())

    async def _batch(self, lines: list[str]) -> list[str]:
        if lines:
            # One line that fails (a route through an address that just went) must not keep back the others.
            await self._commands.run("ip", "-force", "-batch", "-", text="\n".join(lines) + "\n")
        # What was done is logged, and link-layer addresses are for nobody who reads logs (`overlay`).
        return [links.without_addresses(line) for line in lines]

    async def _json(self, *command: str) -> list[dict[str, Any]]:
        text = await self._commands.find(*command)
        return msgspec.json.decode(text, type=list[dict[str, Any]]) if text.strip() else []

    async def _device(self, name: str) -> dict[str, Any]:
        found = await self._json("ip", "-j", "-d", "addr", "show", "dev", name)
        return next((entry for entry in found if entry.get("ifname") == name), {})

    async def _links(self, state: State) -> list[str]:
        done: list[str] = []
        self._down = []
        for link in state.links:
            present = await self._device(link.name)
            if links.is_other(link, present):
                self._found |= sysctls.parse_note(present.get("ifalias", ""))
                done += await self._batch([f"link del {link.name}"])
                present = {}
            if not present:
                if link.kind == "vxlan":
                    done += await self._make_overlay(link)
                else:
                    await self._make_tunnel(link)
                    done.append(f"link add {link.name} type wireguard")
                present = await self._device(link.name)
            lines = links.changes(link, present)
            self._down += [line for line in lines if line.endswith(" up")]
            done += await self._batch([line for line in lines if not line.endswith(" up")])
        return done

    async def _up(self, state: State) -> list[str]:
        """Bring up what is down; a device's own sysctls are in force before its first packet."""
        return await self._batch(self._down)

    async def _make_overlay(self, link: Link) -> list[str]:
        try:
            done = await self._batch(links.creation(link))
        except CommandError as error:
            if not lacks_support(str(error)):
                raise
            raise CommandError(
                f"this kernel makes no device of type vxlan: load the module vxlan on the nodes ({error})"
            ) from error
        if self._found:
            # The note went with the device that was there before.
            await self._note()
        return done

    async def _sysctls(self, state: State) -> list[str]:
        found, done = dict(self._found), []
        for name, value in state.sysctls.items():
            present = await sysctls.read(self._commands, name)
            if present not in ("", value):
                if not sysctls.goes_with_device(name, DEVICES):
                    found.setdefault(name, present)
                done.append(f"sysctl {name}={value}")
        if done and found:
            overlay = await self._device(hops.OVERLAY)
            self._found = found | sysctls.parse_note(overlay.get("ifalias", ""))
            # Noted first: killed between the two, nothing is lost.
            await self._note()
        for line in done:
            name, _, value = line.removeprefix("sysctl ").partition("=")
            await sysctls.write(self._commands, name, value)
        return done

    async def _note(self) -> None:
        note = sysctls.render_note(self._found)
        await self._commands.run("ip", "link", "set", "dev", hops.OVERLAY, "alias", note)

    async def _neighbours(self, state: State) -> list[str]:
        command = ("ip", "-4", "-j", "neigh", "show", "nud", "permanent")
        present = links.parse_neighbours(hops.OVERLAY, await self._json(*command))
        return await self._batch(links.neighbour_changes(state.neighbours, present))

    async def _routes(self, state: State) -> list[str]:
        present = routes.parse_routes(await self._commands.find(*routes.SHOW_ROUTES))
        return await self._batch(routes.route_changes(state.routes, present))

    async def _rules(self, state: State) -> list[str]:
        present = await self._json(*routes.SHOW_RULES)
        lines = routes.rule_changes(state.rules, routes.parse_rules(present))
        lines += routes.local_rule_changes(state.rules, present)
        # New ones first, so that local addresses are looked at by one rule or another at every moment.
        return await self._batch(sorted(lines, key=lambda line: line.startswith("rule del")))

    async def _tables(self, state: State) -> list[str]:
        done, refused = [], {}
        for table in state.tables:
            listed = await self._listing(table)
            if listed and self._listings.get(table) == listed:
                continue
            name = f"{table.family} {table.name}"
            # In one transaction: the old table stays in force until the new one is complete.
            text = f"table {name}\ndelete table {name}\ntable {name} {{\n{table.body}}}\n"
            try:
                await self._commands.run("nft", "-f", "-", text=text)
            except CommandError as error:
                if table.name not in state.owners:
                    raise
                # One user's table must not keep back the others, nor ours.
                refused[state.owners[table.name]] = str(error)
                continue
            self._listings = {key: one for key, one in self._listings.items() if key[:2] != table[:2]}
            self._listings[table] = await self._listing(table)
            done.append(f"nft table {name}")
        self._refuse(refused)
        return done

    def _refuse(self, refused: dict[str, str]) -> None:
        for name, words in refused.items():
            if self.refused.get(name) != words:
                logger.warning("left out: %s: %s", name, words)
        self.refused = refused

    async def _listing(self, table: Table) -> str:
        # Terse: what is in a named set comes and goes by itself.
        return await self._commands.find("nft", "-s", "-t", "list", "table", table.family, table.name)

    async def _leave(self, state: State) -> list[str]:
        """Remove the tables and devices of ours that are no longer wanted."""
        done = []
        wanted = {(table.family, table.name) for table in state.tables}
        for line in (await self._commands.find("nft", "list", "tables")).splitlines():
            _, family, name = line.split()
            if (name == hops.TABLE or name.startswith(f"{hops.TABLE}_")) and (family, name) not in wanted:
                await self._commands.run("nft", "delete", "table", family, name)
                done.append(f"nft delete table {family} {name}")
        kept = {link.name for link in state.links}
        for name in DEVICES:
            if name in kept or not (present := await self._device(name)):
                continue
            found = sysctls.parse_note(present.get("ifalias", "")) | self._found
            done += await self._batch([f"link del {name}"])
            if name == hops.OVERLAY:
                for sysctl, value in found.items():
                    if sysctls.goes_with_device(sysctl, DEVICES):
                        continue
                    await sysctls.write(self._commands, sysctl, value)
                    done.append(f"sysctl {sysctl}={value}")
                self._found = {}
        return done

"""What the control planes of the lab's clusters use: PSS and CPU of every process of ours, by part.

A part is a role, or the program a role started: `controller`, `node`, `gateway`, `wireguard-go`. Processes of one
part in one cluster are added. A process that ends while it is measured raises OSError: its figures would be wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.processes import Process, processes

Parts = dict[str, dict[str, float]]
"""cluster -> part -> figure"""


def by_part(members: list[Process], figure: Callable[[Process], float]) -> Parts:
    """A figure of each process, added up for each part of each cluster."""
    found: Parts = {}
    for one in members:
        part = one.role if one.program == "isthmus" else one.program
        parts = found.setdefault(one.cluster, {})
        parts[part] = parts.get(part, 0.0) + figure(one)
    return found


def pss() -> Parts:
    """MB now."""
    return by_part(processes(), Process.pss)


class Meter:
    """The CPU that parts use from its making on."""

    def __init__(self) -> None:
        self._members = processes()
        self._start = {one.pid: one.cpu() for one in self._members}

    def seconds(self) -> Parts:
        """CPU seconds since. Raises OSError where a process has ended: a crash is not a figure."""
        return by_part(self._members, lambda one: one.cpu() - self._start[one.pid])


async def percent(seconds: float) -> Parts:
    """The share of a core that each part uses while `seconds` go by."""
    meter = Meter()
    await asyncio.sleep(seconds)
    return {
        cluster: {part: used / seconds * 100 for part, used in parts.items()}
        for cluster, parts in meter.seconds().items()
    }

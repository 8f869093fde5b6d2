"""What became of users' objects on this host, in the objects' own status: one condition a host, Applied or Error.

Owns one loop while `run` lasts, woken after each look at the data path and by changes of the objects. A condition is
written only where it differs, with the object's resourceVersion as its precondition, since other hosts write theirs
into the same list. What a fault is about is in this process's log: the condition has no field for it (wire.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from isthmus.api.routing import (
    FIREWALL_CONFIGURATIONS,
    ROUTE_CONFIGURATIONS,
    FirewallConfiguration,
    HostCondition,
    RouteConfiguration,
)
from isthmus.kube.client import Client
from isthmus.kube.errors import Conflict, KubeError, NotFound
from isthmus.kube.retry import backoff, jitter
from isthmus.network.dataplane.state import State

logger = logging.getLogger(__name__)

APPLIED, ERROR = "Applied", "Error"
LONGEST_WAIT = 30.0

Written = RouteConfiguration | FirewallConfiguration
Honoured = Callable[[], Iterable[Written]]
"""The objects that are for this host, as they are now."""


def name_of(one: Written) -> str:
    """How faults name an object."""
    kind = "RouteConfiguration" if isinstance(one, RouteConfiguration) else "FirewallConfiguration"
    return f"{kind} {one.key}"


def conditions_due(
    present: list[HostCondition], host: str, fault: str | None, now: str
) -> list[HostCondition] | None:
    """The list with this host's condition in it, None where it is already; those of others stay as they are."""
    kind = ERROR if fault else APPLIED
    own = [one for one in present if one.host == host]
    if len(own) == 1 and (own[0].type, own[0].status) == (kind, "True"):
        return None
    others = [one for one in present if one.host != host]
    return [*others, HostCondition(host=host, type=kind, status="True", last_transition_time=now)]


class HostStatus:
    """The conditions of one host."""

    def __init__(self, client: Client, host: str, honoured: Honoured) -> None:
        self._client = client
        self._host = host
        self._honoured = honoured
        self._news = asyncio.Event()
        self._faults: Mapping[str, str] | None = None

    def tell(self, state: State, kernel: Mapping[str, str]) -> None:
        """What was applied just now; `kernel` holds what the kernel refused, by the object's name."""
        self._faults = {**state.faults, **kernel}
        self._news.set()

    def wake(self) -> None:
        """Look again: an object changed."""
        self._news.set()

    async def run(self) -> None:
        """Write what differs, until cancelled; a failure is tried again with a growing delay."""
        failures = 0
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._write()
                failures = 0
            except KubeError as error:
                failures += 1
                if failures == 1:
                    logger.warning("a condition cannot be written, trying again: %s", error)
                await asyncio.sleep(backoff(failures, first=0.5, longest=LONGEST_WAIT, random=jitter()))
                self._news.set()

    async def _write(self) -> None:
        if self._faults is None:
            return
        for one in list(self._honoured()):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            due = conditions_due(one.status.conditions, self._host, self._faults.get(name_of(one)), now)
            if due is None or one.deleting:
                continue
            patch: dict[str, Any] = {
                "metadata": {"resourceVersion": one.metadata.resource_version},
                "status": {"conditions": msgspec.to_builtins(due)},
            }
            try:
                await self._patch(one, patch)
            except (Conflict, NotFound):
                # Another host was first, or it is gone: its change wakes us.
                continue

    async def _patch(self, one: Written, patch: dict[str, Any]) -> None:
        meta = one.metadata
        resource: Any = (
            ROUTE_CONFIGURATIONS if isinstance(one, RouteConfiguration) else FIREWALL_CONFIGURATIONS
        )
        await self._client.patch(resource.partial(), meta.name, patch, meta.namespace, subresource="status")

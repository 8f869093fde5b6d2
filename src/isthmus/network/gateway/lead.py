"""Which of several replicas of a gateway carries the tunnel: a lease, and the label that Services and nodes follow.

Times are short, so that a replica takes over within 5 s of the other's death. The one that takes over takes the
label from the one before it, which may not be able to. A process that is stopped cannot take its tunnel down: the
kernel does, by a fence that opens for as long as the lease lasts and no longer.
"""

from __future__ import annotations

import asyncio
import logging

from isthmus.api import labels
from isthmus.kube.builtin import LEASES, PODS
from isthmus.kube.client import Client
from isthmus.kube.errors import KubeError, NotFound
from isthmus.kube.lease import LeaderElection
from isthmus.network.dataplane import hops
from isthmus.network.dataplane.commands import CommandError, Commands
from isthmus.network.dataplane.state import Table
from isthmus.network.gateway.settings import Settings

logger = logging.getLogger(__name__)

DURATION, DEADLINE, RETRY = 3.0, 2.0, 0.5


FENCE = f"{hops.TABLE}_lead"
"""The nftables table that lets packets into and out of the tunnel while its set holds the tunnel's name."""
MARGIN = 0.2
"""Seconds that the fence closes before the lease can be another's."""


def fence() -> Table:
    """The fence, closed."""
    lines = ["set leading {", "type ifname; flags timeout;", "}"]
    for hook, keys in (("forward", ("iifname", "oifname")), ("output", ("oifname",))):
        lines += [
            f"chain closed_{hook} {{",
            f"type filter hook {hook} priority raw; policy accept;",
            *(f'{key} "{hops.TUNNEL}" {key} != @leading drop' for key in keys),
            "}",
        ]
    return Table("ip", FENCE, "".join(f"{line}\n" for line in lines))


def opening(seconds: float) -> str:
    """The `nft` text that has the fence open for so long from now, whatever was before."""
    name = f"ip {FENCE} leading"
    return f'flush set {name}\nadd element {name} {{ "{hops.TUNNEL}" timeout {round(seconds * 1000)}ms }}\n'


def lease_name(settings: Settings) -> str:
    """The name stock's gateways elect their leader under (wire.md 2)."""
    return f"{settings.name}.{settings.namespace}.{settings.mode}.connections.liqo.io"


class Lead:
    """The lead of one gateway."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._election = LeaderElection(
            client, lease_name(settings), settings.namespace, settings.pod_name,
            duration=DURATION, renew_deadline=DEADLINE, retry_period=RETRY,
        )  # fmt: skip

    async def acquire(self) -> None:
        """Wait for the lead, then take the label. Raises KubeError."""
        # A container that was restarted may still be labelled from its life as the leader.
        await self._label(self._settings.pod_name, None)
        await self._election.acquire()

    async def announce(self, before: str) -> None:
        """Label this pod as the active one, and no longer the one that led `before`. Raises KubeError."""
        if before and before != self._settings.pod_name:
            await self._label(before, None)
        await self._label(self._settings.pod_name, labels.TRUE)

    async def holder(self) -> str:
        """Who leads at present, "" where nobody does or it cannot be read."""
        try:
            lease = await self._client.find(LEASES, lease_name(self._settings), self._settings.namespace)
        except KubeError:
            return ""
        return (lease.spec.holder_identity or "") if lease is not None else ""

    async def hold(self) -> None:
        """Renew until the lead is lost; released on cancellation."""
        await self._election.hold()

    async def keep_open(self, commands: Commands) -> None:
        """Open the fence anew with every renewal of the lease, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            pause = RETRY
            left = self._election.renewed_at + DURATION - MARGIN - loop.time()
            if left > 0:
                try:
                    await commands.run("nft", "-f", "-", text=opening(left))
                except CommandError as error:
                    # Not there yet, or just flushed: it is made by the keeper.
                    logger.debug("the fence is not open: %s", error)
                    pause = RETRY / 5
            await asyncio.sleep(pause)

    async def _label(self, pod: str, value: str | None) -> None:
        patch = {"metadata": {"labels": {labels.ACTIVE_GATEWAY: value}}}
        try:
            await self._client.patch(PODS.partial(), pod, patch, self._settings.namespace)
        except NotFound:
            logger.debug("pod %s is gone", pod)

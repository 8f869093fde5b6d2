"""Whether a virtual node's provider answers, and the Lease that says so to this cluster's node controller.

One probe (GET /livez of the provider, with the slice's own identity) every 10 s. A failure pauses what the pods
would tell the provider at once; after 15 s of failures the node is shown as not ready, so that a provider's API
server that restarts takes no pod out of its Services. While it fails the Lease is not renewed. Never ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from isthmus.kube.builtin import LEASES
from isthmus.kube.client import Client
from isthmus.kube.errors import AlreadyExists, Forbidden, KubeError, NotFound, Unauthorized
from isthmus.kube.objects import Manifest, Object
from isthmus.offloading.pods.provider import ProviderHealth

INTERVAL = 10.0
RETRY = 2.0
TIMEOUT = 5.0
LOST_AFTER = 15.0
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40


def forge_lease(node: Object, now: str) -> Manifest:
    """The Lease of a Node, collected with it."""
    name = node.metadata.name
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}
    return {
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    }


def micro_time() -> str:
    """The present as a MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Heartbeat:
    """Keeps `health` and the Lease of one virtual node; `changed` is called when health changes."""

    def __init__(
        self,
        local: Client,
        remote: Client,
        health: ProviderHealth,
        node: Callable[[], Object | None],
        changed: Callable[[], None],
    ) -> None:
        self._local = local
        self._remote = remote
        self._health = health
        self._node = node
        self._changed = changed
        self._failing_since: float | None = None

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            detail = await self._probe()
            self.judge(detail, time.monotonic())
            if detail is None:
                await self.renew()
            await asyncio.sleep(INTERVAL if detail is None else RETRY)

    def judge(self, detail: str | None, now: float) -> None:
        """Take in one probe's outcome: None for an answer, else what the provider's API server does instead."""
        health = self._health
        before = (health.probed, health.reachable, health.lost)
        if detail is None:
            self._failing_since = None
            if health.lost:
                health.settle()
            health.reachable, health.lost, health.detail = True, False, ""
        else:
            if self._failing_since is None:
                self._failing_since = now
            health.reachable, health.detail = False, detail
            health.lost = health.lost or now - self._failing_since >= LOST_AFTER
        health.probed = True
        if before != (health.probed, health.reachable, health.lost):
            self._changed()

    async def renew(self) -> None:
        """Renew the Lease of the Node, if there is one; a failure is made up for by the next."""
        node = self._node()
        if node is None:
            return
        now = micro_time()
        leases = LEASES.partial()
        try:
            try:
                patch = {"spec": {"renewTime": now}}
                await self._local.patch(leases, node.metadata.name, patch, LEASE_NAMESPACE)
            except NotFound:
                await self._local.create(leases, forge_lease(node, now), LEASE_NAMESPACE)
        except AlreadyExists:
            pass
        except KubeError:
            # Our own API server is away: its node controller makes allowance for that.
            pass

    async def _probe(self) -> str | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._remote.request("GET", "/livez", accept="*/*", timeout=TIMEOUT)
        except Forbidden:
            return None  # It answers, and it is not our business how it feels.
        except TimeoutError:
            return f"does not answer: nothing within {TIMEOUT:.0f} s"
        except KubeError as error:
            return describe_failure(error)
        return None


def describe_failure(error: KubeError) -> str:
    """What the provider's API server does instead of answering."""
    if isinstance(error, Unauthorized):
        return "does not accept the certificate of this virtual node: isthmus info peer tells what to do"
    return f"does not answer: {error}"

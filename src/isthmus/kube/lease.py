"""Leader election over a Lease object, as client-go does it: whoever renews it leads.

Times are never compared between machines: a lease is taken over when it did not change for its duration by our
own clock. Owns no task: `acquire`, then `hold` beside the work; when `hold` returns the lead is lost and the work
must stop at once. On cancellation the lease is given back, so that the next one leads without waiting. Needs the
verbs get, create and patch on leases.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from isthmus.kube.builtin import LEASES, Lease
from isthmus.kube.client import Client
from isthmus.kube.errors import AlreadyExists, Conflict, KubeError
from isthmus.kube.retry import jitter

logger = logging.getLogger(__name__)

RELEASE_TIMEOUT = 5.0


class LeaderElection:
    """Leader election over a Lease, with client-go's meaning of the times (seconds)."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        *,
        duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
    ) -> None:
        if not duration > renew_deadline > retry_period > 0:
            raise ValueError("duration must exceed renew_deadline, and that retry_period")
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._seen: tuple[str | None, str | None] = (None, None)
        self._seen_at = 0.0
        self._renewed_at = 0.0

    @property
    def renewed_at(self) -> float:
        """When the lease was last known to be ours, by the loop's clock: nobody else has it for its duration."""
        return self._renewed_at

    async def acquire(self) -> None:
        """Wait until this identity holds the lease."""
        while True:
            try:
                if await self._try():
                    logger.info(
                        "leading: lease=%s/%s, identity=%s", self._namespace, self._name, self._identity
                    )
                    return
            except KubeError as error:
                logger.warning("the lease cannot be taken, trying again: %s", error)
            await asyncio.sleep(self._retry_period * (1 + 0.2 * jitter()))

    async def hold(self) -> None:
        """Renew until the lease is lost, then return; on cancellation release it."""
        loop = asyncio.get_running_loop()
        try:
            while loop.time() - self._renewed_at < self._renew_deadline:
                await asyncio.sleep(self._retry_period)
                remaining = self._renewed_at + self._renew_deadline - loop.time()
                try:
                    async with asyncio.timeout(max(remaining, 0.0)):
                        # A refused write may be our own earlier one, whose answer got lost.
                        if not await self._try() and await self._is_anothers():
                            break
                except (KubeError, TimeoutError) as error:
                    logger.warning(
                        "the lease was not renewed, trying again: %s", str(error) or "time ran out"
                    )
            logger.error("the lead is lost: lease=%s/%s", self._namespace, self._name)
        except asyncio.CancelledError:
            await self._release()
            raise

    async def _try(self) -> bool:
        """Take or renew the lease if it may be; whether it is ours now."""
        begun = asyncio.get_running_loop().time()
        lease = await self._client.find(LEASES, self._name, self._namespace)
        try:
            if lease is None:
                await self._client.create(
                    LEASES, {"metadata": {"name": self._name}, "spec": self._spec(None)}, self._namespace
                )
            elif self._may_take(lease):
                await self._write(lease, self._spec(lease))
            else:
                return False
        except (AlreadyExists, Conflict):
            return False
        # Counted from before the request: the server may have written it any time since.
        self._renewed_at = begun
        return True

    async def _is_anothers(self) -> bool:
        lease = await self._client.find(LEASES, self._name, self._namespace)
        return lease is not None and lease.spec.holder_identity not in (None, "", self._identity)

    def _may_take(self, lease: Lease) -> bool:
        spec = lease.spec
        if spec.holder_identity == self._identity or not spec.holder_identity:
            return True
        now = asyncio.get_running_loop().time()
        present = (spec.holder_identity, spec.renew_time)
        if present != self._seen:
            self._seen, self._seen_at = present, now
        return now - self._seen_at > (spec.lease_duration_seconds or self._duration)

    def _spec(self, lease: Lease | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "renewTime": now,
        }
        if lease is None or lease.spec.holder_identity != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = 0 if lease is None else (lease.spec.lease_transitions or 0) + 1
        return spec

    async def _write(self, lease: Lease, spec: dict[str, Any]) -> None:
        # With the resourceVersion the patch fails where another wrote meanwhile, and keeps foreign fields.
        patch = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}
        await self._client.patch(LEASES, self._name, patch, self._namespace)

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                lease = await self._client.find(LEASES, self._name, self._namespace)
                if lease is not None and lease.spec.holder_identity == self._identity:
                    await self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except (KubeError, TimeoutError) as error:
            logger.warning("the lease was not given back: %s", str(error) or "time ran out")

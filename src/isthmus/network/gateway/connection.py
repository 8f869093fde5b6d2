"""The Connection object of a gateway: what is written into its status, and when.

The decision is pure (`Reporter`); the writes are server-side apply. A change of the state is written at once, a
change of the latency at most every 10 s and only when it is one that somebody would notice.
"""

from __future__ import annotations

from datetime import UTC, datetime

from isthmus.api import labels
from isthmus.api.networking import CONNECTIONS, GROUP, VERSION
from isthmus.kube.client import Client
from isthmus.kube.objects import Manifest
from isthmus.network.gateway.settings import Settings

MANAGER = "isthmus-gateway"
NOTICEABLE = 0.2
"""The part by which a latency must differ from the one written."""
SMALLEST = 0.0005
"""Seconds by which it must differ at least."""


class Reporter:
    """Decides whether a state is to be written; the clock is an argument."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._written: tuple[str, float | None] | None = None
        self._at = 0.0

    def due(self, value: str, latency: float | None, now: float) -> bool:
        """Whether to write it now."""
        if self._written is None or self._written[0] != value:
            return True
        if now - self._at < self._interval or latency is None:
            return False
        old = self._written[1]
        return old is None or abs(latency - old) > max(SMALLEST, NOTICEABLE * old)

    def written(self, value: str, latency: float | None, now: float) -> None:
        """Remember what was written."""
        self._written, self._at = (value, latency), now

    def forget(self) -> None:
        """Write at the next occasion: the object may have been changed by others."""
        self._written = None


def format_latency(seconds: float) -> str:
    """A latency as text with its unit."""
    return f"{seconds * 1000:.3f}ms"


def forge_connection(settings: Settings) -> Manifest:
    """The Connection without its status; it goes with the GatewayServer or GatewayClient."""
    side = settings.mode.capitalize()
    owner = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": f"Gateway{side}",
        "name": settings.name,
        "uid": settings.uid,
    }
    metadata: Manifest = {
        "name": f"gw-{settings.name}",
        "namespace": settings.namespace,
        "labels": {labels.REMOTE_CLUSTER_ID: settings.peer},
    }
    if settings.uid:
        metadata["ownerReferences"] = [owner]
    reference = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": f"WgGateway{side}",
        "name": settings.name,
        "namespace": settings.namespace,
        "uid": settings.uid,
    }
    return {"metadata": metadata, "spec": {"type": side, "gatewayRef": reference}}


def forge_status(settings: Settings, value: str, latency: float | None, moment: datetime) -> Manifest:
    """The Connection with its status alone."""
    status: Manifest = {"value": value}
    if latency is not None:
        stamp = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status["latency"] = {"value": format_latency(latency), "timestamp": stamp}
    return {"metadata": {"name": f"gw-{settings.name}", "namespace": settings.namespace}, "status": status}


async def write_connection(
    client: Client, settings: Settings, value: str, latency: float | None, *, create: bool
) -> None:
    """Write the status, and the object itself first where `create` says so. Raises KubeError."""
    if create:
        await client.apply(CONNECTIONS, forge_connection(settings), settings.namespace, field_manager=MANAGER)
    status = forge_status(settings, value, latency, datetime.now(UTC))
    await client.apply(CONNECTIONS, status, settings.namespace, subresource="status", field_manager=MANAGER)

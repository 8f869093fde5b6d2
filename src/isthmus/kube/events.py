"""Events: what happened to an object, for people who run `kubectl describe`.

`record` only puts into a bounded memory and never waits or fails; the one task, `run`, writes. Repeats of an event
are counted on one Event object, as stock components do. What cannot be written (no permission, a namespace that
is going, a server that is away) is dropped with a debug line: events are a courtesy, never state.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct

from isthmus.kube.builtin import EVENTS
from isthmus.kube.client import Client
from isthmus.kube.errors import KubeError, NotFound
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource

logger = logging.getLogger(__name__)

MAX_WAITING = 256
MAX_REMEMBERED = 512
"""Events that wait to be written, and written ones whose repeats are counted."""
MAX_MESSAGE = 1024
PAUSE = 0.05
"""Seconds between two writes: 20 events a second at most, whatever goes wrong."""

_Identity = tuple[str, str, str, str, str]


class _Pending(Struct):
    manifest: Manifest
    count: int = 1


class _Written(Struct):
    name: str
    namespace: str
    count: int


class EventRecorder:
    """Writes core/v1 Events about objects, without ever delaying or failing the caller.

    Repeats of the same event are counted on one Event object; at most a bounded number wait.
    """

    def __init__(self, client: Client, component: str = "isthmus") -> None:
        self._client = client
        self._component = component
        self._pending: OrderedDict[_Identity, _Pending] = OrderedDict()
        self._written: OrderedDict[_Identity, _Written] = OrderedDict()
        self._wake = asyncio.Event()
        self._resource = EVENTS.partial()
        """The answer to a write is of no interest, so the shortest is asked for."""

    def record(
        self,
        resource: Resource[Any],
        object: Object,
        reason: str,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",
    ) -> None:
        """Queue an event about `object`; `reason` is CamelCase, `message` a sentence for people."""
        metadata = object.metadata
        identity = (
            metadata.namespace,
            metadata.uid or f"{resource.kind}/{metadata.name}",
            type,
            reason,
            message,
        )
        waiting = self._pending.get(identity)
        if waiting is not None:
            waiting.count += 1
            return
        if len(self._pending) >= MAX_WAITING:
            logger.debug("an event is dropped, too many wait: reason=%s", reason)
            return
        manifest = forge_event(resource, object, reason, message[:MAX_MESSAGE], type, self._component)
        self._pending[identity] = _Pending(manifest)
        self._wake.set()

    async def run(self) -> None:
        """Write queued events until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                identity, pending = self._pending.popitem(last=False)
                try:
                    await self._write(identity, pending)
                except KubeError as error:
                    logger.debug("an event is dropped: reason=%s, error=%s", identity[3], error)
                await asyncio.sleep(PAUSE)

    async def _write(self, identity: _Identity, pending: _Pending) -> None:
        written = self._written.get(identity)
        if written is not None:
            try:
                await self._count(written, pending)
            except NotFound:  # The API server keeps events for an hour.
                del self._written[identity]
            else:
                self._written.move_to_end(identity)
                return
        manifest = pending.manifest | {"count": pending.count}
        place = manifest["metadata"]
        await self._client.create(self._resource, manifest, field_manager=self._component)
        self._written[identity] = _Written(place["name"], place["namespace"], pending.count)
        while len(self._written) > MAX_REMEMBERED:
            self._written.popitem(last=False)

    async def _count(self, written: _Written, pending: _Pending) -> None:
        count = written.count + pending.count
        patch = {"count": count, "lastTimestamp": pending.manifest["lastTimestamp"]}
        await self._client.patch(
            self._resource, written.name, patch, written.namespace, field_manager=self._component
        )
        written.count = count


def forge_event(
    resource: Resource[Any], object: Object, reason: str, message: str, type: str, component: str
) -> Manifest:
    """The Event manifest; events about cluster-scoped objects go to the namespace `default`, as everywhere."""
    metadata = object.metadata
    namespace = metadata.namespace or "default"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": f"{metadata.name[:200]}.{time.time_ns():x}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        },
        "reason": reason,
        "message": message,
        "type": type,
        "count": 1,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
    }

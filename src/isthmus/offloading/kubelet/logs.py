"""A container's log, streamed from the provider's API server as it arrives.

The head of the answer is held back until the first bytes or a refusal have come, so that a refusal keeps its
status and sentence; for `EARLY` seconds at most, since a log that is followed may stay silent for hours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from isthmus.kube.builtin import PODS
from isthmus.kube.errors import KubeError
from isthmus.kube.server import Answer, Request
from isthmus.offloading.kubelet.answers import explain
from isthmus.offloading.kubelet.locations import Location
from isthmus.offloading.kubelet.routes import PodRoute, log_query

EARLY = 10.0
FOLLOWED = 4 * 3600.0
"""Seconds a log that is followed may take until its first line."""


class LogBody:
    """The body of an answer; the first read is started at once and may be waited for without losing it."""

    def __init__(self, source: AsyncGenerator[bytes, None]) -> None:
        self._source = source
        self._first: asyncio.Task[bytes] | None = asyncio.create_task(self._read())

    async def begin(self, seconds: float) -> None:
        """Wait for the first bytes, no longer than that. Raises the KubeError that came in their place."""
        assert self._first is not None
        await asyncio.wait({self._first}, timeout=seconds)
        if self._first.done():
            self._first.result()

    def __aiter__(self) -> LogBody:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            task, self._first = self._first, None
            chunk = await task
        else:
            chunk = await self._read()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Give the connection up."""
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        await self._source.aclose()

    async def _read(self) -> bytes:
        return await anext(self._source, b"")


async def answer_logs(request: Request, route: PodRoute, location: Location) -> Answer:
    """The log of a container as the client asked for it."""
    query = log_query(route, request.query)
    followed = ("follow", "true") in query
    source = location.client.stream(
        "GET",
        PODS.path(location.remote_namespace, route.pod, "log"),
        query=query,
        timeout=FOLLOWED if followed else None,
    )
    body = LogBody(source)
    try:
        await body.begin(EARLY)
    except KubeError as error:
        await body.aclose()
        return explain(error, location)
    except asyncio.CancelledError:
        await body.aclose()
        raise
    return Answer(body=body, content_type="text/plain")

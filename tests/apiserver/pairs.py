"""Socket pairs in place of TCP to servers in memory, for as long as time is simulated.

Simulated time leaps as soon as nothing is to be read. What is sent by TCP may become readable a moment later where the
kernel is busy with other traffic, and a request would be taken for one that hangs; a socket pair has no such moment.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from unittest import mock

from isthmus.kube import session
from isthmus.kube.dial import Endpoint, dial
from isthmus.kube.http import Connection, Traffic
from tests.kube.fake import FakeServer

_listening: dict[int, FakeServer] = {}
_patch = mock.patch.object(session, "dial", lambda *arguments: _dial(*arguments))


def listen(server: FakeServer) -> None:
    """Lead whatever dials a server's port to it, where this loop's time is simulated."""
    if getattr(asyncio.get_running_loop(), "looptime_on", False):
        if not _listening:
            _patch.start()
        _listening[server.port] = server


def close(server: FakeServer) -> None:
    """Lead nobody there any more."""
    if _listening.pop(server.port, None) is not None and not _listening:
        _patch.stop()


async def _dial(
    endpoint: Endpoint, context: ssl.SSLContext | None, traffic: Traffic, timeout: float
) -> Connection:
    if endpoint.port not in _listening:
        return await dial(endpoint, context, traffic, timeout)
    here, there = socket.socketpair()
    try:
        _listening[endpoint.port].accept(there)
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: Connection(traffic), sock=here))[1]
    except BaseException:
        here.close()
        raise

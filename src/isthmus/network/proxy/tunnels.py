"""One tunnel: a peer's CONNECT, a connection to our API server, the bytes carried between them (wire.md 10).

Whatever a peer asks for, it gets our API server: the proxy is no way to anywhere else. TLS is between the peer and the
API server, which also decides who may do what and ends connections nobody proves himself on. Bounded by the server
underneath: connections, size of the head, time to send it.
"""

from __future__ import annotations

import asyncio
import logging

from isthmus.kube.dial import is_address, watch_liveness
from isthmus.kube.errors import TransportError
from isthmus.kube.serving import Answer, Request
from isthmus.kube.splice import Stream, splice

logger = logging.getLogger(__name__)

DIAL_TIME = 10.0
IDLE = 4 * 3600.0
"""Seconds without a byte after which a tunnel ends, as long as an exec may be silent. A watch has its bookmarks, and an
end that is gone is noticed within half a minute by the kernel."""
BUFFER = 64 * 1024
_TEXT = "text/plain"


class Tunnels:
    """Tunnels to one address: that of our API server."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def handle(self, request: Request) -> Answer | None:
        """Carry a tunnel until it ends; an Answer where it cannot begin."""
        if request.accept_tunnel is None:
            return Answer(405, b"only CONNECT is served here\n", {"Allow": "CONNECT"}, _TEXT)
        try:
            async with asyncio.timeout(DIAL_TIME):
                server = await self._dial()
        except TimeoutError:
            logger.warning("a tunnel was refused: no connection to the API server within %.0f s", DIAL_TIME)
            return Answer(504, b"the API server does not answer\n", content_type=_TEXT)
        except OSError as error:
            logger.warning("a tunnel was refused: cannot connect to the API server: %s", error)
            return Answer(502, b"the API server cannot be reached\n", content_type=_TEXT)
        try:
            peer = await request.accept_tunnel()
        except BaseException as error:
            server[1].close()
            if isinstance(error, TransportError):  # The peer has left meanwhile.
                return None
            raise
        await splice(peer, server, idle=IDLE)
        return None

    async def _dial(self) -> Stream:
        delay = None if is_address(self._host) else 0.25
        reader, writer = await asyncio.open_connection(
            self._host, self._port, limit=BUFFER, happy_eyeballs_delay=delay
        )
        watch_liveness(writer.transport)
        return reader, writer

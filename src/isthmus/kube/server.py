"""A small HTTP/1.1 server, with or without TLS: webhooks, the kubelet API, metrics, health.

`run` owns the listening socket and one task a connection, all ended with it. Each connection takes the TLS
context of the moment it is accepted, so that certificates are replaced without a pause. No Python web server can
do this job: none lets SPDY/3.1 upgrades through (python-stack.md 0, finding 6).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl

from isthmus.kube.dial import watch_liveness
from isthmus.kube.errors import ConfigurationError
from isthmus.kube.server_connection import ServerConnection
from isthmus.kube.serving import Answer, Request, RouteHandler

__all__ = ["Answer", "Request", "RouteHandler", "Server"]

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 1024
"""Connections served at a time unless said otherwise; more are closed at once."""
BACKLOG = 128
HANDSHAKE_TIME = 10.0
ACCEPT_PAUSE = 0.2
STOP_TIME = 5.0
SHUTDOWN_TIME = 2.0


class Server:
    """A small HTTP/1.1 server, with or without TLS, for webhooks, the kubelet API, metrics and health.

    Bounded: header and body sizes (`max_body` bytes, 3 MiB), idle and header time. A failing handler is
    answered 500 and logged; the connection of another is not touched. The certificates may be replaced at
    any time by `reload`: new connections use the new context. `host` "" is every address of the machine.
    """

    def __init__(
        self,
        handler: RouteHandler,
        *,
        host: str = "",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        max_body: int = 3 << 20,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._tls = tls
        self._max_body = max_body
        self._max_connections = max_connections
        self._bound = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._fresh: set[socket.socket] = set()
        """Accepted, but the task that serves it has not begun."""
        self._open: set[asyncio.Transport] = set()
        self.started = asyncio.Event()
        """Set while the server accepts connections."""

    @property
    def port(self) -> int:
        """The port bound, once running."""
        return self._bound

    def reload(self, tls: ssl.SSLContext) -> None:
        """Use another TLS context for connections from now on."""
        self._tls = tls

    async def run(self) -> None:
        """Serve until cancelled; then stop accepting and close what is open.

        Raises ConfigurationError where the address cannot be listened on.
        """
        listener = listen(self._host, self._port)
        loop = asyncio.get_running_loop()
        try:
            self._bound = listener.getsockname()[1]
            loop.add_reader(listener, self._accept, listener)
            self.started.set()
            await loop.create_future()
        finally:
            self.started.clear()
            loop.remove_reader(listener)
            listener.close()
            await self._end()

    async def _end(self) -> None:
        """Close every connection, in whatever state it is."""
        for task in self._tasks:
            task.cancel()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_TIME)
        finally:
            # TLS waits for an answer to its good-bye: nobody is left to wait for it.
            for transport in self._open:
                transport.abort()
            for sock in self._fresh:
                sock.close()
            self._fresh.clear()
        await asyncio.sleep(0)

    def _accept(self, listener: socket.socket) -> None:
        """Take the connections that wait. Called by the event loop, not awaited: `sock_accept` loses a connection
        that comes in the moment it is cancelled."""
        loop = asyncio.get_running_loop()
        for _ in range(BACKLOG):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # Out of file descriptors, or a client that left before it was accepted.
                logger.warning("a connection was not accepted: %s", error)
                loop.remove_reader(listener)
                loop.call_later(ACCEPT_PAUSE, self._resume, listener)
                return
            if len(self._tasks) >= self._max_connections:
                logger.warning("a connection is closed, there are %d already", self._max_connections)
                sock.close()
                continue
            sock.setblocking(False)
            self._fresh.add(sock)
            task = loop.create_task(self._serve(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._fresh.discard(sock)
        try:
            transport, connection = await self._connect(sock)
        except (OSError, TimeoutError) as error:
            logger.debug("a TLS handshake failed: %s", error)
            sock.close()
            return
        self._open.add(transport)
        watch_liveness(transport)
        try:
            await connection.serve()
        except Exception:
            logger.exception("a connection failed")
            connection.abort()
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            # Closed twice, a TLS transport of Python 3.11 forgets its protocol, and aborting it raises.
            if not transport.is_closing():
                transport.close()
            loop.call_later(SHUTDOWN_TIME + 1, self._open.discard, transport)

    async def _connect(self, sock: socket.socket) -> tuple[asyncio.Transport, ServerConnection]:
        """Make a connection of an accepted socket, TLS included; or, cancelled, close it.

        asyncio leaves a connection open whose handshake is cancelled before its first or after its last step. So
        the handshake is not cancelled but cut off from its client, which ends it in every step.
        """
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connecting = asyncio.ensure_future(
            asyncio.get_running_loop().connect_accepted_socket(
                lambda: ServerConnection(self._handler, self._max_body),
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_TIME if self._tls else None,
                ssl_shutdown_timeout=SHUTDOWN_TIME if self._tls else None,
            )
        )
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            await asyncio.wait({connecting}, timeout=1.0)
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result()[0].abort()
            raise


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on `host`, "" for every address, IPv4 and IPv6. Raises ConfigurationError."""
    try:
        if not host and socket.has_dualstack_ipv6():
            listener = socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host or 'any address'}, port {port}: {error.strerror or error}; choose another port"
        ) from None
    listener.setblocking(False)
    return listener

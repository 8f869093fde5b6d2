"""Opening connections to one API server: TCP, an HTTP CONNECT proxy where one is configured, TLS.

Owns no task. Everything is bounded by the caller's timeout. Dead peers are noticed by the kernel: unacknowledged
data closes a connection after `UNACKNOWLEDGED` seconds, which leaves a request time for another attempt, and a
quiet one is probed, so that a watch whose other end vanished (a pulled cable, a lost node) ends after some 30;
every 15 s, the probes of ten watches would be a tenth of the idle traffic between two clusters.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from isthmus.kube.errors import CertificateError, ConfigurationError, TransportError
from isthmus.kube.http import Connection, Traffic

UNACKNOWLEDGED = 15
"""Seconds without an acknowledgement of what was sent, a probe included, after which the other end is dead."""
_PROBE_AFTER = 25
_PROBE_EVERY = 5
_PROBES = 3
_MAX_PROXY_HEAD = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that is asked to CONNECT; `authorization` is the header's value or ""."""

    host: str
    port: int
    secure: bool = False
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an API server is: `prefix` goes before every path, `server_name` is what its certificate must name."""

    host: str
    port: int
    secure: bool
    prefix: str = ""
    server_name: str = ""
    proxy: Proxy | None = None

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_endpoint(server: str, tls_server_name: str = "", proxy_url: str = "") -> Endpoint:
    """Take a kubeconfig's `server` and `proxy-url` apart. Raises ConfigurationError naming the field."""
    scheme, host, port, prefix = _split(server, "server", ("https", "http"), "https://host:6443")
    secure = scheme == "https"
    if not secure and not _is_loopback(host):
        raise ConfigurationError(
            f"server: {server!r} would be talked to without TLS; use https:// (http:// is for this machine only, "
            "such as `kubectl proxy`)"
        )
    proxy = _parse_proxy(proxy_url) if proxy_url else None
    return Endpoint(host, port or (443 if secure else 80), secure, prefix, tls_server_name or host, proxy)


def _split(url: str, field: str, schemes: tuple[str, ...], example: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or 0
    except ValueError as error:
        raise ConfigurationError(
            f"{field}: {url!r} is not a valid URL ({error}); write it like {example}"
        ) from None
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"{field}: {url!r} cannot be used; write it like {example}")
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def _parse_proxy(url: str) -> Proxy:
    # The text may hold a password: no message repeats it.
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"proxy-url: a proxy with the scheme {parts.scheme!r} cannot be used; give an HTTP proxy that takes "
            "CONNECT, like http://host:3128"
        )
    try:
        port = parts.port
    except ValueError:
        raise ConfigurationError(
            "proxy-url: the port is not a number; write it like http://host:3128"
        ) from None
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = "Basic " + base64.b64encode(pair).decode()
    secure = parts.scheme == "https"
    return Proxy(parts.hostname, port or (443 if secure else 80), secure, authorization)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Whether the host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def dial(
    endpoint: Endpoint, context: ssl.SSLContext | None, traffic: Traffic, timeout: float
) -> Connection:
    """Open a connection within `timeout` seconds.

    Raises TransportError (never `sent`), CertificateError where the server is not who it should be.
    """
    try:
        async with asyncio.timeout(timeout):
            if endpoint.proxy is not None:
                return await _dial_through(endpoint, endpoint.proxy, context, traffic)
            return await _dial_directly(endpoint, context, traffic)
    except TimeoutError:
        raise TransportError(
            f"no connection to {endpoint.authority} within {timeout:.0f} s", sent=False
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(
            f"the certificate of {endpoint.authority} is not valid: {error.verify_message}", sent=False
        ) from None
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise TransportError(f"TLS with {endpoint.authority} failed: {reason}", sent=False) from None
    except OSError as error:
        known = error.errno is not None and error.errno > 0
        reason = os.strerror(error.errno or 0) if known else error.strerror or str(error)
        raise TransportError(f"cannot connect to {endpoint.authority}: {reason}", sent=False) from None


async def _dial_directly(endpoint: Endpoint, context: ssl.SSLContext | None, traffic: Traffic) -> Connection:
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(
        lambda: Connection(traffic),
        endpoint.host,
        endpoint.port,
        ssl=context if endpoint.secure else None,
        server_hostname=endpoint.server_name if endpoint.secure else None,
        # A name whose first address is silent must not cost the whole time limit. Not for a plain address: the
        # race that asyncio runs for it may lose an open socket when it is cancelled.
        happy_eyeballs_delay=None if is_address(endpoint.host) else 0.25,
        ssl_shutdown_timeout=2.0 if endpoint.secure else None,
    )
    watch_liveness(transport)
    return connection


async def _dial_through(
    endpoint: Endpoint, proxy: Proxy, context: ssl.SSLContext | None, traffic: Traffic
) -> Connection:
    """CONNECT by hand: the tunnel's answer has no body, which no response parser can know."""
    loop = asyncio.get_running_loop()
    proxy_context = ssl.create_default_context() if proxy.secure else None
    tunnel = asyncio.StreamReader(limit=_MAX_PROXY_HEAD)
    transport, _ = await loop.create_connection(
        lambda: asyncio.StreamReaderProtocol(tunnel), proxy.host, proxy.port, ssl=proxy_context
    )
    try:
        watch_liveness(transport)
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        lines = [f"CONNECT {host}:{endpoint.port} HTTP/1.1", f"Host: {host}:{endpoint.port}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        try:
            answer = await tunnel.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise TransportError(
                f"the proxy {proxy.host}:{proxy.port} gave no usable answer", sent=False
            ) from None
        status = answer.split(b"\r\n", 1)[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise TransportError(
                f"the proxy {proxy.host}:{proxy.port} refused to connect: {status}", sent=False
            )
        connection = Connection(traffic)
        if endpoint.secure and context is not None:
            secured = await loop.start_tls(
                transport, connection, context, server_hostname=endpoint.server_name, ssl_shutdown_timeout=2.0
            )
            if secured is None:
                raise TransportError(f"the proxy {proxy.host}:{proxy.port} closed the tunnel", sent=False)
            transport = secured
        else:
            transport.set_protocol(connection)
        connection.connection_made(transport)
    except BaseException:
        transport.abort()
        raise
    return connection


def watch_liveness(transport: asyncio.BaseTransport) -> None:
    """Have the kernel close the connection when the other end is gone; see the module's text."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED * 1000)

"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from msgspec import Struct, field


class Request(Struct):
    """One request as it was received; `path` is percent-decoded, `query` keeps order and repeats."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    """Names in lower case; of a repeated header the values joined with ", "."""
    raw_headers: list[tuple[str, str]]
    body: bytes
    peer_certificate: bytes = b""
    """The client's certificate in DER where one was presented and verified, else b""."""
    accept_upgrade: Any = None
    """`await request.accept_upgrade(headers) -> (reader, writer)`: answers 101 with those headers and hands
    out the raw connection, bytes already received included. None where no upgrade was asked for."""


class Answer(Struct):
    """What a handler returns: a whole body, or an async iterator streamed as chunks."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


RouteHandler = Callable[[Request], Awaitable[Answer | None]]
"""Returns an Answer, or None after the connection was taken over by an upgrade."""


class Server:
    """A small HTTP/1.1 server, with or without TLS, for webhooks, the kubelet API, metrics and health.

    Bounded: header and body sizes (`max_body` bytes, 3 MiB), idle and header time. A failing handler is
    answered 500 and logged; the connection of another is not touched. `certificates` may be replaced at
    any time by `reload`: new connections use the new context.
    """

    def __init__(
        self,
        handler: RouteHandler,
        *,
        host: str = "",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        max_body: int = 3 << 20,
    ) -> None:
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The port bound, once running."""
        raise NotImplementedError

    def reload(self, tls: ssl.SSLContext) -> None:
        """Use another TLS context for connections from now on."""
        raise NotImplementedError

    async def run(self) -> None:
        """Serve until cancelled; then stop accepting and close what is open."""
        raise NotImplementedError

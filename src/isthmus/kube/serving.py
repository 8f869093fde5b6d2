"""What passes between the server and its handlers: a request in, an answer or an upgraded connection out."""

from __future__ import annotations

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
    peer_subject: tuple[tuple[str, str], ...] = ()
    """The subject of that certificate, in order, by OpenSSL's names: ("organizationName", ...), ("commonName", ...)."""
    accept_upgrade: Any = None
    """`await request.accept_upgrade(headers) -> (reader, writer)`: answers 101 with those headers and hands
    out the raw connection, bytes already received included. None where no upgrade was asked for."""
    accept_tunnel: Any = None
    """`await request.accept_tunnel() -> (reader, writer)`: answers a CONNECT with 200 and hands out the raw
    connection likewise. None for any other method; of a CONNECT, `path` is its whole target."""


class Answer(Struct):
    """What a handler returns: a whole body, or an async iterator streamed as chunks."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


RouteHandler = Callable[[Request], Awaitable[Answer | None]]
"""Returns an Answer, or None after the connection was taken over by an upgrade."""

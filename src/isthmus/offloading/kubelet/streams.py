"""exec, attach and port-forward: the API server's upgraded connection, spliced to one to the provider's.

The request is translated (`routes.stream_query`) and asked of the provider's API server as the slice identity,
with the very upgrade the client asked for, SPDY/3.1 or WebSocket; whatever protocol version the provider picks
is what the client is told. Only once the provider has agreed is the client answered 101, so that a refusal
reaches kubectl as the sentence it is.
"""

from __future__ import annotations

from isthmus.kube.builtin import PODS
from isthmus.kube.errors import KubeError, TransportError
from isthmus.kube.server import Answer, Request
from isthmus.kube.splice import splice
from isthmus.offloading.kubelet.answers import explain, refuse
from isthmus.offloading.kubelet.locations import Location
from isthmus.offloading.kubelet.routes import PodRoute, stream_query

IDLE = 4 * 3600.0
"""Seconds without a byte after which a stream ends: a kubelet's streamingConnectionIdleTimeout."""

Headers = list[tuple[str, str]]
_FORWARDED = frozenset({"connection", "upgrade", "x-stream-protocol-version"})
_SUBRESOURCES = {"exec": "exec", "attach": "attach", "portForward": "portforward"}


def forward_headers(headers: Headers) -> Headers:
    """The headers of an upgrade, of its request or its answer, that the other side must see."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() in _FORWARDED or name.lower().startswith("sec-websocket-")
    ]


def upgrade_method(headers: dict[str, str]) -> str:
    """The method the provider is asked with: POST, which every provider's role for us grants, but for WebSocket.

    That knows GET only, which stock providers grant for port-forward alone.
    """
    return "GET" if headers.get("upgrade", "").lower() == "websocket" else "POST"


async def stream(request: Request, route: PodRoute, location: Location) -> Answer | None:
    """Carry a stream between the client and the provider until it ends; an Answer where it cannot begin."""
    if request.accept_upgrade is None:
        return refuse(400, f"{route.action} needs a connection upgrade to SPDY/3.1 or WebSocket")
    path = PODS.path(location.remote_namespace, route.pod, _SUBRESOURCES[route.action])
    try:
        upgraded = await location.client.upgrade(
            upgrade_method(request.headers),
            path,
            query=stream_query(route, request.query),
            headers=forward_headers(request.raw_headers),
        )
    except KubeError as error:
        return explain(error, location)
    try:
        client = await request.accept_upgrade(forward_headers(upgraded.headers))
    except BaseException as error:
        upgraded.writer.close()
        if isinstance(error, TransportError):  # The client has left meanwhile.
            return None
        raise
    try:
        await splice(client, (upgraded.reader, upgraded.writer), idle=IDLE)
    finally:
        # It is closed and has said so; the provider's answer to TLS's good-bye would only keep it open.
        upgraded.writer.transport.abort()
    return None

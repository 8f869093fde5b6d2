"""The proxy by which peers reach our API server through the tunnel, where they cannot directly (behaviour.md 5.9).

A listener in the controller: nothing but the socket while nobody is connected. It needs no permission of its own.
Whoever leads serves it, so that its Service finds the ready pod; a change of leader ends what goes through it, and
peers connect again.
"""

from __future__ import annotations

from isthmus.kube.dial import parse_endpoint
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.kube.server import Server
from isthmus.network.proxy.limits import raise_limit, tunnels_within
from isthmus.network.proxy.tunnels import Tunnels

__all__ = ["setup"]


def setup(manager: Manager, options: Options) -> None:
    """Add the proxy to the process, where `options.proxy_port` names a port."""
    if not options.proxy_port:
        return
    credentials = manager.client.credentials
    endpoint = parse_endpoint(credentials.server, credentials.tls_server_name)
    server = Server(
        Tunnels(endpoint.host, endpoint.port).handle,
        port=options.proxy_port,
        max_body=0,
        max_connections=tunnels_within(raise_limit()),
    )
    manager.add_task(server.run)

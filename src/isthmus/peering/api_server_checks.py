"""Asks each provider's API server whether it lives (behaviour 3.9).

Part of the task of a control-plane Secret; what it finds is reported to `peers`, from where the ForeignCluster's
condition APIServerStatus is written. An interval of 0 never asks and takes every provider for reachable.
"""

from __future__ import annotations

import asyncio

from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError, KubeError
from isthmus.peering.peers import ERROR, ESTABLISHED, Peer, Peers

TIME_LIMIT = 5.0
PATH = "/livez"


async def check_api_server(client: Client, peer: Peer, peers: Peers, interval: float) -> None:
    """Ask every `interval` seconds, until cancelled; report what changes."""
    if interval <= 0:
        peers.report(peer.cluster_id, ESTABLISHED, "the API server is not checked: the interval is 0")
        return
    while True:
        peers.report(peer.cluster_id, *await probe(client, peer))
        await asyncio.sleep(interval)


async def probe(client: Client, peer: Peer) -> tuple[str, str]:
    """The status and message of the condition: Established, or Error and why."""
    try:
        with peer.observe(refusals=False):
            await client.request("GET", PATH, timeout=TIME_LIMIT)
    except ApiError as error:
        return ERROR, f"GET {PATH}: HTTP {error.code}"
    except KubeError as error:
        return ERROR, str(error)
    return ESTABLISHED, "the API server answers"

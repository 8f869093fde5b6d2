"""Exchanging the WireGuard keys of two gateways (wire.md 9, steps 12 and 13).

The public key of each end is in its key Secret, and goes into a PublicKey beside the gateway of the other end. The
private keys never leave their clusters.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from isthmus.api.networking import (
    GATEWAY_CLIENTS,
    GATEWAY_SERVERS,
    PUBLIC_KEYS,
    GatewayClient,
    GatewayServer,
)
from isthmus.cli.cluster import Cluster, step
from isthmus.cli.errors import CommandError
from isthmus.cli.network_check import End, Plan
from isthmus.cli.network_plan import forge_public_key
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.cli.writes import write
from isthmus.kube.builtin import SECRETS
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource

KEY_BYTES = 32
PATIENCE = 60.0
"""Seconds for a gateway that runs to have its keys told."""


async def exchange_keys(
    plan: Plan, server: GatewayServer, client: GatewayClient, progress: Progress, deadline: Deadline
) -> None:
    """Give each end the public key of the other. Raises CommandError."""
    of_server = await read_gateway_key(plan.server.cluster, GATEWAY_SERVERS, server, progress, deadline)
    await _write_key(plan.client, of_server, (GATEWAY_CLIENTS, client), progress, deadline)
    of_client = await read_gateway_key(plan.client.cluster, GATEWAY_CLIENTS, client, progress, deadline)
    await _write_key(plan.server, of_client, (GATEWAY_SERVERS, server), progress, deadline)


async def read_gateway_key(
    cluster: Cluster, resource: Resource[Any], gateway: Object, progress: Progress, deadline: Deadline
) -> str:
    """The public key (base64) of a GatewayServer or GatewayClient of the cluster. Raises CommandError."""
    namespace = gateway.metadata.namespace
    with step(progress, f"Key of the gateway of {cluster.id}", cluster) as current:

        async def find() -> str | None:
            found = await cluster.client.find(resource, gateway.metadata.name, namespace)
            reference = found.status.secret_ref if found is not None else None
            if reference is None or not reference.name:
                current.update(f"{resource.kind} {gateway.key} names no key Secret yet")
                return None
            secret = await cluster.client.find(SECRETS, reference.name, namespace)
            key = secret.data.get("publicKey", "") if secret is not None and not secret.deleting else ""
            current.update("" if key else f"Secret {reference.name} has no public key yet")
            return key or None

        key = await wait_for(
            find,
            deadline.within(PATIENCE),
            current,
            f"{cluster.title} told no key of its gateway",
            f"look at the status of {resource.kind} {gateway.key}",
        )
    if not is_key(key):
        raise CommandError(
            f"the gateway of {cluster.title} has a public key that is not {KEY_BYTES} bytes long",
            f"delete the Secret that {resource.kind} {gateway.key} names in its status, so that it is made anew",
        )
    return key


def is_key(text: str) -> bool:
    """Whether the text is base64 of a WireGuard key."""
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False


async def _write_key(
    end: End, key: str, owner: tuple[Resource[Any], Object], progress: Progress, deadline: Deadline
) -> None:
    with step(progress, f"Key of {end.peer_id}", end.cluster):
        client, name = end.cluster.client, end.peer_id
        present = await client.find(PUBLIC_KEYS, name, end.namespace)
        if present is not None and present.metadata.owner_references:
            owners = {reference.uid for reference in present.metadata.owner_references}
            if owner[1].metadata.uid not in owners:
                # Of a gateway that is no more: it would be collected with that one, key and all.
                await client.delete(PUBLIC_KEYS, name, end.namespace, uid=present.metadata.uid)
        await write(client, PUBLIC_KEYS, forge_public_key(name, end.namespace, key, owner), deadline)

"""Joining the pod networks of two clusters (wire.md 9, steps 1 to 14).

Each step waits for the controller of its cluster, within bounds of its own, and may be run again: what a broken-off
run left is taken up where it ended, and a tunnel that stands is left alone unless a flag changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from isthmus.api.networking import (
    CONFIGURATIONS,
    CONNECTIONS,
    GATEWAY_CLIENTS,
    GATEWAY_SERVERS,
    Configuration,
    Endpoint,
    GatewayClient,
    GatewayServer,
    ServerEndpoint,
)
from isthmus.cli import installation
from isthmus.cli.authentication import ensure_namespace
from isthmus.cli.cluster import step
from isthmus.cli.errors import CommandError
from isthmus.cli.events import find_refusal, list_events
from isthmus.cli.network_check import End, Plan
from isthmus.cli.network_keys import exchange_keys
from isthmus.cli.network_plan import (
    KEPT_OF_CLIENT,
    KEPT_OF_CONFIGURATION,
    KEPT_OF_SERVER,
    NetworkWish,
    find_difference,
    forge_client,
    forge_configuration,
    forge_server,
    forge_template_reference,
    plan_endpoint,
    plan_exposure,
    plan_mtu,
)
from isthmus.cli.network_pods import find_pod_trouble, is_lasting
from isthmus.cli.network_trouble import (
    RefusedGatewayError,
    describe_connection,
    explain_no_address,
    explain_refusal,
    explain_rejection,
    explain_silence,
    find_rejection,
    is_final,
)
from isthmus.cli.progress import Progress, Step, format_seconds
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.cli.writes import write
from isthmus.kube.builtin import DEPLOYMENTS, SECRETS
from isthmus.kube.errors import Forbidden, KubeError
from isthmus.kube.objects import Object
from isthmus.network.conditions import is_configured
from isthmus.network.gateways.objects import DEFAULT_MTU, SERVICES, gateway_name

RANGES_PATIENCE = 60.0
"""Seconds for a cluster to assign the peer's ranges, which takes it less than one."""
REJECTION_PATIENCE = 2.0
"""Seconds for a Configuration that cannot be accepted as it stands; something else may still be on its way out."""
REFUSAL_PATIENCE = 15.0
"""Seconds a controller may go on refusing, with a reason: some reasons pass by themselves."""
SILENCE_PATIENCE = 45.0
"""Seconds after which a load balancer that not even an event tells of is taken for none."""
ADDRESS_PATIENCE = 240.0
"""Seconds for a load balancer that was seen to be at work; clouds take minutes."""
CONNECTION_PATIENCE = 60.0
"""Seconds for two gateways that run to reach each other, which takes them a few."""
NAME_PATIENCE = 300.0
"""The same where the server has a host name, which must first be known everywhere."""


async def join_networks(
    plan: Plan, wish: NetworkWish, progress: Progress, deadline: Deadline, *, wait: bool = True
) -> None:
    """Join the networks as planned; with `wait` until the tunnel stands. Raises CommandError where a step fails."""
    ends = (plan.client, plan.server)
    for end in ends:
        with step(progress, f"Tenant namespace {end.namespace}", end.cluster):
            await ensure_namespace(end.cluster, end.peer_id, end.namespace)
    for end in ends:
        await _announce(end, plan, progress, deadline)
    for end in ends:
        await await_ranges(end, progress, deadline)
    server, exposure, renewed = await _make_server(plan, wish, progress, deadline)
    async with _withdrawn_if_refused(plan.server, server, renewed):
        told = await await_address(plan.server, server, exposure, progress, deadline)
    client, endpoint = await _make_client(plan, wish, server, told, renewed, progress, deadline)
    if not wish.share_keys:
        progress.note("the keys are not exchanged: do so with isthmus generate publickey on both sides")
        return
    await exchange_keys(plan, server, client, progress, deadline)
    if wait:
        await _await_connections(plan, endpoint, exposure, progress, deadline)


async def _announce(end: End, plan: Plan, progress: Progress, deadline: Deadline) -> None:
    with step(progress, f"Configuration {end.peer_id}", end.cluster):
        manifest = forge_configuration(end.peer_id, end.namespace, plan.ranges[end.peer_id])
        await write(end.cluster.client, CONFIGURATIONS, manifest, deadline, kept=KEPT_OF_CONFIGURATION)


async def await_ranges(end: End, progress: Progress, deadline: Deadline, name: str = "") -> None:
    """Wait until the peer's ranges are assigned, by the Configuration `name` or the peer's. Raises CommandError."""
    name = name or end.peer_id
    with step(progress, f"Address ranges of {end.peer_id} assigned", end.cluster) as current:
        patience = deadline.within(REJECTION_PATIENCE)

        async def is_assigned() -> Configuration | None:
            found = await end.cluster.client.find(CONFIGURATIONS, name, end.namespace)
            if found is not None and is_configured(found):
                return found
            reason, hopeless = find_rejection(found)
            current.update(reason)
            if found is not None and hopeless and patience.left() == 0:
                raise explain_rejection(end.cluster.id, found, reason)
            return None

        found = await wait_for(
            is_assigned,
            deadline.within(RANGES_PATIENCE),
            current,
            f"{end.cluster.title} did not assign the address ranges of {end.peer_id}",
            f"look at Configuration {end.namespace}/{name} and the Networks there",
        )
        seen = found.status.remote.cidr
        current.title += f": pods {', '.join(seen.pod)}, external {', '.join(seen.external)}"


async def _make_server(
    plan: Plan, wish: NetworkWish, progress: Progress, deadline: Deadline
) -> tuple[GatewayServer, ServerEndpoint, bool]:
    """The GatewayServer with a ready pod, how it is exposed, and whether it was made or made anew."""
    end, before = plan.server, plan.gateways[plan.server.cluster.id].server
    client = end.cluster.client
    with step(progress, f"Gateway server {end.peer_id}", end.cluster) as current:
        if plan.given and before is not None:
            # The tunnel of the other direction stays as it was made: its flags were given there.
            exposure, renewed, name = plan_exposure(NetworkWish(), before), False, before.metadata.name
        else:
            exposure = plan_exposure(wish, before)
            if before is not None and await _is_to_be_renewed(end, before, exposure, progress):
                await _remove_server(end, before, deadline, current)
                before = None
            renewed, name = before is None, before.metadata.name if before is not None else end.peer_id
            manifest = forge_server(
                end.peer_id,
                end.namespace,
                exposure,
                plan_mtu(wish, before),
                forge_template_reference(wish.server_template, end.cluster.namespace),
                name,
            )
            await write(client, GATEWAY_SERVERS, manifest, deadline, kept=KEPT_OF_SERVER)
        made = await client.get(GATEWAY_SERVERS, name, end.namespace)
        async with _withdrawn_if_refused(end, made, renewed):
            await await_pods(end, made, exposure, deadline, current)
    return made, exposure, renewed


@contextlib.asynccontextmanager
async def _withdrawn_if_refused(end: End, server: GatewayServer, renewed: bool) -> AsyncIterator[None]:
    """Remove a server made just now that cannot be had as it was asked for.

    The next run keeps what is there, so a port that was refused would be asked for again.
    """
    try:
        yield
    except RefusedGatewayError:
        if renewed:
            with contextlib.suppress(KubeError):
                await end.cluster.client.delete(
                    GATEWAY_SERVERS, server.metadata.name, end.namespace, uid=server.metadata.uid
                )
        raise


async def _is_to_be_renewed(
    end: End, before: GatewayServer, exposure: ServerEndpoint, progress: Progress
) -> bool:
    service = await end.cluster.client.find(SERVICES, gateway_name(before.metadata.name), end.namespace)
    difference = find_difference(before, service, exposure)
    if difference:
        progress.note(f"gateway server {before.metadata.name} is made anew: {difference}", end.cluster.tag)
    return bool(difference)


async def _remove_server(end: End, before: GatewayServer, deadline: Deadline, current: Step) -> None:
    """Delete a server and wait until what was made of it is gone, so that nothing of it is taken for the new one."""
    client, name = end.cluster.client, gateway_name(before.metadata.name)
    await client.delete(GATEWAY_SERVERS, before.metadata.name, end.namespace, uid=before.metadata.uid)
    kinds: list[tuple[Any, str]] = [
        (GATEWAY_SERVERS, before.metadata.name),
        (SERVICES, name),
        (DEPLOYMENTS, name),
    ]
    if not before.spec.secret_ref.name:
        kinds.append((SECRETS, name))

    async def is_gone() -> bool | None:
        for resource, each in kinds:
            if await client.find(resource.partial(), each, end.namespace) is not None:
                current.update(f"{resource.kind} {each} is being removed")
                return None
        return True

    await wait_for(
        is_gone,
        deadline,
        current,
        f"the gateway server {before.key} of {end.cluster.id} was not gone",
        f"look at the controller's log in namespace {end.cluster.namespace}, then run this again",
    )
    current.update("")


async def await_pods(
    end: End,
    gateway: GatewayServer | GatewayClient,
    exposure: ServerEndpoint,
    deadline: Deadline,
    current: Step,
) -> None:
    """Wait until the gateway has a ready pod. Raises CommandError with what the controller says against it."""
    name, patience = gateway_name(gateway.metadata.name), deadline.within(REFUSAL_PATIENCE)

    async def is_ready() -> bool | None:
        deployment = await end.cluster.client.find(DEPLOYMENTS, name, end.namespace)
        if deployment is not None and installation.ready_replicas(deployment):
            return True
        refusal = await find_refusal(end.cluster, gateway)
        if refusal and (patience.left() == 0 or is_final(refusal, exposure)):
            kind = "GatewayServer" if isinstance(gateway, GatewayServer) else "GatewayClient"
            raise explain_refusal(end.cluster.id, kind, str(gateway.key), refusal, exposure)
        state = "has no ready pod" if deployment is not None else "is not there yet"
        trouble = await find_pod_trouble(
            end.cluster, end.namespace, gateway.metadata.name, ask=patience.left() == 0
        )
        if is_lasting(trouble):
            raise CommandError(
                f"the gateway {end.namespace}/{name} of {end.cluster.title} cannot work: {trouble}"
            )
        current.update(refusal or trouble or f"Deployment {name} {state}")
        return None

    await wait_for(
        is_ready,
        deadline,
        current,
        f"the gateway {end.namespace}/{name} of {end.cluster.title} did not become ready",
        f"look at its pods and events in namespace {end.namespace} of {end.cluster.id}",
    )
    current.update("")


async def await_address(
    end: End, server: GatewayServer, exposure: ServerEndpoint, progress: Progress, deadline: Deadline
) -> Endpoint:
    """Wait until a gateway server says where it is reached. Raises CommandError."""
    with step(progress, "Address of the gateway server", end.cluster) as current:
        silent, given_up = deadline.within(SILENCE_PATIENCE), deadline.within(ADDRESS_PATIENCE)
        refusing = deadline.within(REFUSAL_PATIENCE)

        async def find() -> Endpoint | None:
            found = await end.cluster.client.find(GATEWAY_SERVERS, server.metadata.name, end.namespace)
            told = found.status.endpoint if found is not None else None
            if told is not None and told.addresses and told.protocol:
                return told
            refusal = await find_refusal(end.cluster, server)
            current.update(refusal or f"Service of type {exposure.service_type} has no address yet")
            if refusal and (refusing.left() == 0 or is_final(refusal, exposure)):
                raise explain_refusal(end.cluster.id, "GatewayServer", str(server.key), refusal, exposure)
            waited = silent if silent.left() == 0 and not await _is_provided(end, server) else given_up
            if waited.left() == 0:
                service = f"{end.namespace}/{gateway_name(server.metadata.name)}"
                raise explain_no_address(end.cluster.id, service, exposure, format_seconds(waited.seconds))
            return None

        # The patience ends with the deadline at the latest, and has the better error.
        told = await wait_for(
            find,
            Deadline(deadline.left() + 5),
            current,
            f"the gateway server of {end.cluster.title} got no address",
        )
        current.title += f": {told.addresses[0]}:{told.port or told.ports[0]}/{told.protocol}"
    return told


async def _is_provided(end: End, server: GatewayServer) -> bool:
    """Whether anything is at work on the Service: whatever provides load balancers leaves events there."""
    name = gateway_name(server.metadata.name)
    try:
        service: Object | None = await end.cluster.client.find(SERVICES.partial(), name, end.namespace)
    except Forbidden:
        return True
    events = await list_events(end.cluster, service) if service is not None else []
    return events is None or bool(events)


async def _make_client(
    plan: Plan,
    wish: NetworkWish,
    server: GatewayServer,
    told: Endpoint,
    renewed: bool,
    progress: Progress,
    deadline: Deadline,
) -> tuple[GatewayClient, Endpoint]:
    """The GatewayClient with a ready pod, and where it connects to."""
    end, peer = plan.client, plan.client.peer_id
    before = plan.gateways[end.cluster.id].client
    client = end.cluster.client
    with step(progress, f"Gateway client {peer}", end.cluster) as current:
        connected = not renewed and await find_connection(end) == "Connected"
        endpoint = plan_endpoint(wish, told, before, connected=connected)
        manifest = forge_client(
            peer,
            end.namespace,
            endpoint,
            server.spec.mtu or DEFAULT_MTU,
            forge_template_reference(wish.client_template, end.cluster.namespace),
            before.metadata.name if before is not None else "",
        )
        await write(client, GATEWAY_CLIENTS, manifest, deadline, kept=KEPT_OF_CLIENT)
        made = await client.get(GATEWAY_CLIENTS, manifest["metadata"]["name"], end.namespace)
        await await_pods(end, made, ServerEndpoint(), deadline, current)
    return made, endpoint


async def find_connection(end: End) -> str:
    """The state of the Connection to the peer in a word or two. Raises KubeError."""
    found = await end.cluster.client.list(CONNECTIONS, end.namespace, label_selector=end.selector)
    return describe_connection(found.items[0] if found.items else None)


async def _await_connections(
    plan: Plan, endpoint: Endpoint, exposure: ServerEndpoint, progress: Progress, deadline: Deadline
) -> None:
    named = any(not address.replace(".", "").isdigit() for address in endpoint.addresses)
    patience = deadline.within(NAME_PATIENCE if named else CONNECTION_PATIENCE)
    server, client = plan.server.cluster, plan.client.cluster
    with progress.step(f"Tunnel between {client.id} and {server.id}") as current:

        async def is_connected() -> bool | None:
            values = await asyncio.gather(find_connection(plan.client), find_connection(plan.server))
            if values[0] == values[1] == "Connected":
                return True
            states = [(client.id, values[0]), (server.id, values[1])]
            current.update(", ".join(f"{cluster}: {value}" for cluster, value in states))
            if patience.left() == 0:
                raise explain_silence(server.id, client.id, endpoint, exposure, states)
            return None

        # The patience ends it with the better error; the deadline is for an API server that hangs.
        await wait_for(is_connected, Deadline(patience.left() + 5), current, "the tunnel did not come about")

"""The process `isthmus gateway`: one end of the tunnel to one peer.

Owns its informers, a `Keeper` for the kernel, a `Pinger` for liveness, the `Endpoint` of a client, and the child of
userspace WireGuard. With several replicas only the one that holds the lease does anything; losing it ends the
process with the tunnel taken down first. Ending otherwise leaves what is in the pod's network namespace.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from msgspec.structs import replace

from isthmus.api import labels
from isthmus.api.ipam import IPS
from isthmus.api.networking import (
    CONFIGURATIONS,
    GATEWAY_CLIENTS,
    INTERNAL_FABRICS,
    INTERNAL_NODES,
    PUBLIC_KEYS,
    GatewayClient,
)
from isthmus.api.routing import (
    FIREWALL_CONFIGURATIONS,
    ROUTE_CONFIGURATIONS,
    FirewallConfiguration,
    RouteConfiguration,
)
from isthmus.kube.builtin import NODES, PODS
from isthmus.kube.client import Client
from isthmus.kube.errors import KubeError, NotFound
from isthmus.kube.informer import Informer, InformerSet
from isthmus.network.dataplane import hops
from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.commands import CommandError, Commands
from isthmus.network.dataplane.host_status import HostStatus, Written
from isthmus.network.dataplane.keeper import Keeper
from isthmus.network.dataplane.selection import firewall_selector, of_gateway, route_selector
from isthmus.network.dataplane.state import State
from isthmus.network.dataplane.user import with_user_state
from isthmus.network.gateway.connection import Reporter, write_connection
from isthmus.network.gateway.endpoint import Endpoint
from isthmus.network.gateway.facts import Objects, PodPlace, gateway_facts, needs_pods
from isthmus.network.gateway.keys import read_keys
from isthmus.network.gateway.lead import Lead, fence
from isthmus.network.gateway.liveness import Liveness
from isthmus.network.gateway.pinger import Pinger
from isthmus.network.gateway.plan import plan_gateway, tunnel_addresses
from isthmus.network.gateway.settings import KEYS_PATH, Settings, read_settings
from isthmus.network.process import Health, Role, run_process
from isthmus.network.wireguard import Configuration, Tunnel, check_key

logger = logging.getLogger(__name__)

DEFAULT_MTU = 1500
QUICK_TRIES = 6
"""New sessions that a client tries half an interval apart."""


class LeadLostError(KubeError):
    """Another replica carries the tunnel now; this process has to end."""


def main() -> int:
    """Run the gateway; returns the process's exit code."""
    return run_process(_prepare)


def _prepare() -> tuple[Role, int]:
    settings = read_settings()

    async def role(client: Client, health: Health) -> None:
        await Gateway(client, settings, Commands()).run(health)

    return role, settings.health_port


class Gateway:
    """One gateway."""

    def __init__(
        self, client: Client, settings: Settings, commands: Commands, keys_folder: str = KEYS_PATH
    ) -> None:
        self._client = client
        self._keys_folder = keys_folder
        self._settings = settings
        self._commands = commands
        self._tunnel = Tunnel(commands, hops.TUNNEL, settings.implementation)
        self._plane = DataPlane(commands, self._tunnel.make)
        self._informers = InformerSet(client)
        self.keeper = Keeper(self._plane, self.plan, self._configure)
        self._endpoint = Endpoint(
            settings.addresses, settings.port, alive=lambda: self._pinger.alive, changed=self.keeper.wake
        )
        self._pinger = self._make_pinger()
        self._host_status = HostStatus(client, settings.pod_name or settings.name, self._written_objects)
        self._state = State()
        self._wanted: Configuration | None = None
        self._written = ""
        self._mtu = 0

    async def run(self, health: Health) -> None:
        """Run until cancelled or the lead is lost (LeadLostError)."""
        health.metrics = self.metrics
        health.faults = lambda: self.keeper.faults
        try:
            if self._settings.replicas <= 1:
                await self._work(health)
                return
            lead = Lead(self._client, self._settings)
            # What an earlier life of this container left in the pod's namespace must not answer beside the leader.
            await self._plane.remove()
            health.ready = True
            before = await lead.holder()
            await lead.acquire()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_lost(lead))
                group.create_task(lead.keep_open(self._commands))
                await lead.announce(before)
                group.create_task(self._work(health))
        finally:
            await self._informers.close()
            await self._tunnel.close()

    def metrics(self) -> dict[str, float]:
        """What Prometheus reads."""
        latency = self._pinger.liveness.latency
        return {
            "isthmus_tunnel_connected": float(self._pinger.alive),
            "isthmus_tunnel_latency_seconds": 0.0 if latency is None else latency,
            "isthmus_tunnel_dropped_datagrams_total": float(self._pinger.liveness.dropped),
            "isthmus_tunnel_userspace": float(self._tunnel.implementation == "userspace"),
        }

    async def _until_lost(self, lead: Lead) -> None:
        await lead.hold()
        await self._plane.remove()
        raise LeadLostError("another replica carries the tunnel now")

    async def _work(self, health: Health) -> None:
        await self._watch()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keeper.run())
            group.create_task(self._host_status.run())
            if self._settings.mode == "client":
                group.create_task(self._endpoint.run())
                group.create_task(self._renew())
            group.create_task(self._pinger.run())
            await self.keeper.applied.wait()
            health.ready = True

    async def _watch(self) -> None:
        get, namespace = self._informers.get, self._settings.namespace
        of_peer = f"{labels.REMOTE_CLUSTER_ID}={self._settings.peer}"
        self._configurations = get(CONFIGURATIONS, namespace, label_selector=of_peer)
        self._keys = get(PUBLIC_KEYS, namespace, label_selector=of_peer)
        self._fabrics = get(INTERNAL_FABRICS)
        self._internal_nodes = get(INTERNAL_NODES)
        self._nodes = get(NODES)
        self._ips = get(IPS)
        self._pods: Informer[PodPlace] | None = None
        self._firewalls = get(FIREWALL_CONFIGURATIONS, label_selector=f"{labels.FIREWALL_CATEGORY}=gateway")
        self._routes = get(ROUTE_CONFIGURATIONS, label_selector=f"{labels.ROUTE_CATEGORY}=gateway")
        sources: list[Informer[Any]] = [
            self._configurations, self._fabrics, self._internal_nodes, self._nodes, self._ips, self._firewalls,
            self._routes,
        ]  # fmt: skip
        if self._settings.finds_server:
            selector = f"metadata.name={self._settings.name}"
            clients = get(GATEWAY_CLIENTS, namespace, field_selector=selector)
            clients.add_handler(lambda old, new: self._point(new))
        for informer in (*sources, self._keys):
            await informer.synced.wait()
        for informer in sources:
            informer.add_handler(lambda old, new: self.keeper.replan())
        self._keys.add_handler(lambda old, new: self.keeper.wake())
        for informer in (self._firewalls, self._routes):
            informer.add_handler(lambda old, new: self._host_status.wake())

    def _point(self, client: GatewayClient | None) -> None:
        """Connect to where the GatewayClient says that the server is."""
        if client is None or client.metadata.name != self._settings.name:
            return
        endpoint = client.spec.endpoint
        port = endpoint.port or next(iter(endpoint.ports), 0)
        if endpoint.addresses and 1 <= port <= 65535:  # The controller tells the user of what cannot be.
            self._endpoint.point(list(endpoint.addresses), port)

    async def plan(self) -> State:
        """The desired state by now. Raises ValueError while something that it needs is missing."""
        nodes = list(self._nodes.list())
        objects = Objects(
            configurations=tuple(self._configurations.list()),
            fabrics=tuple(self._fabrics.list()),
            internal_nodes=tuple(self._internal_nodes.list()),
            nodes={node.metadata.name: node for node in nodes},
            ips=tuple(self._ips.list()),
            pods=self._pod_places(needs_pods(nodes, self._internal_nodes.list())),
        )
        planned = plan_gateway(gateway_facts(self._settings, objects, await self._underlay_mtu()))
        if self._settings.replicas > 1:
            planned = replace(planned, tables=(fence(), *planned.tables))
        self._state = with_user_state(planned, self._user_routes(), self._user_firewalls())
        return self._state

    def _user_routes(self) -> list[RouteConfiguration]:
        peer = self._settings.peer
        return [one for one in self._routes.list() if of_gateway(route_selector(one.metadata.labels), peer)]

    def _user_firewalls(self) -> list[FirewallConfiguration]:
        peer = self._settings.peer
        return [
            one for one in self._firewalls.list() if of_gateway(firewall_selector(one.metadata.labels), peer)
        ]

    def _written_objects(self) -> list[Written]:
        return [*self._user_routes(), *self._user_firewalls()]

    def _pod_places(self, needed: bool) -> tuple[PodPlace, ...]:
        if not needed:
            return ()
        if self._pods is None:
            self._pods = self._informers.get(PODS.view(PodPlace), field_selector="spec.hostNetwork=false")
            self._pods.add_handler(lambda old, new: self.keeper.replan())
        return tuple(self._pods.list())

    async def _configure(self) -> None:
        self._host_status.tell(self._state, self._plane.refused)
        private, public = await asyncio.to_thread(read_keys, self._keys_folder)
        wanted = Configuration(
            private_key=private,
            public_key=public,
            port=self._settings.port if self._settings.mode == "server" else 0,
            peer=self._peer_key(),
            endpoint=self._endpoint.current,
        )
        self._wanted = wanted
        if await self._tunnel.configure(wanted, alive=self._pinger.alive):
            logger.info("configured: %r", wanted)

    async def _renew(self) -> None:
        """A client begins its session anew while no answer comes: its server may have been restarted.

        Two intervals of silence are two lost pings. WireGuard's own next try would come only after 5 s and more. The
        first tries are half an interval apart, so that a server's passive replica is found within a second of its
        lead; later ones an interval, which leaves time for a handshake and a ping over any link.
        """
        interval, tries = self._settings.ping_interval, 0
        while True:
            if (missing := 2 * interval - self._pinger.silence) > 0:
                tries = 0
                await asyncio.sleep(missing)
                continue
            if self._wanted is not None and self._wanted.peer:
                try:
                    await self._tunnel.renew(self._wanted)
                except CommandError as error:
                    logger.debug("no new session: %s", error)
                self._pinger.nudge()
            tries += 1
            await asyncio.sleep(interval / 2 if tries <= QUICK_TRIES else interval)

    def _peer_key(self) -> str:
        found = sorted(self._keys.list(), key=lambda one: one.key)
        if len(found) != 1:
            return ""
        try:
            return check_key(found[0].spec.public_key)
        except ValueError as error:
            raise CommandError(f"PublicKey {found[0].key}: {error}") from None

    def _make_pinger(self) -> Pinger:
        settings = self._settings
        addresses = tunnel_addresses(settings.mode)
        liveness = Liveness(
            settings.peer,
            addresses[1],
            interval=settings.ping_interval,
            threshold=settings.loss_threshold,
            now=asyncio.get_running_loop().time(),
        )
        return Pinger(
            liveness,
            Reporter(settings.status_interval),
            self._report,
            addresses=addresses,
            interval=settings.ping_interval,
            changed=self.keeper.wake,
        )

    async def _report(self, value: str, latency: float | None) -> None:
        try:
            create = value != self._written
            await write_connection(self._client, self._settings, value, latency, create=create)
        except NotFound:
            # Somebody removed it: made anew next time.
            self._written = ""
            raise
        self._written = value

    async def _underlay_mtu(self) -> int:
        """The MTU of the pod's own device."""
        if not self._mtu:
            text = await self._commands.find("ip", "-j", "-4", "addr", "show")
            for link in msgspec.json.decode(text or "[]", type=list[dict[str, Any]]):
                if any(entry.get("local") == self._settings.pod_ip for entry in link.get("addr_info", ())):
                    self._mtu = min(link.get("mtu", DEFAULT_MTU), 65000)
        return self._mtu or DEFAULT_MTU

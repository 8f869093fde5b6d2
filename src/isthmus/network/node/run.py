"""The process `isthmus node`: API objects in, the kernel's state out.

Owns its informers and one `Keeper`. Ending it leaves the data path in place, so that an agent can be replaced while
traffic flows. A node whose InternalNode is gone is left as it was found: everything of ours is removed, as soon as
that is seen, and once more looked for at the end, since an uninstallation deletes InternalNodes and then us.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from isthmus.api import labels
from isthmus.api.ipam import IPS
from isthmus.api.networking import (
    CONFIGURATIONS,
    INTERNAL_FABRICS,
    INTERNAL_NODES,
)
from isthmus.api.routing import (
    FIREWALL_CONFIGURATIONS,
    ROUTE_CONFIGURATIONS,
    FirewallConfiguration,
    RouteConfiguration,
)
from isthmus.kube.client import Client
from isthmus.kube.errors import KubeError
from isthmus.kube.informer import Informer, InformerSet
from isthmus.kube.objects import Key
from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.bridge_ports import look_for_ports
from isthmus.network.dataplane.commands import Commands
from isthmus.network.dataplane.host_status import HostStatus, Written
from isthmus.network.dataplane.keeper import Keeper
from isthmus.network.dataplane.selection import firewall_selector, of_node, route_selector
from isthmus.network.dataplane.state import State
from isthmus.network.dataplane.user import with_user_state
from isthmus.network.node.facts import node_facts
from isthmus.network.node.plan import plan_node
from isthmus.network.node.settings import Settings, read_settings
from isthmus.network.process import Health, Role, run_process

logger = logging.getLogger(__name__)

DEFAULT_MTU = 1500
LOOPBACK = "127.0.0.1"
LAST_LOOK = 3.0
"""Seconds for the question at the end whether the node is to be left."""


def main() -> int:
    """Run the node agent; returns the process's exit code."""
    # The network is the node's: its health is only for the kubelet.
    return run_process(_prepare, LOOPBACK)


def _prepare() -> tuple[Role, int]:
    settings = read_settings()

    async def role(client: Client, health: Health) -> None:
        await Agent(client, settings, DataPlane(Commands()), Commands()).run(health)

    return role, settings.health_port


class Agent:
    """The agent of one node."""

    def __init__(self, client: Client, settings: Settings, plane: DataPlane, commands: Commands) -> None:
        self._client = client
        self._settings = settings
        self._plane = plane
        self._commands = commands
        self._mtu: tuple[str, int] = ("", DEFAULT_MTU)
        self.keeper = Keeper(plane, self.plan, self._tell)
        self._host_status = HostStatus(client, settings.node_name, self._written)
        self._state = State()
        self._informers = InformerSet(client)

    async def run(self, health: Health) -> None:
        """Run until cancelled; the data path stays, unless this node was left."""
        health.faults = lambda: self.keeper.faults
        get = self._informers.get
        self._own = get(INTERNAL_NODES, field_selector=f"metadata.name={self._settings.node_name}")
        self._fabrics = get(INTERNAL_FABRICS)
        self._configurations = get(CONFIGURATIONS)
        self._ips = get(IPS)
        self._firewalls = get(FIREWALL_CONFIGURATIONS, label_selector=f"{labels.FIREWALL_CATEGORY}=fabric")
        self._routes = get(ROUTE_CONFIGURATIONS, label_selector=f"{labels.ROUTE_CATEGORY}=fabric")
        sources: list[Informer[Any]] = [
            self._own, self._fabrics, self._configurations, self._ips, self._firewalls, self._routes,
        ]  # fmt: skip
        try:
            for informer in sources:
                # Never act on half of what there is: a range not yet read would be taken away.
                await informer.synced.wait()
            for informer in sources:
                informer.add_handler(lambda old, new: self.keeper.replan())
            for informer in (self._firewalls, self._routes):
                informer.add_handler(lambda old, new: self._host_status.wake())
            async with asyncio.TaskGroup() as group:
                group.create_task(self.keeper.run())
                group.create_task(self._host_status.run())
                await self.keeper.applied.wait()
                health.ready = True
        finally:
            await self._informers.close()
            await self._leave()

    async def plan(self) -> State:
        """The desired state by now."""
        own = self._own.get(Key("", self._settings.node_name))
        fabrics = list(self._fabrics.list())
        gateways = {one.spec.gateway_ip for one in fabrics if one.spec.gateway_ip}
        facts = node_facts(
            self._settings,
            own,
            fabrics,
            self._configurations.list(),
            self._ips.list(),
            await self._underlay_mtu(min(gateways, default="")),
            await look_for_ports(self._commands, gateways),
        )
        self._state = with_user_state(plan_node(facts), self._user_routes(), self._user_firewalls())
        return self._state

    def _user_routes(self) -> list[RouteConfiguration]:
        name = self._settings.node_name
        return [one for one in self._routes.list() if of_node(route_selector(one.metadata.labels), name)]

    def _user_firewalls(self) -> list[FirewallConfiguration]:
        name = self._settings.node_name
        return [
            one for one in self._firewalls.list() if of_node(firewall_selector(one.metadata.labels), name)
        ]

    def _written(self) -> list[Written]:
        return [*self._user_routes(), *self._user_firewalls()]

    async def _tell(self) -> None:
        self._host_status.tell(self._state, self._plane.refused)

    async def _underlay_mtu(self, gateway: str) -> int:
        """The MTU of the device that leads to a gateway pod: that of the CNI."""
        if gateway and self._mtu[0] != gateway:
            text = await self._commands.find("ip", "-j", "route", "get", gateway)
            device = (msgspec.json.decode(text) if text else [{}])[0].get("dev", "")
            text = await self._commands.find("ip", "-j", "link", "show", "dev", device) if device else ""
            mtu = (msgspec.json.decode(text) if text else [{}])[0].get("mtu", DEFAULT_MTU)
            self._mtu = (gateway, min(mtu, 65000))
        return self._mtu[1]

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LAST_LOOK):
                left = await self._client.find(INTERNAL_NODES, self._settings.node_name) is None
        except (KubeError, TimeoutError, OSError):
            return
        if left:
            await self._plane.remove()
            logger.info("this node has no InternalNode: everything of ours is removed from it")

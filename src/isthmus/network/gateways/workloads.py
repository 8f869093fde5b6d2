"""The controllers of WgGatewayServers and WgGatewayClients: identity, keys, Deployment, Services, and their state.

One key is one gateway. Everything made is owned by the Wg object (the keys by the user's GatewayServer or
GatewayClient, as the protocol has it) and collected with it, so there is no finalizer. An object of a wanted name
that is somebody else's is never touched; that, keys that cannot be used and what the API server refuses (a port that
is taken) are told as Warning events on the gateway and tried again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from isthmus.api.networking import Endpoint, WgGateway
from isthmus.kube.builtin import ROLE_BINDINGS, SECRETS, SERVICE_ACCOUNTS, Node
from isthmus.kube.errors import BadRequest, Forbidden, Invalid, NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.reconcile import Controller
from isthmus.kube.resource import Resource
from isthmus.network.gateways.caches import Caches, keys_by_label
from isthmus.network.gateways.endpoints import internal_endpoint, server_endpoint
from isthmus.network.gateways.keys import KeysError
from isthmus.network.gateways.keystore import KeyStore, RemnantError
from isthmus.network.gateways.objects import (
    DEPLOYMENTS,
    SERVICE_MONITORS,
    SERVICES,
    GatewayDeployment,
    Side,
    forge_reference,
    gateway_name,
)
from isthmus.network.gateways.permissions import drop_stock_binding
from isthmus.network.gateways.requests import RequestError, plain, plan_status
from isthmus.network.gateways.workload import (
    forge_deployment,
    forge_metrics,
    forge_role_binding,
    forge_service,
    forge_service_account,
    is_foreign,
    is_remnant,
    metrics_name,
    must_replace,
)
from isthmus.network.gateways.writes import Writer

AGAIN = 30.0
"""Seconds until what was refused, or what nothing tells a change of, is looked at again."""
SOON = 1.0
"""Seconds until an object that is being collected is looked for again."""


class WorkloadReconciler:
    """Reconciles the Wg objects of one side."""

    def __init__(self, manager: Manager, caches: Caches, side: Side) -> None:
        self._client, self._events = manager.client, manager.events
        self._caches = caches
        self._side = side
        self._made = caches.made[side.mode]
        self._writer = Writer(manager.client)
        self._keys = KeyStore(manager.client, caches.secrets)

    def controller(self) -> Controller:
        """The loop, fed by the Wg objects and all that belongs to them."""
        controller = Controller(f"wireguard-{self._side.mode}", self.reconcile, workers=2)
        controller.watch(self._made)
        caches = self._caches
        controller.watch(caches.deployments, keys_by_label)
        controller.watch(caches.services, keys_by_label)
        controller.watch(caches.pods, keys_by_label)
        controller.watch(caches.service_accounts, keys_by_label)
        controller.watch(caches.role_bindings, keys_by_label)
        controller.watch(caches.secrets, self._keys_of_secret)
        controller.watch(caches.nodes, self._keys_of_node)
        return controller

    def _keys_of_secret(self, secret: Object) -> Iterable[Key]:
        """The gateways whose keys are in it, and the one it was made for."""
        meta = secret.metadata
        keys = {made.key for made in self._made.list(meta.namespace) if self._keys.name_of(made) == meta.name}
        return keys | {
            Key(meta.namespace, owner.name)
            for owner in meta.owner_references
            if owner.kind == self._side.gateways.kind
        }

    def _keys_of_node(self, node: Node) -> Iterable[Key]:
        """The gateways whose active pod is there."""
        for made in self._made.list():
            internal = made.status.internal_endpoint
            if internal is not None and internal.node == node.metadata.name:
                yield made.key

    async def reconcile(self, key: Key) -> float | None:
        """Have all the objects of one gateway and tell their state."""
        made = self._made.get(key)
        if made is None:
            self._keys.forget(key)
            return None
        await drop_stock_binding(self._client, self._side, made)
        if made.deleting:
            return None
        again: float | None = None
        public_key = ""
        try:
            # The Service first: a cloud takes its time to give it an address.
            again = await self._service(made)
            account = await self._identity(made)
            public_key = await self._keys.ensure(self._side, made)
            again = _sooner(again, await self._deployment(made, public_key, account))
            again = _sooner(again, await self._metrics(made))
            again = _sooner(again, self._keys.recheck(made))
        except RemnantError:
            again = SOON
        except (RequestError, KeysError) as error:
            again = self._warn(made, "ProvisioningFailed", str(error))
        except (BadRequest, Forbidden, Invalid) as error:
            again = self._warn(made, "Refused", str(error))
        await self._report(made, keys=bool(public_key))
        return again

    async def _identity(self, made: WgGateway) -> str:
        """Have the ServiceAccount and what it may do; its UID.

        Raises RemnantError while an earlier gateway's is being collected: a pod's token ends with its account.
        """
        caches = self._caches
        binding = forge_role_binding(self._side, made)
        await self._own(ROLE_BINDINGS, made, binding, caches.role_bindings.get(_key(binding)))
        manifest = forge_service_account(self._side, made)
        key = _key(manifest)
        if await self._own(SERVICE_ACCOUNTS, made, manifest, caches.service_accounts.get(key)) is not None:
            raise RemnantError(key.name)
        account = caches.service_accounts.get(key) or await self._client.get(
            SERVICE_ACCOUNTS.partial(), key.name, key.namespace
        )
        return account.metadata.uid

    async def _service(self, made: WgGateway) -> float | None:
        manifest = forge_service(self._side, made)
        if manifest is None:
            return None
        return await self._own(SERVICES, made, manifest, self._caches.services.get(_key(manifest)))

    async def _deployment(self, made: WgGateway, public_key: str, account: str) -> float | None:
        manifest = forge_deployment(self._side, made, public_key, account)
        live = self._caches.deployments.get(_key(manifest))
        if live is not None and not is_foreign(live, made) and must_replace(live, manifest):
            return await self._replace(live)
        return await self._own(DEPLOYMENTS, made, manifest, live)

    async def _replace(self, live: GatewayDeployment) -> float:
        meta = live.metadata
        if not live.deleting:
            await self._client.delete(
                DEPLOYMENTS, meta.name, meta.namespace, uid=meta.uid, propagation="Foreground"
            )
        return SOON

    async def _metrics(self, made: WgGateway) -> float | None:
        service, monitor = forge_metrics(self._side, made)
        again = None
        if service is not None:
            again = await self._own(SERVICES, made, service, self._caches.services.get(_key(service)))
        # The Service is removed last: as long as it is there, a ServiceMonitor is looked for.
        again = _sooner(again, await self._monitor(made, monitor))
        await self._remove_services(made, keep={gateway_name(made.metadata.name), _name(service)})
        return again

    async def _monitor(self, made: WgGateway, manifest: Manifest | None) -> float | None:
        """Have the ServiceMonitor, or remove it; where the kind is not served there is nobody to be told."""
        name = metrics_name(made)
        metrics, service = made.spec.metrics, Key(made.metadata.namespace, name)
        if metrics is not None and metrics.service_monitor is not None:
            name = metrics.service_monitor.metadata.name or name
        elif self._caches.services.get(service) is None:
            return None
        live = await self._client.find(SERVICE_MONITORS.partial(), name, made.metadata.namespace)
        try:
            if manifest is not None:
                return await self._own(SERVICE_MONITORS, made, manifest, live)
            if live is not None and not is_foreign(live, made):
                await self._client.delete(
                    SERVICE_MONITORS, name, made.metadata.namespace, uid=live.metadata.uid
                )
        except NotFound:
            pass
        return None

    async def _remove_services(self, made: WgGateway, keep: set[str]) -> None:
        """Delete Services of this gateway that are no longer wanted."""
        if made.spec.service is not None:
            keep = keep | {made.spec.service.metadata.name}
        for service in self._caches.services.list(made.metadata.namespace):
            meta = service.metadata
            if meta.name not in keep and not service.deleting and not is_foreign(service, made):
                await self._client.delete(SERVICES, meta.name, meta.namespace, uid=meta.uid)

    async def _own(
        self, resource: Resource[Any], made: WgGateway, manifest: Manifest, live: Object | None
    ) -> float | None:
        """Apply an object of the gateway, unless there is one of that name that is another's."""
        name = manifest["metadata"]["name"]
        if live is None:
            # One without our labels is not in the cache.
            live = await self._client.find(resource.partial(), name, made.metadata.namespace)
        if live is not None and is_foreign(live, made):
            if is_remnant(live, made):
                return SOON
            raise RequestError(
                f"{resource.kind} {name} exists and was not made for this gateway: delete it, or give the gateway"
                " another name"
            )
        if live is not None and live.deleting:
            return SOON
        await self._writer.apply(resource, manifest, live)
        return None

    async def _report(self, made: WgGateway, *, keys: bool) -> None:
        """Write the status where it differs."""
        secret = self._keys.name_of(made)
        pod = self._caches.active_pod(made.key)
        wanted: Manifest = {
            "secretRef": forge_reference(SECRETS, secret, made.metadata.namespace) if keys else None,
            "internalEndpoint": plain(internal_endpoint(pod)),
        }
        if self._side.mode == "server":
            wanted["endpoint"] = plain(self._endpoint(made, pod.spec.node_name if pod is not None else ""))
        patch = plan_status(plain(made.status) or {}, wanted)
        if patch is not None:
            meta = made.metadata
            await self._client.patch(
                self._side.made.partial(),
                meta.name,
                {"metadata": {"uid": meta.uid}, **patch},
                meta.namespace,
                subresource="status",
            )

    def _endpoint(self, made: WgGateway, node: str) -> Endpoint | None:
        template = made.spec.service
        name = (template.metadata.name if template is not None else "") or gateway_name(made.metadata.name)
        service = self._caches.services.get(Key(made.metadata.namespace, name))
        if service is not None and (service.deleting or is_foreign(service, made)):
            service = None
        return server_endpoint(service, self._caches.nodes.get(Key("", node)), made.status.endpoint)

    def _warn(self, made: WgGateway, reason: str, message: str) -> float:
        """Tell it where the user looks: on the gateway, where there is one."""
        gateway = self._caches.gateway_of(self._side, made.key)
        if gateway is not None:
            self._events.record(self._side.gateways, gateway, reason, message, "Warning")
        else:
            self._events.record(self._side.made, made, reason, message, "Warning")
        return AGAIN


def _key(manifest: Manifest) -> Key:
    return Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _name(manifest: Manifest | None) -> str:
    return str(manifest["metadata"]["name"]) if manifest is not None else ""


def _sooner(one: float | None, other: float | None) -> float | None:
    given = [seconds for seconds in (one, other) if seconds is not None]
    return min(given, default=None)

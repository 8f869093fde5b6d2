"""The controllers of GatewayServers and GatewayClients: what users write becomes a Wg object, whose state comes back.

One key is one gateway. What cannot be had (a wrong field, a template that cannot be rendered, a peer that has a
gateway already, a name in use) is told as a Warning event on the gateway, and nothing is made or changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api.networking import GatewayTemplate, WgGateway
from isthmus.kube.errors import BadRequest, Forbidden, Invalid
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.ownership import is_controlled_by
from isthmus.kube.reconcile import Controller
from isthmus.network.gateways.caches import Caches
from isthmus.network.gateways.objects import SIDES, Gateway, Side, peer_of
from isthmus.network.gateways.requests import (
    RequestError,
    check_request,
    check_template_kind,
    find_rival,
    forge_made,
    plan_gateway_status,
    template_reference,
)
from isthmus.network.gateways.templates import TemplateError
from isthmus.network.gateways.writes import Writer

AGAIN = 30.0
"""Seconds until what the API server refused is tried again; the cause may be outside of what is watched."""


class GatewayReconciler:
    """Reconciles the gateways of one side."""

    def __init__(self, manager: Manager, caches: Caches, side: Side, namespace: str) -> None:
        self._client, self._events = manager.client, manager.events
        self._caches = caches
        self._side = side
        self._namespace = namespace
        self._gateways, self._made = caches.gateways[side.mode], caches.made[side.mode]
        self._templates = caches.templates[side.mode]
        self._writer = Writer(manager.client)

    def controller(self) -> Controller:
        """The loop, fed by the gateways, what was made of them, their templates and their rivals."""
        controller = Controller(f"gateway-{self._side.mode}", self.reconcile, workers=2)
        controller.watch(self._gateways)
        controller.watch(self._made)
        controller.watch(self._templates, self._keys_of_template)
        controller.watch(
            self._caches.namespaces,
            lambda namespace: [gateway.key for gateway in self._gateways.list(namespace.metadata.name)],
        )
        for side in SIDES:
            controller.watch(self._caches.gateways[side.mode], self._keys_of_rival)
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Render one gateway and tell it what became of it."""
        gateway, made = self._gateways.get(key), self._made.get(key)
        if gateway is None or gateway.deleting:
            self._writer.forget(self._side.made, key)
            return None
        try:
            template = self._template(gateway)
            await self._make(gateway, template, made)
        except (RequestError, TemplateError) as error:
            self._warn(gateway, "ProvisioningFailed", str(error))
            return None
        except (BadRequest, Forbidden, Invalid) as error:
            self._warn(gateway, "ProvisioningFailed", str(error))
            return AGAIN
        if made is not None and is_controlled_by(made, gateway):
            await self._report(gateway, made)
        return None

    def _template(self, gateway: Gateway) -> GatewayTemplate:
        check_request(gateway, self._caches.namespaces.get(Key("", gateway.metadata.namespace)))
        rival = find_rival(gateway, self._caches.gateways_of(gateway.metadata.namespace, peer_of(gateway)))
        if rival is not None:
            raise RequestError(
                f"{type(rival).__name__} {rival.metadata.name} is there for peer {peer_of(gateway)} already, and a"
                " peer has one tunnel: delete one of them"
            )
        reference = template_reference(gateway)
        check_template_kind(self._side, reference)
        key = Key(reference.namespace or self._namespace, reference.name)
        template = self._templates.get(key)
        if template is None:
            raise RequestError(
                f"spec.{self._side.mode}TemplateRef: {self._side.templates.kind} {key} does not exist"
            )
        return template

    async def _make(self, gateway: Gateway, template: GatewayTemplate, made: WgGateway | None) -> None:
        if made is not None and not is_controlled_by(made, gateway):
            if any(owner.kind == self._side.gateways.kind for owner in made.metadata.owner_references):
                return  # An earlier gateway's, which is being collected; its end brings us back.
            raise RequestError(
                f"{self._side.made.kind} {made.metadata.name} exists and was not made for this gateway: delete it,"
                " or give the gateway another name"
            )
        await self._writer.apply(self._side.made, forge_made(self._side, gateway, template), made)

    async def _report(self, gateway: Gateway, made: WgGateway) -> None:
        patch = plan_gateway_status(self._side, gateway, made)
        if patch is None:
            return
        meta = gateway.metadata
        await self._client.patch(
            self._side.gateways.partial(),
            meta.name,
            {"metadata": {"uid": meta.uid}, **patch},
            meta.namespace,
            subresource="status",
        )

    def _warn(self, gateway: Gateway, reason: str, message: str) -> None:
        self._events.record(self._side.gateways, gateway, reason, message, "Warning")

    def _keys_of_template(self, template: GatewayTemplate) -> Iterable[Key]:
        for gateway in self._gateways.list():
            reference = template_reference(gateway)
            if Key(reference.namespace or self._namespace, reference.name) == template.key:
                yield gateway.key

    def _keys_of_rival(self, rival: Gateway) -> Iterable[Key]:
        for gateway in self._caches.gateways_of(rival.metadata.namespace, peer_of(rival)):
            if gateway.metadata.uid != rival.metadata.uid and self._gateways.get(gateway.key) is gateway:
                yield gateway.key

"""The certificate the webhooks are served with, and the authority the API server trusts them by.

One controller keeps the Secret `liqo-webhook-certs` (made when missing, made anew at two thirds of its life,
shape of wire.md 3) and its authority in every webhook configuration that carries our label, also when
somebody resets it. A new leaf is served only after the configurations trust its authority; they go on
trusting the last one beside it, so no request falls between.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from typing import Any

from msgspec import field

from isthmus.api import labels, names
from isthmus.kube.builtin import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS, Secret
from isthmus.kube.certificates import make_authority_and_leaf, read_certificate
from isthmus.kube.errors import AlreadyExists, Conflict, NotFound
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Base, Key, Manifest, Object
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.kube.resource import Resource

ORGANIZATION = "liqo.io"
AUTHORITY_DAYS, LEAF_DAYS = 3650, 365
RENEW_AT = 2 / 3
"""The share of a certificate's life after which it is made anew."""
CHECK_INTERVAL, SOON = 6 * 3600.0, 1.0
"""Seconds between looks at the certificate's age, and after another process made it meanwhile."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


class ClientConfig(Base, frozen=True, kw_only=True):
    """How the API server trusts a webhook; base64 of PEM."""

    ca_bundle: str = ""


class Webhook(Base, frozen=True, kw_only=True):
    """One webhook of a configuration."""

    name: str = ""
    client_config: ClientConfig = field(default_factory=ClientConfig)


class WebhookConfiguration(Object, frozen=True, kw_only=True):
    """A mutating or validating webhook configuration."""

    webhooks: list[Webhook] = field(default_factory=list)


CONFIGURATIONS = (
    MUTATING_WEBHOOKS.view(WebhookConfiguration),
    VALIDATING_WEBHOOKS.view(WebhookConfiguration),
)


class Material(Base, frozen=True, kw_only=True):
    """PEM of the authorities to trust, the certificate and its key."""

    authority: str
    certificate: str
    key: str


def webhook_names(namespace: str) -> list[str]:
    """The names the API server may call the webhook's Service by."""
    service = f"{names.WEBHOOK_SERVICE}.{namespace}"
    return [f"{service}.svc", f"{service}.svc.cluster.local", service, names.WEBHOOK_SERVICE]


def read_secret(secret: Secret) -> Material | None:
    """What the Secret holds, None where it is incomplete."""
    try:
        ca, certificate, key = (
            base64.b64decode(secret.data[name], validate=True).decode()
            for name in ("ca", "tls.crt", "tls.key")
        )
    except (KeyError, ValueError):
        return None
    return Material(authority=ca, certificate=certificate, key=key)


def forge_secret(namespace: str, material: Material) -> Manifest:
    """The Secret."""
    return {
        "metadata": {
            "name": names.WEBHOOK_CERTIFICATES,
            "namespace": namespace,
            "labels": {labels.WEBHOOK: labels.TRUE, labels.MANAGED: labels.TRUE},
            "annotations": {labels.WEBHOOK_SERVICE_NAME: names.WEBHOOK_SERVICE},
        },
        "type": "opaque",
        "data": {
            name: base64.b64encode(text.encode()).decode()
            for name, text in (
                ("ca", material.authority),
                ("tls.crt", material.certificate),
                ("tls.key", material.key),
            )
        },
    }


def plan_trust(configuration: WebhookConfiguration, authority: str) -> list[dict[str, Any]]:
    """The JSON patch that has every webhook trust the authority (PEM), empty where all do."""
    bundle = base64.b64encode(authority.encode()).decode()
    patch: list[dict[str, Any]] = []
    for i, webhook in enumerate(configuration.webhooks):
        if webhook.client_config.ca_bundle != bundle:
            patch.append({"op": "test", "path": f"/webhooks/{i}/name", "value": webhook.name})
            patch.append({"op": "add", "path": f"/webhooks/{i}/clientConfig/caBundle", "value": bundle})
    return patch


OWN_CONFIGURATIONS = frozenset({names.MUTATING_WEBHOOKS, names.VALIDATING_WEBHOOKS})
"""What the role lets be changed."""


def bundle(authority: str, before: Material | None) -> str:
    """The new authority (PEM) and, after it, the newest one trusted before."""
    found = _PEM.search(before.authority) if before else None
    return authority + (found.group() if found else "")


class CertificateKeeper:
    """Keeps the Secret and the trust in it; `adopt` is given each new Material to serve with."""

    def __init__(self, manager: Manager, options: Options, adopt: Callable[[Material], None]) -> None:
        self.client = manager.client
        self.key = Key(options.namespace, names.WEBHOOK_CERTIFICATES)
        self._adopt = adopt
        self._material: Material | None = None
        self._renew_at = 0.0
        informers = manager.informers
        selector = f"{labels.WEBHOOK}={labels.TRUE}"
        self.configurations = [
            (kind, informers.get(kind, label_selector=selector)) for kind in CONFIGURATIONS
        ]
        self.secrets = informers.get(
            SECRETS, options.namespace, field_selector=f"metadata.name={names.WEBHOOK_CERTIFICATES}"
        )

    def controller(self) -> Controller:
        """The loop: its one key is the Secret, which is looked at when it or a configuration changes."""
        controller = Controller("webhook-certificates", self.reconcile)
        controller.watch(self.secrets)
        for _, informer in self.configurations:
            controller.watch(informer, lambda _: [self.key])
        controller.enqueue(self.key)
        return controller

    async def reconcile(self, key: Key) -> float | None:
        """Have a good certificate, have it trusted, serve with it."""
        secret = self.secrets.get(key)
        material = read_secret(secret) if secret else None
        if material is None or not await self._is_fresh(material):
            material = await self._make(secret, material)
            if material is None:
                return SOON
        for kind, informer in self.configurations:
            for configuration in list(informer.list()):
                if configuration.metadata.name not in OWN_CONFIGURATIONS:
                    continue  # labelled like ours by somebody: not ours to change
                await self._trust(kind, configuration, material)
        if material != self._material:
            self._material = material
            self._adopt(material)
        return min(CHECK_INTERVAL, max(self._renew_at - time.time(), SOON))

    async def _is_fresh(self, material: Material) -> bool:
        if material != self._material:
            try:
                facts = await read_certificate(material.certificate)
            except ValueError:
                return False
            self._renew_at = facts.not_before + RENEW_AT * (facts.not_after - facts.not_before)
        return time.time() < self._renew_at

    async def _make(self, secret: Secret | None, before: Material | None) -> Material | None:
        """Make a certificate and store it; None where another was faster."""
        authority, certificate, private = await make_authority_and_leaf(
            ORGANIZATION,
            webhook_names(self.key.namespace)[1],
            webhook_names(self.key.namespace),
            authority_days=AUTHORITY_DAYS,
            leaf_days=LEAF_DAYS,
        )
        material = Material(authority=bundle(authority, before), certificate=certificate, key=private)
        manifest = forge_secret(self.key.namespace, material)
        resource = SECRETS.partial()
        try:
            if secret is None:
                await self.client.create(resource, manifest, self.key.namespace)
            else:
                manifest["metadata"]["resourceVersion"] = secret.metadata.resource_version
                patch = {"metadata": manifest["metadata"], "data": manifest["data"]}
                await self.client.patch(resource, self.key.name, patch, self.key.namespace)
        except (AlreadyExists, Conflict, NotFound):
            return None
        self._renew_at = time.time() + RENEW_AT * LEAF_DAYS * 86400
        return material

    async def _trust(
        self, kind: Resource[WebhookConfiguration], configuration: WebhookConfiguration, material: Material
    ) -> None:
        patch = plan_trust(configuration, material.authority)
        if not patch:
            return
        try:
            await self.client.patch(kind.partial(), configuration.metadata.name, patch, type="json")
        except NotFound:
            return

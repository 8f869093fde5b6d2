"""On the provider: signs and grants the slices that consumers replicate here (behaviour 3.3 step 9, wire.md 4).

The reconciler of replicated ResourceSlices. Authentication is ruled on for every class, resources for the default
class. Every ruling is in the status, from where the consumer's controller copies it. A slice whose certificate
nears its end is signed again.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from isthmus.api import names
from isthmus.api.authentication import RESOURCE_SLICES, AuthParams, ResourceSlice, Tenant
from isthmus.kube.objects import Key
from isthmus.peering import secret_data
from isthmus.peering.api_server import api_server_authority, api_server_url
from isthmus.peering.caches import Caches
from isthmus.peering.conditions import timestamp
from isthmus.peering.context import Context
from isthmus.peering.errors import RefusedError
from isthmus.peering.handshake import NO_HANDSHAKE
from isthmus.peering.proof import MAXIMUM_REQUEST, require_request
from isthmus.peering.signing import CertificateRequest, SigningError, issue
from isthmus.peering.slice_grants import (
    ACCEPTED,
    AUTHENTICATION,
    RESOURCES,
    Kind,
    Ruling,
    accept,
    decided,
    deny,
    find_objection,
    grant,
    plan_conditions,
    plan_status,
    rule_on_resources,
)
from isthmus.peering.tenant_conditions import is_replicated
from isthmus.peering.tenants import LONGEST_DELAY
from isthmus.peering.validity import renewal_delay

TURN_SECONDS = 0.2
"""Seconds until a slice is looked at again while another of the same consumer has its turn."""


class SliceGrantReconciler:
    """Reconciles the copies of consumers' slices."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._caches = caches
        self._busy: set[str] = set()
        """The tenant namespaces being worked on: a consumer never keeps more than one worker from the others."""

    async def reconcile(self, key: Key) -> float | None:
        """Rule on a slice; returns the seconds until its certificate is to be renewed."""
        if key.namespace in self._busy:
            return TURN_SECONDS
        self._busy.add(key.namespace)
        try:
            return await self._rule(key)
        finally:
            self._busy.discard(key.namespace)

    async def _rule(self, key: Key) -> float | None:
        slice_ = self._caches.slices.get(key)
        if slice_ is None or slice_.deleting or not is_replicated(slice_.metadata.labels):
            return None
        if not slice_.spec.consumer_cluster_id or not slice_.spec.csr:
            return None  # The consumer's controller has not filled them yet.
        tenant = self._tenant(key.namespace)
        if tenant is None and decided(slice_, AUTHENTICATION):
            return None  # Its permissions are gone already, and nobody could read another answer.
        try:
            authentication, params, delay = await self._authenticate(slice_, tenant)
        except SigningError as error:
            self._context.events.record(RESOURCE_SLICES, slice_, "SigningFailed", str(error), "Warning")
            raise
        if authentication is not None:
            resources = rule_on_resources(slice_, tenant, self._context.options)
            await self._answer(slice_, authentication, params, resources)
        return delay

    def _tenant(self, namespace: str) -> Tenant | None:
        """The admitted Tenant of a namespace."""
        for tenant in self._caches.tenants.list(namespace):
            if not tenant.deleting and tenant.status.tenant_namespace == namespace:
                return tenant
        return None

    async def _authenticate(
        self, slice_: ResourceSlice, tenant: Tenant | None
    ) -> tuple[Ruling | None, AuthParams | None, float | None]:
        """The ruling (None: leave what there is), the parameters, and the seconds until another look."""
        objection = find_objection(slice_, tenant, self._context.options.cluster_id)
        if objection or tenant is None:
            return deny(AUTHENTICATION, objection), None, None
        try:
            params, delay = await self._sign(slice_, tenant)
        except RefusedError as error:
            self._context.events.record(RESOURCE_SLICES, slice_, error.reason, str(error), "Warning")
            if error.retry_after is not None and decided(slice_, AUTHENTICATION) == ACCEPTED:
                return (
                    None,
                    None,
                    error.retry_after,
                )  # A trouble of ours that may pass costs nobody an identity.
            return deny(AUTHENTICATION, str(error)), None, error.retry_after
        return accept(AUTHENTICATION, "the certificate is signed"), params, delay

    async def _sign(self, slice_: ResourceSlice, tenant: Tenant) -> tuple[AuthParams, float]:
        client, options = self._context.client, self._context.options
        consumer, name = slice_.spec.consumer_cluster_id, slice_.metadata.name
        csr, public_key = parse_proof(slice_, tenant)

        async def verify() -> None:
            await require_request(csr, names.resource_slice_user(name, consumer), consumer, public_key)

        request = CertificateRequest(
            consumer=consumer,
            namespace=slice_.metadata.namespace,
            secret=names.remote_certificate_secret(name),
            csr=csr,
            evidence=(name.encode(), public_key or b""),
        )
        url = await api_server_url(client, options)
        certificate = await issue(client, request, verify)
        params = AuthParams(
            ca=secret_data.encode(api_server_authority(client, options)),
            signed_crt=secret_data.encode(certificate.pem),
            api_server=url,
            proxy_url=tenant.spec.proxy_url,
        )
        return params, min(renewal_delay(certificate.validity, time.time()), LONGEST_DELAY)

    async def _answer(
        self,
        slice_: ResourceSlice,
        authentication: Ruling,
        params: AuthParams | None,
        resources: Ruling | None,
    ) -> None:
        rulings: dict[Kind, Ruling | None] = {AUTHENTICATION: authentication, RESOURCES: resources}
        wanted: dict[str, Any] = {
            "authParams": None if params is None else msgspec.to_builtins(params),
            "conditions": plan_conditions(slice_.status.conditions, rulings, timestamp()),
        }
        options = self._context.options
        if resources is not None and resources.accepted:
            wanted |= grant(slice_, options)
        patch = plan_status(slice_, wanted)
        if patch is not None:
            meta = slice_.metadata
            client = self._context.client
            await client.patch(RESOURCE_SLICES, meta.name, patch, meta.namespace, subresource="status")


def parse_proof(slice_: ResourceSlice, tenant: Tenant) -> tuple[bytes, bytes | None]:
    """The slice's request, and the key it must be for; None without handshake. Raises RefusedError."""
    if len(slice_.spec.csr) > 2 * MAXIMUM_REQUEST:
        raise RefusedError("InvalidCSR", "spec.csr is too long")
    try:
        csr = secret_data.decode(slice_.spec.csr)
        key = secret_data.decode(tenant.spec.public_key)
    except ValueError as error:
        raise RefusedError("InvalidCSR", f"spec.csr or the Tenant's spec.publicKey is {error}") from error
    return csr, None if tenant.spec.authz_policy == NO_HANDSHAKE else key

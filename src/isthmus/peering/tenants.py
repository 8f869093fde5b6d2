"""On the provider: lets a consumer in, and out (behaviour 3.3 step 5, 3.6, wire.md 4).

The reconciler of Tenants: checks the Tenant and its namespace, verifies the consumer's proof, has its certificate
signed, grants the permissions and answers in the status. A refusal is an event on the Tenant and is not tried
again until something changes. A deleted Tenant keeps its finalizer until the permissions are taken back and all that
the consumer placed here, which it may no longer delete itself, is being deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from isthmus.api import labels, names
from isthmus.api.authentication import TENANTS, AuthParams, Tenant
from isthmus.kube.builtin import NAMESPACES, SECRETS
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.times import deleting_for
from isthmus.peering import secret_data
from isthmus.peering.api_server import api_server_authority, api_server_url
from isthmus.peering.bindings import bind, unbind
from isthmus.peering.caches import PEER_INDEX, Caches
from isthmus.peering.context import Context
from isthmus.peering.errors import RefusedError
from isthmus.peering.finalizers import drop_finalizer
from isthmus.peering.handshake import NO_HANDSHAKE
from isthmus.peering.nonces import NONCE, is_nonce_secret
from isthmus.peering.proof import require_tenant
from isthmus.peering.signing import CertificateRequest, SigningError, issue
from isthmus.peering.tenant_conditions import DRAINED, drain, expel, mark_slices
from isthmus.peering.validity import renewal_delay

LONGEST_DELAY = 3600.0
"""Seconds after which permissions are looked after again: bindings are not watched."""
RETRY_SECONDS = 10.0
SETTLING_SECONDS = 2.0
"""Seconds until another look for what a consumer made before everybody knew that it has no permissions any more."""
DISMISSAL_BOUND = 60.0
"""Seconds after which a Tenant goes though what its consumer placed here could not be deleted."""
MAXIMUM_URL = 2048


class TenantReconciler:
    """Reconciles Tenants."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._client = context.client
        self._caches = caches

    async def reconcile(self, key: Key) -> float | None:
        """Let the consumer in, or out; returns the seconds until its certificate is to be renewed."""
        tenant = self._caches.tenants.get(key)
        if tenant is None:
            return None
        if tenant.deleting:
            return await self._dismiss(tenant)
        try:
            return await self._admit(tenant)
        except RefusedError as error:
            self._context.events.record(TENANTS, tenant, error.reason, str(error), "Warning")
            return error.retry_after
        except SigningError as error:
            self._context.events.record(TENANTS, tenant, "SigningFailed", str(error), "Warning")
            raise

    async def _admit(self, tenant: Tenant) -> float | None:
        require_sound(tenant, self._context.options.cluster_id, self._caches.tenants.list())
        await self._require_namespace(tenant)
        tenant = await self._mark(tenant)
        if tenant.spec.tenant_condition == DRAINED:
            await unbind(self._client, tenant)
            return SETTLING_SECONDS if await drain(self._client, tenant) else None
        await mark_slices(self._client, tenant, self._caches.slices.list(tenant.metadata.namespace))
        handshake = tenant.spec.authz_policy != NO_HANDSHAKE
        params, delay = await self._sign(tenant) if handshake else (None, LONGEST_DELAY)
        await bind(self._client, tenant, control_plane=handshake)
        await self._answer(tenant, params)
        return min(delay, LONGEST_DELAY)

    async def _dismiss(self, tenant: Tenant) -> float | None:
        if labels.FINALIZER_TENANT not in tenant.metadata.finalizers:
            return None
        if not rivals(tenant, self._caches.tenants.list()):
            await unbind(self._client, tenant)
            if deleting_for(tenant) < DISMISSAL_BOUND and await expel(self._client, tenant):
                return SETTLING_SECONDS
        await drop_finalizer(self._client, TENANTS, tenant, labels.FINALIZER_TENANT)
        return None

    async def _require_namespace(self, tenant: Tenant) -> None:
        """The Tenant is in a tenant namespace of its cluster; one of the default name is made so."""
        consumer, name = tenant.spec.cluster_id, tenant.metadata.namespace
        namespace = await self._client.get(NAMESPACES, name)
        marks = plan_namespace_labels(namespace, consumer)
        if marks:
            await self._client.patch(NAMESPACES, name, {"metadata": {"labels": marks}})

    async def _mark(self, tenant: Tenant) -> Tenant:
        patch = plan_marks(tenant)
        if patch is None:
            return tenant
        return await self._client.patch(TENANTS, tenant.metadata.name, patch, tenant.metadata.namespace)

    async def _sign(self, tenant: Tenant) -> tuple[AuthParams, float]:
        url = await api_server_url(self._client, self._context.options)
        spec = tenant.spec
        public_key, csr = _bytes(spec.public_key, "publicKey"), _bytes(spec.csr, "csr")
        signature, nonce = _bytes(spec.signature, "signature"), await self._nonce(tenant)

        async def verify() -> None:
            try:
                await require_tenant(spec.cluster_id, public_key, csr, signature, nonce)
            except ValueError as error:
                message = f"spec.publicKey cannot be read: {error}"
                raise RefusedError("InvalidPublicKey", message, retry_after=RETRY_SECONDS) from error

        request = CertificateRequest(
            consumer=spec.cluster_id,
            namespace=tenant.metadata.namespace,
            secret=names.remote_certificate_secret(),
            csr=csr,
            evidence=(public_key, signature, nonce),
        )
        certificate = await issue(self._client, request, verify)
        params = AuthParams(
            ca=secret_data.encode(api_server_authority(self._client, self._context.options)),
            signed_crt=secret_data.encode(certificate.pem),
            api_server=url,
            proxy_url=spec.proxy_url,
        )
        return params, renewal_delay(certificate.validity, time.time())

    async def _nonce(self, tenant: Tenant) -> bytes:
        """The nonce that was handed out; that of the Tenant's own namespace goes before one from elsewhere."""
        consumer, own = tenant.spec.cluster_id, tenant.metadata.namespace
        candidates = self._caches.secrets.by_index(PEER_INDEX, consumer)
        for found in sorted(candidates, key=lambda secret: secret.metadata.namespace != own):
            if is_nonce_secret(found):
                secret = await self._client.find(SECRETS, found.metadata.name, found.metadata.namespace)
                if secret is not None and (nonce := secret_data.read(secret, NONCE)):
                    return nonce
        raise RefusedError(
            "NonceMissing",
            f"no Secret labelled {labels.NONCE}=true and {labels.REMOTE_CLUSTER_ID}={consumer} holds a nonce yet: "
            "create one and have the consumer sign it",
            retry_after=RETRY_SECONDS,
        )

    async def _answer(self, tenant: Tenant, params: AuthParams | None) -> None:
        patch = plan_answer(tenant, params)
        if patch is not None:
            meta = tenant.metadata
            await self._client.patch(TENANTS, meta.name, patch, meta.namespace, subresource="status")
            if tenant.status.auth_params is None and params is not None:
                message = f"cluster {tenant.spec.cluster_id} is admitted"
                self._context.events.record(TENANTS, tenant, "Admitted", message)


def require_sound(tenant: Tenant, own_id: str, all_: Iterable[Tenant]) -> None:
    """What can be said of a Tenant without asking anybody. Raises RefusedError."""
    consumer = tenant.spec.cluster_id
    if not names.is_dns_label(consumer):
        raise RefusedError("InvalidClusterID", f"spec.clusterID {consumer[:64]!r} is not a valid DNS label")
    if consumer == own_id:
        raise RefusedError(
            "InvalidClusterID",
            f"spec.clusterID {consumer!r} is this cluster's own id: one of the two must be installed with another",
        )
    label = tenant.metadata.labels.get(labels.REMOTE_CLUSTER_ID, consumer)
    if label != consumer:
        raise RefusedError("InvalidClusterID", f"label {labels.REMOTE_CLUSTER_ID} is not {consumer!r}")
    if len(tenant.spec.proxy_url) > MAXIMUM_URL:
        raise RefusedError("InvalidProxyURL", f"spec.proxyURL is longer than {MAXIMUM_URL} characters")
    if older := [rival for rival in rivals(tenant, all_) if _age(rival) < _age(tenant)]:
        raise RefusedError(
            "DuplicateTenant",
            f"Tenant {older[0].key} is for the same cluster or in the same namespace: delete one of the two",
        )


def rivals(tenant: Tenant, all_: Iterable[Tenant]) -> list[Tenant]:
    """The other Tenants of the same cluster or in the same namespace, those that are going left out."""
    return [
        other
        for other in all_
        if other.metadata.uid != tenant.metadata.uid
        and not other.deleting
        and (
            other.spec.cluster_id == tenant.spec.cluster_id
            or other.metadata.namespace == tenant.metadata.namespace
        )
    ]


def plan_namespace_labels(namespace: Object, consumer: str) -> dict[str, str]:
    """The labels that make a namespace the consumer's tenant namespace, {} where it is. Raises RefusedError.

    Only a namespace of the default name is made one: any other must be labelled by whoever chose it.
    """
    wanted = {labels.TENANT_NAMESPACE: labels.TRUE, labels.REMOTE_CLUSTER_ID: consumer}
    present = namespace.metadata.labels
    if all(present.get(key) == value for key, value in wanted.items()):
        return {}
    name, default = namespace.metadata.name, names.tenant_namespace(consumer)
    if name == default and labels.REMOTE_CLUSTER_ID not in present:
        return wanted | dict.fromkeys(labels.POD_SECURITY, "privileged")
    raise RefusedError(
        "InvalidTenantNamespace",
        f"namespace {name} is not a tenant namespace of {consumer}: create the Tenant in {default}, or "
        f" label it {labels.TENANT_NAMESPACE}=true and {labels.REMOTE_CLUSTER_ID}={consumer}",
        retry_after=RETRY_SECONDS,
    )


def plan_marks(tenant: Tenant) -> Manifest | None:
    """The patch that puts our finalizer and label on a Tenant, None where they are there."""
    meta = tenant.metadata
    marked = labels.FINALIZER_TENANT in meta.finalizers
    if marked and labels.REMOTE_CLUSTER_ID in meta.labels:
        return None
    finalizers = meta.finalizers if marked else [*meta.finalizers, labels.FINALIZER_TENANT]
    return {
        "metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "finalizers": finalizers,
            "labels": {labels.REMOTE_CLUSTER_ID: tenant.spec.cluster_id},
        }
    }


def plan_answer(tenant: Tenant, params: AuthParams | None) -> Manifest | None:
    """The patch of the status, None where it says so already."""
    namespace = tenant.metadata.namespace
    if tenant.status.tenant_namespace == namespace and tenant.status.auth_params == params:
        return None
    # None first: a merge patch would keep fields of the old parameters that the new ones lack.
    fields = dict.fromkeys(("ca", "proxyURL", "awsConfig"))
    answer = None if params is None else fields | msgspec.to_builtins(params)
    return {"status": {"tenantNamespace": namespace, "authParams": answer}}


def _age(tenant: Tenant) -> tuple[str, str]:
    return tenant.metadata.creation_timestamp or "", tenant.metadata.uid


def _bytes(text: str, field: str) -> bytes:
    try:
        return secret_data.decode(text)
    except ValueError as error:
        raise RefusedError("InvalidTenant", f"spec.{field} is {error}") from error

"""The handshake that gives the consumer an identity on the provider (wire.md 9, steps 15 to 21).

Runs with both kubeconfigs: nonce, signature, Tenant, Identity. Each step waits for the controller of its cluster
and may be run again; what a broken-off run left is taken up where it ended.
"""

from __future__ import annotations

import time

from isthmus.api import names
from isthmus.api.authentication import IDENTITIES, TENANTS, Tenant
from isthmus.cli.cluster import Cluster, step
from isthmus.cli.errors import CommandError
from isthmus.cli.events import find_refusal
from isthmus.cli.preflight import Pair
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.cli.writes import write
from isthmus.kube.builtin import NAMESPACES, SECRETS, Secret
from isthmus.kube.certificates import KeyPair, make_request
from isthmus.kube.errors import AlreadyExists
from isthmus.kube.objects import Manifest
from isthmus.peering import handshake, secret_data
from isthmus.peering.validity import read_validity

REFUSAL_PATIENCE = 15.0
"""Seconds a provider may go on refusing, with a reason: some reasons pass by themselves."""


async def authenticate(
    pair: Pair, keys: KeyPair, progress: Progress, deadline: Deadline, proxy_url: str = ""
) -> None:
    """Make the consumer's identity on the provider. Raises CommandError at the step that failed."""
    for cluster, peer, namespace in (
        (pair.local, pair.remote, pair.local_namespace),
        (pair.remote, pair.local, pair.remote_namespace),
    ):
        with step(progress, f"Tenant namespace {namespace}", cluster):
            await ensure_namespace(cluster, peer.id, namespace)
    nonce = await obtain_nonce(pair.remote, pair.local.id, pair.remote_namespace, progress, deadline)
    signature = await obtain_signature(
        pair.local, pair.remote.id, pair.local_namespace, nonce, progress, deadline
    )
    tenant = await _obtain_tenant(pair, keys, signature, proxy_url, progress, deadline)
    await _obtain_identity(pair, tenant, progress, deadline)


async def ensure_namespace(cluster: Cluster, peer: str, namespace: str) -> None:
    """Create the tenant namespace where it is not there yet. Raises KubeError."""
    if await cluster.client.find(NAMESPACES, namespace) is not None:
        return
    try:
        await cluster.client.create(NAMESPACES, handshake.forge_tenant_namespace(peer, namespace))
    except AlreadyExists:
        pass


async def obtain_nonce(
    cluster: Cluster, consumer: str, namespace: str, progress: Progress, deadline: Deadline
) -> bytes:
    """On the provider: the nonce for a consumer, made where there is none yet. Raises CommandError."""
    client = cluster.client
    with step(progress, "Nonce to sign", cluster) as current:
        if await client.find(SECRETS, names.NONCE_SECRET, namespace) is None:
            try:
                await client.create(SECRETS, handshake.forge_nonce_secret(consumer, namespace))
            except AlreadyExists:
                pass

        async def read() -> bytes | None:
            secret = await client.find(SECRETS, names.NONCE_SECRET, namespace)
            return secret_data.read(secret, "nonce") or None if secret else None

        return await wait_for(
            read,
            deadline,
            current,
            f"{cluster.title} did not fill Secret {namespace}/{names.NONCE_SECRET}",
            _look_at(cluster),
        )


async def obtain_signature(
    cluster: Cluster, provider: str, namespace: str, nonce: bytes, progress: Progress, deadline: Deadline
) -> bytes:
    """On the consumer: its signature over the provider's nonce. Raises CommandError."""
    client, name = cluster.client, names.SIGNED_NONCE_SECRET
    with step(progress, "Signature over the nonce", cluster) as current:
        await _put_nonce(cluster, provider, namespace, nonce)

        async def read() -> bytes | None:
            secret = await client.find(SECRETS, name, namespace)
            if secret is None or secret_data.read(secret, "nonce") != nonce:
                return None
            return secret_data.read(secret, "signedNonce") or None

        return await wait_for(
            read,
            deadline,
            current,
            f"{cluster.title} did not sign the nonce in Secret {namespace}/{name}",
            _look_at(cluster),
        )


async def _put_nonce(cluster: Cluster, provider: str, namespace: str, nonce: bytes) -> None:
    """Hand the nonce over for signing; a nonce of an earlier peering is replaced."""
    client = cluster.client
    try:
        manifest = handshake.forge_signed_nonce_secret(provider, namespace, nonce)
    except ValueError as error:
        raise CommandError(f"cluster {provider} gave an unusable nonce: {error}") from error
    present: Secret | None = await client.find(SECRETS, names.SIGNED_NONCE_SECRET, namespace)
    if present is not None and secret_data.read(present, "nonce") == nonce:
        return
    if present is not None:
        await client.delete(SECRETS, names.SIGNED_NONCE_SECRET, namespace, uid=present.metadata.uid)
    await client.create(SECRETS, manifest)


async def _obtain_tenant(
    pair: Pair, keys: KeyPair, signature: bytes, proxy_url: str, progress: Progress, deadline: Deadline
) -> Tenant:
    client, consumer, namespace = pair.remote.client, pair.local.id, pair.remote_namespace
    with step(progress, f"Tenant {consumer} and its certificate", pair.remote) as current:
        before = await client.find(TENANTS, consumer, namespace)
        if before is not None and _is_settled(before, keys, signature, proxy_url):
            return before
        manifest = await forge_own_tenant(consumer, keys, signature, namespace, proxy_url)
        if before is None:
            await _remove_stale_certificates(pair)
        elif before.spec.tenant_condition != "Active":
            manifest["spec"]["tenantCondition"] = before.spec.tenant_condition
            progress.warn(
                f"the tenant is {before.spec.tenant_condition}: nothing new is accepted until it is activated",
                pair.remote.tag,
            )
        await write(client, TENANTS, manifest, deadline)

        patience = deadline.within(REFUSAL_PATIENCE)

        async def read() -> Tenant | None:
            tenant = await client.find(TENANTS, consumer, namespace)
            if tenant is not None and has_certificate(tenant) and tenant.status.tenant_namespace:
                return tenant
            # A tenant that is refused gets an event and nothing else (wire.md 4).
            refusal = await find_refusal(pair.remote, tenant) if tenant is not None else ""
            current.update(refusal)
            if refusal and patience.left() == 0:
                raise CommandError(
                    f"{pair.remote.title} refuses tenant {consumer}: {refusal}",
                    "fix this and run peer again, or isthmus unpeer to undo what was made",
                )
            return None

        return await wait_for(
            read,
            deadline,
            current,
            f"{pair.remote.title} did not give tenant {consumer} a certificate",
            _look_at(pair.remote),
        )


async def forge_own_tenant(
    consumer: str, keys: KeyPair, signature: bytes, namespace: str, proxy_url: str
) -> Manifest:
    """The Tenant by which a provider admits this cluster. Raises ValueError, KubeError."""
    return handshake.forge_tenant(
        consumer,
        public_key=keys.public,
        csr=await make_request(keys.private, consumer, [names.GROUP_CONTROL_PLANE]),
        signature=signature,
        namespace=namespace,
        proxy_url=proxy_url,
    )


def has_certificate(tenant: Tenant) -> bool:
    """Whether a Tenant was given a certificate that has not ended: a provider that was off for long signs anew soon."""
    params = tenant.status.auth_params
    if params is None:
        return False
    try:
        return read_validity(secret_data.decode(params.signed_crt).decode()).not_after > time.time()
    except ValueError:
        return True  # What it is, the consumer's controller says.


def _is_settled(tenant: Tenant, keys: KeyPair, signature: bytes, proxy_url: str) -> bool:
    """Whether the handshake with just these proofs is over, so that no new request need be made."""
    spec, status = tenant.spec, tenant.status
    proofs = (
        secret_data.encode(keys.public),
        secret_data.encode(signature),
        proxy_url,
        "KeysExchange",
        "Active",
    )
    given = (spec.public_key, spec.signature, spec.proxy_url, spec.authz_policy, spec.tenant_condition)
    return (
        not tenant.deleting and given == proofs and has_certificate(tenant) and bool(status.tenant_namespace)
    )


async def _remove_stale_certificates(pair: Pair) -> None:
    """Delete the signed certificates of an ended peering: a request that differs is never signed beside them
    (wire.md 4, stored-CSR rule). Nothing uses them while there is no Tenant."""
    client, namespace = pair.remote.client, pair.remote_namespace
    for secret in (await client.list(SECRETS.partial(), namespace)).items:
        if secret.metadata.name.startswith(names.REMOTE_CERTIFICATE_SECRET):
            await client.delete(SECRETS, secret.metadata.name, namespace, uid=secret.metadata.uid)


async def _obtain_identity(pair: Pair, tenant: Tenant, progress: Progress, deadline: Deadline) -> None:
    client, namespace = pair.local.client, pair.local_namespace
    name = names.control_plane_identity(pair.remote.id)
    with step(progress, f"Identity {name} and its kubeconfig", pair.local) as current:
        if tenant.status.auth_params is None:
            raise CommandError(f"{pair.remote.title} took the certificate of tenant {pair.local.id} back")
        manifest = handshake.forge_identity(
            pair.remote.id,
            tenant.status.auth_params,
            namespace=namespace,
            remote_namespace=tenant.status.tenant_namespace,
        )
        await write(client, IDENTITIES, manifest, deadline)

        async def read() -> bool | None:
            identity = await client.find(IDENTITIES, name, namespace)
            reference = identity.status.kubeconfig_secret_ref if identity else None
            return True if reference is not None and reference.name else None

        await wait_for(
            read,
            deadline,
            current,
            f"{pair.local.title} did not make a kubeconfig of Identity {namespace}/{name}",
            _look_at(pair.local),
        )


def _look_at(cluster: Cluster) -> str:
    return f"look at the log of the controller in namespace {cluster.namespace} of {cluster.id}, then run this again"

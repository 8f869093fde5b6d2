"""Client certificates for consumers, signed by our cluster's own signer (behaviour 3.3 step 5, wire.md 4).

A request is verified, made into a CertificateSigningRequest, approved and waited for; the result is kept in a
Secret of the tenant namespace. That Secret pins the request: another one is refused until the Secret is
deleted. What was verified is noted on it as a digest, so that a restart verifies nothing twice, and when it was
signed, from which two thirds of its life are counted. The CertificateSigningRequest is deleted once it is done
with, whatever the outcome. Fails with RefusedError where only the consumer or an admin can help, with KubeError
where trying again can.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from isthmus.api import labels
from isthmus.kube.builtin import CSRS, SECRETS, CertificateSigningRequest, Secret
from isthmus.kube.client import Client
from isthmus.kube.errors import KubeError
from isthmus.kube.objects import Manifest
from isthmus.peering import secret_data
from isthmus.peering.conditions import timestamp
from isthmus.peering.errors import RefusedError
from isthmus.peering.validity import Validity, read_validity

SIGNER = "kubernetes.io/kube-apiserver-client"
USAGES = ["digital signature", "key encipherment", "client auth"]
APPROVAL_REASON = "IdentityManagerApproval"
VERIFIED = "liqo.io/verified-request"
"""Annotation of a stored certificate: the digest of what was verified before it was signed."""

SIGNED_AT = "isthmus.liqo.io/signed-at"
"""Annotation of a stored certificate: when it was signed, in whole seconds since the epoch."""

SIGNING_BOUND = 30.0
_FIRST_POLL, _LAST_POLL = 0.05, 1.0

Verify = Callable[[], Awaitable[None]]


class SigningError(KubeError):
    """The cluster's signer did not issue a certificate in time, or refused to."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A consumer's wish for a certificate: `csr` is the PEM, `evidence` all that `verify` judges by."""

    consumer: str
    namespace: str
    secret: str
    csr: bytes
    evidence: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the request and the evidence."""
        parts = (self.consumer.encode(), self.csr, *self.evidence)
        lengths = b",".join(str(len(part)).encode() for part in parts)
        return hashlib.sha256(lengths + b":" + b"".join(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signed certificate, PEM as the signer gave it, and its life, which begins when it was signed."""

    pem: bytes
    validity: Validity


async def issue(client: Client, request: CertificateRequest, verify: Verify) -> Certificate:
    """The certificate for a request: the stored one while it is fresh, else a new one.

    `verify` raises RefusedError where the request is not the consumer's; it is asked only about what was not
    verified before. Raises RefusedError where another request is pinned, SigningError, KubeError.
    """
    stored = await client.find(SECRETS, request.secret, request.namespace)
    if stored is not None and secret_data.read(stored, "csr") != request.csr:
        raise RefusedError(
            "AuthParamsFailed",
            f"Secret {request.secret} holds the certificate of another request of {request.consumer}: "
            "delete it if that cluster's keys were changed on purpose",
        )
    verified = stored is not None and stored.metadata.annotations.get(VERIFIED) == request.digest
    if not verified:
        await verify()
    certificate = read_stored(stored) if stored is not None else None
    if certificate is None or certificate.validity.renewal <= time.time():
        certificate = await _sign(client, request)
    elif verified:
        return certificate
    await client.apply(SECRETS, forge_stored(request, certificate), request.namespace)
    return certificate


def read_stored(secret: Secret) -> Certificate | None:
    """The certificate a Secret keeps, None where it keeps none that can be read."""
    pem = secret_data.read(secret, "certificate")
    try:
        validity = read_validity(pem.decode())
    except ValueError:
        return None
    signed = secret.metadata.annotations.get(SIGNED_AT, "")
    return Certificate(pem, validity.since(int(signed)) if signed.isdecimal() else validity)


def forge_stored(request: CertificateRequest, certificate: Certificate) -> Manifest:
    """The Secret that keeps a certificate; without owner, it outlives the Tenant (wire.md 4)."""
    return {
        "metadata": {
            "name": request.secret,
            "labels": {labels.REMOTE_CLUSTER_ID: request.consumer},
            "annotations": {
                VERIFIED: request.digest,
                SIGNED_AT: str(int(certificate.validity.not_before)),
            },
        },
        "type": "Opaque",
        "data": secret_data.encode_all({"csr": request.csr, "certificate": certificate.pem}),
    }


def forge_signing_request(request: CertificateRequest) -> Manifest:
    """The CertificateSigningRequest for a consumer's request."""
    return {
        "metadata": {
            "generateName": "liqo-identity-",
            "labels": {labels.REMOTE_TENANT_CSR: labels.TRUE, labels.REMOTE_CLUSTER_ID: request.consumer},
        },
        "spec": {
            "request": secret_data.encode(request.csr),
            "signerName": SIGNER,
            "usages": USAGES,
            "groups": ["system:authenticated"],
        },
    }


def forge_approval(now: str) -> Manifest:
    """The patch of the approval subresource."""
    return {
        "status": {
            "conditions": [
                {
                    "type": "Approved",
                    "status": "True",
                    "reason": APPROVAL_REASON,
                    "message": "This CSR was approved by the Liqo identity manager",
                    "lastUpdateTime": now,
                }
            ]
        }
    }


async def _sign(client: Client, request: CertificateRequest) -> Certificate:
    created = await client.create(CSRS, forge_signing_request(request))
    name, uid = created.metadata.name, created.metadata.uid
    try:
        await client.patch(CSRS, name, forge_approval(timestamp()), subresource="approval")
        pem = await await_certificate(client, name)
        return Certificate(pem, read_validity(pem.decode()).since(int(time.time())))
    except ValueError as error:
        raise SigningError(
            f"the certificate signed for {request.consumer} cannot be read: {error}"
        ) from error
    finally:
        # Of no use any more. Where this fails, Kubernetes itself removes it within the hour.
        await asyncio.shield(_discard(client, name, uid))


async def await_certificate(client: Client, name: str) -> bytes:
    """The certificate (PEM) of an approved request. Raises SigningError where none comes.

    Polled: a watch would be one more connection for a few hundred milliseconds.
    """
    pause = _FIRST_POLL
    try:
        async with asyncio.timeout(SIGNING_BOUND):
            while True:
                current = await client.get(CSRS, name)
                if current.status.certificate:
                    return secret_data.decode(current.status.certificate)
                _require_no_refusal(current)
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LAST_POLL)
    except TimeoutError as error:
        raise SigningError(
            f"no certificate within {SIGNING_BOUND:.0f} s from signer {SIGNER}: is kube-controller-manager running?"
        ) from error


def _require_no_refusal(request: CertificateSigningRequest) -> None:
    for condition in request.status.conditions:
        if condition.type in {"Denied", "Failed"}:
            raise SigningError(f"signer {SIGNER}: {condition.type} ({condition.reason}): {condition.message}")


async def _discard(client: Client, name: str, uid: str) -> None:
    try:
        await client.delete(CSRS, name, uid=uid)
    except KubeError:
        pass

"""The serving certificate of the virtual nodes: asked for, waited for, renewed at two thirds of its life.

One certificate serves them all, since they share an address; it bears the name of one of them. Key and
certificate are in memory only, and new in each process. Nothing is served before there is one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time

from msgspec import Struct, json

from isthmus.kube.builtin import CSRS, CertificateSigningRequest
from isthmus.kube.certificates import CertificateFacts, generate_key, make_request, read_certificate
from isthmus.kube.client import Client
from isthmus.kube.errors import AlreadyExists, KubeError, TransportError
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Base, Key, Manifest
from isthmus.offloading.kubelet.approval import COMMON_NAME, ORGANIZATION, SIGNER, USAGES

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds a request may take to be approved and signed."""
SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class ServingCertificate(Struct, frozen=True):
    """A certificate and its key, PEM."""

    certificate: str
    key: str
    facts: CertificateFacts
    issued: float = 0.0
    """When it was issued, in seconds since the epoch: signers date certificates back."""

    @property
    def renewal(self) -> float:
        """When to ask for the next one, in seconds since the epoch."""
        begin = min(max(self.facts.not_before, self.issued), self.facts.not_after)
        return begin + (self.facts.not_after - begin) * 2 / 3

    def __repr__(self) -> str:
        return f"ServingCertificate({self.facts})"


class RefusedError(KubeError):
    """The request was denied, failed, or nobody decided on it in time."""


class _User(Base, frozen=True, kw_only=True):
    username: str = ""


class _SelfStatus(Base, frozen=True, kw_only=True):
    user_info: _User = _User()


class _SelfReview(Base, frozen=True, kw_only=True):
    status: _SelfStatus = _SelfStatus()


async def own_username(client: Client) -> str:
    """Who the API server takes us for. Raises KubeError."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await client.request("POST", SELF_REVIEWS, body=json.encode(review))
    username = json.decode(answer.body, type=_SelfReview).status.user_info.username
    if not username:
        raise TransportError("the API server did not say who we are")
    return username


def forge_request(name: str, pem: str) -> Manifest:
    """The CertificateSigningRequest of a serving certificate."""
    return {
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem.encode()).decode(),
            "signerName": SIGNER,
            "usages": sorted(USAGES),
        },
    }


class CertificateSource:
    """Asks for serving certificates under one name, so that what a killed process left behind is replaced."""

    def __init__(
        self,
        client: Client,
        requests: Informer[CertificateSigningRequest],
        *,
        name: str,
        address: str,
    ) -> None:
        self._client = client
        self._requests = requests
        self._name = name
        self._address = address

    async def obtain(self, node: str) -> ServingCertificate:
        """A new certificate for a virtual node. Raises KubeError, RefusedError where it is not granted."""
        key = await generate_key("EC-P256")
        pem = await make_request(key.private, COMMON_NAME + node, [ORGANIZATION], ips=[self._address])
        request = await self._ask(forge_request(self._name, pem))
        try:
            certificate = await self._issued(request)
        finally:
            with contextlib.suppress(KubeError):
                await self._client.delete(CSRS, self._name, uid=request.metadata.uid)
        try:
            facts = await read_certificate(certificate)
            return ServingCertificate(certificate, key.private, facts, issued=time.time())
        except ValueError as error:
            raise RefusedError(f"what was issued for {self._name} is not a certificate: {error}") from None

    async def _ask(self, manifest: Manifest) -> CertificateSigningRequest:
        try:
            return await self._client.create(CSRS, manifest)
        except AlreadyExists:
            await self._client.delete(CSRS, self._name)
            return await self._client.create(CSRS, manifest)

    async def _issued(self, request: CertificateSigningRequest) -> str:
        """The PEM certificate, once the request is approved and signed."""
        key, uid = Key("", self._name), request.metadata.uid
        changed = asyncio.Event()
        remove = self._requests.add_handler(lambda old, new: changed.set())
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    changed.clear()
                    seen = self._requests.get(key)
                    if seen is not None and seen.metadata.uid == uid:
                        for condition in seen.status.conditions:
                            if condition.type in ("Denied", "Failed"):
                                raise RefusedError(
                                    f"certificate request {self._name}: {condition.type}: {condition.message}"
                                )
                        if seen.status.certificate:
                            return base64.b64decode(seen.status.certificate).decode("ascii")
                    await changed.wait()
        except TimeoutError:
            raise RefusedError(
                f"certificate request {self._name} was not approved and signed within {PATIENCE:g} s: "
                f"does this cluster sign {SIGNER}?"
            ) from None
        finally:
            remove()

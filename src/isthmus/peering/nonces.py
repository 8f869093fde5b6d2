"""The nonce a provider hands out and the signature a consumer gives for it (behaviour 3.3 steps 2 and 3).

Two reconcilers over Secrets of the tenant namespaces, told apart by their labels. A nonce is never changed
once set, nor is a signature. A Secret that holds something else than a nonce is refused with an event.
"""

from __future__ import annotations

import os

from isthmus.api import labels
from isthmus.kube.builtin import SECRETS, Secret
from isthmus.kube.certificates import sign
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.peering import secret_data
from isthmus.peering.caches import Caches
from isthmus.peering.context import Context
from isthmus.peering.handshake import is_nonce

NONCE_BYTES = 64

NONCE = "nonce"
SIGNED_NONCE = "signedNonce"


def is_nonce_secret(secret: Object) -> bool:
    """Whether a provider's controller has to fill the Secret."""
    return labels.NONCE in secret.metadata.labels


def is_signed_nonce_secret(secret: Object) -> bool:
    """Whether a consumer's controller has to sign what the Secret holds."""
    return labels.SIGNED_NONCE in secret.metadata.labels


def make_nonce() -> bytes:
    """A new nonce: standard base64 of 64 random bytes."""
    return secret_data.encode(os.urandom(NONCE_BYTES)).encode()


def forge_value(secret: Secret, key: str, value: bytes) -> Manifest:
    """The merge patch that sets one value of exactly the Secret that was read."""
    return {
        "metadata": {"uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version},
        "data": {key: secret_data.encode(value)},
    }


class NonceReconciler:
    """On the provider: fills nonce Secrets."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._client = context.client
        self._secrets = caches.secrets

    async def reconcile(self, key: Key) -> None:
        """Set the nonce where there is none yet."""
        cached = self._secrets.get(key)
        if cached is None or cached.deleting or not is_nonce_secret(cached):
            return
        secret = await self._client.find(SECRETS, key.name, key.namespace)
        if secret is None or secret.deleting or not is_nonce_secret(secret) or secret.data.get(NONCE):
            return
        await self._client.patch(SECRETS, key.name, forge_value(secret, NONCE, make_nonce()), key.namespace)


class SignatureReconciler:
    """On the consumer: signs the nonces of signed-nonce Secrets with the cluster's key."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._secrets = caches.secrets

    async def reconcile(self, key: Key) -> None:
        """Add the signature where there is a nonce and none yet."""
        cached = self._secrets.get(key)
        if cached is None or cached.deleting or not is_signed_nonce_secret(cached):
            return
        client = self._context.client
        secret = await client.find(SECRETS, key.name, key.namespace)
        if secret is None or secret.deleting or not is_signed_nonce_secret(secret):
            return
        if not secret.data.get(NONCE) or secret.data.get(SIGNED_NONCE):
            return
        nonce = secret_data.read(secret, NONCE)
        if not is_nonce(nonce):
            message = "key 'nonce' is not standard base64 of 32 to 256 bytes: not signed"
            self._context.events.record(SECRETS, secret, "InvalidNonce", message, "Warning")
            return
        signature = await sign((await self._context.keys.read()).private, nonce)
        await client.patch(SECRETS, key.name, forge_value(secret, SIGNED_NONCE, signature), key.namespace)

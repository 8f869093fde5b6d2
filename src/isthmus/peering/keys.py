"""The key pair of this cluster: Secret `authentication-keys`, one for all peerings (behaviour 3.2).

Made once and never replaced: every certificate a peer has signed for us is for this key. Whoever comes first
creates it; the others read what is there. The private key is read when it is needed and not kept in memory.
"""

from __future__ import annotations

import logging

from isthmus.api import names
from isthmus.kube.builtin import SECRETS, Secret
from isthmus.kube.certificates import KeyPair, generate_key
from isthmus.kube.client import Client
from isthmus.kube.errors import AlreadyExists, ConfigurationError
from isthmus.kube.options import Options
from isthmus.peering import secret_data

logger = logging.getLogger(__name__)

KEY_TYPES = ("Ed25519", "RSA-2048")


class ClusterKeys:
    """Reads the cluster's key pair, making it at the first use."""

    def __init__(self, client: Client, options: Options) -> None:
        self._client = client
        self._options = options

    async def read(self) -> KeyPair:
        """The key pair. Raises ConfigurationError where the Secret does not hold one."""
        namespace = self._options.namespace
        secret = await self._client.find(SECRETS, names.AUTHENTICATION_KEYS, namespace)
        return parse_keys(secret if secret is not None else await self._create())

    async def ensure(self) -> None:
        """Make the key pair where there is none yet."""
        await self.read()

    async def _create(self) -> Secret:
        pair = await generate_key("RSA-2048" if self._options.key_type == "RSA-2048" else "Ed25519")
        try:
            secret = await self._client.create(SECRETS, forge_keys(pair), self._options.namespace)
        except AlreadyExists:
            return await self._client.get(SECRETS, names.AUTHENTICATION_KEYS, self._options.namespace)
        logger.info("made the key pair of this cluster (%s)", self._options.key_type)
        return secret


def forge_keys(pair: KeyPair) -> dict[str, object]:
    """The Secret holding a key pair (wire.md 3)."""
    return {
        "metadata": {"name": names.AUTHENTICATION_KEYS},
        "type": "Opaque",
        "data": secret_data.encode_all({"privateKey": pair.private, "publicKey": pair.public}),
    }


def parse_keys(secret: Secret) -> KeyPair:
    """The key pair of a Secret. Raises ConfigurationError where a key is missing or no PEM."""
    found = {key: secret_data.read(secret, key) for key in ("privateKey", "publicKey")}
    for key, value in found.items():
        if not value.startswith(b"-----BEGIN "):
            raise ConfigurationError(
                f"Secret {secret.key}: {key} is not PEM; restore it, or delete the Secret to have new keys made "
                "(every peering must then be made anew)"
            )
    return KeyPair(private=found["privateKey"].decode(), public=found["publicKey"].decode())

"""The WireGuard keys of gateways: `wg` makes them, in a child of a few milliseconds; a Secret keeps them (wire.md 3).

Private keys go through pipes only, never into arguments or logs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii

from msgspec import Struct

from isthmus.api import labels
from isthmus.kube.builtin import Secret
from isthmus.kube.errors import KubeError
from isthmus.kube.objects import Manifest

KEY_BYTES = 32
TIME_LIMIT = 10.0
"""Seconds a run of `wg` may take."""


class KeysError(ValueError):
    """A Secret whose keys cannot be used; says which field, and the mend. Never holds a key."""


class Keys(Struct, frozen=True):
    """A pair of 32 raw bytes each."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return "Keys(...)"


async def generate_keys() -> Keys:
    """A new pair. Raises KubeError where `wg` cannot be run."""
    private = await _wg("genkey")
    return Keys(_decode(private), _decode(await _wg("pubkey", private)))


async def belongs(keys: Keys) -> bool:
    """Whether the public key is the private one's. Raises KubeError where `wg` cannot be run."""
    return _decode(await _wg("pubkey", base64.b64encode(keys.private))) == keys.public


def read_keys(secret: Secret) -> Keys:
    """The keys of a Secret. Raises KeysError."""
    return Keys(_field(secret, "privateKey"), _field(secret, "publicKey"))


def forge_secret(name: str, namespace: str, peer: str, owner: Manifest, keys: Keys) -> Manifest:
    """The Secret of a gateway's keys; `owner` is the reference to the GatewayServer or GatewayClient."""
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {labels.GATEWAY_RESOURCE: labels.TRUE, labels.REMOTE_CLUSTER_ID: peer},
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "data": {
            "privateKey": base64.b64encode(keys.private).decode(),
            "publicKey": base64.b64encode(keys.public).decode(),
        },
    }


def _field(secret: Secret, field: str) -> bytes:
    place = f"Secret {secret.metadata.namespace}/{secret.metadata.name}"
    if field not in secret.data:
        raise KeysError(
            f"{place} has no {field}: it needs privateKey and publicKey, {KEY_BYTES} raw bytes each"
        )
    try:
        data = base64.b64decode(secret.data[field], validate=True)
    except binascii.Error:
        data = b""
    if len(data) != KEY_BYTES:
        raise KeysError(
            f"{place}: {field} has {len(data)} bytes and must be the {KEY_BYTES} raw bytes of a key"
        )
    return data


def _decode(text: bytes) -> bytes:
    return base64.b64decode(text.strip())


async def _wg(command: str, given: bytes = b"") -> bytes:
    try:
        child = await asyncio.create_subprocess_exec(
            "wg",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise KubeError(
            f"wg {command} cannot be run, and makes the keys of gateways: {error.strerror}"
        ) from None
    try:
        async with asyncio.timeout(TIME_LIMIT):
            output, _ = await child.communicate(given)
    except TimeoutError:
        raise KubeError(f"wg {command} took more than {TIME_LIMIT:.0f} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise KubeError(f"wg {command} failed with exit code {child.returncode}")
    return output

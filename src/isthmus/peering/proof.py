"""Whether a consumer is who it says, and whether a certificate request is its own (wire.md 4).

Everything judged here comes from another cluster and is bounded in size. Signatures and requests are parsed in
the child process of `isthmus.kube.certificates`; the rulings are pure. Fails with RefusedError, and with
ValueError where a public key cannot be parsed.
"""

from __future__ import annotations

import hmac
from base64 import b64decode

from isthmus.api import names
from isthmus.kube.certificates import RequestFacts, read_request, same_key, verify
from isthmus.peering.errors import RefusedError

MAXIMUM_REQUEST = 16 * 1024
MAXIMUM_KEY = 8 * 1024
MAXIMUM_SIGNATURE = 4 * 1024

_ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")
_ED25519_BYTES = 32


async def require_signature(public_key: bytes, signature: bytes, nonce: bytes) -> None:
    """The signature is the key's, over the nonce's text. Raises RefusedError, ValueError on an unusable key."""
    within = len(public_key) <= MAXIMUM_KEY and 0 < len(signature) <= MAXIMUM_SIGNATURE
    if not within or not await verify(public_key, signature, nonce):
        raise RefusedError(
            "SignatureVerificationFailed",
            "the signature is not the public key's over the nonce of Secret liqo-nonce: sign the present nonce",
        )


async def require_request(csr: bytes, common_name: str, organization: str, public_key: bytes | None) -> None:
    """The request is for exactly this subject and key (None: any key). Raises RefusedError."""
    if not 0 < len(csr) <= MAXIMUM_REQUEST:
        raise RefusedError("InvalidCSR", f"the certificate request is empty or over {MAXIMUM_REQUEST} bytes")
    try:
        facts = await read_request(csr.decode("ascii"))
    except ValueError as error:
        raise RefusedError("InvalidCSR", f"the certificate request cannot be read: {error}") from error
    if fault := find_fault(facts, common_name, organization):
        raise RefusedError("InvalidCSR", f"the certificate request {fault}")
    if public_key is not None and not await _same_key(facts.public.encode(), public_key):
        raise RefusedError(
            "InvalidCSR", "the certificate request is for another key than the Tenant's publicKey"
        )


def find_fault(facts: RequestFacts, common_name: str, organization: str) -> str:
    """What is wrong with a request, "" where nothing is. Every organization is a group: one more is an escalation."""
    if not facts.valid:
        return "is not signed with its own key"
    if facts.trailing:
        return "has bytes after its PEM block"
    if facts.sans:
        return "asks for subject alternative names"
    if facts.common_name != common_name:
        return f"has the common name {facts.common_name[:64]!r}, not {common_name!r}"
    if facts.organizations != [organization]:
        return (
            f"has the organizations {[name[:64] for name in facts.organizations[:4]]}, not [{organization!r}]"
        )
    return ""


async def require_tenant(
    consumer: str, public_key: bytes, csr: bytes, signature: bytes, nonce: bytes
) -> None:
    """A Tenant's whole proof. Raises RefusedError, ValueError on an unusable key."""
    await require_signature(public_key, signature, nonce)
    await require_request(csr, consumer, names.GROUP_CONTROL_PLANE, public_key)


def key_der(key: bytes) -> bytes:
    """The bytes a public key is compared by: the DER of PEM PKIX, or of the 32 raw bytes of Ed25519; b"" if neither."""
    if len(key) == _ED25519_BYTES:
        return _ED25519_PREFIX + key
    _, begin, rest = key.partition(b"-----BEGIN PUBLIC KEY-----")
    body, end, _ = rest.partition(b"-----END PUBLIC KEY-----")
    if not begin or not end:
        return b""
    try:
        return b64decode(b"".join(body.split()), validate=True)
    except ValueError:
        return b""


async def _same_key(key: bytes, other: bytes) -> bool:
    first, second = key_der(key), key_der(other)
    if first and hmac.compare_digest(first, second):
        return True
    try:  # One key can be written in more than one way; only a parser knows.
        return await same_key(key, other)
    except ValueError:
        return False

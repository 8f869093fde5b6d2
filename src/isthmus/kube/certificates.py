"""Contract stub; see the docstrings. To be implemented by the kube helper.

Keys, requests and certificates, made in a short-lived child process (`python -m isthmus.kube.certificates_child`,
JSON on standard input and output) because the `cryptography` library costs 10 MB resident. No secret is ever in
an argument list or an environment variable.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

KeyType = Literal["Ed25519", "RSA-2048", "EC-P256"]


class KeyPair(Struct, frozen=True):
    """A key pair: PEM PKCS8 private key, PEM PKIX public key."""

    private: str
    public: str


class RequestFacts(Struct, frozen=True):
    """What a certificate signing request says; `public` is PEM PKIX; `valid` whether it is signed by its key.
    `sans` is true where it asks for subject alternative names, `blocks` the number of PEM blocks and `trailing`
    whether anything follows the first."""

    common_name: str
    organizations: list[str]
    public: str
    valid: bool
    sans: bool
    trailing: bool


class CertificateFacts(Struct, frozen=True):
    """What a certificate says: subject, and its life as seconds since the epoch."""

    common_name: str
    organizations: list[str]
    not_before: float
    not_after: float


async def generate_key(type: KeyType = "Ed25519") -> KeyPair:
    """A new key pair."""
    raise NotImplementedError


async def make_request(
    private: str,
    common_name: str,
    organizations: list[str],
    *,
    ips: list[str] | None = None,
    dns: list[str] | None = None,
) -> str:
    """A CERTIFICATE REQUEST in PEM, subject RDNs in the order O, CN, no extension unless SANs are given.

    Byte-identical for the same Ed25519 or RSA key and subject: peers pin the bytes (wire.md 4).
    """
    raise NotImplementedError


async def read_request(pem: str) -> RequestFacts:
    """Take a request apart. Raises ValueError where it is none."""
    raise NotImplementedError


async def read_certificate(pem: str) -> CertificateFacts:
    """Take the first certificate of a PEM text apart. Raises ValueError where it is none."""
    raise NotImplementedError


async def sign(private: str, message: bytes) -> bytes:
    """Sign as wire.md 4 has it: Ed25519 over the message, RSA PKCS1v15 and ECDSA over its SHA-256."""
    raise NotImplementedError


async def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is the public key's (PEM PKIX, or 32 raw bytes of Ed25519) over the message.

    Raises ValueError where the public key cannot be parsed.
    """
    raise NotImplementedError


async def same_key(public: bytes, other: bytes) -> bool:
    """Whether two public keys (PEM PKIX or raw Ed25519) are the same in DER. Raises ValueError."""
    raise NotImplementedError


async def make_authority_and_leaf(
    authority_organization: str, leaf_common_name: str, dns: list[str], *, authority_days: int, leaf_days: int
) -> tuple[str, str, str]:
    """A throw-away authority and one server certificate of it: (ca PEM, certificate PEM, key PEM)."""
    raise NotImplementedError

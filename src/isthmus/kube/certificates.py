"""Keys, requests and certificates, without the 10 MB that the `cryptography` library costs while it is loaded.

Each function runs a short-lived child (`python -m isthmus.kube.certificates_child`, JSON on standard input and
output; 0.1 to 0.3 s of CPU). No secret is ever in an argument list or an environment variable. At most two
children run at a time, and each is killed after `TIME_LIMIT` seconds; then, and where the child fails otherwise,
KubeError is raised. What cannot be parsed raises ValueError.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import weakref
from typing import Any, Literal

import msgspec
from msgspec import Struct

from isthmus.kube.errors import KubeError

TIME_LIMIT = 30.0
CHILDREN = 2
"""How many children may run at a time: each takes some 25 MB while it runs."""

_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()
"""One gate for all of a process, whoever calls; by event loop since a semaphore belongs to one."""

KeyType = Literal["Ed25519", "RSA-2048", "EC-P256"]


class KeyPair(Struct, frozen=True):
    """A key pair: PEM PKCS8 private key, PEM PKIX public key."""

    private: str
    public: str


class RequestFacts(Struct, frozen=True):
    """What a certificate signing request says; `public` is PEM PKIX; `valid` whether it is signed by its key.

    `sans` is true where it asks for subject alternative names, `trailing` where anything follows the PEM block.
    """

    common_name: str
    organizations: list[str]
    public: str
    valid: bool
    sans: bool
    trailing: bool
    ips: list[str] = []
    """The alternative names that are addresses; the two lists are all names where `other_sans` is false."""
    dns: list[str] = []
    other_sans: bool = False


class CertificateFacts(Struct, frozen=True):
    """What a certificate says: subject, and its life as seconds since the epoch."""

    common_name: str
    organizations: list[str]
    not_before: float
    not_after: float


async def generate_key(type: KeyType = "Ed25519") -> KeyPair:
    """A new key pair."""
    answer = await _ask("generate_key", type=type)
    return KeyPair(answer["private"], answer["public"])


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
    Raises ValueError on an unusable key or address.
    """
    answer = await _ask(
        "make_request",
        private=private,
        common_name=common_name,
        organizations=organizations,
        ips=ips or [],
        dns=dns or [],
    )
    return str(answer["pem"])


async def read_request(pem: str) -> RequestFacts:
    """Take a request apart. Raises ValueError where it is none."""
    return RequestFacts(**await _ask("read_request", pem=pem))


async def read_certificate(pem: str) -> CertificateFacts:
    """Take the first certificate of a PEM text apart. Raises ValueError where it is none."""
    return CertificateFacts(**await _ask("read_certificate", pem=pem))


async def sign(private: str, message: bytes) -> bytes:
    """Sign as wire.md 4 has it: Ed25519 over the message, RSA PKCS1v15 and ECDSA over its SHA-256.

    Raises ValueError on an unusable key.
    """
    answer = await _ask("sign", private=private, message=_text(message))
    return base64.b64decode(answer["signature"])


async def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is the public key's (PEM PKIX, or 32 raw bytes of Ed25519) over the message.

    Raises ValueError where the public key cannot be parsed.
    """
    answer = await _ask("verify", public=_text(public), signature=_text(signature), message=_text(message))
    return bool(answer["valid"])


async def same_key(public: bytes, other: bytes) -> bool:
    """Whether two public keys (PEM PKIX or raw Ed25519) are the same in DER. Raises ValueError."""
    return bool((await _ask("same_key", public=_text(public), other=_text(other)))["same"])


async def make_authority_and_leaf(
    authority_organization: str, leaf_common_name: str, dns: list[str], *, authority_days: int, leaf_days: int
) -> tuple[str, str, str]:
    """A throw-away authority and one server certificate of it: (ca PEM, certificate PEM, key PEM)."""
    answer = await _ask(
        "make_authority_and_leaf",
        organization=authority_organization,
        common_name=leaf_common_name,
        dns=dns,
        authority_days=authority_days,
        leaf_days=leaf_days,
    )
    return answer["ca"], answer["certificate"], answer["key"]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _ask(operation: str, **arguments: Any) -> dict[str, Any]:
    gate = _gates.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(CHILDREN))
    async with gate:
        answer = await _run(msgspec.json.encode({"operation": operation, **arguments}))
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer


async def _run(request: bytes) -> dict[str, Any]:
    # -P keeps the working directory out of the module path.
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "isthmus.kube.certificates_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(TIME_LIMIT):
            output, _ = await child.communicate(request)
    except TimeoutError:
        raise KubeError(f"working on a certificate took more than {TIME_LIMIT:.0f} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise KubeError(f"the child process for certificates failed with exit code {child.returncode}")
    return msgspec.json.decode(output, type=dict[str, Any])

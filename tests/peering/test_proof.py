"""A consumer's proof: every way it can be wrong is refused (wire.md 4)."""

from __future__ import annotations

import base64

import pytest

from isthmus.kube.certificates import RequestFacts, generate_key, make_request, sign
from isthmus.peering.errors import RefusedError
from isthmus.peering.proof import find_fault, key_der, require_request, require_tenant

NONCE = base64.b64encode(bytes(64))
GOOD = RequestFacts("rome", ["liqo.io"], "PEM", valid=True, sans=False, trailing=False)


def facts(**changes: object) -> RequestFacts:
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__}
    return RequestFacts(**{**fields, **changes})


def test_the_expected_request_has_no_fault() -> None:
    assert find_fault(GOOD, "rome", "liqo.io") == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"common_name": "admin"}, "common name"),
        ({"organizations": []}, "organizations"),
        ({"organizations": ["liqo.io", "system:masters"]}, "organizations"),
        ({"organizations": ["system:masters"]}, "organizations"),
        ({"valid": False}, "own key"),
        ({"sans": True}, "alternative names"),
        ({"trailing": True}, "after its PEM block"),
    ],
)
def test_faults(changes: dict[str, object], said: str) -> None:
    assert said in find_fault(facts(**changes), "rome", "liqo.io")


@pytest.mark.parametrize("key_type", ["Ed25519", "RSA-2048"])
async def test_a_true_proof_is_taken_and_a_false_one_is_not(key_type: str) -> None:
    pair = await generate_key(key_type)  # type: ignore[arg-type]
    public, csr = pair.public.encode(), (await make_request(pair.private, "rome", ["liqo.io"])).encode()
    signature = await sign(pair.private, NONCE)
    await require_tenant("rome", public, csr, signature, NONCE)

    other = base64.b64encode(b"\1" * 64)
    with pytest.raises(RefusedError, match="not the public key's") as refused:
        await require_tenant("rome", public, csr, signature, other)
    assert refused.value.reason == "SignatureVerificationFailed"
    with pytest.raises(RefusedError, match="common name"):
        await require_tenant("turin", public, csr, signature, NONCE)


async def test_a_request_for_another_key_is_refused() -> None:
    pair, other = await generate_key(), await generate_key()
    csr = (await make_request(other.private, "rome", ["liqo.io"])).encode()
    with pytest.raises(RefusedError, match="another key") as refused:
        await require_request(csr, "rome", "liqo.io", pair.public.encode())
    assert refused.value.reason == "InvalidCSR"
    await require_request(csr, "rome", "liqo.io", None)


async def test_the_key_may_come_as_raw_ed25519() -> None:
    pair = await generate_key()
    raw = key_der(pair.public.encode())[-32:]
    csr = (await make_request(pair.private, "rome", ["liqo.io"])).encode()
    await require_tenant("rome", raw, csr, await sign(pair.private, NONCE), NONCE)


@pytest.mark.parametrize("csr", [b"", b"x", b"\xff", b"A" * 20_000])
async def test_what_is_no_request_is_refused(csr: bytes) -> None:
    with pytest.raises(RefusedError):
        await require_request(csr, "rome", "liqo.io", None)


async def test_an_oversized_signature_is_refused_unread() -> None:
    pair = await generate_key()
    with pytest.raises(RefusedError, match="not the public key's"):
        await require_tenant("rome", pair.public.encode(), b"x", b"s" * 100_000, NONCE)


def test_key_der() -> None:
    assert key_der(b"k" * 32).endswith(b"k" * 32)
    assert key_der(b"-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\n") == b"\0\1\2"
    assert key_der(b"-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n") == b""
    assert key_der(b"nothing") == b""

"""Keys, requests and certificates, as another implementation (openssl) reads and makes them."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isthmus.kube import certificates
from isthmus.kube.certificates import (
    KeyType,
    generate_key,
    make_authority_and_leaf,
    make_request,
    read_certificate,
    read_request,
    same_key,
    sign,
    verify,
)
from isthmus.kube.errors import KubeError
from isthmus.kube.tls import client_context, server_context


def openssl(*arguments: str, text: str = "") -> str:
    return subprocess.run(
        ["openssl", *arguments], input=text, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("kind", ["Ed25519", "RSA-2048", "EC-P256"])
async def test_requests_and_signatures_of_each_kind_of_key(kind: KeyType, tmp_path: Path) -> None:
    key = await generate_key(kind)
    request = await make_request(key.private, "rome", ["liqo.io"])
    facts = await read_request(request)
    assert (facts.common_name, facts.organizations, facts.valid) == ("rome", ["liqo.io"], True)
    assert (facts.sans, facts.trailing) == (False, False)
    assert await same_key(facts.public.encode(), key.public.encode())
    told = openssl("req", "-noout", "-verify", "-subject", "-text", text=request)
    assert "O = liqo.io, CN = rome" in told
    assert "".join(told.split("Attributes:")[1].split()).startswith("(none)")
    if kind != "EC-P256":
        assert await make_request(key.private, "rome", ["liqo.io"]) == request

    signature = await sign(key.private, b"nonce")
    assert await verify(key.public.encode(), signature, b"nonce")
    assert not await verify(key.public.encode(), signature, b"other")
    assert not await verify(key.public.encode(), b"junk", b"nonce")
    files = {"key": key.public.encode(), "signature": signature, "message": b"nonce"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    common = ["-pubin", "-inkey", str(tmp_path / "key"), "-sigfile", str(tmp_path / "signature")]
    raw = ["-rawin"] if kind == "Ed25519" else ["-rawin", "-digest", "sha256"]
    assert "Success" in openssl("pkeyutl", "-verify", *common, *raw, "-in", str(tmp_path / "message"))


async def test_a_raw_ed25519_key_is_taken() -> None:
    key = await generate_key()
    raw = base64.b64decode("".join(key.public.splitlines()[1:-1]))[-32:]
    assert await same_key(raw, key.public.encode())
    assert await verify(raw, await sign(key.private, b"x"), b"x")


async def test_names_for_a_serving_certificate() -> None:
    key = await generate_key("EC-P256")
    request = await make_request(
        key.private, "system:node:rome", ["system:nodes"], ips=["10.0.0.1"], dns=["a.b"]
    )
    assert (await read_request(request)).sans
    told = openssl("req", "-noout", "-text", text=request)
    assert "DNS:a.b, IP Address:10.0.0.1" in told
    assert "O = system:nodes, CN = system:node:rome" in told


async def test_a_name_beyond_ascii_keeps_its_meaning() -> None:
    key = await generate_key()
    facts = await read_request(await make_request(key.private, "mailänd*", ["a&b"]))
    assert (facts.common_name, facts.organizations) == ("mailänd*", ["a&b"])


async def test_a_forged_or_padded_request_is_seen() -> None:
    key, other = await generate_key(), await generate_key()
    request = await make_request(key.private, "rome", ["liqo.io"])
    der = bytearray(base64.b64decode("".join(request.splitlines()[1:-1])))
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der)).decode()
    forged = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    assert not (await read_request(forged)).valid
    assert (await read_request(request + "more")).trailing
    assert not await same_key(key.public.encode(), other.public.encode())


@pytest.mark.parametrize(
    "junk", ["", "junk", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
async def test_junk_is_a_value_error(junk: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        await read_request(junk)
    with pytest.raises(ValueError, match=r"."):
        await verify(junk.encode(), b"", b"")


async def test_an_authority_and_its_leaf_work_together() -> None:
    ca, certificate, key = await make_authority_and_leaf(
        "isthmus",
        "webhook",
        ["webhook.liqo.svc", "webhook.liqo.svc.cluster.local"],
        authority_days=20,
        leaf_days=10,
    )
    facts = await read_certificate(certificate)
    assert facts.common_name == "webhook"
    assert facts.not_before < time.time() < facts.not_after
    assert 9.9 < (facts.not_after - time.time()) / 86400 < 10.1
    server_context(certificate, key)
    client_context(ca)
    told = openssl("x509", "-noout", "-text", text=certificate)
    assert "DNS:webhook.liqo.svc, DNS:webhook.liqo.svc.cluster.local" in told


async def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "TIME_LIMIT", 0.01)
    with pytest.raises(KubeError, match="took more than"):
        await generate_key()


def test_the_parent_does_not_load_cryptography() -> None:
    """It costs 10 MB resident (python-stack.md 0, finding 7)."""
    program = (
        "import sys, isthmus.kube.certificates, isthmus.kube.manager, isthmus.kube.server, isthmus.kube.lease;"
        "print([m for m in ('cryptography', 'yaml', 'click', 'rich') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )

"""Certificates for tests: an authority that signs, and the product's own work on keys without its child processes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from isthmus.kube import certificates, certificates_child

DAY = 86400.0


@pytest.fixture
def certificates_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have keys and certificates made in this process: children take 0.2 s each, and no virtual time waits for them."""

    async def run(request: bytes) -> dict[str, Any]:
        return certificates_child.answer(json.loads(request))

    monkeypatch.setattr(certificates, "_run", run)


class Authority:
    """A certificate authority; what it issues begins a day ago, as signers allow for clocks that differ."""

    def __init__(self, name: str = "kubernetes") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self._name, self._key.public_key(), 3650 * DAY)
        self._certificate = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> str:
        """Its own certificate."""
        return _pem(self._certificate)

    def sign(self, request: bytes, seconds: float = DAY) -> str:
        """The certificate (PEM) of a request (PEM), good for so many seconds from now."""
        asked = x509.load_pem_x509_csr(request)
        builder = self._builder(asked.subject, asked.public_key(), seconds)
        for extension in asked.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return _pem(builder.sign(self._key, hashes.SHA256()))

    def issue(self, common_name: str, *organizations: str) -> tuple[str, str]:
        """A client's certificate and key (PEM)."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = self._builder(subject, key.public_key(), DAY).sign(self._key, hashes.SHA256())
        return _pem(certificate), private.decode()

    def _builder(self, subject: x509.Name, public: Any, seconds: float) -> x509.CertificateBuilder:
        begin, end = (datetime.fromtimestamp(time.time() + one, UTC) for one in (-DAY, seconds))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()

"""The keys and certificates of a cluster, as kubeadm would make them, but with elliptic curves for speed.

Owns the folder `pki` of a cluster. Keys are written readable by root only. Nothing here renews: a lab lives
for days, its certificates for a year. Fails only as the file system does.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.lab.plan import Cluster

LIFETIME = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(minutes=5)
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Subject:
    """Whom a certificate names, and the addresses it is good for when it is a server's."""

    common_name: str
    organization: str | None = None
    names: tuple[str, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the lab, in memory."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def subjects(cluster: Cluster) -> dict[str, tuple[Subject, tuple[x509.ObjectIdentifier, ...]]]:
    """The certificates that the cluster's own authority signs, by file name, with what each may be used for."""
    api = Subject(
        "kube-apiserver",
        names=(
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ),
        addresses=(cluster.address, cluster.service_cidr[1], IPv4Address("127.0.0.1")),
    )
    found: dict[str, tuple[Subject, tuple[x509.ObjectIdentifier, ...]]] = {
        "apiserver": (api, (SERVER,)),
        "apiserver-kubelet-client": (Subject("kube-apiserver-kubelet-client", "system:masters"), (CLIENT,)),
        "admin": (Subject("kubernetes-admin", "system:masters"), (CLIENT,)),
        "controller-manager": (Subject("system:kube-controller-manager"), (CLIENT,)),
        "scheduler": (Subject("system:kube-scheduler"), (CLIENT,)),
        "kube-proxy": (Subject("system:kube-proxy"), (CLIENT,)),
        "coredns": (Subject("system:coredns"), (CLIENT,)),
    }
    for worker in cluster.workers:
        subject = Subject(f"system:node:{worker.name}", "system:nodes", (worker.name,), (worker.address,))
        found[worker.name] = (subject, (SERVER, CLIENT))
    return found


def create(cluster: Cluster, folder: Path) -> None:
    """Write every key and certificate of a cluster into a folder, which is made readable by root only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _create_authority(f"{cluster.name}-ca", folder / "ca")
    for name, (subject, usages) in subjects(cluster).items():
        _issue(authority, subject, usages, folder / name)
    front = _create_authority(f"{cluster.name}-front-proxy-ca", folder / "front-proxy-ca")
    _issue(front, Subject("front-proxy-client"), (CLIENT,), folder / "front-proxy-client")
    accounts = ec.generate_private_key(ec.SECP256R1())
    _write_key(accounts, folder / "service-accounts")
    public = accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "service-accounts.pub").write_bytes(public)


def _create_authority(name: str, stem: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True, key_encipherment=False, content_commitment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    authority = Authority(key, builder.sign(key, hashes.SHA256()))
    _write_key(key, stem)
    _write_certificate(authority.certificate, stem)
    return authority


def _issue(
    authority: Authority, subject: Subject, usages: Sequence[x509.ObjectIdentifier], stem: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name)]
    if subject.organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.organization))
    issuer = authority.certificate.subject
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in subject.names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in subject.addresses]
    builder = (
        _builder(x509.Name(attributes), issuer, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    _write_key(key, stem)
    _write_certificate(builder.sign(authority.key, hashes.SHA256()), stem)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _write_certificate(certificate: x509.Certificate, stem: Path) -> None:
    stem.with_name(stem.name + ".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(key: ec.EllipticCurvePrivateKey, stem: Path) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(stem.with_name(stem.name + ".key"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)

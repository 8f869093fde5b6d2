"""The child process behind `certificates`: one operation, JSON in on standard input, JSON out on standard output.

It alone imports `cryptography` (10 MB). Nothing is logged and no secret is in its arguments or environment. What
cannot be parsed is answered `{"error": ...}`; the parent raises it as ValueError.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import sys
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PRINTABLE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 '()+,-./:=?")
"""What Go encodes as PrintableString; everything else becomes UTF8String. Peers pin the bytes (wire.md 4)."""
MAX_RSA_BITS = 8192
"""Keys of other clusters beyond this cost more time than they are worth."""

Answer = dict[str, Any]


def generate_key(request: Answer) -> Answer:
    """{type} -> {private, public}."""
    key: Any
    match request["type"]:
        case "Ed25519":
            key = ed25519.Ed25519PrivateKey.generate()
        case "RSA-2048":
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "EC-P256":
            key = ec.generate_private_key(ec.SECP256R1())
        case other:
            raise ValueError(f"unknown key type {other!r}; use Ed25519, RSA-2048 or EC-P256")
    return {"private": private_pem(key), "public": public_pem(key.public_key())}


def make_request(request: Answer) -> Answer:
    """{private, common_name, organizations, ips, dns} -> {pem}."""
    key = load_private(request["private"])
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        subject(request["common_name"], request["organizations"])
    )
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in request["dns"]]
    names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in request["ips"]]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(key, digest(key))
    return {"pem": signed.public_bytes(serialization.Encoding.PEM).decode()}


def read_request(request: Answer) -> Answer:
    """{pem} -> the fields of RequestFacts."""
    block, trailing = first_block(request["pem"], "CERTIFICATE REQUEST")
    csr = x509.load_pem_x509_csr(block)
    try:
        names = list(csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        sans = True
    except x509.ExtensionNotFound:
        names, sans = [], False
    ips = [str(name.value) for name in names if isinstance(name, x509.IPAddress)]
    dns = [name.value for name in names if isinstance(name, x509.DNSName)]
    try:
        valid = csr.is_signature_valid
    except (UnsupportedAlgorithm, InvalidSignature):
        valid = False
    return {
        "common_name": attribute(csr.subject, NameOID.COMMON_NAME),
        "organizations": attributes(csr.subject, NameOID.ORGANIZATION_NAME),
        "public": public_pem(csr.public_key()),
        "valid": valid,
        "sans": sans,
        "trailing": trailing,
        "ips": ips,
        "dns": dns,
        "other_sans": len(ips) + len(dns) < len(names),
    }


def read_certificate(request: Answer) -> Answer:
    """{pem} -> the fields of CertificateFacts."""
    block, _ = first_block(request["pem"], "CERTIFICATE")
    certificate = x509.load_pem_x509_certificate(block)
    return {
        "common_name": attribute(certificate.subject, NameOID.COMMON_NAME),
        "organizations": attributes(certificate.subject, NameOID.ORGANIZATION_NAME),
        "not_before": certificate.not_valid_before_utc.timestamp(),
        "not_after": certificate.not_valid_after_utc.timestamp(),
    }


def sign(request: Answer) -> Answer:
    """{private, message} -> {signature}; both base64."""
    key = load_private(request["private"])
    message = base64.b64decode(request["message"])
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(message)
    elif isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
    return {"signature": base64.b64encode(signature).decode()}


def verify(request: Answer) -> Answer:
    """{public, signature, message} -> {valid}; all base64."""
    key = load_public(base64.b64decode(request["public"]))
    signature = base64.b64decode(request["signature"])
    message = base64.b64decode(request["message"])
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return {"valid": False}
    return {"valid": True}


def same_key(request: Answer) -> Answer:
    """{public, other} -> {same}; both base64."""
    one, other = (load_public(base64.b64decode(request[name])) for name in ("public", "other"))
    return {"same": public_der(one) == public_der(other)}


def make_authority_and_leaf(request: Answer) -> Answer:
    """{organization, common_name, dns, authority_days, leaf_days} -> {ca, certificate, key}."""
    now = datetime.datetime.now(datetime.UTC)
    # An hour back: the API server's clock may be behind ours.
    begin = now - datetime.timedelta(hours=1)
    authority_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = subject("", [request["organization"]])
    authority = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(authority_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + datetime.timedelta(days=request["authority_days"]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        x509.CertificateBuilder()
        .subject_name(subject(request["common_name"], []))
        .issuer_name(issuer)
        .public_key(leaf_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + datetime.timedelta(days=request["leaf_days"]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in request["dns"]]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return {
        "ca": authority.public_bytes(serialization.Encoding.PEM).decode(),
        "certificate": leaf.public_bytes(serialization.Encoding.PEM).decode(),
        "key": private_pem(leaf_key),
    }


def key_usage(*, authority: bool) -> x509.KeyUsage:
    """The key usage of an authority, or of a TLS server."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def subject(common_name: str, organizations: list[str]) -> x509.Name:
    """The name as Go encodes it: O, all values in one RDN, then CN."""
    parts = []
    if organizations:
        parts.append(
            x509.RelativeDistinguishedName(
                [name(NameOID.ORGANIZATION_NAME, value) for value in organizations]
            )
        )
    if common_name:
        parts.append(x509.RelativeDistinguishedName([name(NameOID.COMMON_NAME, common_name)]))
    return x509.Name(parts)


def name(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    """One attribute of a name, in the string type Go would choose."""
    kind = _ASN1Type.PrintableString if PRINTABLE.issuperset(value) else _ASN1Type.UTF8String
    return x509.NameAttribute(oid, value, _type=kind)


def attributes(subject: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    """The text values of that attribute."""
    return [a.value for a in subject.get_attributes_for_oid(oid) if isinstance(a.value, str)]


def attribute(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    """The last value of that attribute (as Go reads names), "" without."""
    return (attributes(subject, oid) or [""])[-1]


def first_block(pem: str, label: str) -> tuple[bytes, bool]:
    """The first PEM block, which must bear that label, and whether anything but white space follows."""
    begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
    text = pem.lstrip()
    if not text.startswith(begin) or end not in text:
        raise ValueError(f"no PEM block {label} at the beginning")
    block, _, rest = text.partition(end)
    return (block + end + "\n").encode(), bool(rest.strip())


def digest(key: Any) -> hashes.SHA256 | None:
    """The hash to sign with; Ed25519 has its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def load_private(pem: str) -> ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """A private key of a known type."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if isinstance(key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return key
    raise ValueError("the private key is neither Ed25519, RSA nor ECDSA")


def load_public(data: bytes) -> ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """A public key: PEM PKIX, or the 32 raw bytes of Ed25519 (wire.md 4)."""
    if len(data) == 32:
        return ed25519.Ed25519PublicKey.from_public_bytes(data)
    key = serialization.load_pem_public_key(data)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size > MAX_RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits is too large; {MAX_RSA_BITS} are taken at most")
    if isinstance(key, ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key
    raise ValueError("the public key is neither Ed25519, RSA nor ECDSA")


def private_pem(key: Any) -> str:
    """PEM PKCS8."""
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def public_pem(key: Any) -> str:
    """PEM PKIX."""
    return str(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    )


def public_der(key: Any) -> bytes:
    """DER PKIX."""
    return bytes(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


OPERATIONS: dict[str, Callable[[Answer], Answer]] = {
    operation.__name__: operation
    for operation in (
        generate_key,
        make_request,
        read_request,
        read_certificate,
        sign,
        verify,
        same_key,
        make_authority_and_leaf,
    )
}


def answer(request: Answer) -> Answer:
    """Carry out one request; what it comes to, or `error`."""
    try:
        return OPERATIONS[request["operation"]](request)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return {"error": str(error) or type(error).__name__}


def main() -> None:
    """Carry out the one request on standard input."""
    sys.stdout.write(json.dumps(answer(json.loads(sys.stdin.buffer.read()))))


if __name__ == "__main__":
    main()

"""The keys and certificates of a cluster, checked with another implementation than the one that made them."""

import ssl
import stat
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.lab import certificates
from isthmus.lab.plan import plan_clusters, site_from_environment

(ROME,) = plan_clusters(site_from_environment({}), 1, 2)


def read(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def test_keys_are_for_root_only_and_fit_their_certificates(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    certificates.create(ROME, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    keys = list(folder.glob("*.key"))
    assert len(keys) == 2 + 1 + 1 + len(certificates.subjects(ROME))
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        if key.stem != "service-accounts":
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(key.with_suffix(".crt"), key)


def test_the_api_server_is_known_by_every_address_it_is_called_by(tmp_path: Path) -> None:
    certificates.create(ROME, tmp_path)
    names = read(tmp_path, "apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {
        "172.29.1.1",
        "10.96.0.1",
        "127.0.0.1",
    }
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_a_node_is_who_the_node_authorizer_expects(tmp_path: Path) -> None:
    certificates.create(ROME, tmp_path)
    node = read(tmp_path, "rome-worker-1")
    subject = {attribute.oid: attribute.value for attribute in node.subject}
    assert subject == {
        NameOID.COMMON_NAME: "system:node:rome-worker-1",
        NameOID.ORGANIZATION_NAME: "system:nodes",
    }
    usage = node.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    node.verify_directly_issued_by(read(tmp_path, "ca"))


def test_the_front_proxy_has_an_authority_of_its_own(tmp_path: Path) -> None:
    certificates.create(ROME, tmp_path)
    read(tmp_path, "front-proxy-client").verify_directly_issued_by(read(tmp_path, "front-proxy-ca"))
    assert read(tmp_path, "front-proxy-ca").public_key() != read(tmp_path, "ca").public_key()

"""Who a consumer says it is: signatures, keys and certificate requests that do not fit, each refused and told why."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from isthmus.api import names
from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.kube.objects import Manifest
from isthmus.peering.handshake import forge_nonce_secret, forge_tenant, forge_tenant_namespace
from tests.cluster.safety.conftest import AWAY, Stage
from tests.cluster.safety.test_hostile_consumer import copy
from tests.cluster.support import Cluster, eventually

CONSUMER = "proof"
NAMESPACE = "liqo-tenant-proof"


def request(
    key: Ed25519PrivateKey, name: str, *organizations: str, alternative: str = "", signer: Any = None
) -> str:
    """A certificate request; PEM."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if alternative:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(alternative)]), critical=False
        )
    return builder.sign(signer or key, None).public_bytes(Encoding.PEM).decode()


@dataclass
class Candidate:
    """A cluster that wants to be let in, with a nonce of milan's."""

    milan: Cluster
    nonce: bytes
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def tenant(self, **changed: Any) -> Manifest:
        """Its Tenant; whatever is not changed is right."""
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        right = {
            "public_key": public,
            "csr": request(self.key, CONSUMER, "liqo.io"),
            "signature": self.key.sign(self.nonce),
            "namespace": NAMESPACE,
        }
        forged = forge_tenant(CONSUMER, **(right | changed))
        return {"apiVersion": "authentication.liqo.io/v1beta1", "kind": "Tenant", **forged}

    def told(self, part: str) -> bool:
        """Whether an event on the Tenant says so."""
        return any(
            part in event["message"]
            for event in self.milan.items("events", "-n", NAMESPACE)
            if event["involvedObject"]["kind"] == "Tenant"
        )

    def status(self) -> dict[str, Any]:
        return dict(self.milan.get("tenant", CONSUMER, "-n", NAMESPACE).get("status", {}))


@pytest.fixture(scope="module")
def candidate(installed: tuple[Cluster, Cluster]) -> Iterator[Candidate]:
    """Milan has made a nonce for it."""
    _, milan = installed
    milan.apply(
        {"apiVersion": "v1", "kind": "Namespace", **forge_tenant_namespace(CONSUMER, NAMESPACE)},
        {"apiVersion": "v1", "kind": "Secret", **forge_nonce_secret(CONSUMER, NAMESPACE)},
    )

    def nonce() -> bytes:
        found = milan.get("secret", "liqo-nonce", "-n", NAMESPACE).get("data", {}).get("nonce", "")
        return base64.b64decode(found)

    eventually(nonce, within=60, what="the nonce")
    yield Candidate(milan, nonce())
    milan.kubectl("delete", "namespace", NAMESPACE, "--timeout=60s", timeout=70)


@pytest.mark.timeout(300)
def test_tenants_that_prove_nothing_are_refused_and_the_right_one_is_let_in(candidate: Candidate) -> None:
    other = Ed25519PrivateKey.generate()
    key = candidate.key
    cases: list[tuple[dict[str, Any], str]] = [
        ({"signature": other.sign(candidate.nonce)}, "the signature is not the public key's over the nonce"),
        ({"signature": key.sign(base64.b64decode(candidate.nonce))}, "sign the present nonce"),
        ({"signature": b"x" * 5000}, "the signature is not the public key's"),
        ({"csr": request(key, "rome", "liqo.io")}, "has the common name 'rome', not 'proof'"),
        ({"csr": request(key, "system:admin", "liqo.io")}, "has the common name 'system:admin'"),
        ({"csr": request(key, CONSUMER, "system:masters")}, "has the organizations ['system:masters']"),
        ({"csr": request(key, CONSUMER, "liqo.io", "system:masters")}, "'system:masters'], not ['liqo.io']"),
        ({"csr": request(key, CONSUMER)}, "has the organizations [], not ['liqo.io']"),
        ({"csr": request(other, CONSUMER, "liqo.io")}, "is for another key than the Tenant's publicKey"),
        ({"csr": request(key, CONSUMER, "liqo.io", alternative="kubernetes")}, "subject alternative names"),
        ({"csr": request(key, CONSUMER, "liqo.io") + "more"}, "bytes after its PEM block"),
        ({"csr": "-----BEGIN CERTIFICATE REQUEST-----\nx"}, "the certificate request cannot be read"),
        ({"csr": "x" * 20000}, "over 16384 bytes"),
        ({"public_key": "nonsense"}, "spec.publicKey cannot be read"),
    ]
    for changed, part in cases:
        candidate.milan.apply(candidate.tenant(**changed))
        eventually(lambda part=part: candidate.told(part), within=60, what=f"the event that says: {part}")  # type: ignore[misc]
        assert "authParams" not in candidate.status()
        assert not candidate.milan.items("rolebindings", "-n", NAMESPACE)
        assert not candidate.milan.items("csr", "-l", f"liqo.io/remote-cluster-id={CONSUMER}")
    candidate.milan.apply(candidate.tenant())
    eventually(lambda: "authParams" in candidate.status(), within=60, what="the right one admitted")


def test_an_id_that_is_a_group_of_the_provider_is_refused(candidate: Candidate) -> None:
    milan, name = candidate.milan, "developers"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "isthmus-test-developers"},
        "roleRef": role,
        "subjects": [subject],
    }
    namespace = f"liqo-tenant-{name}"
    tenant = forge_tenant(name, public_key="x", csr="x", signature=b"x", namespace=namespace)
    milan.apply(binding, {"apiVersion": "v1", "kind": "Namespace", **forge_tenant_namespace(name, namespace)})
    try:
        manifest = {"apiVersion": "authentication.liqo.io/v1beta1", "kind": "Tenant", **tenant}
        done = milan.kubectl("create", "-f", "-", stdin=json.dumps(manifest), check=False)
        assert done.returncode != 0
        assert "isthmus-test-developers gives rights to the group of that name" in done.stderr
    finally:
        milan.kubectl("delete", "clusterrolebinding", "isthmus-test-developers")
        milan.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.timeout(300)
async def test_slices_whose_request_is_not_their_own_are_denied(stage: Stage) -> None:
    keys = stage.rome.get("secret", "authentication-keys", "-n", "liqo")["data"]
    key: Any = load_pem_private_key(base64.b64decode(keys["privateKey"]), None)
    other = Ed25519PrivateKey.generate()

    def spec(csr: str, **changed: str) -> dict[str, Any]:
        right = {"consumerClusterID": "rome", "providerClusterID": "milan", "class": "default"}
        return {**right, "csr": base64.b64encode(csr.encode()).decode(), **changed}

    def own(slice_: str, group: str = "rome", by: Any = None, user: str = "") -> str:
        return request(by or key, user or names.resource_slice_user(slice_, "rome"), group)

    cases: dict[str, tuple[dict[str, Any], str]] = {
        "other-key": (spec(own("other-key", by=other)), "another key than the Tenant's publicKey"),
        "other-name": (spec(own("milan")), "has the common name"),
        "admin": (spec(own("admin", user="kubernetes-admin")), "has the common name 'kubernetes-admin'"),
        "masters": (spec(own("masters", "system:masters")), "has the organizations ['system:masters']"),
        "others": (spec(own("others", stage.other)), "has the organizations"),
        "nodes": (spec(own("nodes", "system:nodes")), "has the organizations"),
        "foreign": (spec(own("foreign"), consumerClusterID=stage.other), "there is no Tenant of cluster"),
        "elsewhere": (
            spec(own("elsewhere"), providerClusterID="naples"),
            "the slice is for provider 'naples'",
        ),
        "unreadable": (spec("nonsense"), "the certificate request cannot be read"),
    }

    def ruling(name: str) -> tuple[str, str]:
        status = stage.milan.get("resourceslices.authentication.liqo.io", name, "-n", AWAY).get("status", {})
        found = [one for one in status.get("conditions", []) if one["type"] == "Authentication"]
        return (found[0]["status"], found[0]["message"]) if found else ("", "")

    async with stage.client("control plane") as client:
        try:
            for name, (content, _) in {**cases, "right": (spec(own("right")), "")}.items():
                await client.create(RESOURCE_SLICES.partial(), copy(name, content), AWAY)
            eventually(lambda: ruling("right")[0] == "Accepted", within=60, what="the right one accepted")
            for name, (_, part) in cases.items():
                eventually(lambda name=name: ruling(name)[0], within=60, what=f"the ruling on {name}")  # type: ignore[misc]
                status, message = ruling(name)
                assert status == "Denied", name
                assert part in message, message
                found = stage.milan.get("resourceslices.authentication.liqo.io", name, "-n", AWAY)["status"]
                assert "authParams" not in found
                assert stage.milan.get("quota", names.resource_slice_user(name, "rome"), "-n", AWAY) is None
        finally:
            for name in (*cases, "right"):
                await client.delete(RESOURCE_SLICES, name, AWAY)
            stage.milan.kubectl(
                "delete", "secret", "liqo-remote-certificate-right", "-n", AWAY, "--ignore-not-found"
            )

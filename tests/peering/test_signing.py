"""The request to the cluster's signer, and what is kept of it (wire.md 4)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.kube.builtin import CertificateSigningRequest, Secret
from isthmus.kube.errors import KubeError
from isthmus.peering import rbac
from isthmus.peering.signing import (
    Certificate,
    CertificateRequest,
    SigningError,
    _require_no_refusal,
    forge_approval,
    forge_signing_request,
    forge_stored,
    read_stored,
)
from isthmus.peering.validity import read_validity

from .objects import decode
from .test_validity import SAMPLE


def request(csr: bytes = b"CSR", evidence: tuple[bytes, ...] = (b"key",)) -> CertificateRequest:
    return CertificateRequest("rome", "liqo-tenant-rome", "liqo-remote-certificate", csr, evidence)


def test_the_signing_request() -> None:
    manifest = forge_signing_request(request())
    assert manifest["metadata"]["generateName"] == "liqo-identity-"
    assert manifest["metadata"]["labels"]["liqo.io/remote-tenant-csr"] == "true"
    spec = manifest["spec"]
    assert base64.b64decode(spec["request"]) == b"CSR"
    assert spec["signerName"] == "kubernetes.io/kube-apiserver-client"
    assert spec["usages"] == ["digital signature", "key encipherment", "client auth"]
    assert "expirationSeconds" not in spec
    [condition] = forge_approval("2026-11-23T12:00:00Z")["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Approved", "IdentityManagerApproval")


def test_what_is_stored_can_be_read_again_and_has_no_owner() -> None:
    certificate = Certificate(SAMPLE.encode(), read_validity(SAMPLE))
    manifest = forge_stored(request(), certificate)
    assert set(manifest["data"]) == {"csr", "certificate"}
    assert "ownerReferences" not in manifest["metadata"]
    assert read_stored(decode(Secret, manifest)) == certificate
    assert read_stored(Secret()) is None
    late = Certificate(SAMPLE.encode(), read_validity(SAMPLE).since(read_validity(SAMPLE).not_before + 300))
    assert read_stored(decode(Secret, forge_stored(request(), late))) == late


@given(st.lists(st.binary(max_size=4), max_size=3), st.lists(st.binary(max_size=4), max_size=3))
def test_the_digest_tells_all_evidence_apart(one: list[bytes], other: list[bytes]) -> None:
    same = request(evidence=tuple(one)).digest == request(evidence=tuple(other)).digest
    assert same == (one == other)


def test_a_refusing_signer_is_an_error() -> None:
    conditions = [{"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": "no"}]
    refused = decode(CertificateSigningRequest, {"status": {"conditions": conditions}})
    with pytest.raises(SigningError, match="SignerValidationFailure"):
        _require_no_refusal(refused)
    assert issubclass(SigningError, KubeError)


def test_the_rules_name_the_signer_and_the_roles_that_may_be_given() -> None:
    named = {
        rule["resources"][0]: rule["resourceNames"] for rule in rbac.CLUSTER_RULES if "resourceNames" in rule
    }
    assert named == {
        "signers": ["kubernetes.io/kube-apiserver-client"],
        "clusterroles": ["liqo-remote-controlplane", "liqo-virtual-kubelet-remote-clusterwide"],
    }
    for rule in rbac.CLUSTER_RULES:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]

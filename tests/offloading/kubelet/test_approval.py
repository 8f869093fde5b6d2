"""Which serving certificates are approved: exactly those of virtual nodes, asked for by those who may."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isthmus.kube.builtin import CertificateSigningRequest
from isthmus.kube.certificates import CertificateFacts, RequestFacts
from isthmus.kube.objects import Key
from isthmus.offloading.kubelet.approval import SIGNER, Identity, fault, forge_approval, is_for_us
from isthmus.offloading.kubelet.serving import ServingCertificate

OWN = Identity("system:serviceaccount:liqo:liqo-controller-manager", "10.0.0.9")
TENANT = "system:serviceaccount:liqo-tenant-milan:milan"
NODES = {Key("liqo-tenant-milan", "milan"), Key("liqo-tenant-turin", "turin")}
FACTS = RequestFacts(
    common_name="system:node:milan",
    organizations=["system:nodes"],
    public="",
    valid=True,
    sans=True,
    trailing=False,
    ips=["10.0.0.9"],
)


def request(username: str = OWN.username, **fields: Any) -> CertificateSigningRequest:
    spec = {"signerName": SIGNER, "username": username, "usages": ["digital signature", "server auth"]}
    spec |= fields.pop("spec", {})
    return msgspec.convert({"metadata": {"name": "r"}, "spec": spec, **fields}, CertificateSigningRequest)


def test_ours_and_those_of_tenants_are_approved() -> None:
    assert is_for_us(request(), OWN)
    assert fault(request(), FACTS, NODES, OWN) == ""
    assert is_for_us(request(TENANT), OWN)
    facts = msgspec.structs.replace(FACTS, ips=["10.1.2.3"])
    assert fault(request(TENANT), facts, NODES, OWN) == ""
    rsa = request(spec={"usages": ["server auth", "key encipherment", "digital signature"]})
    assert fault(rsa, FACTS, NODES, OWN) == ""


@pytest.mark.parametrize(
    "others",
    [
        request("system:serviceaccount:default:evil"),
        request("system:node:worker-1"),
        request("kubernetes-admin"),
        request("system:serviceaccount:liqo:another"),
        request(spec={"signerName": "kubernetes.io/kube-apiserver-client"}),
        request(status={"certificate": "eA=="}),
        request(status={"conditions": [{"type": "Denied", "status": "True"}]}),
        request(status={"conditions": [{"type": "Approved", "status": "True"}]}),
    ],
)
def test_the_requests_of_others_and_decided_ones_are_left_alone(others: CertificateSigningRequest) -> None:
    assert not is_for_us(others, OWN)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"valid": False}, "signed by its own key"),
        ({"trailing": True}, "more than one"),
        ({"common_name": "system:node:naples"}, "no VirtualNode naples"),
        ({"common_name": "system:node:"}, "common name"),
        ({"common_name": "milan"}, "common name"),
        ({"common_name": "system:masters"}, "common name"),
        ({"organizations": ["system:nodes", "system:masters"]}, "organization"),
        ({"organizations": []}, "organization"),
        ({"ips": [], "sans": False}, "addresses only"),
        ({"dns": ["kubernetes.default"]}, "addresses only"),
        ({"other_sans": True}, "addresses only"),
        ({"ips": ["10.0.0.1"]}, "address other than 10.0.0.9"),
        ({"ips": ["10.0.0.9", "10.0.0.1"]}, "address other than 10.0.0.9"),
    ],
)
def test_whatever_is_not_exactly_right_is_not_approved(change: dict[str, Any], said: str) -> None:
    assert said in fault(request(), msgspec.structs.replace(FACTS, **change), NODES, OWN)


@pytest.mark.parametrize("usages", [["server auth"], ["digital signature", "client auth"], []])
def test_only_the_usages_of_a_server(usages: list[str]) -> None:
    assert "usages" in fault(request(spec={"usages": usages}), FACTS, NODES, OWN)


def test_a_tenant_gets_no_certificate_for_the_node_of_another() -> None:
    facts = msgspec.structs.replace(FACTS, common_name="system:node:turin")
    assert fault(request(TENANT), facts, NODES, OWN) == "there is no VirtualNode turin in liqo-tenant-milan"


def test_an_approval_writes_nothing_but_the_condition_of_that_very_request() -> None:
    one = request(metadata={"name": "r", "uid": "u", "resourceVersion": "7"})
    manifest = forge_approval(one)
    assert manifest["metadata"] == {"name": "r", "uid": "u", "resourceVersion": "7"}
    (condition,) = manifest["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Approved", "IdentityManagerApproval")


def test_a_certificate_is_renewed_at_two_thirds_of_its_life_and_never_shown() -> None:
    facts = CertificateFacts("system:node:milan", ["system:nodes"], not_before=1000.0, not_after=4000.0)
    certificate = ServingCertificate("PEM", "PRIVATE", facts)
    assert certificate.renewal == 3000.0
    assert msgspec.structs.replace(certificate, issued=1300.0).renewal == 3100.0
    assert msgspec.structs.replace(certificate, issued=9000.0).renewal == 4000.0
    assert "PRIVATE" not in repr(certificate)

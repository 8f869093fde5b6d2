"""What goes over the wire to peer: labels, names and values as a stock cluster expects them (wire.md 1, 2, 9)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.peering.handshake import (
    forge_identity,
    forge_nonce_secret,
    forge_resource_slice,
    forge_signed_nonce_secret,
    forge_tenant,
    forge_tenant_namespace,
    is_nonce,
)

from .objects import params

NONCE = base64.b64encode(bytes(64))


def test_tenant_namespace() -> None:
    assert forge_tenant_namespace("milan") == {
        "metadata": {
            "name": "liqo-tenant-milan",
            "labels": {
                "liqo.io/tenant-namespace": "true",
                "liqo.io/remote-cluster-id": "milan",
                "pod-security.kubernetes.io/audit": "privileged",
                "pod-security.kubernetes.io/enforce": "privileged",
                "pod-security.kubernetes.io/warn": "privileged",
            },
        }
    }
    assert forge_tenant_namespace("milan", "other")["metadata"]["name"] == "other"


def test_nonce_secrets() -> None:
    nonce = forge_nonce_secret("rome", "liqo-tenant-rome")["metadata"]
    assert nonce["name"] == "liqo-nonce"
    assert nonce["labels"] == {"liqo.io/nonce": "true", "liqo.io/remote-cluster-id": "rome"}
    signed = forge_signed_nonce_secret("milan", "liqo-tenant-milan", NONCE)
    assert signed["metadata"]["name"] == "liqo-signed-nonce"
    assert signed["metadata"]["labels"] == {
        "liqo.io/signed-nonce": "true",
        "liqo.io/remote-cluster-id": "milan",
    }
    assert base64.b64decode(signed["data"]["nonce"]) == NONCE


def test_tenant() -> None:
    manifest = forge_tenant("rome", public_key="KEY", csr="CSR", signature=b"\0" * 64, namespace="ns")
    assert manifest["metadata"] == {
        "name": "rome",
        "namespace": "ns",
        "labels": {"liqo.io/remote-cluster-id": "rome"},
    }
    spec = manifest["spec"]
    assert (spec["clusterID"], spec["authzPolicy"], spec["tenantCondition"]) == (
        "rome",
        "KeysExchange",
        "Active",
    )
    assert [base64.b64decode(spec[field]) for field in ("publicKey", "csr", "signature")] == [
        b"KEY",
        b"CSR",
        b"\0" * 64,
    ]
    assert "proxyURL" not in spec
    proxied = forge_tenant("rome", public_key="", csr="", signature=b"", proxy_url="http://10.0.0.1:8118")
    assert proxied["spec"]["proxyURL"] == "http://10.0.0.1:8118"
    assert "namespace" not in proxied["metadata"]


def test_identities() -> None:
    control_plane = forge_identity("milan", params(), namespace="ns", remote_namespace="liqo-tenant-rome")
    assert control_plane["metadata"]["name"] == "controlplane-milan"
    assert control_plane["spec"]["type"] == "ControlPlane"
    assert control_plane["spec"]["namespace"] == "liqo-tenant-rome"
    assert set(control_plane["spec"]["authParams"]) == {"ca", "signedCRT", "apiServer"}
    of_slice = forge_identity("milan", params(proxy_url="http://p:1"), slice_="gpu")
    assert of_slice["metadata"]["name"] == "resourceslice-gpu"
    assert of_slice["metadata"]["labels"] == {
        "liqo.io/remote-cluster-id": "milan",
        "liqo.io/resourceslice-name": "gpu",
    }
    assert of_slice["spec"]["type"] == "ResourceSlice"
    assert of_slice["spec"]["authParams"]["proxyURL"] == "http://p:1"
    assert "namespace" not in of_slice["spec"]


def test_resource_slice() -> None:
    manifest = forge_resource_slice("milan", "ns", resources={"cpu": "2"})
    assert manifest["metadata"] == {
        "name": "milan",
        "namespace": "ns",
        "labels": {
            "liqo.io/replication": "true",
            "liqo.io/remoteID": "milan",
            "liqo.io/remote-cluster-id": "milan",
        },
        "annotations": {"liqo.io/create-virtual-node": "true"},
    }
    assert manifest["spec"] == {"class": "default", "providerClusterID": "milan", "resources": {"cpu": "2"}}
    quiet = forge_resource_slice("milan", "ns", create_virtual_node=False)
    assert quiet["metadata"]["annotations"] == {"liqo.io/create-virtual-node": "false"}


@pytest.mark.parametrize("peer", ["", "Rome", "a.b", "-a", "a" * 64, "a\n", "../x"])
def test_ids_that_are_no_dns_labels_are_refused(peer: str) -> None:
    with pytest.raises(ValueError, match="is not a valid DNS label"):
        forge_tenant_namespace(peer)
    with pytest.raises(ValueError, match="is not a valid DNS label"):
        forge_tenant(peer, public_key="", csr="", signature=b"")
    with pytest.raises(ValueError, match="is not a valid DNS label"):
        forge_identity(peer, params())
    with pytest.raises(ValueError, match="is not a valid DNS label"):
        forge_resource_slice(peer, "ns")


def test_a_slice_name_that_no_certificate_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 50"):
        forge_resource_slice("milan", "ns", name="a" * 51)


@given(st.binary(min_size=32, max_size=256))
def test_every_base64_text_of_a_fair_length_is_a_nonce(data: bytes) -> None:
    assert is_nonce(base64.b64encode(data))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        NONCE + b"\n",
        NONCE[:-1],
        base64.b64encode(bytes(16)),
        base64.urlsafe_b64encode(b"\xff" * 64),
        # What a TLS 1.3 client signs, and the start of a certificate request: never to be signed as a nonce.
        b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + bytes(32),
        bytes.fromhex("3081a9020100") + b"A" * 166,
    ],
)
def test_nothing_else_is_a_nonce(text: bytes) -> None:
    assert not is_nonce(text)
    with pytest.raises(ValueError, match="not standard base64"):
        forge_signed_nonce_secret("milan", "ns", text)

"""Whom a provider does not let in: the event says why, nothing is granted, and a better proof is taken later."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from isthmus.api import labels, names
from isthmus.kube.certificates import generate_key, make_request, sign
from isthmus.peering import handshake
from isthmus.peering.secret_data import encode
from tests.apiserver import Json
from tests.apiserver.clock import VIRTUAL_TIME
from tests.peering.stage import HERE, THERE, Site, admitted, peered, proof, tenant, two

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("certificates_here")]


async def refused(milan: Site, reason: str) -> str:
    """The event of a Tenant that is not let in."""
    said = await milan.api.until(lambda: milan.refusal(reason))
    assert "authParams" not in tenant(milan).get("status", {})
    assert not milan.api.named("rolebindings") | milan.api.named("certificatesigningrequests")
    return str(said)


async def place(rome: Site, milan: Site, **spec: Any) -> Json:
    """A Tenant of which some of the proof is another; what was placed."""
    manifest = handshake.forge_tenant("rome", namespace=THERE, **await proof(rome, milan))
    return milan.api.create("tenants", {**manifest, "spec": {**manifest["spec"], **spec}})


async def stranger(fault: str) -> Json:
    """What somebody else says who wants to be taken for rome."""
    keys = await generate_key()
    if fault == "signature":
        return {"signature": b64encode(await sign(keys.private, b"another nonce")).decode()}
    if fault == "key":
        return {"publicKey": encode(keys.public)}
    name, groups = ("milan", ["liqo.io"]) if fault == "name" else ("rome", ["liqo.io", "system:masters"])
    return {"csr": encode(await make_request(keys.private, name, groups if fault != "csr" else ["liqo.io"]))}


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        ("signature", "SignatureVerificationFailed", "sign the present nonce"),
        ("key", "SignatureVerificationFailed", "is not the public key's"),
        ("csr", "InvalidCSR", "for another key than the Tenant's publicKey"),
        ("name", "InvalidCSR", "has the common name 'milan', not 'rome'"),
        ("groups", "InvalidCSR", "has the organizations"),
    ],
)
async def test_who_cannot_prove_to_be_the_consumer_is_not_let_in(fault: str, reason: str, said: str) -> None:
    async with two() as (rome, milan):
        await place(rome, milan, **await stranger(fault))
        assert said in await refused(milan, reason)
        good = handshake.forge_tenant("rome", namespace=THERE, **await proof(rome, milan))
        milan.api.merge("tenants", THERE, "rome", {"spec": good["spec"]})
        await milan.api.until(lambda: "authParams" in tenant(milan).get("status", {}))


@pytest.mark.parametrize(
    ("spec", "reason", "said"),
    [
        ({"signature": "%"}, "InvalidTenant", "spec.signature is not base64"),
        ({"publicKey": encode("no key")}, "InvalidPublicKey", "spec.publicKey cannot be read"),
        ({"csr": encode("no request")}, "InvalidCSR", "the certificate request cannot be read"),
        ({"csr": ""}, "InvalidCSR", "the certificate request is empty"),
        ({"clusterID": "milan"}, "InvalidClusterID", "is this cluster's own id"),
        ({"clusterID": "Not.One"}, "InvalidClusterID", "is not a valid DNS label"),
    ],
)
async def test_what_is_no_proof_at_all_is_refused_with_the_field(spec: Json, reason: str, said: str) -> None:
    async with two() as (rome, milan):
        await place(rome, milan, **spec)
        assert said in await refused(milan, reason)


async def test_a_nonce_is_asked_for_until_there_is_one() -> None:
    async with two() as (rome, milan):
        manifest = handshake.forge_tenant("rome", namespace=THERE, **await proof(rome, milan))
        kept = milan.get("secrets", THERE, names.NONCE_SECRET)
        milan.api.delete("secrets", THERE, names.NONCE_SECRET)
        milan.api.create("tenants", manifest)
        assert "create one and have the consumer sign it" in await refused(milan, "NonceMissing")
        del kept["metadata"]["resourceVersion"]
        milan.api.create("secrets", kept)
        await milan.api.until(lambda: "authParams" in tenant(milan).get("status", {}))


async def test_a_nonce_of_the_tenants_own_namespace_goes_before_another() -> None:
    async with two() as (rome, milan):
        place = {"name": "aaa", "namespace": "elsewhere"}
        marks = {"labels": {labels.NONCE: "true", labels.REMOTE_CLUSTER_ID: "rome"}}
        milan.api.create("secrets", {"metadata": {**place, **marks}})
        await milan.api.until(lambda: milan.get("secrets", "elsewhere", "aaa").get("data"))
        await admitted(rome, milan)


async def test_a_tenant_in_a_namespace_that_is_not_its_own_is_refused() -> None:
    async with two() as (rome, milan):
        manifest = handshake.forge_tenant("rome", namespace="default", **await proof(rome, milan))
        milan.api.create("namespaces", {"metadata": {"name": "default"}})
        milan.api.create("tenants", manifest)
        assert "is not a tenant namespace of rome" in await refused(milan, "InvalidTenantNamespace")
        marks = {labels.TENANT_NAMESPACE: "true", labels.REMOTE_CLUSTER_ID: "rome"}
        milan.api.merge("namespaces", "", "default", {"metadata": {"labels": marks}})
        await milan.api.until(
            lambda: milan.get("tenants", "default", "rome").get("status", {}).get("authParams")
        )


async def test_a_second_tenant_of_the_same_cluster_is_refused_and_takes_nothing_when_it_goes() -> None:
    async with two() as (rome, milan):
        await admitted(rome, milan)
        twin = {"name": "again", "namespace": THERE, "labels": {}}
        milan.api.create("tenants", {"metadata": twin, "spec": tenant(milan)["spec"]})
        said = await milan.api.until(lambda: milan.refusal("DuplicateTenant"))
        assert f"Tenant {THERE}/rome is for the same cluster" in said
        milan.api.delete("tenants", THERE, "again")
        await milan.api.until(lambda: milan.api.named("tenants") == {"rome"})
        assert milan.api.named("rolebindings")


async def test_a_tenant_that_another_takes_the_place_of_takes_nothing_along() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        copy = milan.get("resourceslices", THERE, "milan")["metadata"]["uid"]
        milan.api.create(
            "tenants", {"metadata": {"name": "again", "namespace": THERE}, "spec": tenant(milan)["spec"]}
        )
        await milan.api.until(lambda: milan.refusal("DuplicateTenant"))
        milan.api.delete("tenants", THERE, "rome")
        await milan.api.until(
            lambda: milan.get("tenants", THERE, "again").get("status", {}).get("authParams")
        )
        await milan.api.until(lambda: milan.api.named("rolebindings"))
        assert milan.api.named("tenants") == {"again"}
        assert milan.get("resourceslices", THERE, "milan")["metadata"]["uid"] == copy


async def test_another_request_than_the_one_signed_is_refused_until_the_certificate_is_deleted() -> None:
    rome, milan = Site("rome"), Site("milan")
    async with rome.open(), milan.open(), milan.controlled():
        async with rome.controlled():
            await admitted(rome, milan)
        milan.api.delete("tenants", THERE, "rome")
        await milan.api.until(lambda: not milan.api.named("tenants"))
        rome.api.delete("secrets", "liqo", names.AUTHENTICATION_KEYS)
        rome.api.delete("secrets", HERE, names.SIGNED_NONCE_SECRET)
        async with rome.controlled():
            await rome.api.until(lambda: rome.api.get("secrets", "liqo", names.AUTHENTICATION_KEYS))
            await place(rome, milan)
        assert "holds the certificate of another request of rome" in await refused(milan, "AuthParamsFailed")
        milan.api.delete("secrets", THERE, names.REMOTE_CERTIFICATE_SECRET)
        await milan.api.until(lambda: "authParams" in tenant(milan).get("status", {}))


async def test_a_signer_that_does_not_sign_is_told_and_asked_again() -> None:
    async with two(milan=Site("milan", signs=False)) as (rome, milan):
        await place(rome, milan)
        said = await milan.api.until(lambda: milan.refusal("SigningFailed"), timeout=60)
        assert "no certificate within 30 s" in said
        assert "is kube-controller-manager running?" in said
        milan.signs = True
        await milan.api.until(lambda: "authParams" in tenant(milan).get("status", {}), timeout=60)


async def test_a_signer_that_refuses_is_quoted() -> None:
    async with two(milan=Site("milan", signs=False)) as (rome, milan):
        denied = {"type": "Denied", "status": "True", "reason": "Policy", "message": "no peers on Fridays"}
        milan.api.on_change(
            lambda change: (
                change.type == "ADDED"
                and change.place.plural == "certificatesigningrequests"
                and milan.api.merge(*change.place, {"status": {"conditions": [denied]}})
            )
        )
        milan.api.fail(409, "Conflict", verb="patch", plural="certificatesigningrequests", times=None)
        await place(rome, milan)
        await milan.api.until(lambda: milan.api.asked("delete", "certificatesigningrequests"))
        assert not milan.api.named("rolebindings")


async def test_an_address_nobody_knows_is_asked_for() -> None:
    milan = Site("milan")
    async with two(milan=milan) as (rome, _):
        manifest = handshake.forge_tenant("rome", namespace=THERE, **await proof(rome, milan))
    milan.options = milan.options.__class__(cluster_id="milan")
    async with milan.controlled():
        milan.api.create("tenants", manifest)
        assert "isthmus install --api-server-url URL" in await refused(milan, "APIServerAddressUnknown")
        address = [
            {"type": "InternalIP", "address": "172.18.0.2"},
            {"type": "ExternalIP", "address": "203.0.113.9"},
        ]
        node = {"name": "one", "labels": {"node-role.kubernetes.io/control-plane": ""}}
        milan.api.create("nodes", {"metadata": node, "status": {"addresses": address}})
        answer = await milan.api.until(lambda: tenant(milan).get("status", {}).get("authParams"), timeout=60)
        assert answer["apiServer"] == "https://172.18.0.2:6443"


async def test_without_handshake_only_slices_are_let_in() -> None:
    async with two() as (rome, milan):
        status = await admitted(
            rome, milan, authzPolicy="TolerateNoHandshake", signature="", publicKey="", csr=""
        )
        assert status == {"tenantNamespace": THERE, "authParams": None} or status == {
            "tenantNamespace": THERE
        }
        await milan.api.until(lambda: milan.api.named("clusterrolebindings"))
        assert not milan.api.named("rolebindings")


async def test_a_binding_that_was_changed_comes_back() -> None:
    async with two() as (rome, milan):
        await admitted(rome, milan)
        name = names.ROLE_BINDING_REMOTE_CONTROL_PLANE
        milan.api.merge("rolebindings", THERE, name, {"subjects": []})
        milan.api.delete("clusterrolebindings", "", names.cluster_wide_binding("rome"))
        await milan.api.until(lambda: milan.api.named("clusterrolebindings"), timeout=3700)
        assert [one["name"] for one in milan.get("rolebindings", THERE, name)["subjects"]] == ["rome"]


@pytest.mark.parametrize("nonce", ["c2hvcnQ=", encode("raw bytes, not base64" * 4), ""])
async def test_nothing_but_a_nonce_is_signed(nonce: str) -> None:
    async with two() as (rome, _):
        marks = {"labels": {labels.SIGNED_NONCE: "true", labels.REMOTE_CLUSTER_ID: "milan"}}
        for name, value in (("odd", nonce), ("good", encode(b64encode(bytes(64))))):
            metadata = {"name": name, "namespace": HERE, **marks}
            rome.api.create("secrets", {"metadata": metadata, "data": {"nonce": value}})
        await rome.api.until(lambda: "signedNonce" in rome.get("secrets", HERE, "good")["data"])
        if nonce:
            assert "not signed" in await rome.api.until(lambda: rome.refusal("InvalidNonce"))
        assert "signedNonce" not in rome.get("secrets", HERE, "odd")["data"]

"""What a provider rules on slices, and what a consumer makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from isthmus.api import labels, names
from isthmus.kube.certificates import generate_key, make_request
from isthmus.peering import secret_data
from tests.apiserver import Json
from tests.apiserver.clock import VIRTUAL_TIME
from tests.peering.stage import (
    ACCEPTED,
    HERE,
    SLICE,
    THERE,
    Site,
    admitted,
    ask,
    certificate,
    identified,
    peered,
    rulings,
    tenant,
    two,
)

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("certificates_here")]

COPY = {labels.REPLICATED: "true", labels.ORIGIN_ID: "rome", labels.REMOTE_CLUSTER_ID: "rome"}


def place(milan: Site, name: str = "odd", **spec: Any) -> None:
    """A copy at milan as a consumer could write it whose controller is another than ours."""
    metadata = {"name": name, "namespace": THERE, "labels": COPY}
    wish = {
        "class": "default",
        "consumerClusterID": "rome",
        "providerClusterID": "milan",
        "csr": "Q1NS",
        **spec,
    }
    milan.api.create("resourceslices", {"metadata": metadata, "spec": wish})


@asynccontextmanager
async def provider() -> AsyncIterator[tuple[Site, Site]]:
    """Milan with its controller, rome let in; rome's own would delete what it has not asked for."""
    rome, milan = Site("rome"), Site("milan")
    async with rome.open(), milan.open(), milan.controlled():
        async with rome.controlled():
            await admitted(rome, milan)
        yield rome, milan


async def denied(milan: Site, name: str = "odd") -> str:
    """Why the slice is not authenticated."""

    def message() -> str:
        status = milan.get("resourceslices", THERE, name).get("status", {})
        found = [one for one in status.get("conditions", []) if one["type"] == "Authentication"]
        return str(found[0]["message"]) if found and found[0]["status"] == "Denied" else ""

    said: str = await milan.api.until(message)
    assert not milan.get("resourceslices", THERE, name)["status"].get("authParams")
    return said


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"csr": "%"}, "spec.csr or the Tenant's spec.publicKey is not base64"),
        ({"csr": "A" * 40000}, "spec.csr is too long"),
        ({"csr": "Q1NS"}, "the certificate request cannot be read"),
        ({"consumerClusterID": "oslo"}, "there is no Tenant of cluster 'oslo' in this namespace"),
        ({"providerClusterID": "oslo"}, "the slice is for provider 'oslo', this is 'milan'"),
    ],
)
async def test_a_slice_that_cannot_be_its_consumers_gets_no_certificate(spec: Json, said: str) -> None:
    async with provider() as (_, milan):
        place(milan, **spec)
        assert said in await denied(milan)
        assert not milan.api.named("certificatesigningrequests")


@pytest.mark.parametrize(("user", "group"), [("other", "rome"), ("", "liqo.io")])
async def test_a_slice_cannot_be_given_another_name_or_group(user: str, group: str) -> None:
    async with provider() as (rome, milan):
        private = rome.get("secrets", "liqo", names.AUTHENTICATION_KEYS)["data"]["privateKey"]
        name = names.resource_slice_user(user or "odd", "rome")
        csr = await make_request(secret_data.decode(private).decode(), name, [group])
        place(milan, csr=secret_data.encode(csr))
        assert "the certificate request has the" in await denied(milan)


async def test_a_slice_by_another_key_than_the_tenants_is_refused() -> None:
    async with provider() as (_, milan):
        stranger = await generate_key()
        csr = await make_request(stranger.private, names.resource_slice_user("odd", "rome"), ["rome"])
        place(milan, csr=secret_data.encode(csr))
        assert "for another key" in await denied(milan)


async def test_a_slice_without_a_tenant_is_refused_until_there_is_one() -> None:
    milan = Site("milan")
    async with two(milan=milan) as (rome, _):
        milan.api.create("namespaces", {"metadata": {"name": THERE}})
        place(milan, "milan")
        assert "there is no Tenant of cluster 'rome'" in await denied(milan, "milan")
        milan.api.delete("resourceslices", THERE, "milan")
        milan.api.delete("namespaces", "", THERE)
        await peered(rome, milan)


async def test_a_request_that_changes_is_refused_until_its_certificate_is_deleted() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        kept = names.remote_certificate_secret("milan")
        pinned = {"data": {"csr": secret_data.encode("another"), "certificate": secret_data.encode("old")}}
        milan.api.merge("secrets", THERE, kept, pinned)
        milan.api.merge("tenants", THERE, "rome", {"metadata": {"annotations": {"look": "again"}}})
        assert f"Secret {kept} holds the certificate of another request" in await denied(milan, "milan")
        await rome.api.until(lambda: rome.api.get("identities", HERE, SLICE) is None)
        milan.api.delete("secrets", THERE, kept)
        await rome.api.until(lambda: rulings(rome) == ACCEPTED)
        await rome.api.until(lambda: rome.api.get("identities", HERE, SLICE))


async def test_a_trouble_of_the_providers_own_costs_nobody_an_identity() -> None:
    rome, milan = Site("rome"), Site("milan")
    async with rome.open(), milan.open():
        async with milan.controlled(), rome.controlled():
            await peered(rome, milan)
        milan.options = replace(milan.options, api_server_address="")
        async with milan.controlled():
            told = "APIServerAddressUnknown"
            await milan.api.until(lambda: len(milan.api.events(told)) > 1)
            assert {
                one["involvedObject"]["kind"] for one in milan.api.list("events") if one["reason"] == told
            } == {
                "Tenant",
                "ResourceSlice",
            }
            assert rulings(milan) == ACCEPTED


async def test_another_class_is_authenticated_and_left_to_who_serves_it() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        ask(rome, class_="gpu")
        await milan.api.until(lambda: rulings(milan) == {"Authentication": "Accepted"})
        meta = milan.get("resourceslices", THERE, "milan")["metadata"]
        now = {
            "lastTransitionTime": "2026-12-01T10:00:00Z",
            "reason": "Granted",
            "message": "by the GPU pool",
        }
        ruling = {"type": "Resources", "status": "Accepted", **now}
        conditions = milan.get("resourceslices", THERE, "milan")["status"]["conditions"]
        status = {"resources": {"nvidia.com/gpu": "1"}, "conditions": [*conditions, ruling]}
        milan.api.merge("resourceslices", THERE, "milan", {"status": status})
        await rome.api.until(lambda: rulings(rome) == ACCEPTED)
        assert rome.get("resourceslices", HERE, "milan")["status"]["resources"] == {"nvidia.com/gpu": "1"}
        assert meta["labels"][labels.ORIGIN_ID] == "rome"


async def test_what_is_asked_for_beyond_reason_is_denied_and_the_identity_stays() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        ask(rome, resources={"cpu": "-1"})
        await rome.api.until(lambda: rulings(rome) == {**ACCEPTED, "Resources": "Denied"})
        rome.api.merge("resourceslices", HERE, "milan", {"spec": {"resources": {"cpu": "3"}}})
        await rome.api.until(lambda: rulings(rome) == ACCEPTED)
        assert rome.get("resourceslices", HERE, "milan")["status"]["resources"]["cpu"] == "3"


@pytest.mark.parametrize(
    ("marks", "name", "said"),
    [
        ({labels.REMOTE_ID: "rome"}, "odd", "is this cluster's own id"),
        ({labels.REMOTE_ID: "Not.One"}, "odd", "is not a valid cluster id"),
        ({labels.REMOTE_ID: "milan"}, "a" * 51, "the name is longer than 50 characters"),
    ],
)
async def test_a_wish_that_no_provider_could_take_is_told_at_home(marks: Json, name: str, said: str) -> None:
    async with two() as (rome, _):
        metadata = {"name": name, "namespace": HERE, "labels": {labels.REPLICATION: "true", **marks}}
        rome.api.create("resourceslices", {"metadata": metadata, "spec": {"class": "default"}})
        assert said in await rome.api.until(lambda: rome.refusal("InvalidResourceSlice"))
        assert "csr" not in rome.get("resourceslices", HERE, name)["spec"]


async def test_a_secret_of_somebody_else_is_left_alone() -> None:
    async with two() as (rome, milan):
        name = names.kubeconfig_secret(SLICE)
        rome.api.create(
            "secrets", {"metadata": {"name": name, "namespace": HERE}, "data": {"kubeconfig": "b2xk"}}
        )
        await identified(rome, milan)
        ask(rome)
        assert "belongs to somebody else" in await rome.api.until(
            lambda: rome.refusal("KubeconfigSecretTaken")
        )
        assert rome.get("secrets", HERE, name)["data"] == {"kubeconfig": "b2xk"}


async def test_an_identity_of_somebody_else_is_left_alone() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        taken = {"clusterID": "oslo", "type": "ResourceSlice", "authParams": {}}
        rome.api.create("identities", {"metadata": {"name": SLICE, "namespace": HERE}, "spec": taken})
        ask(rome)
        assert f"Identity {SLICE} belongs to somebody else" in await rome.api.until(
            lambda: rome.refusal("IdentityTaken")
        )
        assert rome.get("identities", HERE, SLICE)["spec"] == taken


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"apiServer": "http://milan:6443"},
            "spec.authParams.apiServer 'http://milan:6443' is not a valid URL with https://",
        ),
        (
            {"signedCRT": secret_data.encode("no certificate")},
            "spec.authParams.signedCRT is not a PEM certificate",
        ),
        ({"awsConfig": {"region": "eu"}}, "identities of AWS are not supported"),
    ],
)
async def test_what_a_provider_answers_is_checked_before_it_is_used(fields: Json, said: str) -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        before = rome.get("identities", HERE, SLICE)["spec"]
        with milan.api.failing(500, verb="patch", plural="resourceslices", subresource="status"):
            milan.api.merge("resourceslices", THERE, "milan", {"status": {"authParams": fields}})
            assert said in await rome.api.until(
                lambda: rome.refusal("InvalidIdentity") or rome.refusal("UnsupportedIdentity")
            )
        assert rome.get("identities", HERE, SLICE)["spec"] == before


@pytest.mark.parametrize(
    ("spec", "label", "said"),
    [
        ({"clusterID": "Not.One"}, "milan", "is not a valid DNS label"),
        ({"clusterID": "milan"}, "oslo", "is not 'milan'"),
        (
            {"clusterID": "milan", "namespace": ""},
            "milan",
            "must be this cluster's tenant namespace on the provider",
        ),
    ],
)
async def test_an_identity_that_says_two_things_is_refused(spec: Json, label: str, said: str) -> None:
    async with two() as (rome, _):
        marks = {labels.REMOTE_CLUSTER_ID: label}
        whole = {"type": "ControlPlane", "namespace": THERE, "authParams": {}, **spec}
        rome.api.create(
            "identities", {"metadata": {"name": "odd", "namespace": HERE, "labels": marks}, "spec": whole}
        )
        assert said in await rome.api.until(lambda: rome.refusal("InvalidIdentity"))
        assert names.kubeconfig_secret("odd") not in rome.api.named("secrets")


async def test_a_kubeconfig_that_was_changed_or_deleted_comes_back() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        name = names.kubeconfig_secret(SLICE)
        whole = rome.get("secrets", HERE, name)["data"]
        extra = {"kubeconfig": "b2xk", "users-own": "eA=="}
        rome.api.merge(
            "secrets", HERE, name, {"data": extra, "metadata": {"labels": {labels.IDENTITY_TYPE: None}}}
        )
        await rome.api.until(
            lambda: rome.get("secrets", HERE, name)["data"]["kubeconfig"] == whole["kubeconfig"]
        )
        assert rome.get("secrets", HERE, name)["data"]["users-own"] == "eA=="
        rome.api.delete("secrets", HERE, name)
        await rome.api.until(lambda: rome.get("secrets", HERE, name).get("data") == whole)


async def test_a_certificate_given_by_hand_is_not_replaced_by_an_older_answer() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        name = "controlplane-milan"
        await rome.api.until(lambda: rome.get("renews", HERE, name).get("status", {}).get("authParams"))
        answered = rome.get("renews", HERE, name)["status"]["authParams"]
        other = tenant(milan)["status"]["authParams"]
        assert answered == other
        forged = {**answered, "signedCRT": secret_data.encode("nonsense")}
        milan.api.fail(500, verb="patch", plural="renews", subresource="status", times=None)
        milan.api.merge("renews", THERE, name, {"status": {"authParams": forged}})
        await rome.api.until(lambda: rome.get("renews", HERE, name)["status"]["authParams"] == forged)
        ask(rome)
        await rome.api.until(lambda: rulings(rome) == ACCEPTED)
        assert certificate(rome, name) == answered["signedCRT"]

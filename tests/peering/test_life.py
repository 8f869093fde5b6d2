"""A peering from the first nonce to its end, by the controllers of both clusters; processes die in the middle."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from functools import partial

import pytest

from isthmus.api import labels, names
from isthmus.peering import secret_data
from tests.apiserver.clock import VIRTUAL_TIME
from tests.peering.stage import (
    ACCEPTED,
    CONTROL_PLANE,
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


async def test_a_consumer_is_let_in() -> None:
    async with two() as (rome, milan):
        status = await admitted(rome, milan)
        nonce = b64decode(milan.get("secrets", THERE, names.NONCE_SECRET)["data"]["nonce"])
        assert len(b64decode(nonce, validate=True)) == 64
        assert status["tenantNamespace"] == THERE
        assert status["authParams"]["apiServer"] == milan.options.api_server_address
        assert secret_data.decode(status["authParams"]["ca"]).decode() == milan.options.api_server_ca
        assert labels.FINALIZER_TENANT in tenant(milan)["metadata"]["finalizers"]
        (binding,) = milan.api.list("rolebindings", THERE)
        assert (binding["roleRef"]["name"], binding["subjects"][0]["name"]) == (
            "liqo-remote-controlplane",
            "rome",
        )
        assert milan.api.named("clusterrolebindings") == {names.cluster_wide_binding("rome")}
        kept = milan.get("secrets", THERE, names.REMOTE_CERTIFICATE_SECRET)
        assert "ownerReferences" not in kept["metadata"]
        assert kept["data"]["certificate"] == status["authParams"]["signedCRT"]
        await milan.api.until(lambda: not milan.api.named("certificatesigningrequests"))
        await milan.api.until(lambda: milan.api.events("Admitted") == ["cluster rome is admitted"])


async def test_a_slice_is_asked_for_signed_and_granted() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        ask(rome, resources={"cpu": "2"})
        await rome.api.until(lambda: rulings(rome) == ACCEPTED)
        await rome.api.until(lambda: rome.api.get("secrets", HERE, names.kubeconfig_secret(SLICE)))
        wish, copy = rome.get("resourceslices", HERE, "milan"), milan.get("resourceslices", THERE, "milan")
        assert wish["spec"] == copy["spec"]
        assert wish["status"] == copy["status"]
        ids = [copy["spec"][key] for key in ("consumerClusterID", "providerClusterID")]
        assert ids == ["rome", "milan"]
        assert copy["status"]["resources"] == {**milan.options.default_node_resources, "cpu": "2"}
        marks = copy["metadata"]["labels"]
        assert (marks[labels.REPLICATED], marks[labels.ORIGIN_ID], marks[labels.REMOTE_CLUSTER_ID]) == (
            "true",
            "rome",
            "rome",
        )
        secret = rome.get("secrets", HERE, names.kubeconfig_secret(SLICE))
        assert secret["metadata"]["labels"][labels.IDENTITY_TYPE] == "ResourceSlice"
        assert milan.options.api_server_address in secret_data.decode(secret["data"]["kubeconfig"]).decode()
        reference = rome.get("identities", HERE, CONTROL_PLANE)["status"]["kubeconfigSecretRef"]["name"]
        assert reference == names.kubeconfig_secret(CONTROL_PLANE)
        roles = [
            one.get("foreignclusters", "", two_)["status"]["role"]
            for one, two_ in ((rome, "milan"), (milan, "rome"))
        ]
        assert roles == ["Provider", "Consumer"]


async def test_nothing_is_written_once_all_is_said() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        await asyncio.sleep(30)
        versions = rome.api.version, milan.api.version
        await asyncio.sleep(4000)
        assert (rome.api.version, milan.api.version) == versions


async def test_processes_that_die_in_the_middle_go_on_where_they_were() -> None:
    rome, milan = Site("rome"), Site("milan")

    def writes() -> int:
        return len(rome.api.asked("write")) + len(milan.api.asked("write"))

    async with rome.open(), milan.open():
        kills = 0
        while rulings(rome) != ACCEPTED:
            async with rome.controlled(), milan.controlled():
                user, before = asyncio.create_task(peered(rome, milan)), writes()
                await rome.api.until(partial(lambda enough: writes() >= enough, before + 2 + kills % 8))
                user.cancel()
                await asyncio.wait({user})
            kills += 1
        assert kills > 4
        async with rome.controlled(), milan.controlled():
            await peered(rome, milan)
            assert (
                milan.get("resourceslices", THERE, "milan")["status"]
                == rome.get("resourceslices", HERE, "milan")["status"]
            )
            assert milan.api.named("secrets") == {
                "liqo-nonce",
                "authentication-keys",
                names.remote_certificate_secret(),
                names.remote_certificate_secret("milan"),
            }


async def test_certificates_are_renewed_and_nobody_is_interrupted() -> None:
    async with two(milan=Site("milan", lifetime=3600)) as (rome, milan):
        await peered(rome, milan)
        first = certificate(rome, CONTROL_PLANE), certificate(rome, SLICE)
        await asyncio.sleep(2300)
        assert (certificate(rome, CONTROL_PLANE), certificate(rome, SLICE)) == first
        await asyncio.sleep(200)
        second = certificate(rome, CONTROL_PLANE), certificate(rome, SLICE)
        assert not set(first) & set(second)
        kubeconfig = secret_data.decode(
            rome.get("secrets", HERE, names.kubeconfig_secret(CONTROL_PLANE))["data"]["kubeconfig"]
        )
        assert second[0] in kubeconfig.decode()
        await asyncio.sleep(2 * 3600)
        ask(rome, "more")
        await rome.api.until(lambda: rulings(rome, "more") == ACCEPTED)


async def test_unpeering_takes_all_of_it_away() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        rome.api.delete("resourceslices", HERE, "milan")
        await rome.api.until(lambda: not rome.api.named("resourceslices"))
        assert not milan.api.named("resourceslices")
        assert rome.api.named("identities") == {CONTROL_PLANE}
        rome.api.delete("identities", HERE, CONTROL_PLANE)
        await rome.api.until(lambda: not rome.api.named("renews"))
        kept = {names.AUTHENTICATION_KEYS, names.SIGNED_NONCE_SECRET}
        await rome.api.until(lambda: rome.api.named("secrets") == kept)
        assert not milan.api.named("renews")
        milan.api.delete("tenants", THERE, "rome")
        await milan.api.until(lambda: not milan.api.named("tenants"))
        assert not milan.api.named("rolebindings") | milan.api.named("clusterrolebindings")


async def test_a_consumer_that_is_put_out_loses_what_it_had_and_forgets_it() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.api.delete("tenants", THERE, "rome")
        await milan.api.until(lambda: not milan.api.named("tenants"))
        assert (
            not milan.api.named("resourceslices")
            | milan.api.named("renews")
            | milan.api.named("rolebindings")
        )
        rome.api.delete("resourceslices", HERE, "milan")
        await rome.api.until(lambda: not rome.api.named("resourceslices"), timeout=60)


async def test_a_drained_tenant_has_nothing_until_it_is_active_again() -> None:
    def set_condition(value: str) -> None:
        milan.api.merge("tenants", THERE, "rome", {"spec": {"tenantCondition": value}})

    async with two() as (rome, milan):
        await peered(rome, milan)
        set_condition("Drained")
        await milan.api.until(lambda: not milan.api.named("resourceslices"))
        await milan.api.until(lambda: not milan.api.named("rolebindings"))
        assert rome.api.named("resourceslices") == {"milan"}
        await asyncio.sleep(300)
        assert not milan.api.named("resourceslices")
        set_condition("Active")
        await milan.api.until(lambda: rulings(milan) == ACCEPTED, timeout=60)


async def test_a_cordoned_tenant_keeps_what_it_has_and_gets_nothing_new() -> None:
    def marks() -> dict[str, str]:
        found: dict[str, str] = milan.get("resourceslices", THERE, "milan")["metadata"].get("annotations", {})
        return found

    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.api.merge("tenants", THERE, "rome", {"spec": {"tenantCondition": "Cordoned"}})
        await milan.api.until(lambda: marks().get(labels.CORDON_TENANT) == "true")
        ask(rome, "more")
        await rome.api.until(
            lambda: rulings(rome, "more") == {"Authentication": "Denied", "Resources": "Denied"}
        )
        assert rulings(rome) == ACCEPTED
        milan.api.merge("tenants", THERE, "rome", {"spec": {"tenantCondition": "Active"}})
        await rome.api.until(lambda: rulings(rome, "more") == ACCEPTED)
        assert labels.CORDON_TENANT not in marks()

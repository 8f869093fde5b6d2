"""A consumer's tie to its provider: kubeconfigs that cannot be used, providers that refuse or are silent, and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from isthmus.api import labels, names
from isthmus.kube.certificates import generate_key
from isthmus.peering import secret_data
from isthmus.peering.peers import DELETION_BOUND, REFUSAL_BOUND, SILENCE_BOUND
from tests.apiserver import Json
from tests.apiserver.clock import VIRTUAL_TIME
from tests.peering.stage import (
    ACCEPTED,
    CONTROL_PLANE,
    HERE,
    THERE,
    Site,
    ask,
    identified,
    peered,
    rulings,
    two,
)

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("certificates_here")]

KUBECONFIG = names.kubeconfig_secret(CONTROL_PLANE)


def condition(rome: Site, module: str = "", type_: str = "APIServerStatus") -> tuple[str, str]:
    """Status and message of a condition of milan's ForeignCluster at rome."""
    status = rome.get("foreignclusters", "", "milan").get("status", {})
    source = status.get("modules", {}).get(module, {}) if module else status
    found = [one for one in source.get("conditions", []) if one["type"] == type_]
    return (found[0]["status"], found[0].get("message", "")) if found else ("", "")


def place(rome: Site, kubeconfig: str, name: str = "by-hand", **annotations: str) -> None:
    """A control-plane Secret that a user wrote."""
    marks = {labels.IDENTITY_TYPE: "ControlPlane", labels.REMOTE_CLUSTER_ID: "milan"}
    notes = {labels.REMOTE_TENANT_NAMESPACE: THERE, **annotations}
    metadata = {"name": name, "namespace": HERE, "labels": marks, "annotations": notes}
    rome.api.create("secrets", {"metadata": metadata, "data": {"kubeconfig": secret_data.encode(kubeconfig)}})


def usual(rome: Site) -> str:
    """The kubeconfig that rome's controller made."""
    return secret_data.decode(rome.get("secrets", HERE, KUBECONFIG)["data"]["kubeconfig"]).decode()


async def test_a_provider_that_answers_is_said_to() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        await rome.api.until(lambda: condition(rome) == ("Established", "the API server answers"))
        assert "GET /livez" in milan.visits
        milan.refused = (503, "ServiceUnavailable")
        await rome.api.until(lambda: condition(rome) == ("Error", "GET /livez: HTTP 503"), timeout=1300)


async def test_with_an_interval_of_0_no_provider_is_asked() -> None:
    rome = Site("rome")
    rome.options = replace(rome.options, api_server_check_interval=0)
    async with two(rome) as (_, milan):
        await identified(rome, milan)
        await rome.api.until(lambda: condition(rome)[1].endswith("is not checked: the interval is 0"))
        assert "GET /livez" not in milan.visits


@pytest.mark.parametrize(
    ("kubeconfig", "notes", "reason", "said"),
    [
        ("a: [", {}, "InvalidKubeconfig", "by-hand"),
        ("apiVersion: v1\nkind: Config\n", {}, "InvalidKubeconfig", "by-hand"),
        (
            "x",
            {labels.REMOTE_TENANT_NAMESPACE: "Not.One"},
            "InvalidPeer",
            "'Not.One' is not a valid namespace",
        ),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_told(
    kubeconfig: str, notes: Json, reason: str, said: str
) -> None:
    async with two() as (rome, _):
        place(rome, kubeconfig, **notes)
        assert said in await rome.api.until(lambda: rome.refusal(reason))
        if reason == "InvalidKubeconfig":
            await rome.api.until(lambda: condition(rome)[0] == "Error")


async def test_a_kubeconfig_with_a_key_that_is_none_is_told_and_one_that_is_mended_is_taken() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        whole = rome.get("secrets", HERE, KUBECONFIG)["data"]["kubeconfig"]
    broken = "\n".join(
        line if "client-key-data" not in line else '    client-key-data: "bm8ga2V5"'
        for line in usual(rome).splitlines()
    )
    rome.api.delete("identities", HERE, CONTROL_PLANE, propagationPolicy="Orphan")
    rome.api.merge("secrets", HERE, KUBECONFIG, {"data": {"kubeconfig": secret_data.encode(broken)}})
    async with rome.open(), milan.open(), milan.controlled(), rome.controlled():
        await rome.api.until(lambda: condition(rome)[0] == "Error")
        old = secret_data.decode(whole).decode()
        port = old.partition("https://milan.test:")[2].partition('"')[0]
        now = old.replace(f":{port}", f":{milan.door.port}")
        rome.api.merge("secrets", HERE, KUBECONFIG, {"data": {"kubeconfig": secret_data.encode(now)}})
        await rome.api.until(lambda: condition(rome)[0] == "Established", timeout=60)


async def test_of_two_kubeconfigs_the_older_one_counts_until_it_goes() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        await asyncio.sleep(2)
        place(rome, usual(rome))
        said = await rome.api.until(lambda: rome.refusal("DuplicateControlPlaneSecret"))
        assert f"Secret {HERE}/{KUBECONFIG} is for the same provider and older" in said
        ask(rome)
        await rome.api.until(lambda: rulings(rome) == ACCEPTED)
        rome.api.delete("resourceslices", HERE, "milan")
        await rome.api.until(lambda: not rome.api.named("resourceslices"))
        rome.api.delete("identities", HERE, CONTROL_PLANE)
        await rome.api.until(lambda: not rome.api.get("secrets", HERE, KUBECONFIG))
        ask(rome, "again")
        await rome.api.until(lambda: rulings(rome, "again") == ACCEPTED)


async def test_a_provider_that_moves_is_followed() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        elsewhere = Site("milan", milan.api)
        async with elsewhere.open():
            moved = usual(rome).replace(f":{milan.door.port}", f":{elsewhere.door.port}")
            rome.api.delete("identities", HERE, CONTROL_PLANE, propagationPolicy="Orphan")
            milan.refused = (403, "Forbidden")
            rome.api.merge("secrets", HERE, KUBECONFIG, {"data": {"kubeconfig": secret_data.encode(moved)}})
            ask(rome, "more")
            await rome.api.until(lambda: rulings(rome, "more") == ACCEPTED)
            assert elsewhere.visits


async def test_a_certificate_that_was_refused_is_followed_by_the_next_at_once() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.refused = (401, "Unauthorized")
        ask(rome, "more")
        await asyncio.sleep(120)
        assert rulings(rome, "more") == {}
        milan.refused = None
        first = milan.get("tenants", THERE, "rome")["status"]["authParams"]
        milan.api.delete("secrets", THERE, names.REMOTE_CERTIFICATE_SECRET)
        second = await milan.api.until(
            lambda: (new := milan.get("tenants", THERE, "rome")["status"]["authParams"]) != first and new
        )
        rome.api.merge("identities", HERE, CONTROL_PLANE, {"spec": {"authParams": second}})
        began = asyncio.get_running_loop().time()
        await rome.api.until(lambda: rulings(rome, "more") == ACCEPTED)
        assert asyncio.get_running_loop().time() - began < 1


@pytest.mark.parametrize("code", [(401, "Unauthorized"), (403, "Forbidden")])
async def test_deletions_do_not_wait_for_a_provider_that_has_put_us_out(code: tuple[int, str]) -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.refused = code
        began = asyncio.get_running_loop().time()
        rome.api.delete("resourceslices", HERE, "milan")
        await rome.api.until(lambda: not rome.api.named("resourceslices"), timeout=60)
        waited = asyncio.get_running_loop().time() - began
        assert REFUSAL_BOUND <= waited < REFUSAL_BOUND + 15
        rome.api.delete("identities", HERE, CONTROL_PLANE)
        await rome.api.until(lambda: not rome.api.get("secrets", HERE, KUBECONFIG), timeout=60)
        milan.refused = None
        assert milan.api.named("resourceslices") == {"milan"}


async def test_deletions_wait_ten_minutes_for_a_provider_that_is_silent() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.refused = (503, "ServiceUnavailable")
        began = asyncio.get_running_loop().time()
        rome.api.delete("resourceslices", HERE, "milan")
        await rome.api.until(lambda: not rome.api.named("resourceslices"), timeout=1200)
        waited = asyncio.get_running_loop().time() - began
        assert SILENCE_BOUND <= waited < DELETION_BOUND
        assert rome.api.get("secrets", HERE, KUBECONFIG)


async def test_a_provider_that_comes_back_is_told_what_it_missed() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.refused = (503, "ServiceUnavailable")
        rome.api.merge("resourceslices", HERE, "milan", {"spec": {"resources": {"cpu": "7"}}})
        ask(rome, "more")
        await asyncio.sleep(120)
        milan.refused = None
        await rome.api.until(lambda: rulings(rome, "more") == ACCEPTED, timeout=120)
        await milan.api.until(
            lambda: milan.get("resourceslices", THERE, "milan")["spec"]["resources"] == {"cpu": "7"}
        )


async def test_a_provider_given_up_by_an_administrator_is_not_waited_for() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.refused = (503, "ServiceUnavailable")
        rome.api.delete("resourceslices", HERE, "milan")
        await asyncio.sleep(10)
        assert rome.api.named("resourceslices") == {"milan"}
        given_up: dict[str, Any] = {"annotations": {labels.PERMANENTLY_UNREACHABLE: "true"}}
        rome.api.merge("foreignclusters", "", "milan", {"metadata": given_up})
        await rome.api.until(lambda: not rome.api.named("resourceslices"), timeout=10)
        rome.api.delete("identities", HERE, CONTROL_PLANE)
        await rome.api.until(lambda: not rome.api.get("secrets", HERE, KUBECONFIG), timeout=10)


async def test_a_kubeconfig_that_goes_before_its_slices_waits_for_them_and_says_what_is_left() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        rome.api.delete("identities", HERE, CONTROL_PLANE)
        await asyncio.sleep(60)
        assert rome.api.get("secrets", HERE, KUBECONFIG)
        assert milan.api.named("resourceslices") == {"milan"}
        milan.refused = (403, "Forbidden")
        await rome.api.until(
            lambda: not rome.api.get("secrets", HERE, KUBECONFIG), timeout=DELETION_BOUND + 60
        )
        (told,) = await rome.api.until(lambda: rome.api.events("RemoteObjectsOrphaned"))
        assert told == "1 objects may still have a copy at milan, which is no longer told of them"


async def test_a_kubeconfig_that_is_deleted_alone_is_made_anew_at_once() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        before = rome.get("secrets", HERE, KUBECONFIG)["metadata"]["uid"]
        rome.api.delete("secrets", HERE, KUBECONFIG)
        await rome.api.until(
            lambda: rome.get("secrets", HERE, KUBECONFIG).get("metadata", {}).get("uid") != before
        )
        ask(rome, "more")
        await rome.api.until(lambda: rulings(rome, "more") == ACCEPTED)


async def test_a_tenant_namespace_goes_whole() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        rome.api.delete("namespaces", "", HERE)
        await rome.api.until(lambda: not rome.api.get("namespaces", "", HERE), timeout=60)
        await milan.api.until(lambda: not milan.api.named("resourceslices"), timeout=60)


async def test_a_key_pair_that_is_none_is_never_replaced_and_taken_once_it_is_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rome, keys = Site("rome"), await generate_key()
    place = {"name": names.AUTHENTICATION_KEYS, "namespace": "liqo"}
    rome.api.create("secrets", {"metadata": place, "data": {"privateKey": "bm8=", "publicKey": "bm8="}})
    async with two(rome) as (_, milan):
        peering = asyncio.create_task(identified(rome, milan))
        await asyncio.sleep(4)
        assert "Secret liqo/authentication-keys: privateKey is not PEM; restore it" in caplog.text
        assert rome.get("secrets", "liqo", names.AUTHENTICATION_KEYS)["data"] == {
            "privateKey": "bm8=",
            "publicKey": "bm8=",
        }
        pair = secret_data.encode_all({"privateKey": keys.private, "publicKey": keys.public})
        rome.api.merge("secrets", "liqo", names.AUTHENTICATION_KEYS, {"data": pair})
        await asyncio.wait_for(peering, 60)

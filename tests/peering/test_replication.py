"""What is copied to a provider and what comes back, also where the provider does not take it or answers nonsense."""

from __future__ import annotations

import asyncio

import pytest

from isthmus.api import labels
from isthmus.peering.replication_plans import MAXIMUM_ANNOUNCEMENT, MAXIMUM_STATUS
from tests.apiserver.clock import VIRTUAL_TIME
from tests.peering.stage import ACCEPTED, CONTROL_PLANE, HERE, THERE, ask, identified, peered, rulings, two

pytestmark = [*VIRTUAL_TIME, pytest.mark.usefixtures("certificates_here")]

SLICES = "resourceslices"


async def test_a_name_that_the_provider_uses_itself_is_told_and_left_alone() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        own = {"metadata": {"name": "milan", "namespace": THERE}, "spec": {"class": "theirs"}}
        milan.api.create(SLICES, own)
        ask(rome)
        assert "the provider has an object of its own under this name: rename ours" in await rome.api.until(
            lambda: rome.refusal("NotReplicated")
        )
        rome.api.delete(SLICES, HERE, "milan")
        await rome.api.until(lambda: not rome.api.named(SLICES))
        assert milan.get(SLICES, THERE, "milan")["spec"] == {"class": "theirs"}


@pytest.mark.parametrize(("code", "reason"), [(422, "Invalid"), (400, "BadRequest"), (404, "NotFound")])
async def test_what_the_provider_does_not_take_is_told_and_tried_again(code: int, reason: str) -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        milan.api.fail(code, reason, "no such thing here", verb="create", plural=SLICES)
        ask(rome)
        said = await rome.api.until(lambda: rome.refusal("NotReplicated"))
        assert said.startswith("the provider does not take it: ")
        assert "no such thing here" in said
        await rome.api.until(lambda: rulings(rome) == ACCEPTED, timeout=60)


async def test_a_copy_that_the_provider_deletes_or_changes_comes_back() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.api.merge(SLICES, THERE, "milan", {"spec": {"resources": {"cpu": "99"}}})
        await milan.api.until(lambda: not milan.get(SLICES, THERE, "milan")["spec"]["resources"])
        uid = milan.get(SLICES, THERE, "milan")["metadata"]["uid"]
        milan.api.merge(SLICES, THERE, "milan", {"metadata": {"finalizers": ["example.com/slow"]}})
        milan.api.delete(SLICES, THERE, "milan")
        await asyncio.sleep(30)
        assert milan.get(SLICES, THERE, "milan")["metadata"]["uid"] == uid
        milan.api.merge(SLICES, THERE, "milan", {"metadata": {"finalizers": None}})
        await milan.api.until(
            lambda: milan.get(SLICES, THERE, "milan").get("metadata", {}).get("uid", uid) != uid
        )
        await rome.api.until(lambda: rulings(rome) == ACCEPTED == rulings(milan))


async def test_a_copy_goes_with_its_original_and_not_before_the_provider_has_let_go() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        milan.api.merge(SLICES, THERE, "milan", {"metadata": {"finalizers": ["example.com/slow"]}})
        rome.api.delete(SLICES, HERE, "milan")
        await asyncio.sleep(30)
        assert rome.api.named(SLICES) == milan.api.named(SLICES) == {"milan"}
        milan.api.merge(SLICES, THERE, "milan", {"metadata": {"finalizers": None}})
        await rome.api.until(lambda: not rome.api.named(SLICES))
        assert not milan.api.named(SLICES)


async def test_what_is_no_longer_to_be_copied_loses_its_copy_and_our_finalizer() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        rome.api.merge(SLICES, HERE, "milan", {"metadata": {"labels": {labels.REPLICATION: "false"}}})
        await milan.api.until(lambda: not milan.api.named(SLICES))
        await rome.api.until(lambda: not rome.get(SLICES, HERE, "milan")["metadata"].get("finalizers"))


async def test_what_a_provider_says_beyond_bounds_is_not_taken_over() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        before = rome.get(SLICES, HERE, "milan")["status"]
        with milan.api.failing(500, verb="patch", plural=SLICES, subresource="status"):
            milan.api.merge(SLICES, THERE, "milan", {"status": {"nodeLabels": {"a": "x" * MAXIMUM_STATUS}}})
            said = await rome.api.until(lambda: rome.refusal("StatusRefused"))
            assert f"over {MAXIMUM_STATUS} bytes" in said
            word = {"annotations": {labels.PROVIDER_NETWORK: "x" * (MAXIMUM_ANNOUNCEMENT + 1)}}
            milan.api.merge(SLICES, THERE, "milan", {"metadata": word})
            said = await rome.api.until(lambda: rome.refusal("AnnouncementRefused"), timeout=60)
            assert f"over {MAXIMUM_ANNOUNCEMENT} characters" in said
        found = rome.get(SLICES, HERE, "milan")
        assert found["status"] == before
        assert labels.PROVIDER_NETWORK not in found["metadata"]["annotations"]


async def test_a_status_that_our_api_server_does_not_take_is_told() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        api_says = "status.conditions[0].status: Unsupported value"
        with rome.api.failing(422, "Invalid", api_says, verb="patch", plural=SLICES, subresource="status"):
            ask(rome)
            said = await rome.api.until(lambda: rome.refusal("StatusRefused"))
            assert said.startswith("the provider's status is not taken over: ")
            assert api_says in said
        await rome.api.until(lambda: rulings(rome) == ACCEPTED, timeout=60)


async def test_a_renew_does_not_wait_for_a_provider_that_has_put_us_out() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        milan.refused = (403, "Forbidden")
        rome.api.delete("identities", HERE, CONTROL_PLANE)
        began = asyncio.get_running_loop().time()
        await rome.api.until(lambda: not rome.api.named("renews"))
        assert asyncio.get_running_loop().time() - began < 3


async def test_a_provider_that_can_be_written_but_not_watched_is_kept_in_step() -> None:
    async with two() as (rome, milan):
        await identified(rome, milan)
        milan.api.fail(500, verb="watch", plural=SLICES, namespace=THERE, times=None)
        milan.api.end_watches(SLICES)
        ask(rome)
        await rome.api.until(lambda: rulings(rome) == ACCEPTED, timeout=60)


async def test_a_renewed_certificate_that_is_none_is_told_and_not_used() -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        before = rome.get("identities", HERE, CONTROL_PLANE)["spec"]
        params = dict(
            milan.get("tenants", THERE, "rome")["status"]["authParams"], apiServer="http://milan.test"
        )
        with milan.api.failing(500, verb="patch", plural="renews", subresource="status"):
            milan.api.merge("renews", THERE, CONTROL_PLANE, {"status": {"authParams": params}})
            said = await rome.api.until(lambda: rome.refusal("InvalidIdentity"))
        assert "spec.authParams.apiServer 'http://milan.test' is not a valid URL" in said
        assert rome.get("identities", HERE, CONTROL_PLANE)["spec"] == before


async def test_objects_of_a_namespace_that_ends_are_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with two() as (rome, milan):
        await peered(rome, milan)
        rome.api.create(
            "secrets", {"metadata": {"name": "held", "namespace": HERE, "finalizers": ["example.com/x"]}}
        )
        rome.api.delete("namespaces", "", HERE)
        await asyncio.sleep(60)
        assert {one["metadata"]["name"] for one in rome.api.list("secrets", HERE)} == {"held"}
        errors = [one.message for one in caplog.records if one.levelname == "ERROR"]
        assert errors == []

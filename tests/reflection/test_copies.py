"""ConfigMaps and Secrets at the provider: kept equal, frozen ones too, and never over what is somebody else's."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.api import labels
from isthmus.reflection import ReflectorOptions
from tests.apiserver import Admission, ApiServer, Json, StatusError
from tests.apiserver.clock import VIRTUAL_TIME, Clock
from tests.reflection.support import named, reflecting

pytestmark = VIRTUAL_TIME
TWIN = "shop-rome"


def copy(provider: ApiServer, plural: str, name: str = "c") -> Json:
    return provider.get(plural, TWIN, name) or {}


def content(provider: ApiServer, plural: str, name: str = "c") -> Any:
    return copy(provider, plural, name).get("data")


def faults(home: ApiServer) -> list[str]:
    """What the user was told is not reflected."""
    return home.events("FailedReflection")


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
async def test_a_copy_follows_its_original_and_goes_with_it(plural: str) -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        home.create(plural, named("c", "shop", data={"a": "eA==", "b": "eA=="}, labels={"app": "x"}))
        await provider.until(lambda: content(provider, plural) == {"a": "eA==", "b": "eA=="})
        assert copy(provider, plural)["metadata"]["labels"]["app"] == "x"
        home.merge(plural, "shop", "c", {"data": {"a": None, "b": "eQ=="}})
        await provider.until(lambda: content(provider, plural) == {"b": "eQ=="})
        home.delete(plural, "shop", "c")
        await provider.until(lambda: not copy(provider, plural))


async def test_large_contents_are_copied_whole() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        home.create("configmaps", named("c", "shop", data={"a": "x" * 100_000}))
        await provider.until(lambda: content(provider, "configmaps") == {"a": "x" * 100_000})


async def test_what_is_changed_or_deleted_there_is_restored() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        home.create("configmaps", named("c", "shop", data={"a": "1"}))
        await provider.until(lambda: content(provider, "configmaps"))
        provider.merge("configmaps", TWIN, "c", {"data": {"a": "2"}})
        await provider.until(lambda: content(provider, "configmaps") == {"a": "1"})
        provider.delete("configmaps", TWIN, "c")
        await provider.until(lambda: content(provider, "configmaps") == {"a": "1"})


async def test_a_secret_of_another_type_is_made_anew() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        home.create("secrets", named("c", "shop", data={"a": "eA=="}, type="Opaque"))
        await provider.until(lambda: copy(provider, "secrets"))
        first = copy(provider, "secrets")["metadata"]["uid"]
        home.delete("secrets", "shop", "c")
        home.create("secrets", named("c", "shop", data={"a": "eA=="}, type="example.com/other"))
        await provider.until(lambda: copy(provider, "secrets").get("type") == "example.com/other")
        assert copy(provider, "secrets")["metadata"]["uid"] != first


async def test_a_frozen_copy_whose_original_was_made_anew_is_made_anew() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        home.create("configmaps", named("c", "shop", data={"a": "1"}, immutable=True))
        await provider.until(lambda: copy(provider, "configmaps").get("immutable"))
        first = copy(provider, "configmaps")["metadata"]["uid"]
        home.delete("configmaps", "shop", "c")
        home.create("configmaps", named("c", "shop", data={"a": "2"}))
        await provider.until(lambda: content(provider, "configmaps") == {"a": "2"})
        assert copy(provider, "configmaps")["metadata"]["uid"] != first
        assert "immutable" not in copy(provider, "configmaps")


async def test_what_is_annotated_to_be_skipped_goes_and_the_user_is_told() -> None:
    skip = {labels.SKIP_REFLECTION: "true"}
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        home.create("configmaps", named("c", "shop", data={"a": "1"}))
        await provider.until(lambda: copy(provider, "configmaps"))
        home.merge("configmaps", "shop", "c", {"metadata": {"annotations": skip}})
        await provider.until(lambda: not copy(provider, "configmaps"))
        await home.until(lambda: home.events("ReflectionDisabled"))


async def test_the_home_authority_goes_under_a_name_that_no_other_config_map_gets() -> None:
    home, provider = ApiServer(), ApiServer()
    home.create("configmaps", named("kube-root-ca.crt.rome", "shop", data={"ca.crt": "no"}))
    async with reflecting(home, provider):
        await home.until(lambda: faults(home))
        assert "is the name of another copy" in faults(home)[0]
        assert not provider.named("configmaps")
        home.create("configmaps", named("kube-root-ca.crt", "shop", data={"ca.crt": "home"}))
        await provider.until(lambda: provider.named("configmaps") == {"kube-root-ca.crt.rome"})
        assert content(provider, "configmaps", "kube-root-ca.crt.rome") == {"ca.crt": "home"}


async def test_a_kind_that_is_switched_off_is_not_reflected() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider, reflectors={"secret": ReflectorOptions(workers=0)}):
        home.create("secrets", named("c", "shop", data={"a": "eA=="}))
        home.create("configmaps", named("c", "shop", data={"a": "1"}))
        await provider.until(lambda: content(provider, "configmaps"))
        assert not provider.named("secrets")


async def test_a_twin_that_lets_nobody_in_is_told_and_tried_again() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        with provider.failing(403, "Forbidden", "not yet", verb="apply", plural="configmaps"):
            home.create("configmaps", named("c", "shop", data={"a": "1"}))
            await home.until(lambda: faults(home))
            assert "not yet" in faults(home)[0]
        await provider.until(lambda: content(provider, "configmaps"), 40)


@pytest.mark.parametrize("code", [413, 422])
async def test_what_the_provider_cannot_take_is_told_and_taken_once_it_is_mended(
    code: int, clock: Clock
) -> None:
    def strict(review: Admission) -> None:
        if review.place.plural == "configmaps" and (review.object or {}).get("data") == {"a": "bad"}:
            raise StatusError(code, "Invalid", "data[a]: Invalid value")

    home, provider = ApiServer(), ApiServer()
    provider.admission.append(strict)
    async with reflecting(home, provider):
        home.create("configmaps", named("c", "shop", data={"a": "bad"}))
        await home.until(lambda: faults(home))
        assert "data[a]: Invalid value" in faults(home)[0]
        tries, begun = len(provider.asked("apply", "configmaps")), clock.monotonic()
        await provider.until(lambda: len(provider.asked("apply", "configmaps")) > tries, 200)
        assert clock.monotonic() - begun > 60, "nothing has changed that would help"
        home.merge("configmaps", "shop", "c", {"data": {"a": "good"}})
        await provider.until(lambda: content(provider, "configmaps") == {"a": "good"})


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (409, "Conflict", "the object has been modified"),
        (422, "Invalid", "metadata.uid: Invalid value: is gone"),
    ],
)
async def test_races_with_others_are_overcome_without_a_word(code: int, reason: str, message: str) -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        provider.fail(409, "Conflict", verb="apply", plural="configmaps")
        home.create("configmaps", named("c", "shop", data={"a": "1"}))
        await provider.until(lambda: content(provider, "configmaps") == {"a": "1"})
        provider.fail(code, reason, message, verb="apply", plural="configmaps")
        home.merge("configmaps", "shop", "c", {"data": {"a": "2"}})
        await provider.until(lambda: content(provider, "configmaps") == {"a": "2"})
        assert not faults(home)


async def test_a_restarted_process_finds_its_copies_and_removes_those_without_an_original() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        for name in ("kept", "deleted"):
            home.create("configmaps", named(name, "shop", data={"a": "1"}))
        await provider.until(lambda: provider.named("configmaps") == {"kept", "deleted"})
    before = copy(provider, "configmaps", "kept")
    home.delete("configmaps", "shop", "deleted")
    async with reflecting(home, provider):
        await provider.until(lambda: provider.named("configmaps") == {"kept"})
    assert copy(provider, "configmaps", "kept") == before

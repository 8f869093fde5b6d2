"""Offloaded pods have tokens of their service accounts at home: made once, renewed in time, gone with the pod."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import pytest

from isthmus.api import labels
from isthmus.kube.builtin import Pod
from isthmus.reflection import ReflectorOptions
from tests.apiserver import ApiServer, Json, wake
from tests.apiserver.clock import VIRTUAL_TIME, Clock
from tests.kube.fake import Exchange
from tests.reflection.support import reflecting

pytestmark = VIRTUAL_TIME
TWIN = "shop-rome"


def home_cluster(*accounts: str) -> ApiServer:
    home = ApiServer()
    for name in accounts or ("default",):
        home.create("serviceaccounts", {"metadata": {"name": name, "namespace": "shop"}})
    return home


def add_pod(
    home: ApiServer, name: str = "web", *, account: str = "default", life: int = 3600, **extra: Any
) -> Json:
    projection = {"path": "token", "expirationSeconds": life}
    vault = {"path": "vault", "audience": "vault", "expirationSeconds": 2 * life}
    sources = [{"serviceAccountToken": one} for one in (projection, vault)]
    volume = {"name": "kube-api-access", "projected": {"sources": sources}}
    spec = {"nodeName": "milan", "serviceAccountName": account, "volumes": [volume]}
    meta = {"name": name, "namespace": "shop", **extra.pop("metadata", {})}
    return home.create("pods", {"metadata": meta, "spec": spec | extra})


def secret(provider: ApiServer, name: str = "web-token") -> Json:
    return provider.get("secrets", TWIN, name) or {}


def asked(home: ApiServer) -> list[Json]:
    """The specs of the token requests so far."""
    return [one.body["spec"] for one in home.asked("create", "serviceaccounts", subresource="token")]


def complaints(home: ApiServer) -> list[str]:
    return home.events("FailedSATokensReflection")


async def test_a_pod_gets_the_tokens_it_projects_bound_to_itself() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        pod = add_pod(home)
        await provider.until(lambda: secret(provider))
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod["metadata"]["uid"]}
        assert [one["boundObjectRef"] for one in asked(home)] == [bound, bound]
        assert [(one["audiences"], one["expirationSeconds"]) for one in asked(home)] == [
            ([], 3600),
            (["vault"], 7200),
        ]
        values = [base64.b64decode(one).decode() for one in secret(provider)["data"].values()]
        assert sum(value.startswith("token-") for value in values) == 2
        assert secret(provider)["metadata"]["labels"][labels.SERVICE_ACCOUNT_NAME] == "default"


async def test_tokens_are_renewed_at_four_fifths_of_the_shortest_life(clock: Clock) -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        add_pod(home)
        await provider.until(lambda: secret(provider))
        before, begun = secret(provider)["data"], clock.monotonic()
        home.create(
            "configmaps", {"metadata": {"name": "later", "namespace": "x"}}
        )  # tokens of the fake differ
        await provider.until(lambda: secret(provider)["data"] != before, 3600)
        assert 2840 <= clock.monotonic() - begun <= 2890
        text = secret(provider)["metadata"]["annotations"][labels.SERVICE_ACCOUNT_EXPIRATION]
        assert datetime.fromisoformat(text).timestamp() > clock.time() + 3500


async def test_tokens_go_with_their_pod_and_those_of_other_nodes_stay() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        add_pod(home)
        await provider.until(lambda: secret(provider))
        theirs = dict(secret(provider)["metadata"])
        theirs |= {"name": "db-token", "labels": {**theirs["labels"], labels.NODE_NAME: "milan-2"}}
        theirs = {key: theirs[key] for key in ("name", "namespace", "labels", "annotations")}
        provider.create("secrets", {"metadata": theirs})
        home.delete("pods", "shop", "web")
        await provider.until(lambda: not secret(provider))
        assert secret(provider, "db-token")


async def test_what_was_left_behind_by_a_killed_process_is_removed_and_what_is_good_kept() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        for name in ("web", "gone"):
            add_pod(home, name)
        await provider.until(lambda: secret(provider) and secret(provider, "gone-token"))
    requests, kept = len(asked(home)), secret(provider)
    home.delete("pods", "shop", "gone")
    async with reflecting(home, provider):
        await provider.until(lambda: not secret(provider, "gone-token"))
        add_pod(home, "new")
        await provider.until(lambda: secret(provider, "new-token"))
        assert len(asked(home)) == requests + 2, "the tokens of web are good"
        assert secret(provider) == kept


async def test_a_service_account_that_comes_late_is_told_once_and_waited_for() -> None:
    home, provider = ApiServer(), ApiServer()
    async with reflecting(home, provider):
        add_pod(home)
        await home.until(lambda: complaints(home))
        assert "serviceaccounts" in complaints(home)[0]
        await home.until(lambda: len(asked(home)) > 5, 60)
        told = [one for one in home.list("events") if one["reason"] == "FailedSATokensReflection"]
        assert [one["count"] for one in told] == [1]
        home.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "shop"}})
        await provider.until(lambda: secret(provider), 60)


@pytest.mark.parametrize("code", [403, 500])
async def test_a_provider_that_refuses_the_secret_is_told_and_tried_again(code: int) -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        with provider.failing(code, "Forbidden", "no secrets here", verb="apply", plural="secrets"):
            add_pod(home)
            await home.until(lambda: complaints(home))
            assert "no secrets here" in complaints(home)[0]
        await provider.until(lambda: secret(provider), 60)


async def test_a_secret_that_is_changed_or_deleted_there_is_restored() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        add_pod(home)
        await provider.until(lambda: secret(provider))
        version = secret(provider)["metadata"]["resourceVersion"]
        provider.merge("secrets", TWIN, "web-token", {"data": {next(iter(secret(provider)["data"])): "eA=="}})
        await provider.until(lambda: "eA==" not in secret(provider)["data"].values())
        assert secret(provider)["metadata"]["resourceVersion"] != version
        provider.delete("secrets", TWIN, "web-token")
        await provider.until(lambda: secret(provider))


async def test_a_secret_of_somebody_else_is_left_alone_and_replaced_once_it_is_gone(clock: Clock) -> None:
    home, provider = home_cluster(), ApiServer()
    theirs = provider.create("secrets", {"metadata": {"name": "web-token", "namespace": TWIN}})
    async with reflecting(home, provider):
        add_pod(home)
        await home.until(lambda: complaints(home))
        assert "already exists there" in complaints(home)[0]
        assert secret(provider) == theirs
        begun = clock.monotonic()
        provider.delete("secrets", TWIN, "web-token")
        await provider.until(lambda: secret(provider), 130)
        assert clock.monotonic() - begun <= 121


async def test_a_successor_of_the_same_name_gets_tokens_of_its_own() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        first = add_pod(home)["metadata"]["uid"]
        await provider.until(lambda: secret(provider))
        home.delete("pods", "shop", "web")
        second = add_pod(home)["metadata"]["uid"]

        def owner() -> str:
            annotations = secret(provider).get("metadata", {}).get("annotations", {})
            return str(annotations.get(labels.SERVICE_ACCOUNT_POD_UID, ""))

        await provider.until(lambda: owner() == second)
        assert {one["boundObjectRef"]["uid"] for one in asked(home)} == {first, second}


async def test_a_pod_that_is_replaced_in_the_middle_is_no_failure() -> None:
    home, provider = home_cluster(), ApiServer()
    home.fail(409, "Conflict", verb="create", plural="serviceaccounts", subresource="token")
    async with reflecting(home, provider):
        add_pod(home)
        await provider.until(lambda: secret(provider))
        assert not complaints(home)


async def test_pods_that_have_ended_are_renewed_no_more() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        add_pod(home)
        await provider.until(lambda: secret(provider))
        home.merge("pods", "shop", "web", {"status": {"phase": "Succeeded"}})
        with pytest.raises(TimeoutError):
            await home.until(lambda: len(asked(home)) > 2, 4000)
        assert secret(provider), "it may still be mounted"


async def test_pods_that_want_none_and_pods_elsewhere_get_none() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        add_pod(home, "off", metadata={"annotations": {labels.API_SERVER_SUPPORT: "disabled"}})
        add_pod(home, "plain", volumes=[])
        add_pod(home, "worker", nodeName="worker")
        home.create("pods", {**add_pod(ApiServer(), "x"), "metadata": {"name": "x", "namespace": "other"}})
        add_pod(home)
        await provider.until(lambda: secret(provider))
        assert provider.named("secrets") == {"web-token"}


async def test_with_no_workers_there_are_no_tokens() -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider, reflectors={"serviceaccount": ReflectorOptions(workers=0)}):
        add_pod(home)
        home.create("configmaps", {"metadata": {"name": "c", "namespace": "shop"}, "data": {"a": "b"}})
        await provider.until(lambda: provider.named("configmaps"))
        assert not asked(home)


async def test_tokens_wait_for_their_pods_turn_and_say_when_they_are_there(clock: Clock) -> None:
    home, provider = home_cluster(), ApiServer()
    at, over = clock.monotonic(), list[str]()

    def turn(_: Pod) -> float:
        return max(0.0, at + 20 - clock.monotonic()) if clock.monotonic() > at else 20.0

    def is_over(pod: Pod) -> None:
        over.append(pod.metadata.name)
        wake()

    async with reflecting(home, provider, tokens_turn=turn, tokens_over=is_over):
        add_pod(home)
        await provider.until(lambda: secret(provider), 60)
        assert clock.monotonic() - at >= 20
        await provider.until(lambda: over)


async def test_tokens_that_end_at_once_are_not_asked_for_without_end(clock: Clock) -> None:
    home, provider = home_cluster(), ApiServer()
    async with reflecting(home, provider):
        add_pod(home, life=1)
        await provider.until(lambda: secret(provider))
        begun, before = clock.monotonic(), len(asked(home))
        await home.until(lambda: len(asked(home)) >= before + 10, 120)
        assert clock.monotonic() - begun >= 40, "two requests each, at most every ten seconds"


async def test_an_answer_that_is_no_token_is_tried_again() -> None:
    home, provider = home_cluster(), ApiServer()

    async def nonsense(exchange: Exchange) -> None:
        await exchange.respond(201, {"kind": "TokenRequest", "status": {}})

    fault = home.respond(nonsense, verb="create", plural="serviceaccounts", subresource="token")
    async with reflecting(home, provider):
        add_pod(home)
        await home.until(lambda: fault.hits > 1)
        assert not secret(provider)
        home.faults.end(fault)
        await provider.until(lambda: secret(provider), 60)

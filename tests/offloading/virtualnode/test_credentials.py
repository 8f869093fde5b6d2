"""What a virtual node reaches its provider with: missing, unusable, renewed, led elsewhere. What runs goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver import ApiServer
from tests.apiserver.clock import VIRTUAL_TIME, Clock
from tests.offloading.stage import TNS, Stage, kubeconfig, nodes, staged

pytestmark = VIRTUAL_TIME
UNUSABLE = "KubeconfigUnusable"


async def complaint(stage: Stage) -> str:
    """Wait until the VirtualNode says that its kubeconfig is no use; what it says."""
    await stage.until(lambda: stage.condition("VirtualKubelet").get("reason") == UNUSABLE)
    return str(stage.condition("VirtualKubelet")["message"])


def renew(stage: Stage, provider: ApiServer, token: str) -> None:
    stage.rome.merge("secrets", TNS, "slice", {"data": kubeconfig(provider, token)})


def tokens(provider: ApiServer) -> set[str]:
    return {
        one.exchange.headers.get("authorization", "").removeprefix("Bearer ") for one in provider.requests
    }


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "has no key kubeconfig"),
        ({"kubeconfig": "%%%"}, "is not base64"),
        ({"kubeconfig": "eyJ9"}, f"Secret {TNS}/slice"),
    ],
)
async def test_a_kubeconfig_that_is_none_is_named_and_one_that_is_mended_is_taken(
    data: dict[str, str], words: str
) -> None:
    async with staged() as stage, nodes(stage):
        stage.rome.put("secrets", {**stage.rome.list("secrets")[0], "data": data})
        stage.make_node()
        assert words in await complaint(stage)
        assert stage.condition("VirtualKubelet")["status"] == "Creating"
        assert stage.node() is None
        renew(stage, stage.milan, "slice")
        await stage.until_ready()
        await stage.until(lambda: stage.condition("VirtualKubelet")["status"] == "Running")


async def test_a_virtual_node_without_a_kubeconfig_says_which_field_is_missing() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node(kubeconfigSecretRef=None)
        assert "spec.kubeconfigSecretRef.name is not set" in await complaint(stage)


@pytest.mark.parametrize("labelled", [True, False])
async def test_a_secret_that_comes_later_is_seen_within_a_minute_and_a_labelled_one_at_once(
    labelled: bool, clock: Clock
) -> None:
    async with staged() as stage, nodes(stage):
        secret = stage.rome.list("secrets")[0]
        stage.rome.delete("secrets", TNS, "slice")
        stage.make_node()
        assert f"Secret {TNS}/slice with the provider's kubeconfig does not exist" in await complaint(stage)
        await stage.settle()
        begun = clock.monotonic()
        meta: dict[str, Any] = {"name": "slice", "namespace": TNS}
        if labelled:
            meta["labels"] = secret["metadata"]["labels"]
        stage.rome.create("secrets", {"metadata": meta, "data": secret["data"]})
        await stage.until(lambda: stage.ready().get("status") == "True", 70)
        assert clock.monotonic() - begun <= (1 if labelled else 61)


async def test_renewed_credentials_are_taken_without_a_restart() -> None:
    async with staged() as stage, nodes(stage) as registry:
        stage.make_node()
        await stage.until_ready()
        session = registry.session("milan")
        renew(stage, stage.milan, "renewed")
        await stage.until(lambda: "renewed" in tokens(stage.milan))
        assert registry.session("milan") is session
        assert stage.ready()["status"] == "True"


async def test_credentials_that_are_refused_already_are_replaced_by_a_new_start() -> None:
    async with staged() as stage, nodes(stage) as registry:
        stage.make_node()
        await stage.until_ready()

        def outdated(request: Any) -> bool:
            return bool(request.exchange.headers.get("authorization") == "Bearer slice")

        stage.milan.fail(401, "Unauthorized", times=None, when=outdated)
        await stage.until(lambda: stage.ready()["status"] == "False", 60)
        assert "does not accept the certificate" in stage.ready()["message"]
        session = registry.session("milan")
        renew(stage, stage.milan, "renewed")
        await stage.until_ready()
        assert registry.session("milan") is not session


async def test_renewed_credentials_that_cannot_be_used_leave_the_old_ones_at_work() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        broken = kubeconfig(stage.milan)
        broken["kubeconfig"] = "e30="
        stage.rome.merge("secrets", TNS, "slice", {"data": broken})
        await complaint(stage)
        assert stage.condition("VirtualKubelet")["status"] == "Running"
        stage.rome.delete("secrets", TNS, "slice")
        await stage.until(lambda: "does not exist" in stage.condition("VirtualKubelet")["message"])
        asked = len(stage.milan.requests)
        await stage.until(lambda: len(stage.milan.requests) > asked)
        assert stage.ready()["status"] == "True"


async def test_credentials_for_another_server_lead_there() -> None:
    elsewhere = ApiServer()
    async with elsewhere, staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        await stage.settle()
        renew(stage, elsewhere, "slice")
        await stage.until(lambda: elsewhere.requests, 5)
        asked = len(stage.milan.requests)
        await stage.settle()
        assert len(stage.milan.requests) == asked
        assert stage.ready()["status"] == "True"


async def test_a_start_that_fails_is_tried_again() -> None:
    async with staged() as stage, nodes(stage):
        with stage.rome.failing(500, when=lambda request: request.path == "/version") as fault:
            stage.make_node()
            await stage.until(lambda: fault.hits >= 2)
            assert stage.node() is None
        await stage.until_ready()

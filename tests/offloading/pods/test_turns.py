"""A pod's ShadowPod follows its tokens, and waits for them no longer than is worth it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from isthmus.api.offloading import OffloadingPatch
from isthmus.kube.builtin import Pod
from isthmus.offloading.pods import turns
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.pace import Pace
from isthmus.offloading.pods.spec import Terms
from isthmus.offloading.pods.turns import PATIENCE, shadow_turn, tokens_turn
from tests.offloading.pods.test_shadow_pod import IDENTITY

TOKEN = {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(turns, "time", clock)
    return clock


def context(clock: Clock, *, makes_tokens: bool = True, turns_before: int = 0) -> Any:
    terms = Terms(IDENTITY, OffloadingPatch(), makes_tokens=makes_tokens)
    pace = Pace(clock.monotonic)
    for number in range(turns_before):
        pace.wait(f"other{number}")
    return SimpleNamespace(terms=lambda: terms, pace=pace)


def pod(*volumes: dict[str, Any]) -> Pod:
    manifest = {"metadata": {"name": "web", "namespace": "demo", "uid": "u1"}, "spec": {"volumes": volumes}}
    return msgspec.json.decode(msgspec.json.encode(manifest), type=Pod)


def test_a_shadow_pod_follows_the_tokens_at_once(clock: Clock) -> None:
    here, memory = context(clock), PodMemory("u1")
    assert shadow_turn(here, pod(TOKEN), memory) == PATIENCE
    assert tokens_turn(here, pod(TOKEN), memory) == 0
    assert shadow_turn(here, pod(TOKEN), memory) > 0
    memory.tokens_over = True
    assert shadow_turn(here, pod(TOKEN), memory) == 0


def test_tokens_that_do_not_come_hold_a_pod_up_for_a_while_only(clock: Clock) -> None:
    here, memory = context(clock), PodMemory("u1")
    assert shadow_turn(here, pod(TOKEN), memory) == PATIENCE
    clock.now += PATIENCE
    assert shadow_turn(here, pod(TOKEN), memory) == 0


def test_the_wait_counts_from_the_turn_of_the_tokens(clock: Clock) -> None:
    here, memory = context(clock, turns_before=100), PodMemory("u1")
    waiting = tokens_turn(here, pod(TOKEN), memory)
    assert waiting > 5
    clock.now += waiting
    assert tokens_turn(here, pod(TOKEN), memory) == 0
    assert shadow_turn(here, pod(TOKEN), memory) == pytest.approx(PATIENCE)


@pytest.mark.parametrize(("makes_tokens", "volumes"), [(True, ()), (False, (TOKEN,))])
def test_a_pod_without_tokens_takes_its_own_turn(
    clock: Clock, makes_tokens: bool, volumes: tuple[dict[str, Any], ...]
) -> None:
    here = context(clock, makes_tokens=makes_tokens)
    assert shadow_turn(here, pod(*volumes), PodMemory("u1")) == 0
    busy = context(clock, makes_tokens=makes_tokens, turns_before=100)
    assert shadow_turn(busy, pod(*volumes), PodMemory("u1")) > 5

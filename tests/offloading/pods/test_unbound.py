"""A remote pod that no node was found for is asked for after a while, ever more rarely, and shown."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import convert

from isthmus.offloading.pods import unbound
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.twin import RemotePod, Shadow

SHADOW = convert({"metadata": {"name": "web", "namespace": "demo-rome"}}, Shadow)
WAITING = convert({"metadata": {"name": "web", "namespace": "demo-rome"}}, RemotePod)


class Asked:
    """A provider that has the pod, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.count, self.memory = 50.0, 0, PodMemory("u1")
        monkeypatch.setattr(unbound, "time", SimpleNamespace(monotonic=lambda: self.now))

    async def find(self, *place: Any) -> RemotePod:
        self.count += 1
        return WAITING

    def after(self, seconds: float) -> tuple[RemotePod | None, float]:
        self.now += seconds
        context: Any = SimpleNamespace(remote=self)
        return asyncio.run(unbound.find_unbound(context, SHADOW, self.memory))


def test_a_pod_that_is_just_being_bound_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    assert asked.after(0) == (None, 10.0)
    assert asked.after(4) == (None, 6.0)
    assert asked.count == 0


def test_a_pod_that_waits_is_found_and_asked_for_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    pause = asked.after(0)[1]
    pauses = []
    for _ in range(7):
        found, pause = asked.after(pause)
        assert found == WAITING
        pauses.append(pause)
    assert pauses == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0]
    assert asked.count == 7


def test_it_is_waited_for_anew_once_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    asked.after(0)
    assert asked.after(10)[0] == WAITING
    asked.memory.unbound_asks = 0
    assert asked.after(100) == (None, 10.0)

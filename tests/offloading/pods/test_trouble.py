"""What a provider says of a pod that does not get on: asked for late, told once, never believed further than text."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from isthmus.kube.errors import Forbidden
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.pace import Pace
from isthmus.offloading.pods.provider import LOOKS_RATE, LOOKS_SPREAD
from isthmus.offloading.pods.trouble import (
    FIRST_LOOK,
    LOOKS,
    MOST,
    RemoteEvent,
    calm,
    explain,
    is_in_trouble,
    plan_told,
)


def waiting(reason: str) -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": reason}}}]}


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({}, True),
        ({"phase": "Pending"}, True),
        ({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}, False),
        ({"phase": "Succeeded"}, False),
        (waiting("CrashLoopBackOff"), True),
        (waiting("ImagePullBackOff"), True),
        (waiting("ContainerCreating"), False),
    ],
)
def test_trouble(status: dict[str, Any], trouble: bool) -> None:
    assert is_in_trouble(status) is trouble


def event(uid: str, about: str = "p1", **fields: Any) -> RemoteEvent:
    manifest = {
        "metadata": {"uid": uid},
        "involvedObject": {"kind": "Pod", "uid": about},
        "reason": "FailedScheduling",
        "message": "no node fits",
        "type": "Warning",
        "lastTimestamp": "2026-11-25T10:00:00Z",
        **fields,
    }
    return msgspec.convert(manifest, RemoteEvent)


def test_an_event_is_told_once_and_again_when_it_has_happened_again() -> None:
    new, told = plan_told([event("e1", count=1)], {"p1"}, {})
    assert [each.metadata.uid for each in new] == ["e1"]
    assert plan_told([event("e1", count=1)], {"p1"}, told) == ([], told)
    new, _ = plan_told([event("e1", count=2)], {"p1"}, told)
    assert len(new) == 1


def test_what_is_not_about_the_pod_or_makes_no_sense_is_not_told() -> None:
    strange = [
        event("e1", about="another"),
        event("e2", type="Normal"),
        event("e3", reason="not a reason\n"),
        event("e4", reason=""),
        event("e5", involvedObject={"kind": "Node", "uid": "p1"}),
    ]
    assert plan_told(strange, {"p1"}, {}) == ([], {})
    shadow = event("e6", involvedObject={"kind": "ShadowPod", "uid": "s1"})
    assert plan_told([shadow], {"s1"}, {})[0] == [shadow]


def test_of_many_the_latest_are_told() -> None:
    many = [event(f"e{n}", lastTimestamp=f"2026-11-25T10:00:{n:02}Z") for n in range(30)]
    new, told = plan_told(many, {"p1"}, {})
    assert [each.metadata.uid for each in new] == [f"e{n}" for n in range(30 - MOST, 30)]
    assert len(told) == MOST


class Provider:
    """Has one event, and counts how often it is asked."""

    def __init__(self, refuses: bool = False) -> None:
        self.asked: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.refuses = refuses

    async def list(self, resource: Any, namespace: str, *, field_selector: str) -> Any:
        self.asked.append(f"{namespace} {field_selector}")
        if self.refuses:
            raise Forbidden("events are not for you")
        return SimpleNamespace(items=[event("e1")])

    def record(self, resource: Any, about: Any, reason: str, message: str, type_: str) -> None:
        self.told.append((reason, message))


async def test_the_provider_is_asked_only_of_a_pod_that_stays_in_trouble() -> None:
    for refuses in (False, True):
        provider, memory = Provider(refuses), PodMemory("u1")
        context: Any = SimpleNamespace(
            remote=provider,
            events=provider,
            terms=lambda: SimpleNamespace(identity=SimpleNamespace(provider_id="milan")),
            looks=Pace(),
        )
        pod: Any = SimpleNamespace(metadata=SimpleNamespace(name="web", uid="u1"))
        shadow: Any = SimpleNamespace(metadata=SimpleNamespace(namespace="demo-rome", uid="s1"))
        remote: Any = SimpleNamespace(metadata=SimpleNamespace(uid="p1"))
        first = await explain(context, pod, shadow, remote, memory)
        assert first is not None
        assert 0 < first < FIRST_LOOK + 0.001, "a difference of two times, hence not exact"
        assert provider.asked == []
        memory.explain_at = time.monotonic()
        assert await explain(context, pod, shadow, remote, memory) == LOOKS[0]
        assert provider.asked == ["demo-rome involvedObject.name=web,type=Warning"]
        assert provider.told == ([] if refuses else [("FailedScheduling", "milan: no node fits")])
        calm(memory)
        assert await explain(context, pod, None, None, memory) is None


async def test_of_many_pods_in_trouble_not_all_are_asked_about_at_once() -> None:
    provider = Provider()
    context: Any = SimpleNamespace(
        remote=provider,
        events=provider,
        terms=lambda: SimpleNamespace(identity=SimpleNamespace(provider_id="milan")),
        looks=Pace(rate=LOOKS_RATE, spread=LOOKS_SPREAD),
    )
    shadow: Any = SimpleNamespace(metadata=SimpleNamespace(namespace="demo-rome", uid="s1"))
    waits = []
    for number in range(50):
        pod: Any = SimpleNamespace(metadata=SimpleNamespace(name=f"web-{number}", uid=f"u{number}"))
        memory = PodMemory(f"u{number}", explain_at=time.monotonic())
        waits.append(await explain(context, pod, shadow, shadow, memory))
    assert len(provider.asked) == 1
    assert all(wait is not None and wait < 90 for wait in waits)

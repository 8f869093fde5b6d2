"""A pod on its way to its start: the first step and the start are told at once, what lies between not at any cost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from isthmus.kube.builtin import Pod
from isthmus.offloading.pods import local, mirror
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.mirror import STEP, mirror_status
from isthmus.offloading.pods.provider import ProviderHealth
from isthmus.offloading.pods.twin import RemotePod


def creating(**more: Any) -> dict[str, Any]:
    waiting = [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    return {"phase": "Pending", "hostIP": "10.1.1.1", "containerStatuses": waiting, **more}


SPEC = {"containers": [{"name": "c"}]}
RUNNING = {"phase": "Running", "hostIP": "10.1.1.1", "podIP": "10.244.0.7"}


class Here:
    """The local pod, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.writes: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = {}
        self.status: dict[str, Any] = {"phase": "Pending"}
        self.memory = PodMemory("u1", explain_at=2000.0)

    def monotonic(self) -> float:
        return self.now

    gmtime = staticmethod(mirror.time.gmtime)
    strftime = staticmethod(mirror.time.strftime)

    def pod(self) -> Pod:
        metadata = {"name": "web", "namespace": "demo", "uid": "u1", **self.metadata}
        return msgspec.json.decode(
            msgspec.json.encode({"metadata": metadata, "spec": SPEC, "status": self.status}), type=Pod
        )

    async def patch(self, _: object, name: str, body: dict[str, Any], *args: object, **__: object) -> Pod:
        self.writes.append(body["status"])
        self.metadata |= body["metadata"]
        self.status = {k: v for k, v in {**self.status, **body["status"]}.items() if v is not None}
        return self.pod()

    def see(self, status: dict[str, Any]) -> float | None:
        """The remote pod is so; what the mirror says of the next look."""
        context: Any = SimpleNamespace(
            node_name="milan",
            host_ip="10.0.0.9",
            local=self,
            health=ProviderHealth(probed=True, reachable=True),
            translation=lambda: None,
            cut_off=lambda: False,
        )
        manifest = {"metadata": {"name": "web", "uid": "r1"}, "status": status}
        remote = msgspec.json.decode(msgspec.json.encode(manifest), type=RemotePod)
        return asyncio.run(mirror_status(context, self.pod(), None, remote, self.memory))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here()
    monkeypatch.setattr(mirror, "time", here)
    monkeypatch.setattr(local, "time", here)
    return here


def test_a_step_that_the_start_follows_is_not_written(here: Here) -> None:
    here.see(creating())
    assert len(here.writes) == 1
    assert here.see(creating(podIP="10.244.0.7")) == STEP
    here.now += 1
    here.see(RUNNING)
    assert [status["phase"] for status in here.writes if "phase" in status] == ["Running"]
    assert len(here.writes) == 2


def test_a_step_that_nothing_follows_is_written_after_a_while(here: Here) -> None:
    here.see(creating())
    here.now += 1
    failed = creating(containerStatuses=[{"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}}])
    assert here.see(failed) == STEP - 1
    here.now += STEP - 1
    here.see(failed)
    assert here.status["containerStatuses"] == failed["containerStatuses"]


def test_what_is_as_it_was_is_not_looked_at_again_for_it(here: Here) -> None:
    here.see(creating())
    here.memory.explain_at = here.now + 500
    again = here.see(creating())
    assert again is None or again > STEP
    assert len(here.writes) == 1

"""While the network to a provider is down its pods are not ready, and nobody quarrels about it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec

from isthmus.kube.builtin import Pod
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.mirror import mirror_status
from isthmus.offloading.pods.provider import ProviderHealth
from isthmus.offloading.pods.status import cut_off_status
from isthmus.offloading.pods.twin import RemotePod

EARLIER, NOW = "2026-11-23T15:00:00Z", "2026-11-23T16:00:00Z"


def conditions(ready: str, **more: Any) -> list[dict[str, Any]]:
    ready_ones = ("Ready", "ContainersReady")
    return [
        {"type": "Initialized", "status": "True", "lastTransitionTime": EARLIER},
        *({"type": one, "status": ready, "lastTransitionTime": EARLIER, **more} for one in ready_ones),
    ]


class Node:
    """A pod here and its remote one, with the node controller: it denies readiness on a node that is not ready."""

    def __init__(self) -> None:
        self.down = False
        self.writes = 0
        self.health = ProviderHealth(probed=True, reachable=True)
        self.remote = {"phase": "Running", "hostIP": "10.1.1.1", "podIP": "10.244.0.7"}
        self.status: dict[str, Any] = {"phase": "Pending"}
        self.marks: dict[str, Any] = {}
        self.memory = PodMemory("u1")

    def pod(self) -> Pod:
        metadata = {"name": "web", "namespace": "demo", "uid": "u1", **self.marks}
        manifest = {"metadata": metadata, "status": self.status}
        return msgspec.json.decode(msgspec.json.encode(manifest), type=Pod)

    async def patch(self, _: object, name: str, body: dict[str, Any], *args: object, **__: object) -> Pod:
        self.writes += 1
        self.marks |= body["metadata"]
        self.status = {k: v for k, v in {**self.status, **body["status"]}.items() if v is not None}
        return self.pod()

    def node_controller(self) -> bool:
        """Whether it had something to deny."""
        found = [
            c for c in self.status.get("conditions", []) if (c["type"], c["status"]) == ("Ready", "True")
        ]
        for condition in found if self.down else []:
            condition["status"] = "False"
        return self.down and bool(found)

    def look(self) -> None:
        """Mirror the pod until nothing changes any more; fails where that has no end."""
        context: Any = SimpleNamespace(
            node_name="milan",
            host_ip="10.0.0.9",
            local=self,
            health=self.health,
            translation=lambda: None,
            cut_off=lambda: self.down,
        )
        remote = msgspec.convert(
            {
                "metadata": {"name": "web", "uid": "r1"},
                "status": msgspec.Raw(msgspec.json.encode({**self.remote, "conditions": conditions("True")})),
            },
            RemotePod,
        )
        for _ in range(10):
            before = self.writes
            asyncio.run(mirror_status(context, self.pod(), None, remote, self.memory))
            if not self.node_controller() and self.writes == before:
                return
        raise AssertionError("the mirror and the node controller go on contradicting each other")

    @property
    def ready(self) -> tuple[str, str]:
        found = next(c for c in self.status["conditions"] if c["type"] == "Ready")
        return found["status"], found.get("reason", "")


def test_it_is_not_ready_while_the_network_is_down_and_ready_again_after() -> None:
    node = Node()
    node.look()
    assert node.ready == ("True", "")
    node.down = True
    node.look()
    assert node.ready == ("False", "NetworkUnavailable")
    node.down = False
    node.look()
    assert node.ready == ("True", "")


def test_it_does_not_quarrel_with_a_node_controller_that_was_first() -> None:
    node = Node()
    node.look()
    node.down = True
    assert node.node_controller()
    node.look()
    assert node.ready[0] == "False"
    writes = node.writes
    node.look()
    assert node.writes == writes


def test_it_is_told_at_once_though_readiness_is_held_back() -> None:
    node = Node()
    node.look()
    node.health.settle()
    node.down = True
    node.look()
    assert node.ready == ("False", "NetworkUnavailable")


def test_what_is_said_does_not_change_with_every_look() -> None:
    mapped, local = {"conditions": conditions("True")}, {"conditions": conditions("True")}
    first = cut_off_status(mapped, local, "down", NOW)
    assert [c["status"] for c in first["conditions"]] == ["True", "False", "False"]
    assert cut_off_status(mapped, first, "down", "2026-11-23T17:00:00Z") == first
    assert mapped == {"conditions": conditions("True")}


def test_a_pod_that_is_not_ready_at_the_provider_keeps_that_reason() -> None:
    mapped = {"conditions": conditions("False", reason="ContainersNotReady")}
    assert cut_off_status(mapped, {"conditions": conditions("True")}, "down", NOW) == mapped
    assert cut_off_status({"phase": "Pending"}, {}, "down", NOW) == {"phase": "Pending"}

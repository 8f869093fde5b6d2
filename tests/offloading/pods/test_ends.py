"""A local pod that ends is told so once, and its ShadowPod is never made again, whenever the consumer restarts."""

from __future__ import annotations

from collections.abc import Coroutine
from itertools import count
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.offloading import OffloadingPatch
from isthmus.kube.builtin import Pod
from isthmus.kube.objects import Key, Manifest
from isthmus.offloading.inplace import REVISION, first_revision
from isthmus.offloading.pods.memory import Memories
from isthmus.offloading.pods.metadata import POD_UID, REMOTE_POD_UID
from isthmus.offloading.pods.pace import Pace
from isthmus.offloading.pods.provider import ProviderHealth
from isthmus.offloading.pods.reconciler import PodReconciler
from isthmus.offloading.pods.spec import Terms
from isthmus.offloading.pods.twin import RemotePod, Shadow
from tests.offloading.pods.test_shadow_pod import IDENTITY

KEY = Key("demo", "web-0")
TERMINAL = ("Succeeded", "Failed")


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what never has to wait, for nothing here does; an event loop for each step would take most of the time."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


class Both:
    """A local pod, and what the provider has of it; the consumer may be restarted between any two looks."""

    def __init__(self, restart_policy: str) -> None:
        spec = {"restartPolicy": restart_policy, "containers": [{"name": "c", "image": "a"}]}
        self.spec = msgspec.Raw(msgspec.json.encode(spec))
        self.annotations: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.status: dict[str, Any] = {"phase": "Pending"}
        self.shadow: dict[str, Any] | None = None
        self.remote: dict[str, Any] | None = None
        self.number = 1
        self.created = 0
        self.version = 1
        self.restart()

    # What happens.

    def restart(self) -> None:
        """The consumer's controller forgets everything."""
        context: Any = SimpleNamespace(
            node_name=IDENTITY.node_name,
            host_ip="10.0.0.9",
            pods=SimpleNamespace(get=lambda _: self.pod()),
            local=self,
            remote=self,
            events=SimpleNamespace(record=lambda *_: None),
            health=ProviderHealth(probed=True, reachable=True),
            terms=lambda: Terms(IDENTITY, OffloadingPatch()),
            wished=lambda _: True,
            translation=lambda: None,
            cut_off=lambda: False,
            pace=Pace(count(1.0).__next__),
        )
        twin: Any = SimpleNamespace(
            local="demo",
            remote="demo-rome",
            ready=True,
            barred=False,
            shadow=lambda _: self.decoded(self.shadow, Shadow),
            pod=lambda _: self.decoded(self.remote, RemotePod),
        )
        self.reconciler = PodReconciler(context, {"demo": twin}, Memories())

    def look(self) -> None:
        finish(self.reconciler.reconcile(KEY))

    def provider_runs(self) -> None:
        if self.shadow is not None and self.remote is None and self.shadow["status"]["phase"] not in TERMINAL:
            self.number += 1
            status = {"phase": "Running", "hostIP": "10.1.1.1", "podIP": "10.244.0.7"}
            self.remote = {"metadata": {"name": "web-0", "uid": f"r{self.number}"}, "status": status}
            self.shadow["status"] = {"phase": "Running"}

    def remote_succeeds(self) -> None:
        self._remote_ends("Succeeded")

    def remote_fails(self) -> None:
        self._remote_ends("Failed")

    def _remote_ends(self, phase: str) -> None:
        if (
            self.remote is not None
            and self.shadow is not None
            and self.remote["status"]["phase"] == "Running"
        ):
            self.remote["status"]["phase"] = phase
            self.shadow["status"] = {"phase": phase}

    def remote_goes(self) -> None:
        self.remote = None

    def shadow_goes(self) -> None:
        """Somebody at the provider deletes it, and the pod with it: a drain, a namespace."""
        self.shadow = self.remote = None

    # What the consumer uses.

    def pod(self) -> Pod:
        metadata = {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": "uid-1",
            "resourceVersion": str(self.version),
            "annotations": self.annotations,
            "labels": self.labels,
        }
        status = msgspec.Raw(msgspec.json.encode(self.status))
        return msgspec.convert({"metadata": metadata, "spec": self.spec, "status": status}, Pod)

    @staticmethod
    def decoded(manifest: Manifest | None, type_: Any) -> Any:
        if manifest is None:
            return None
        version = {"resourceVersion": manifest["status"]["phase"]}
        versioned = {**manifest, "metadata": manifest["metadata"] | version}
        return msgspec.json.decode(msgspec.json.encode(versioned), type=type_)

    async def find(self, resource: Any, *_: Any) -> Any:
        return self.decoded(self.shadow, resource.type)

    async def create(self, resource: Any, manifest: Manifest, *_: Any, **__: Any) -> Any:
        assert self.shadow is None
        assert manifest["metadata"]["annotations"][POD_UID] == "uid-1"
        assert manifest["metadata"]["annotations"][REVISION] == first_revision(self.spec)
        self.created += 1
        metadata = {**manifest["metadata"], "uid": f"s{self.created}", "generation": 1}
        self.shadow = {"metadata": metadata, "status": {"phase": "Unknown"}}
        return self.decoded(self.shadow, Shadow)

    async def delete(self, *_: Any, **__: Any) -> bool:
        self.shadow = None
        return True

    async def patch(self, resource: Any, name: str, patch: Any, *_: Any, **how: Any) -> Any:
        assert how.get("subresource") == "status"
        self.version += 1
        self.annotations |= patch["metadata"].get("annotations", {})
        self.labels |= patch["metadata"].get("labels", {})
        for key, value in patch["status"].items():
            if value is None:
                self.status.pop(key, None)
            else:
                self.status[key] = value
        return self.pod()


ACTIONS = ["look", "look", "look", "restart", "provider_runs", "provider_runs"]
ENDS = ["remote_succeeds", "remote_fails", "remote_goes", "shadow_goes"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["Never", "OnFailure"]), st.lists(st.sampled_from(ACTIONS + ENDS), max_size=25))
def test_what_was_seen_to_run_is_never_asked_for_again(policy: str, actions: list[str]) -> None:
    both = Both(policy)
    seen_at = None
    for action in [*actions, "look", "look"]:
        getattr(both, action)()
        if seen_at is not None:
            assert both.created == seen_at, "it is asked for again"
        elif REMOTE_POD_UID in both.annotations:
            seen_at = both.created
    if seen_at is not None and both.shadow is None:
        assert both.status["phase"] in TERMINAL, "it says that it runs for ever"
    if both.shadow is not None and both.shadow["status"]["phase"] in TERMINAL:
        assert both.status["phase"] in TERMINAL


RUNNING = ["look", "provider_runs", "look"]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("policy", "after", "phase", "reason", "created"),
    [
        ("Never", ["remote_succeeds"], "Succeeded", None, 1),
        ("Never", ["remote_succeeds", "remote_goes"], "Succeeded", "RemotePodTerminated", 1),
        ("OnFailure", ["remote_fails", "remote_goes"], "Failed", "RemotePodTerminated", 1),
        ("Never", ["remote_succeeds", "shadow_goes"], "Failed", "RemotePodLost", 1),
        ("Never", ["shadow_goes"], "Failed", "RemotePodLost", 1),
        # A server is wanted for ever: it is asked for again.
        ("Always", ["shadow_goes"], "Running", None, 2),
    ],
)
def test_ends_the_consumer_may_have_missed(
    policy: str, after: list[str], phase: str, reason: str | None, created: int, restarted: bool
) -> None:
    both = Both(policy)
    again = ["look", "look", "provider_runs", "look"]
    for action in [*RUNNING, *after, *(["restart"] if restarted else []), *again]:
        getattr(both, action)()
    assert (both.status["phase"], both.created) == (phase, created)
    assert both.status.get("reason") == reason

"""A pod that came to its end is never run again, whatever is deleted, killed or restarted in which order.

The controller works on a provider in memory whose caches lag behind, whose kubelet reports when it is told to, and
which honours finalizers, grace periods and preconditions as an API server does.
"""

from __future__ import annotations

import itertools
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api import labels
from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube.errors import AlreadyExists, Conflict, NotFound
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.resource import Resource
from isthmus.offloading.shadowpod import controller as module
from isthmus.offloading.shadowpod.controller import ShadowPodController
from isthmus.offloading.shadowpod.forge import FINISHED, SHADOWED_PODS

KEY = Key("demo-rome", "job")
PODS, SHADOWS = "pods", "shadowpods"
GRACE = 30
VERY = ("uid", "resourceVersion")
"""What a patch may insist on."""
TYPES: dict[str, Any] = {PODS: SHADOWED_PODS, SHADOWS: SHADOW_PODS}


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what never has to wait, for nothing here does; an event loop for each step would take most of the time."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


class Provider:
    """One ShadowPod, its pod, and a controller that may be up or down."""

    def __init__(self, restart_policy: str) -> None:
        self.stored: dict[str, Manifest] = {}
        self.numbers = itertools.count(1)
        self.now = 1000.0
        self.ended: set[str] = set()
        """The uids of ShadowPods whose pod came to an end of its own."""
        self.started: list[str] = []
        """For each pod made, the uid of its ShadowPod."""
        self.controller: ShadowPodController | None = None
        self.restart_policy = restart_policy
        self.make_shadow()

    # The cluster.

    def make_shadow(self) -> None:
        if SHADOWS not in self.stored:
            spec = {"pod": {"restartPolicy": self.restart_policy, "containers": [{"name": "c"}]}}
            self._store(SHADOWS, {"metadata": self._metadata(), "spec": spec, "status": {"phase": "Unknown"}})

    def delete_shadow(self) -> None:
        self.stored.pop(SHADOWS, None)

    def collect_garbage(self) -> None:
        """The cluster's own collector deletes the pods of owners that are gone."""
        pod, shadow = self.stored.get(PODS), self.stored.get(SHADOWS)
        if pod is not None and self._owner(pod) != (shadow or {"metadata": {}})["metadata"].get("uid"):
            self.delete_pod()

    def delete_pod(self) -> None:
        pod = self.stored.get(PODS)
        if pod is None:
            return
        if pod["status"].get("phase") in ("Pending", *FINISHED):
            self._delete_for_good()
        elif "deletionTimestamp" not in pod["metadata"]:
            self._mark_deleted(pod, GRACE)

    def _mark_deleted(self, pod: Manifest, grace: int) -> None:
        """Only the first request counts the generation up; the timestamp is no witness, for it is set anew."""
        if "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"]["generation"] += 1
        pod["metadata"] |= {"deletionTimestamp": "2026-11-25T03:30:23Z", "deletionGracePeriodSeconds": grace}
        self._store(PODS, pod)

    def force_delete(self) -> None:
        if PODS in self.stored:
            self._delete_for_good()

    def _delete_for_good(self) -> None:
        pod = self.stored[PODS]
        if pod["metadata"].get("finalizers"):
            self._mark_deleted(pod, 0)
        else:
            del self.stored[PODS]

    # The kubelet.

    def kubelet_runs(self) -> None:
        self._report("Running", "Pending", deleting=False)

    def pod_succeeds(self) -> None:
        self._end("Succeeded")

    def pod_fails(self) -> None:
        self._end("Failed")

    def _end(self, phase: str) -> None:
        if self._report(phase, "Running", deleting=False) and self.restart_policy != "Always":
            self.ended.add(self._owner(self.stored[PODS]))

    def kubelet_kills(self) -> None:
        """What is being deleted is told to end, reported, and then removed by the kubelet."""
        if self._report("Failed", "Running", deleting=True):
            self._delete_for_good()

    def pod_succeeds_while_told_to_end(self) -> None:
        if self._report("Succeeded", "Running", deleting=True):
            if self.restart_policy != "Always":
                self.ended.add(self._owner(self.stored[PODS]))
            self._delete_for_good()

    def _report(self, phase: str, before: str, *, deleting: bool) -> bool:
        pod = self.stored.get(PODS)
        if pod is None or pod["status"]["phase"] != before:
            return False
        if ("deletionTimestamp" in pod["metadata"]) != deleting:
            return False
        pod["status"] = {"phase": phase, "observedGeneration": pod["metadata"]["generation"]}
        self._store(PODS, pod)
        return True

    # The controller.

    def start_controller(self) -> None:
        if self.controller is None:
            self.caches: dict[str, Informer[Any]] = {}
            manager: Any = SimpleNamespace(client=self, informers=self, events=self)
            self.controller = ShadowPodController(manager)
            self.see_pods()
            self.see_shadows()

    def kill_controller(self) -> None:
        self.controller = None

    def see_pods(self) -> None:
        self._see(PODS)

    def see_shadows(self) -> None:
        self._see(SHADOWS)

    def _see(self, plural: str) -> None:
        if self.controller is None:
            return
        stored, cache = self.stored.get(plural), self.caches[plural]
        seen = cache.get(KEY)
        if stored is None or (seen is not None and seen.metadata.uid != stored["metadata"]["uid"]):
            cache._remove(KEY, None)
        if stored is not None:
            cache._put(self._decoded(plural))

    def work(self) -> float | None:
        """Let the controller look at the key once."""
        if self.controller is None:
            return None
        return finish(self.controller.reconcile(KEY))

    def settle(self) -> None:
        """Everything is up and sees everything until nothing changes any more."""
        self.start_controller()
        for _ in range(12):
            self.see_pods()
            self.see_shadows()
            self.now += 5 + (self.work() or 0)
            self.kubelet_kills()
            self.collect_garbage()

    # What the controller uses.

    def get(self, resource: Resource[Any], **_: str) -> Informer[Any]:
        self.caches[resource.plural] = Informer(self, resource)  # type: ignore[arg-type]
        return self.caches[resource.plural]

    def record(self, *_: Any) -> None:
        pass

    async def find(self, resource: Resource[Any], name: str, namespace: str) -> Any:
        return self._decoded(resource.plural) if resource.plural in self.stored else None

    async def create(self, resource: Resource[Any], manifest: Manifest, *_: Any, **__: Any) -> Any:
        if PODS in self.stored:
            raise AlreadyExists("it exists", code=409)
        pod = msgspec.json.decode(msgspec.json.encode(manifest))
        pod["metadata"] |= self._metadata() | {"generation": 1}
        self._store(PODS, pod | {"status": {"phase": "Pending"}})
        self.started.append(self._owner(pod))
        assert self.started[-1] not in self.ended, "what has finished runs again"
        return msgspec.json.decode(msgspec.json.encode(pod), type=resource.type)

    async def patch(self, resource: Resource[Any], name: str, patch: Any, *_: Any, **how: Any) -> None:
        found = self.stored.get(resource.plural)
        if found is None:
            raise NotFound("it is gone", code=404)
        if any(patch["metadata"].get(key, found["metadata"][key]) != found["metadata"][key] for key in VERY):
            raise Conflict("it is another, or has changed", code=409)
        if how.get("subresource") == "status":
            found["status"] |= patch["status"]
            self._store(SHADOWS, found)
        elif how.get("type") == "strategic":
            assert patch["metadata"]["$deleteFromPrimitiveList/finalizers"] == [labels.FINALIZER_SHADOWED_POD]
            found["metadata"].pop("finalizers", None)
            if found["metadata"].get("deletionGracePeriodSeconds") == 0:
                del self.stored[PODS]
            else:
                self._store(PODS, found)

    async def delete(self, resource: Resource[Any], *_: Any, **__: Any) -> bool:
        self.delete_pod()
        return True

    def _store(self, plural: str, manifest: Manifest) -> None:
        manifest["metadata"]["resourceVersion"] = str(next(self.numbers))
        self.stored[plural] = manifest

    def _metadata(self) -> Manifest:
        return {"name": KEY.name, "namespace": KEY.namespace, "uid": f"uid-{next(self.numbers)}"}

    def _decoded(self, plural: str) -> Any:
        return msgspec.json.decode(msgspec.json.encode(self.stored[plural]), type=TYPES[plural].type)

    @staticmethod
    def _owner(pod: Manifest) -> str:
        return str(pod["metadata"]["ownerReferences"][0]["uid"])


ACTIONS = [
    *("start_controller", "kill_controller", "see_pods", "see_shadows", "work", "work", "work"),
    *("kubelet_runs", "pod_succeeds", "pod_fails", "kubelet_kills", "pod_succeeds_while_told_to_end"),
    *("delete_pod", "force_delete", "delete_shadow", "make_shadow", "collect_garbage"),
]


def played(restart_policy: str, actions: list[str]) -> Provider:
    provider = Provider(restart_policy)
    clock = SimpleNamespace(monotonic=lambda: provider.now)
    with mock.patch.object(module, "time", clock):
        for action in actions:
            getattr(provider, action)()
        provider.settle()
    return provider


BEGUN = ["start_controller", "work", "see_pods", "kubelet_runs"]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["Never", "OnFailure"]), st.booleans(), st.lists(st.sampled_from(ACTIONS), max_size=25)
)
def test_no_order_of_events_runs_it_again(policy: str, begun: bool, actions: list[str]) -> None:
    # Provider.create fails at once where a pod of a ShadowPod whose pod has ended is made.
    provider = played(policy, (BEGUN if begun else []) + actions)
    shadow, pod = provider.stored.get(SHADOWS), provider.stored.get(PODS)
    if shadow is None:
        assert pod is None, "a pod stays for ever"
    elif shadow["metadata"]["uid"] in provider.ended:
        assert shadow["status"]["phase"] in FINISHED, "the end is not recorded"
        assert pod is None or "deletionTimestamp" not in pod["metadata"], "the deleted pod stays for ever"
    else:
        assert pod is not None, "a pod that did not end is not made again"
        assert "deletionTimestamp" not in pod["metadata"]


@pytest.mark.parametrize(
    ("away", "phase", "pods_made"),
    [
        (["pod_succeeds", "delete_pod"], "Succeeded", 1),
        (["pod_fails", "delete_pod"], "Failed", 1),
        (["pod_fails", "force_delete"], "Failed", 1),
        (["delete_pod", "pod_succeeds_while_told_to_end"], "Succeeded", 1),
        (["delete_pod", "kubelet_kills"], "Pending", 2),
        (["force_delete"], "Pending", 2),
        (["delete_pod"], "Pending", 2),
    ],
)
def test_what_happens_while_the_controller_is_away(away: list[str], phase: str, pods_made: int) -> None:
    provider = played("Never", [*BEGUN, "see_pods", "work", "kill_controller", *away])
    assert provider.stored[SHADOWS]["status"]["phase"] == phase
    assert len(provider.started) == pods_made


@pytest.mark.parametrize("last", [[], ["delete_pod"], ["pod_succeeds"], ["pod_succeeds", "delete_pod"]])
def test_nothing_is_left_of_a_shadow_pod_that_went_while_the_controller_was_away(last: list[str]) -> None:
    provider = played("Never", [*BEGUN, "kill_controller", *last, "delete_shadow"])
    assert not provider.stored


def test_a_server_costs_no_finalizer_and_comes_again() -> None:
    provider = played("Always", [*BEGUN, "kill_controller", "delete_pod", "kubelet_kills"])
    assert len(provider.started) == 2
    assert "finalizers" not in provider.stored[PODS]["metadata"]


def test_a_pod_is_kept_until_it_has_ended() -> None:
    asked = [*BEGUN, "see_pods", "work", "delete_pod", "see_pods", "work", "kill_controller"]
    provider = played("Never", [*asked, "pod_succeeds_while_told_to_end"])
    assert len(provider.started) == 1
    assert provider.stored[SHADOWS]["status"]["phase"] == "Succeeded"


def test_an_end_is_seen_where_a_forced_pod_ended_behind_the_caches_back() -> None:
    provider = played("Never", [*BEGUN, "force_delete", "see_pods", "pod_succeeds_while_told_to_end", "work"])
    assert provider.stored[SHADOWS]["status"]["phase"] == "Succeeded"


def test_an_end_is_not_forgotten_by_a_cache_that_lags() -> None:
    # The end is written and the pod is gone from the cache before the cache shows the ShadowPod's new status.
    told = ["see_shadows", "pod_succeeds", "see_pods", "work"]
    provider = played("Never", [*BEGUN, "see_pods", "work", *told, "delete_pod", "kill_controller"])
    assert provider.started == [provider.stored[SHADOWS]["metadata"]["uid"]]
    assert provider.stored[SHADOWS]["status"]["phase"] == "Succeeded"

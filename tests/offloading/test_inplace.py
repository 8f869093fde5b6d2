"""Changes in place, from the local pod over its ShadowPod to the provider's Pod: what is sent, and what is refused."""

from __future__ import annotations

import asyncio
import copy
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api import labels
from isthmus.api.offloading import OffloadingPatch, ShadowPod
from isthmus.kube.builtin import Pod
from isthmus.kube.errors import Forbidden, Invalid
from isthmus.offloading.inplace import (
    APPLIED,
    CHANGES,
    REFLECTED,
    REVISION,
    REWRITTEN,
    MutablePart,
    first_revision,
    mutable_part,
    resized_spec,
    rewritten_images,
)
from isthmus.offloading.pods import inplace as consumer
from isthmus.offloading.pods.inplace import follow_changes, plan_change
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.spec import Terms, forge_shadow_pod
from isthmus.offloading.pods.twin import RemotePod, Shadow
from isthmus.offloading.quota.ledger import amounts_of
from isthmus.offloading.shadowpod.forge import PodPhase, forge_pod, plan_metadata
from isthmus.offloading.shadowpod.inplace import ChangeKeeper, plan_steps
from tests.apiserver.patches import merge_patch, strategic_patch
from tests.offloading.pods.test_shadow_pod import IDENTITY, make_pod

SMALL, LARGE = {"requests": {"cpu": "100m"}}, {"requests": {"cpu": "2"}, "limits": {"cpu": "3"}}
GPU = {"key": "gpu", "operator": "Exists"}
DEBUGGER = {"name": "debugger", "image": "busybox", "targetContainerName": "c"}
SPEC: dict[str, Any] = {
    "restartPolicy": "Always",
    "containers": [
        {"name": "c", "image": "web:1", "resources": SMALL, "env": [{"name": "A", "value": "1"}]},
        {"name": "side", "image": "side:1"},
    ],
    "initContainers": [{"name": "i", "image": "init:1"}],
    "tolerations": [{"key": labels.VIRTUAL_NODE_TAINT, "operator": "Exists"}],
}


def changed(**changes: Any) -> dict[str, Any]:
    """The local spec after one or several changes in place."""
    spec = copy.deepcopy(SPEC)
    for kind, value in changes.items():
        if kind == "image":
            spec["containers"][0]["image"] = value
        elif kind == "init_image":
            spec["initContainers"][0]["image"] = value
        elif kind == "resources":
            spec["containers"][0]["resources"] = value
        elif kind == "toleration":
            spec["tolerations"].append(value)
        else:
            spec[kind] = value
    return spec


def decoded(manifest: dict[str, Any], type_: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(manifest), type=type_)


def made() -> dict[str, Any]:
    """The ShadowPod as it was created."""
    manifest = forge_shadow_pod(make_pod(SPEC), "demo-rome", Terms(IDENTITY, OffloadingPatch()))
    manifest["metadata"] |= {"uid": "s1", "resourceVersion": "7", "generation": 1}
    return manifest


def running(shadow: dict[str, Any]) -> dict[str, Any]:
    """The provider's Pod made of a ShadowPod, as an API server returns it."""
    pod = msgspec.json.decode(msgspec.json.encode(forge_pod(decoded(shadow, ShadowPod))))
    pod["metadata"]["uid"] = "p1"
    return pod


def decoded_part(spec: dict[str, Any]) -> MutablePart:
    return mutable_part(msgspec.Raw(msgspec.json.encode(spec)))


def after_change(shadow: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """The ShadowPod after its local pod has become `spec`, with the generation an API server gives it."""
    patch = plan_change(decoded(shadow, ShadowPod), decoded_part(spec), OffloadingPatch())
    after: dict[str, Any] = merge_patch(shadow, patch)
    if after["spec"] != shadow["spec"]:
        after["metadata"]["generation"] += 1
    return after


def apply_strategic(pod: dict[str, Any], patch: dict[str, Any]) -> None:
    """As an API server does, whose typed resources have no empty maps."""
    pod["spec"] = strategic_patch(pod["spec"], patch["spec"])
    for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())):
        if "resources" in container:
            container["resources"] = {k: v for k, v in container["resources"].items() if v}


ONE_CHANGE = [
    ({"image": "web:2"}, {""}),
    ({"init_image": "init:2"}, {""}),
    ({"activeDeadlineSeconds": 60}, {""}),
    ({"toleration": GPU}, {""}),
    ({"resources": LARGE}, {"resize"}),
    ({"ephemeralContainers": [DEBUGGER]}, {"ephemeralcontainers"}),
    (
        {"image": "web:2", "resources": LARGE, "ephemeralContainers": [DEBUGGER]},
        {"", "resize", "ephemeralcontainers"},
    ),
]


@pytest.mark.parametrize(("changes", "subresources"), ONE_CHANGE)
def test_a_change_reaches_the_remote_pod(changes: dict[str, Any], subresources: set[str]) -> None:
    before = made()
    pod = running(before)
    spec = changed(**changes)
    after = after_change(before, spec)
    steps = plan_steps(decoded(after, ShadowPod), decoded(pod, Pod))
    assert {step.subresource for step in steps} == subresources
    for step in steps:
        apply_strategic(pod, step.patch)
    assert not plan_steps(decoded(after, ShadowPod), decoded(pod, Pod)), "it can be repeated"
    first = pod["spec"]["containers"][0]
    assert first["image"] == spec["containers"][0]["image"]
    assert first["env"] == SPEC["containers"][0]["env"], "nothing else is touched"
    assert first["resources"] == spec["containers"][0]["resources"]
    assert pod["spec"].get("ephemeralContainers", []) == spec.get("ephemeralContainers", [])
    assert pod["spec"].get("activeDeadlineSeconds") == spec.get("activeDeadlineSeconds")
    assert pod["spec"].get("tolerations", []) == [
        each for each in spec["tolerations"] if each["key"] != labels.VIRTUAL_NODE_TAINT
    ]
    assert pod["spec"]["initContainers"][0]["image"] == spec["initContainers"][0]["image"]


def test_an_image_that_the_provider_has_rewritten_is_changed_only_where_it_changed_at_home() -> None:
    before = made()
    pod = running(before)
    for kind in ("containers", "initContainers"):
        for container in pod["spec"][kind]:
            container["image"] = f"mirror/{container['image']}"
    rewritten = rewritten_images(decoded_part(before["spec"]["pod"]), decoded_part(pod["spec"]))
    pod["metadata"]["annotations"][REWRITTEN] = json.dumps(rewritten)
    assert set(rewritten) == {
        each["name"] for kind in ("containers", "initContainers") for each in pod["spec"][kind]
    }
    debugged = after_change(before, changed(ephemeralContainers=[DEBUGGER]))
    assert [step.subresource for step in plan_steps(decoded(debugged, ShadowPod), decoded(pod, Pod))] == [
        "ephemeralcontainers"
    ]
    changed_one = after_change(debugged, changed(image="web:2", ephemeralContainers=[DEBUGGER]))
    [spec, _] = plan_steps(decoded(changed_one, ShadowPod), decoded(pod, Pod))
    name = before["spec"]["pod"]["containers"][0]["name"]
    assert spec.patch == {"spec": {"containers": [{"name": name, "image": "web:2"}]}}


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "image": st.sampled_from(["web:1", "web:2", "web:3"]),
                "resources": st.sampled_from([SMALL, LARGE, {"requests": {"cpu": "1"}}]),
                "activeDeadlineSeconds": st.sampled_from([10]),
            },
        ),
        max_size=5,
    )
)
def test_after_any_changes_a_pod_made_anew_is_the_one_that_was_changed(history: list[dict[str, Any]]) -> None:
    shadow = made()
    pod = running(shadow)
    for changes in history:
        shadow = after_change(shadow, changed(**changes))
        for step in plan_steps(decoded(shadow, ShadowPod), decoded(pod, Pod)):
            apply_strategic(pod, step.patch)
    again = running(shadow)
    assert again["spec"]["containers"] == pod["spec"]["containers"]
    assert again["metadata"]["annotations"][APPLIED] == shadow["metadata"]["annotations"][REVISION]


def test_nobody_is_asked_about_a_pod_that_is_as_it_was_made() -> None:
    shadow = made()
    assert shadow["metadata"]["annotations"][REVISION] == first_revision(make_pod(SPEC).spec)
    assert CHANGES not in shadow["metadata"]["annotations"]
    found = decoded(running(shadow), PodPhase)
    assert found.metadata.annotations[APPLIED] == shadow["metadata"]["annotations"][REVISION]
    keeper: Any = ChangeKeeper(client=None, events=None)  # type: ignore[arg-type]
    assert asyncio.run(keeper.update(decoded(shadow, ShadowPod), found)) is None
    stock = decoded({"metadata": {"name": "web-0"}, "spec": {"pod": SPEC}}, ShadowPod)
    assert asyncio.run(keeper.update(stock, found)) is None
    found.metadata.annotations[REFLECTED] += f",{APPLIED},{REVISION}"
    patch = plan_metadata(decoded(shadow, ShadowPod), found) or {}
    assert patch["metadata"]["annotations"].keys() == {REFLECTED}, "our marks stay"


def test_what_is_resized_counts_as_such() -> None:
    shadow = made()
    part = mutable_part(msgspec.Raw(msgspec.json.encode(changed(resources=LARGE))))
    after = merge_patch(shadow, plan_change(decoded(shadow, ShadowPod), part, OffloadingPatch()))
    assert amounts_of(decoded(shadow, ShadowPod))["cpu"] == 100_000_000
    assert amounts_of(decoded(after, ShadowPod))["cpu"] == 2_000_000_000
    broken = merge_patch(after, {"metadata": {"annotations": {CHANGES: "{"}}})
    assert resized_spec(decoded(broken, ShadowPod)) is not None
    assert amounts_of(decoded(broken, ShadowPod))["cpu"] == 100_000_000, "what cannot be read is not applied"


class Remote:
    """The provider's API server, as far as one ShadowPod goes."""

    def __init__(self, shadow: dict[str, Any]) -> None:
        self.shadow = shadow
        self.refusal: Exception | None = None
        self.requests: list[str] = []

    async def find(self, *_: Any) -> ShadowPod:
        self.requests.append("get")
        return decoded(self.shadow, ShadowPod)  # type: ignore[no-any-return]

    async def patch(self, resource: Any, name: str, patch: Any, *_: Any, **__: Any) -> None:
        self.requests.append("patch")
        if self.refusal:
            raise self.refusal
        self.shadow = merge_patch(self.shadow, patch)
        self.shadow["metadata"]["generation"] += "spec" in patch


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Following:
    """One pod that is followed, with the events it got."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.remote = Remote(made())
        self.told: list[tuple[str, str]] = []
        self.clock = Clock()
        self.memory = PodMemory("uid-1")
        self.applied = self.remote.shadow["metadata"]["annotations"][REVISION]
        monkeypatch.setattr(consumer, "time", self.clock)

    def record(self, resource: Any, pod: Pod, reason: str, message: str, type_: str) -> None:
        self.told.append((reason, message))

    def follow(self, spec: dict[str, Any]) -> float | None:
        context: Any = SimpleNamespace(
            remote=self.remote,
            events=self,
            node_name="milan-a",
            terms=lambda: Terms(IDENTITY, OffloadingPatch()),
        )
        shadow = decoded(self.remote.shadow, Shadow)
        remote = decoded({"metadata": {"uid": "p1", "annotations": {APPLIED: self.applied}}}, RemotePod)
        return asyncio.run(follow_changes(context, make_pod(spec), shadow, remote, self.memory))

    def provider_applies(self) -> None:
        self.applied = self.remote.shadow["metadata"]["annotations"][REVISION]


def test_a_pod_is_followed_with_two_requests_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    following = Following(monkeypatch)
    assert following.follow(SPEC) is None
    assert not following.remote.requests, "a pod nobody changes costs nothing"
    following.follow(changed(image="web:2"))
    following.provider_applies()
    assert following.follow(changed(image="web:2")) is None
    assert following.remote.requests == ["get", "patch"]
    assert following.remote.shadow["spec"]["pod"]["containers"][0]["image"] == "web:2"
    following.clock.now += 1000
    following.follow(changed(image="web:2"))
    assert not following.told


def test_a_provider_that_cannot_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    following = Following(monkeypatch)
    following.applied = ""  # stock marks nothing
    assert following.follow(SPEC) is None
    spec = changed(resources=LARGE)
    again = following.follow(spec)
    assert again is not None
    following.clock.now += again
    for _ in range(3):
        following.follow(spec)
    assert [reason for reason, _ in following.told] == ["ChangeNotApplied"]
    assert "stock Liqo" in following.told[0][1]


def test_a_refusal_is_told_and_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    following = Following(monkeypatch)
    following.remote.refusal = Forbidden("peering cpu quota usage exceeded", code=403)
    for _ in range(5):
        assert following.follow(changed(resources=LARGE)) == 60
    assert following.remote.requests == ["get", "patch"]
    assert "quota usage exceeded" in following.told[0][1]
    following.follow(changed(image="web:2"))
    assert following.remote.requests == ["get", "patch"] * 2, "another change is tried at once"


def test_what_the_provider_refuses_is_an_event_and_is_not_marked_as_done() -> None:
    events: list[str] = []
    patches: list[tuple[str, Any]] = []
    shadow = made()
    pod = running(shadow)
    after = after_change(shadow, changed(image="web:2", ephemeralContainers=[DEBUGGER]))

    class Client:
        refuse = True

        async def find(self, *_: Any) -> Pod:
            return decoded(pod, Pod)  # type: ignore[no-any-return]

        async def patch(self, resource: Any, name: str, patch: Any, *_: Any, **how: Any) -> None:
            assert patch["metadata"]["uid"] == "p1"
            if self.refuse and how["subresource"] == "ephemeralcontainers":
                raise Invalid("no such target", code=422)
            patches.append((how["subresource"], patch))

    def record(resource: Any, object_: Any, reason: str, message: str, type_: str) -> None:
        events.append(f"{reason}: {message}")

    keeper: Any = ChangeKeeper(Client(), SimpleNamespace(record=record))  # type: ignore[arg-type]
    found = decoded(pod, PodPhase)
    pause = asyncio.run(keeper.update(decoded(after, ShadowPod), found))
    assert pause is not None
    assert pause >= 5
    assert events == ["FailedUpdatePod: Cannot change the running pod: no such target"]
    assert [subresource for subresource, _ in patches] == [""], "the image is changed all the same, unmarked"
    assert "annotations" not in patches[0][1]["metadata"]
    assert asyncio.run(keeper.update(decoded(after, ShadowPod), found)) <= pause
    assert len(events) == 1

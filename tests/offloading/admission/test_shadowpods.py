"""The ShadowPod webhook, whole: quota at creation and at a resize, whose object it is, what annotations may say."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from isthmus.api import labels
from isthmus.api.offloading import ShadowPod
from isthmus.kube.admission import AdmissionRequest, Review, Verdict
from isthmus.kube.informer import Informer
from isthmus.kube.options import Options
from isthmus.kube.resource import Resource
from isthmus.offloading.admission.shadowpods import ShadowPodAdmission
from isthmus.offloading.inplace import CHANGES
from isthmus.offloading.quota.ledger import Ledger

USER = "milan-a8a4c692b93b"
QUOTA: dict[str, Any] = {
    "metadata": {"name": USER, "namespace": "liqo-tenant-rome"},
    "spec": {"user": USER, "resources": {"cpu": "4", "memory": "1Gi", "pods": "10"}},
}
TWIN: dict[str, Any] = {"metadata": {"name": "demo-rome", "labels": {labels.REMOTE_CLUSTER_ID: "rome"}}}
TENANT: dict[str, Any] = {
    "metadata": {
        "name": "liqo-tenant-rome",
        "labels": {labels.REMOTE_CLUSTER_ID: "rome", labels.TENANT_NAMESPACE: "true"},
    }
}


class Provider:
    """Caches filled by hand, the ledger and the webhook on top of them."""

    def __init__(self, quota: dict[str, Any] | None = None, *, synced: bool = True) -> None:
        self.caches: dict[str, Informer[Any]] = {}
        self.synced = synced
        self.ledger = Ledger()
        manager: Any = SimpleNamespace(client=self, informers=self)
        options: Any = Options(cluster_id="milan")
        self.webhook = ShadowPodAdmission(manager, options, self.ledger)
        self.put("quotas", quota or QUOTA)
        self.put("namespaces", TWIN)
        self.put("namespaces", TENANT)

    def get(self, resource: Resource[Any], **_: str) -> Informer[Any]:
        cache: Informer[Any] = Informer(self, resource)  # type: ignore[arg-type]
        if self.synced:
            cache.synced.set()
        return self.caches.setdefault(resource.plural, cache)

    def put(self, plural: str, manifest: dict[str, Any]) -> None:
        cache = self.caches[plural]
        cache._put(msgspec.json.decode(msgspec.json.encode(manifest), type=cache.resource.type))

    async def find(self, *_: Any) -> None:
        return None

    def validate(
        self, object_: dict[str, Any], old: dict[str, Any] | None = None, user: str = USER
    ) -> Verdict:
        return asyncio.run(self.webhook.validate(review(object_, old, user)))

    def mutate(self, object_: dict[str, Any], user: str = USER) -> Verdict:
        return asyncio.run(self.webhook.mutate(review(object_, None, user)))


def review(object_: dict[str, Any], old: dict[str, Any] | None, user: str) -> AdmissionRequest:
    body = {
        "request": {
            "uid": "r1",
            "operation": "UPDATE" if old else "CREATE",
            "namespace": object_["metadata"]["namespace"],
            "name": object_["metadata"]["name"],
            "userInfo": {"username": user, "groups": ["rome"]},
            "object": object_,
            "oldObject": old,
        }
    }
    return msgspec.json.decode(msgspec.json.encode(body), type=Review).request


def shadow(cpu: str = "1", name: str = "web", changes: Any = None, **pod: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "a", "resources": {"requests": {"cpu": cpu}}}
    annotations = {} if changes is None else {CHANGES: changes}
    if annotations and not isinstance(changes, str):
        annotations = {CHANGES: msgspec.json.encode(changes).decode()}
    return {
        "metadata": {
            "name": name,
            "namespace": "demo-rome",
            "uid": f"uid-{name}",
            "labels": {labels.ORIGIN: "rome", labels.CREATOR_USER: USER},
            "annotations": annotations,
        },
        "spec": {"pod": {"containers": [container], **pod}},
    }


def to(cpu: str) -> dict[str, Any]:
    return {"resources": {"c": {"requests": {"cpu": cpu}}}}


def test_a_resize_is_held_to_the_quota() -> None:
    provider = Provider()
    assert provider.validate(shadow()).allowed
    provider.ledger.observe(None, _decoded(shadow()))
    assert provider.validate(shadow(changes=to("4")), shadow()).allowed
    too_much = provider.validate(shadow(changes=to("4500m")), shadow())
    assert not too_much.allowed
    assert "peering cpu quota usage exceeded - free 4 / requested 4500m" in too_much.message
    # What was let through is taken, though the object is not seen as changed yet.
    provider.ledger.observe(_decoded(shadow()), _decoded(shadow()))
    assert not provider.validate(shadow("1", "other")).allowed


def test_shrinking_needs_no_quota_and_growth_is_refused_to_the_cordoned() -> None:
    cordoned = {**QUOTA, "spec": {**QUOTA["spec"], "cordoned": True}}
    provider = Provider(cordoned)
    provider.ledger.observe(None, _decoded(shadow("2")))
    assert provider.validate(shadow("2", changes=to("1")), shadow("2")).allowed
    assert provider.validate(shadow("2", changes=to("3")), shadow("2")).message == "user is cordoned"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ({"resources": {"c": {"requests": {"cpu": "-1"}}}}, "cpu request -1 is negative"),
        ({"resources": {"c": {"requests": {"cpu": "many"}}}}, "'many' is not a quantity"),
        ({"resources": {"c": {"requests": {"cpu": "1e30"}}}}, "quota usage exceeded"),
        ({"resources": {"c": {"requests": {"cpu": "10Ei"}}}}, "quota usage exceeded"),
        ({"resources": {"c": {"requests": {"nvidia.com/gpu": "1"}}}}, "nvidia.com/gpu quota limit not found"),
        ({"resources": {"c": {"claims": {}}}}, "claims cannot be changed"),
        ({"resources": {"d": {"requests": {"cpu": "1"}}}}, "there is no container d"),
        ({"ephemeralContainers": [{"image": "x"}]}, "has no name"),
        ({"ephemeralContainers": "x"}, "cannot be read"),
        (
            {"ephemeralContainers": [{"name": "d", "securityContext": {"privileged": True}}]},
            "container d: privileged is not allowed",
        ),
        ({"ephemeralContainers": [{"name": "d", "securityContext": "x"}]}, "Expected"),
    ],
)
@pytest.mark.parametrize("update", [False, True])
def test_changes_that_make_no_sense_are_refused(changes: Any, part: str, update: bool) -> None:
    verdict = Provider().validate(shadow(changes=changes), shadow() if update else None)
    assert not verdict.allowed
    assert part in verdict.message


def test_an_object_as_it_was_may_be_written_whatever_is_in_it() -> None:
    # A finalizer must come off even where the annotation is nonsense from before.
    assert Provider().validate(shadow(changes="{"), shadow(changes="{")).allowed


@pytest.mark.parametrize(
    ("object_", "user", "part"),
    [
        (shadow("-1"), USER, "cpu request -1 is negative"),
        (shadow("1e30"), USER, "peering cpu quota usage exceeded"),
        (shadow("10Ei"), USER, "peering cpu quota usage exceeded"),
        (shadow("1e999"), USER, "out of the range"),
        (shadow("many"), USER, "is not a quantity"),
        (shadow("5"), USER, "free 4 / requested 5"),
        (shadow(), "other-a8a4c692b93b", "creator name cannot be modified"),
        (shadow(nodeName="cp"), USER, "nodeName is not allowed"),
        (shadow(hostNetwork=True), USER, "hostNetwork is not allowed"),
        (shadow(priorityClassName="high"), USER, "priorityClassName high is not allowed"),
        (
            shadow(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            USER,
            "volume v: hostPath is not allowed",
        ),
        (shadow(containers=None), USER, "spec.pod.containers must be set"),
    ],
)
def test_what_a_consumer_may_not_have_run(object_: dict[str, Any], user: str, part: str) -> None:
    verdict = Provider().validate(object_, user=user)
    assert not verdict.allowed
    assert part in verdict.message


@pytest.mark.parametrize(
    ("namespace", "origin", "part"),
    [
        ("demo-paris", "rome", "shadowpod Cluster ID label mismatch"),
        ("demo-rome", "paris", "shadowpod Cluster ID label mismatch"),
        ("default", "rome", "shadowpod Cluster ID label mismatch"),
        ("demo-rome", "", "missing origin Cluster ID label"),
    ],
)
def test_a_consumer_stays_in_its_own_namespaces(namespace: str, origin: str, part: str) -> None:
    provider = Provider()
    provider.put(
        "namespaces", {"metadata": {"name": "demo-paris", "labels": {labels.REMOTE_CLUSTER_ID: "paris"}}}
    )
    object_ = shadow()
    object_["metadata"]["namespace"] = namespace
    object_["metadata"]["labels"][labels.ORIGIN] = origin
    verdict = provider.validate(object_)
    assert (verdict.allowed, verdict.message) == (False, part)


def test_what_another_consumer_was_granted_counts_for_nobody_else() -> None:
    foreign = {**QUOTA, "metadata": {"name": USER, "namespace": "liqo-tenant-paris"}}
    provider = Provider(foreign)
    marks = {labels.REMOTE_CLUSTER_ID: "paris", labels.TENANT_NAMESPACE: "true"}
    provider.put("namespaces", {"metadata": {"name": "liqo-tenant-paris", "labels": marks}})
    assert "failed getting quota" in provider.validate(shadow()).message


def test_a_creator_cannot_be_spoofed() -> None:
    spoofed = shadow()
    spoofed["metadata"]["labels"][labels.CREATOR_USER] = "richer-a8a4c692b93b"
    patch = Provider().mutate(spoofed).patch
    assert [(each["path"], each["value"]) for each in patch] == [
        ("/metadata/labels/liqo.io~1creator-user", USER)
    ]
    # Should the label be as it was sent nevertheless, the object is refused.
    assert Provider().validate(spoofed).message == "creator name cannot be modified"
    assert not Provider().mutate(shadow(), user="x" * 64).allowed


def test_nothing_is_let_through_before_the_usage_is_known() -> None:
    verdict = Provider(synced=False).validate(shadow())
    assert (verdict.code, verdict.message) == (500, "initialization in progress")


def _decoded(manifest: dict[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(manifest), type=ShadowPod)

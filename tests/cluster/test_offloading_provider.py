"""What a provider does for, and refuses to, a consumer: twin namespaces, ShadowPods, Quotas, webhooks.

The consumer is the played one of `tests/cluster/played.py`.
"""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError
from tests.cluster.played import (
    Consumer,
    consumer_fixture,  # noqa: F401 -- a fixture
    create,
    events,
    played_fixture,  # noqa: F401 -- a fixture
    pod,
    running,
    shadow_phase,
    shadow_pod,
)
from tests.cluster.support import eventually


def test_a_map_outside_its_own_tenant_namespace_gets_nothing(consumer: Consumer) -> None:
    provider = consumer.provider
    labels = {"liqo.io/replicated": "true", "liqo.io/originID": "another"}
    provider.apply(
        {
            "apiVersion": "offloading.liqo.io/v1beta1",
            "kind": "NamespaceMap",
            "metadata": {"name": "forged", "namespace": consumer.tenant, "labels": labels},
            "spec": {"desiredMapping": {"demo": f"forged-{consumer.id}"}},
        }
    )
    eventually(lambda: events(consumer, "TenantNamespaceMismatch"), within=60, what="the event")
    assert provider.get("namespace", f"forged-{consumer.id}") is None
    assert "finalizers" not in provider.get("namespacemap", "forged", "-n", consumer.tenant)["metadata"]


def test_twins_and_bindings_are_marked_and_heal(consumer: Consumer) -> None:
    provider = consumer.provider
    marks = provider.get("namespace", consumer.twin)["metadata"]["annotations"]
    assert marks["liqo.io/original-name"] == "demo"
    assert marks["liqo.io/managed-by-namespace-map"] == f"{consumer.tenant}/milan"
    binding = ("rolebinding", consumer.tenant, "-n", consumer.twin)
    intruder = [{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "eve"}}]
    provider.kubectl("patch", *binding, "--type=json", "-p", json.dumps(intruder))
    eventually(
        lambda: len(provider.get(*binding)["subjects"]) == 1, within=60, what="the binding to be mended"
    )
    provider.kubectl("delete", *binding)
    eventually(lambda: provider.get(*binding), within=60, what="the binding to come back")
    provider.kubectl("label", "namespace", consumer.twin, "liqo.io/remote-cluster-id-")
    twins = ("namespaces", "-l", f"liqo.io/remote-cluster-id={consumer.id}")
    eventually(lambda: len(provider.items(*twins)) == 2, within=60, what="the label to come back")
    uid = provider.get("namespace", consumer.twin)["metadata"]["uid"]
    provider.kubectl("delete", "namespace", consumer.twin, "--wait=false")

    def replaced() -> bool:
        found = provider.get("namespace", consumer.twin)
        return found is not None and found["metadata"]["uid"] != uid

    eventually(replaced, within=60, what="the twin to be made anew")
    consumer.admit()


def test_without_its_mapping_a_twin_goes_with_all_that_is_in_it(consumer: Consumer) -> None:
    consumer.namespace_map(demo=consumer.twin, extra=f"extra-{consumer.id}")
    eventually(lambda: consumer.phase("extra") == "Accepted", within=60, what="the second twin")
    consumer.namespace_map(demo=consumer.twin)
    # kubectl apply removes what it set before; the provider shows the twin until it is really gone.
    eventually(
        lambda: consumer.provider.get("namespace", f"extra-{consumer.id}") is None,
        within=60,
        what="the second twin to go",
    )
    eventually(lambda: consumer.phase("extra") == "", within=60, what="the mapping to go")
    assert consumer.phase("demo") == "Accepted"


async def test_a_pod_comes_follows_its_labels_comes_back_and_goes(consumer: Consumer) -> None:
    provider = consumer.provider
    assert await create(consumer, shadow_pod(consumer, "web")) == [None]
    eventually(lambda: running(consumer, "web"), within=60, what="the pod to run")
    eventually(lambda: shadow_phase(consumer, "web") == "Running", within=60, what="the phase to be told")
    provider.kubectl("label", "pod", "web", "-n", consumer.twin, "of-the-cluster=yes")
    async with Client(consumer.credentials()) as client:
        patch = {"metadata": {"labels": {"app": None, "new": "label"}, "annotations": {"note": "x"}}}
        await client.patch(SHADOW_PODS, "web", patch, consumer.twin)

    def metadata() -> dict[str, Any]:
        return dict((pod(consumer, "web") or {}).get("metadata", {"labels": {}}))

    eventually(lambda: metadata()["labels"].get("new") == "label", within=60, what="the new label")
    eventually(lambda: "app" not in metadata()["labels"], within=60, what="the old label to go")
    before = metadata()
    assert before["annotations"]["note"] == "x"
    assert before["labels"]["of-the-cluster"] == "yes"
    assert before["labels"]["liqo.io/managed-by"] == "shadowpod"
    assert before["labels"]["liqo.io/creator-user"] == consumer.user.replace(":", "-")

    provider.kubectl("delete", "pod", "web", "-n", consumer.twin, "--wait=false")
    eventually(
        lambda: running(consumer, "web") and metadata()["uid"] != before["uid"],
        within=60,
        what="the pod to come back",
    )
    eventually(lambda: shadow_phase(consumer, "web") == "Running", within=60, what="the phase to be told")
    assert metadata()["labels"]["new"] == "label"
    provider.kubectl("delete", "shadowpod", "web", "-n", consumer.twin)
    eventually(lambda: pod(consumer, "web") is None, within=60, what="the pod to go with its ShadowPod")


async def test_a_strangers_pod_of_the_same_name_is_left_alone(consumer: Consumer) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mine", "namespace": consumer.twin, "labels": {"owner": "provider"}},
        "spec": shadow_pod(consumer, "mine")["spec"]["pod"],
    }
    consumer.provider.apply(manifest)
    before = pod(consumer, "mine")
    assert before is not None
    assert await create(consumer, shadow_pod(consumer, "mine")) == [None]
    eventually(lambda: events(consumer, "FailedCreatePod"), within=60, what="the event")
    after = pod(consumer, "mine")
    assert after is not None
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert "ownerReferences" not in after["metadata"]
    consumer.provider.kubectl("delete", "pod", "mine", "-n", consumer.twin)
    eventually(
        lambda: "liqo.io/managed-by" in ((pod(consumer, "mine") or {}).get("metadata", {}).get("labels", {})),
        within=90,
        what="the ShadowPod's own pod once the name is free",
    )


async def test_a_shadow_pod_stays_what_it_was_admitted_as(consumer: Consumer) -> None:
    creator = consumer.user.replace(":", "-")
    claimed = shadow_pod(consumer, "web")
    claimed["metadata"]["labels"]["liqo.io/creator-user"] = "milan-0123456789ab"
    assert await create(consumer, claimed) == [None]
    async with Client(consumer.credentials()) as client:
        found = await client.get(SHADOW_PODS, "web", consumer.twin)
        assert found.metadata.labels["liqo.io/creator-user"] == creator
        with pytest.raises(ApiError, match=r"spec\.pod is immutable"):
            await client.patch(SHADOW_PODS, "web", {"spec": {"pod": {"hostNetwork": True}}}, consumer.twin)
        patch = {"metadata": {"labels": {"offloading.liqo.io/origin": "other"}}}
        with pytest.raises(ApiError, match="label mismatch"):
            await client.patch(SHADOW_PODS, "web", patch, consumer.twin)
        # The creator is forced back, whatever is asked for.
        patch = {"metadata": {"labels": {"liqo.io/creator-user": "another"}}}
        found = await client.patch(SHADOW_PODS, "web", patch, consumer.twin)
        assert found.metadata.labels["liqo.io/creator-user"] == creator


async def test_whoever_has_no_quota_gets_no_pod(consumer: Consumer) -> None:
    consumer.provider.kubectl("delete", "quotas.offloading.liqo.io", "slice", "-n", consumer.tenant)
    names = (f"unpaid-{number}" for number in itertools.count())
    deadline = time.monotonic() + 60
    answer: ApiError | None = None
    while answer is None and time.monotonic() < deadline:
        (answer,) = await create(consumer, shadow_pod(consumer, next(names)))
    assert "failed getting quota" in str(answer)


def test_the_authority_is_put_back_where_somebody_resets_it(consumer: Consumer) -> None:
    provider = consumer.provider
    kind = "mutatingwebhookconfigurations"

    def bundles() -> set[str]:
        found = provider.items(kind, "-l", "liqo.io/webhook=true")
        return {w["clientConfig"].get("caBundle", "") for item in found for w in item["webhooks"]}

    before = bundles()
    assert len(before) == 1
    (name,) = [i["metadata"]["name"] for i in provider.items(kind, "-l", "liqo.io/webhook=true")]
    removal = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    provider.kubectl("patch", kind, name, "--type=json", "-p", json.dumps(removal))
    eventually(lambda: bundles() == before, within=60, what="the authority to be put back")

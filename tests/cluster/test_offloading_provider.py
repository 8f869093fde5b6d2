"""What a provider does for, and refuses to, a consumer: twin namespaces, ShadowPods, Quotas, webhooks.

The consumer is played: its objects are written into a tenant namespace as its replication would, and its
ShadowPods come from an identity of its own with exactly the permissions a slice has.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, load_kubeconfig
from isthmus.kube.errors import ApiError, Forbidden
from tests.cluster.support import TEST_IMAGE, Cluster, eventually

LIMITS = {"cpu": "1", "memory": "1Gi", "pods": "100"}


@dataclass(frozen=True)
class Consumer:
    """A played consumer at a provider, and the name of the namespace it was given."""

    id: str
    provider: Cluster

    @property
    def tenant(self) -> str:
        return f"liqo-tenant-{self.id}"

    @property
    def twin(self) -> str:
        return f"demo-{self.id}"

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.tenant}:slice"

    def namespace_map(self, **mapping: str) -> None:
        """Write the NamespaceMap as replication would; keywords are local names."""
        labels = {
            "liqo.io/replication": "false",
            "liqo.io/replicated": "true",
            "liqo.io/originID": self.id,
            "liqo.io/remoteID": "milan",
            "liqo.io/remote-cluster-id": self.id,
        }
        self.provider.apply(
            {
                "apiVersion": "offloading.liqo.io/v1beta1",
                "kind": "NamespaceMap",
                "metadata": {"name": "milan", "namespace": self.tenant, "labels": labels},
                "spec": {"desiredMapping": mapping},
            }
        )

    def phase(self, local: str) -> str:
        """What the provider made of one mapping, "" where it says nothing."""
        found = self.provider.get("namespacemaps", "milan", "-n", self.tenant)
        current = (found or {}).get("status", {}).get("currentMapping", {})
        return str(current.get(local, {}).get("phase", ""))

    def quota(self, resources: dict[str, str], **spec: Any) -> None:
        """Write the consumer's Quota."""
        self.provider.apply(
            {
                "apiVersion": "offloading.liqo.io/v1beta1",
                "kind": "Quota",
                "metadata": {"name": "slice", "namespace": self.tenant},
                "spec": {"user": self.user, "limitsEnforcement": "None", "resources": resources, **spec},
            }
        )

    def credentials(self) -> Credentials:
        """Credentials of the consumer's slice."""
        admin = load_kubeconfig(self.provider.kubeconfig)
        token = self.provider.kubectl("create", "token", "slice", "-n", self.tenant).stdout.strip()
        return Credentials(server=admin.server, ca_data=admin.ca_data, token=token)


@pytest.fixture(scope="module")
def played(installed: tuple[Cluster, Cluster]) -> Iterator[Consumer]:
    """A consumer's tenant namespace, with the identity of a slice in it."""
    _, milan = installed
    played = Consumer(f"paris{uuid.uuid4().hex[:6]}", milan)
    labels = {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": played.id}
    account = {"name": "slice", "namespace": played.tenant}
    milan.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": played.tenant, "labels": labels}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
    )
    yield played
    milan.kubectl("delete", "namespace", played.tenant, "--wait=false")
    eventually(
        lambda: milan.get("namespace", played.tenant) is None and milan.get("namespace", played.twin) is None,
        within=90,
        what=f"the end of {played.tenant} and its twin",
    )


def has_twin(played: Consumer) -> bool:
    """Write the NamespaceMap and say whether it is granted. As replication does: again, where it was deleted."""
    played.namespace_map(demo=played.twin)
    return played.phase("demo") == "Accepted"


@pytest.fixture
def consumer(played: Consumer) -> Iterator[Consumer]:
    """The consumer with a twin namespace its identity may work in, a Quota, and no ShadowPods."""
    eventually(lambda: has_twin(played), within=60, what="the twin namespace", every=1)
    played.provider.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "played", "namespace": played.twin},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "liqo-virtual-kubelet-remote",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "slice", "namespace": played.tenant}],
        }
    )
    played.quota(LIMITS, cordoned=False)
    yield played
    played.provider.kubectl("delete", "shadowpods", "--all", "-n", played.twin)


def shadow_pod(consumer: Consumer, name: str, *, cpu: str = "10m", **spec: Any) -> dict[str, Any]:
    """A ShadowPod as a virtual node would write it."""
    container = {"name": "c", "image": TEST_IMAGE, "imagePullPolicy": "Never"}
    resources = {"requests": {"cpu": cpu, "memory": "1Mi"}}
    return {
        "apiVersion": "offloading.liqo.io/v1beta1",
        "kind": "ShadowPod",
        "metadata": {
            "name": name,
            "namespace": consumer.twin,
            "labels": {"offloading.liqo.io/origin": consumer.id, "app": name},
        },
        "spec": {
            "pod": {
                "containers": [{**container, "resources": resources}],
                "terminationGracePeriodSeconds": 1,
                **spec,
            }
        },
    }


async def create(consumer: Consumer, *manifests: dict[str, Any]) -> list[ApiError | None]:
    """Create ShadowPods as the consumer, all at the same time; each answer, None where it was accepted."""

    async def one(client: Client, manifest: dict[str, Any]) -> ApiError | None:
        try:
            await client.create(SHADOW_PODS, manifest, consumer.twin)
        except ApiError as error:
            return error
        return None

    async with Client(consumer.credentials()) as client:
        return await asyncio.gather(*(one(client, manifest) for manifest in manifests))


def pod(consumer: Consumer, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = consumer.provider.get("pod", name, "-n", consumer.twin)
    return found


def running(consumer: Consumer, name: str) -> bool:
    found = pod(consumer, name)
    return found is not None and found["status"].get("phase") == "Running"


def shadow_phase(consumer: Consumer, name: str) -> str:
    found = consumer.provider.get("shadowpod", name, "-n", consumer.twin)
    return str((found or {}).get("status", {}).get("phase", ""))


def events(consumer: Consumer, reason: str) -> list[str]:
    found = consumer.provider.items("events", "-A", "--field-selector", f"reason={reason}")
    about = (consumer.tenant, consumer.twin)
    return [e["message"] for e in found if e["involvedObject"].get("namespace") in about]


def test_a_twin_is_marked_and_only_the_consumers_group_may_work_in_it(consumer: Consumer) -> None:
    twin = consumer.provider.get("namespace", consumer.twin)
    assert twin["metadata"]["annotations"]["liqo.io/original-name"] == "demo"
    assert twin["metadata"]["annotations"]["liqo.io/managed-by-namespace-map"] == f"{consumer.tenant}/milan"
    assert twin["metadata"]["labels"]["liqo.io/remote-cluster-id"] == consumer.id

    def may(verb: str, what: str, group: str, namespace: str) -> bool:
        arguments = ("auth", "can-i", verb, what, "-n", namespace, "--as", "someone", "--as-group", group)
        return consumer.provider.kubectl(*arguments, check=False).stdout.strip() == "yes"

    assert may("create", "shadowpods.offloading.liqo.io", consumer.id, consumer.twin)
    assert may("get", "pods/log", consumer.id, consumer.twin)
    assert not may("create", "pods", consumer.id, consumer.twin)
    assert not may("create", "shadowpods.offloading.liqo.io", consumer.id, "default")
    assert not may("create", "shadowpods.offloading.liqo.io", "another", consumer.twin)


def test_names_that_are_taken_or_reserved_are_refused_and_left_alone(consumer: Consumer) -> None:
    provider, taken = consumer.provider, f"theirs-{consumer.id}"
    provider.kubectl("create", "namespace", taken)
    try:
        consumer.namespace_map(demo=consumer.twin, a=taken, b="kube-system", c="liqo", d="default")
        eventually(
            lambda: all(consumer.phase(local) == "CreationLoopBackOff" for local in "abcd"),
            within=60,
            what="the refusals",
        )
        assert consumer.phase("demo") == "Accepted"
        assert provider.get("rolebinding", consumer.tenant, "-n", taken) is None
        assert provider.get("rolebinding", consumer.tenant, "-n", "kube-system") is None
        eventually(lambda: len(events(consumer, "NamespaceRefused")) == 4, within=60, what="the events")
        consumer.namespace_map(demo=consumer.twin)
        eventually(lambda: consumer.phase("a") == "", within=60, what="the end of the refused mapping")
        assert "deletionTimestamp" not in provider.get("namespace", taken)["metadata"]
    finally:
        provider.kubectl("delete", "namespace", taken, "--wait=false")


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


def test_twins_and_bindings_heal(consumer: Consumer) -> None:
    provider = consumer.provider
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
    eventually(lambda: consumer.phase("demo") == "Accepted", within=60, what="the twin to be accepted")


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


async def test_a_pod_comes_runs_comes_back_and_goes(consumer: Consumer) -> None:
    assert await create(consumer, shadow_pod(consumer, "web")) == [None]
    eventually(lambda: running(consumer, "web"), within=60, what="the pod to run")
    eventually(lambda: shadow_phase(consumer, "web") == "Running", within=60, what="the phase to be told")
    found = pod(consumer, "web")
    assert found is not None
    assert found["metadata"]["labels"]["liqo.io/managed-by"] == "shadowpod"
    assert found["metadata"]["labels"]["liqo.io/creator-user"] == consumer.user.replace(":", "-")
    consumer.provider.kubectl("delete", "pod", "web", "-n", consumer.twin, "--wait=false")

    def back() -> bool:
        new = pod(consumer, "web")
        return (
            new is not None
            and new["metadata"]["uid"] != found["metadata"]["uid"]
            and new["status"].get("phase") == "Running"
        )

    eventually(back, within=60, what="the pod to come back")
    assert shadow_phase(consumer, "web") in ("Running", "Pending")
    consumer.provider.kubectl("delete", "shadowpod", "web", "-n", consumer.twin)
    eventually(lambda: pod(consumer, "web") is None, within=60, what="the pod to go with its ShadowPod")


async def test_what_finished_never_runs_again(consumer: Consumer) -> None:
    done = shadow_pod(consumer, "job", restartPolicy="Never")
    done["spec"]["pod"]["containers"][0]["command"] = ["true"]
    assert await create(consumer, done) == [None]
    eventually(lambda: shadow_phase(consumer, "job") == "Succeeded", within=60, what="the job to be done")
    consumer.provider.kubectl("delete", "pod", "job", "-n", consumer.twin)
    # A later ShadowPod's pod is a sign that the loop has been round.
    assert await create(consumer, shadow_pod(consumer, "after")) == [None]
    eventually(lambda: pod(consumer, "after"), within=60, what="a later pod")
    assert pod(consumer, "job") is None
    assert shadow_phase(consumer, "job") == "Succeeded"


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


async def test_labels_of_a_running_pod_follow_and_the_clusters_own_stay(consumer: Consumer) -> None:
    assert await create(consumer, shadow_pod(consumer, "web")) == [None]
    eventually(lambda: running(consumer, "web"), within=60, what="the pod to run")
    consumer.provider.kubectl("label", "pod", "web", "-n", consumer.twin, "of-the-cluster=yes")
    async with Client(consumer.credentials()) as client:
        patch = {"metadata": {"labels": {"app": None, "new": "label"}, "annotations": {"note": "x"}}}
        await client.patch(SHADOW_PODS, "web", patch, consumer.twin)

    def metadata() -> dict[str, Any]:
        found: dict[str, Any] = (pod(consumer, "web") or {})["metadata"]
        return found

    eventually(lambda: metadata()["labels"].get("new") == "label", within=60, what="the new label")
    eventually(lambda: "app" not in metadata()["labels"], within=60, what="the old label to go")
    assert metadata()["labels"]["of-the-cluster"] == "yes"
    assert metadata()["annotations"]["note"] == "x"


async def test_a_burst_gets_exactly_what_the_quota_grants(consumer: Consumer) -> None:
    consumer.quota({"cpu": "100m", "memory": "1Gi", "pods": "100"})
    answers = await create(consumer, *(shadow_pod(consumer, f"p{i}", cpu="10m") for i in range(30)))
    assert answers.count(None) == 10
    refusals = [str(answer) for answer in answers if answer is not None]
    assert all("peering cpu quota usage exceeded - free 0 / requested 10m" in text for text in refusals)
    admitted = [f"p{i}" for i, answer in enumerate(answers) if answer is None]
    consumer.provider.kubectl("delete", "shadowpod", *admitted[:3], "-n", consumer.twin)

    async def three_more() -> list[ApiError | None]:
        return await create(consumer, *(shadow_pod(consumer, f"q{i}", cpu="10m") for i in range(5)))

    deadline = time.monotonic() + 10
    got = 0
    while got < 3 and time.monotonic() < deadline:
        got += (await three_more()).count(None)
    assert got == 3
    assert len(consumer.provider.items("shadowpods", "-n", consumer.twin)) == 10


async def test_refusals_say_why(consumer: Consumer) -> None:
    good = shadow_pod(consumer, "x")
    no_origin = {**good, "metadata": {**good["metadata"], "labels": {}}}
    other_origin = {
        **good,
        "metadata": {**good["metadata"], "labels": {"offloading.liqo.io/origin": "other"}},
    }
    gpu = shadow_pod(consumer, "x")
    gpu["spec"]["pod"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "1"
    negative = shadow_pod(consumer, "x", cpu="-1")
    host = shadow_pod(consumer, "x", hostNetwork=True)
    answers = await create(consumer, no_origin, other_origin, gpu, negative, host)
    for answer, part in zip(
        answers,
        (
            "missing origin Cluster ID label",
            "shadowpod Cluster ID label mismatch",
            "nvidia.com/gpu quota limit not found for this peering",
            "negative",
            "hostNetwork is not allowed for offloaded pods",
        ),
        strict=True,
    ):
        assert isinstance(answer, ApiError)
        assert part in str(answer)
    consumer.quota(LIMITS, cordoned=True)
    deadline = time.monotonic() + 10
    answer = None
    while "user is cordoned" not in str(answer) and time.monotonic() < deadline:
        (answer,) = await create(consumer, shadow_pod(consumer, f"x{uuid.uuid4().hex[:4]}"))
    assert isinstance(answer, Forbidden)
    assert "user is cordoned" in str(answer)
    consumer.provider.kubectl("delete", "quota.offloading.liqo.io", "slice", "-n", consumer.tenant)
    answer = None
    while "failed getting quota" not in str(answer) and time.monotonic() < deadline + 10:
        (answer,) = await create(consumer, shadow_pod(consumer, f"y{uuid.uuid4().hex[:4]}"))
    assert "failed getting quota" in str(answer)


async def test_a_shadow_pod_stays_what_it_was_admitted_as(consumer: Consumer) -> None:
    assert await create(consumer, shadow_pod(consumer, "web")) == [None]
    async with Client(consumer.credentials()) as client:
        with pytest.raises(ApiError, match=r"spec\.pod is immutable"):
            await client.patch(SHADOW_PODS, "web", {"spec": {"pod": {"hostNetwork": True}}}, consumer.twin)
        patch = {"metadata": {"labels": {"offloading.liqo.io/origin": "other"}}}
        with pytest.raises(ApiError, match="label mismatch"):
            await client.patch(SHADOW_PODS, "web", patch, consumer.twin)
        # The creator is forced back, whatever is asked for.
        patch = {"metadata": {"labels": {"liqo.io/creator-user": "another"}}}
        found = await client.patch(SHADOW_PODS, "web", patch, consumer.twin)
        assert found.metadata.labels["liqo.io/creator-user"] == consumer.user.replace(":", "-")


def test_webhooks_refuse_bad_wishes_at_once(consumer: Consumer) -> None:
    provider = consumer.provider
    api, name = "offloading.liqo.io/v1beta1", {"name": "x", "namespace": consumer.tenant}

    def refused(manifest: dict[str, Any]) -> str:
        done = provider.kubectl("apply", "-f", "-", stdin=json.dumps(manifest), check=False)
        assert done.returncode != 0
        return done.stderr

    wish = {"apiVersion": api, "kind": "NamespaceOffloading", "metadata": name, "spec": {}}
    assert "must be named 'offloading'" in refused(wish)
    node = provider.items("nodes")[0]["metadata"]["name"]
    assert "is no virtual node" in refused(
        {
            "apiVersion": api,
            "kind": "VirtualNode",
            "metadata": {**name, "name": node},
            "spec": {"clusterID": consumer.id},
        }
    )
    assert "this cluster's own id" in refused(
        {
            "apiVersion": "authentication.liqo.io/v1beta1",
            "kind": "Tenant",
            "metadata": name,
            "spec": {"clusterID": "milan"},
        }
    )
    assert "must be positive" in refused(
        {
            "apiVersion": "authentication.liqo.io/v1beta1",
            "kind": "ResourceSlice",
            "metadata": name,
            "spec": {"resources": {"cpu": "-4"}},
        }
    )


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

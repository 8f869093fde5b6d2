"""Objects no well-behaved peer writes, on a real API server: each refused at once, naming what is wrong, or harmless.

The consumer is the played one of `tests/cluster/played.py`; what `safety/test_hostile_consumer.py` has refused is
not repeated here.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError
from tests.cluster.endings import Endings
from tests.cluster.peering import Pair
from tests.cluster.played import (
    Consumer,
    consumer_fixture,  # noqa: F401 -- a fixture
    create,
    played_fixture,  # noqa: F401 -- a fixture
    running,
    shadow_pod,
)
from tests.cluster.support import Cluster, eventually

SLICES = 1000


def refused(cluster: Cluster, manifest: dict[str, Any], *more: str) -> str:
    """What the API server says to a manifest it must not take."""
    done = cluster.kubectl("create", "-f", "-", *more, stdin=json.dumps(manifest), check=False)
    assert done.returncode != 0, f"{manifest['kind']} was taken"
    return done.stderr


def resource_slice(namespace: str, name: str, resources: dict[str, Any], **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "authentication.liqo.io/v1beta1",
        "kind": "ResourceSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"class": "default", "providerClusterID": "milan", "resources": resources},
    }


ABSURD: list[tuple[dict[str, Any], str]] = [
    ({"cpu": "-1"}, "cpu"),
    ({"cpu": -1}, "cpu"),
    ({"cpu": "1e30"}, "cpu"),
    ({"cpu": "1e999"}, "cpu"),
    ({"memory": "10Ei"}, "memory"),
    ({"memory": "99999999999999999999"}, "memory"),
    ({"memory": "much"}, "memory"),
    ({"cpu": "4", "nvidia.com/gpu": "-1"}, "nvidia.com/gpu"),
    ({"cpu": "9" * 70}, "cpu"),
]


def test_slices_that_ask_for_absurd_amounts(consumer: Consumer) -> None:
    provider = consumer.provider
    for resources, part in ABSURD:
        said = refused(provider, resource_slice(consumer.tenant, "absurd", resources))
        assert part in said, said
    provider.apply(resource_slice(consumer.tenant, "growing", {"cpu": "1"}))
    where = ("resourceslices.authentication.liqo.io", "growing", "-n", consumer.tenant)
    change = json.dumps({"spec": {"resources": {"cpu": "-1"}}})
    done = provider.kubectl("patch", *where, "--type=merge", "-p", change, check=False)
    assert done.returncode != 0
    assert "cpu" in done.stderr
    assert provider.get(*where)["spec"]["resources"] == {"cpu": "1"}
    provider.kubectl("delete", *where)


def test_a_virtual_node_named_as_a_real_one(consumer: Consumer) -> None:
    provider = consumer.provider
    node = provider.items("nodes", "-l", "liqo.io/type!=virtual-node")[0]["metadata"]["name"]
    manifest = {
        "apiVersion": "offloading.liqo.io/v1beta1",
        "kind": "VirtualNode",
        "metadata": {"name": node, "namespace": consumer.tenant},
        "spec": {"clusterID": consumer.id},
    }
    assert f"a node named {node} exists and is not a virtual node" in refused(provider, manifest)


def tenant(
    name: str, namespace: str, cluster_id: str, labels: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "authentication.liqo.io/v1beta1",
        "kind": "Tenant",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {"clusterID": cluster_id},
    }


def test_one_tenant_for_one_cluster(installed: Pair, endings: Endings) -> None:
    _, milan = installed
    id_ = f"lyon{uuid.uuid4().hex[:6]}"
    first, second = f"liqo-tenant-{id_}", f"liqo-tenant-{id_}-too"
    labels = {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": id_}
    for name in (first, second):
        milan.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        milan.apply(tenant(id_, first, id_))
        for manifest, part in (
            (tenant("another", first, id_), f"already has the Tenant {id_}"),
            (tenant(id_, second, id_), f"a Tenant named {id_} already exists"),
            (tenant("another", second, id_), f"already the Tenant {id_}"),
            (tenant("third", second, "third"), "is the tenant namespace of"),
            (tenant("fourth", "default", "fourth"), "is not a tenant namespace"),
            (tenant("fifth", second, "Fifth!"), "spec.clusterID"),
            (tenant("milan", second, "milan"), "this cluster's own id"),
            (tenant("sixth", second, id_, {"liqo.io/remote-cluster-id": "rome"}), "they must agree"),
        ):
            said = refused(milan, manifest)
            assert part in said, said
    finally:
        endings.delete(milan, first, second)


def test_namespace_offloadings(installed: Pair, endings: Endings) -> None:
    rome, _ = installed
    name = f"plain-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)

    def wish(called: str = "offloading", **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "offloading.liqo.io/v1beta1",
            "kind": "NamespaceOffloading",
            "metadata": {"name": called, "namespace": name},
            "spec": spec,
        }

    bad_operator = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}
    try:
        for manifest, part in (
            (wish("mine"), "must be named 'offloading'"),
            (wish(podOffloadingStrategy="Sometimes"), "podOffloadingStrategy"),
            (wish(namespaceMappingStrategy="Mine"), "namespaceMappingStrategy"),
            (wish(namespaceMappingStrategy="SelectedName"), "spec.remoteNamespaceName must be set"),
            (wish(namespaceMappingStrategy="SelectedName", remoteNamespaceName="A_B"), "A_B"),
            (wish(clusterSelector=bad_operator), "operator"),
        ):
            said = refused(rome, manifest)
            assert part in said, said
        namespace = rome.get("namespace", name)
        assert "liqo.io/scheduling-enabled" not in namespace["metadata"]["labels"]
    finally:
        endings.delete(rome, name)


async def test_a_shadow_pod_elsewhere_is_refused(consumer: Consumer) -> None:
    async with Client(consumer.credentials()) as client:
        for namespace in ("default", "kube-system", consumer.tenant):
            manifest = shadow_pod(consumer, "out")
            manifest["metadata"]["namespace"] = namespace
            with pytest.raises(ApiError) as caught:
                await client.create(SHADOW_PODS, manifest, namespace)
            assert "cannot create resource" in str(caught.value)
    # Where the permissions of the provider's admin do not stand in the way, the webhook does.
    manifest = shadow_pod(consumer, "out")
    manifest["metadata"]["namespace"] = "default"
    assert "Cluster ID label mismatch" in refused(consumer.provider, manifest)


async def test_an_object_of_a_mebibyte_is_taken_or_refused_and_hurts_nobody(consumer: Consumer) -> None:
    large = shadow_pod(consumer, "large")
    large["spec"]["pod"]["containers"][0]["env"] = [{"name": "LARGE", "value": "x" * (1 << 20)}]
    larger = shadow_pod(consumer, "larger")
    larger["spec"]["pod"]["containers"][0]["env"] = [{"name": "LARGE", "value": "x" * (2 << 20)}]
    annotated = shadow_pod(consumer, "annotated")
    annotated["metadata"]["annotations"] = {"isthmus.liqo.io/changes": "x" * (1 << 20)}
    answers = await create(consumer, large, larger, annotated, shadow_pod(consumer, "small"))
    assert isinstance(answers[1], ApiError)
    assert isinstance(answers[2], ApiError)
    assert answers[3] is None
    eventually(lambda: running(consumer, "small"), within=60, what="the pod beside it")


async def test_changes_that_make_no_sense(consumer: Consumer) -> None:
    assert await create(consumer, shadow_pod(consumer, "web")) == [None]
    async with Client(consumer.credentials()) as client:
        for changes, part in (
            ("{", "cannot be read"),
            ('{"resources": {"c": {"requests": {"cpu": "-1"}}}}', "negative"),
            ('{"resources": {"c": {"requests": {"cpu": "2"}}}}', "cpu quota usage exceeded"),
            ('{"resources": {"nobody": {"requests": {"cpu": "1m"}}}}', "there is no container nobody"),
        ):
            patch = {"metadata": {"annotations": {"isthmus.liqo.io/changes": changes}}}
            with pytest.raises(ApiError, match=part):
                await client.patch(SHADOW_PODS, "web", patch, consumer.twin)


@pytest.mark.endurance
async def test_a_thousand_slices_hold_up_nobody(consumer: Consumer) -> None:
    provider = consumer.provider
    labels = {
        "liqo.io/replication": "false",
        "liqo.io/replicated": "true",
        "liqo.io/originID": consumer.id,
        "liqo.io/remoteID": "milan",
        "liqo.io/remote-cluster-id": consumer.id,
    }
    manifests = [
        resource_slice(consumer.tenant, f"many-{number}", {"cpu": "1"}, **labels) for number in range(SLICES)
    ]
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    try:
        provider.kubectl("create", "-f", "-", stdin=everything, timeout=300)
        assert await create(consumer, shadow_pod(consumer, "meanwhile")) == [None]
        eventually(lambda: running(consumer, "meanwhile"), within=60, what="a pod beside a thousand slices")
        # None of them was granted: their consumer has no Tenant.
        assert len(provider.items("quotas.offloading.liqo.io", "-n", consumer.tenant)) == 1
    finally:
        provider.kubectl(
            "delete", "resourceslices.authentication.liqo.io", "--all", "-n", consumer.tenant, timeout=300
        )

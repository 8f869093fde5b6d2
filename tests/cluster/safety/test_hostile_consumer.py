"""What a consumer could write with its real credentials, and no well-behaved one does: refused, or without effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from isthmus.api.authentication import RENEWS, RESOURCE_SLICES
from isthmus.api.offloading import NAMESPACE_MAPS, SHADOW_ENDPOINT_SLICES, SHADOW_PODS
from isthmus.kube.builtin import CONFIG_MAPS, SECRETS, SERVICES
from isthmus.kube.client import Client
from isthmus.kube.errors import ApiError
from isthmus.kube.objects import Manifest
from isthmus.kube.resource import Resource
from tests.cluster.safety.conftest import AWAY, Stage
from tests.cluster.support import TEST_IMAGE, eventually

MARKS = {
    "liqo.io/replication": "false",
    "liqo.io/replicated": "true",
    "liqo.io/originID": "rome",
    "liqo.io/remoteID": "milan",
    "liqo.io/remote-cluster-id": "rome",
}
"""The labels of a copy, as rome's replication sets them."""
OWN_WISH = {"liqo.io/replication": "true", "liqo.io/remoteID": "rome", "liqo.io/remote-cluster-id": "rome"}
"""The labels of what milan itself asks of rome, were rome its provider, too."""
ORIGIN = {"offloading.liqo.io/origin": "rome", "offloading.liqo.io/destination": "milan"}
MERGE = "merge"


def copy(name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> Manifest:
    return {"metadata": {"name": name, "labels": MARKS, **metadata}, "spec": spec or {}}


async def refused(client: Client, resource: Resource[Any], manifest: Manifest, namespace: str) -> str:
    """What the API server says to an object it must not take."""
    with pytest.raises(ApiError) as caught:
        await client.create(resource.partial(), manifest, namespace)
    return str(caught.value)


async def unchanged(
    client: Client, resource: Resource[Any], name: str, patch: Manifest, namespace: str, subresource: str = ""
) -> str:
    """What the API server says to a change it must not make."""
    with pytest.raises(ApiError) as caught:
        await client.patch(resource.partial(), name, patch, namespace, subresource=subresource)
    return str(caught.value)


async def test_the_answers_of_the_provider_cannot_be_written(stage: Stage) -> None:
    accepted = [{"type": kind, "status": "Accepted"} for kind in ("Authentication", "Resources")]
    async with stage.client("control plane") as client:
        for resource, name, status in (
            (RESOURCE_SLICES, "milan", {"resources": {"cpu": "1000"}, "conditions": accepted}),
            (NAMESPACE_MAPS, "milan", {"currentMapping": {"kube-system": {"phase": "Accepted"}}}),
            (RENEWS, "controlplane-milan", {"authParams": {"apiServer": "https://rome.example"}}),
        ):
            kind = f"{resource.plural}.{resource.group}"
            before = stage.milan.get(kind, name, "-n", AWAY)["status"]
            said = await unchanged(client, resource, name, {"status": status}, AWAY, "status")
            assert "the status of copies is the provider's to write" in said
            assert stage.milan.get(kind, name, "-n", AWAY)["status"] == before
            # Writing what stands there is harmless, and allowed.
            await client.patch(resource.partial(), name, {"status": before}, AWAY, subresource="status")


async def test_what_the_provider_asks_of_the_consumer_is_out_of_its_reach(stage: Stage) -> None:
    kind = "resourceslices.authentication.liqo.io"
    asked = {"class": "default", "resources": {"cpu": "1"}}
    wish = {"apiVersion": "authentication.liqo.io/v1beta1", "kind": "ResourceSlice", "spec": asked}
    stage.milan.apply({**wish, "metadata": {"name": "wish", "namespace": AWAY, "labels": OWN_WISH}})
    try:
        async with stage.client("control plane") as client:
            for patch in ({"spec": {"resources": {"cpu": "9"}}}, {"metadata": {"labels": MARKS}}):
                assert "only its own copies" in await unchanged(client, RESOURCE_SLICES, "wish", patch, AWAY)
            status = {"status": {"nodeLabels": {"a": "b"}}}
            said = await unchanged(client, RESOURCE_SLICES, "wish", status, AWAY, "status")
            assert "only its own copies" in said
            with pytest.raises(ApiError, match="only its own copies"):
                await client.delete(RESOURCE_SLICES, "wish", AWAY)
            for forged in (OWN_WISH, MARKS | OWN_WISH, MARKS | {"liqo.io/originID": stage.other}, {}):
                # A NamespaceMap of the provider's own would have its Secrets copied to the consumer.
                for resource in (NAMESPACE_MAPS, RESOURCE_SLICES, RENEWS):
                    manifest = {"metadata": {"name": "forged", "labels": forged}, "spec": {}}
                    assert "only its own copies" in await refused(client, resource, manifest, AWAY)
        assert stage.milan.get(kind, "wish", "-n", AWAY)["spec"]["resources"] == {"cpu": "1"}
    finally:
        stage.milan.kubectl("delete", kind, "wish", "-n", AWAY, "--wait=false")


async def test_copies_stay_what_they_are(stage: Stage) -> None:
    async with stage.client("control plane") as client:
        for key in MARKS:
            patch: Manifest = {"metadata": {"labels": {key: None}}}
            said = await unchanged(client, RESOURCE_SLICES, "milan", patch, AWAY)
            assert key in said
        for metadata in (
            {"finalizers": []},
            {"finalizers": ["for.ever/here"]},
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]},
        ):
            # The finalizer of its NamespaceMap is what has its twin namespaces deleted.
            said = await unchanged(client, NAMESPACE_MAPS, "milan", {"metadata": metadata}, AWAY)
            assert "finalizers and owners of copies are the provider's" in said
        said = await refused(client, NAMESPACE_MAPS, copy("held", finalizers=["for.ever/here"]), AWAY)
        assert "finalizers and owners of copies are the provider's" in said
        for cordon in ("liqo.io/cordon", "liqo.io/cordon-tenant"):
            said = await unchanged(
                client, RESOURCE_SLICES, "milan", {"metadata": {"annotations": {cordon: "false"}}}, AWAY
            )
            assert "cannot be changed by the consumer" in said


async def test_names_of_namespaces_that_are_not_the_consumers_to_have(stage: Stage) -> None:
    milan = stage.milan
    hostile = {
        "system": "kube-system",
        "default": "default",
        "own": "liqo",
        "tenant": AWAY,
        "others-tenant": stage.others_tenant,
        "others-twin": stage.others_twin,
        "another-liqo": "liqo-storage",
        "twice": stage.twin,
        "upper": "Kube-System",
        "path": "../kube-system",
        "long": "x" * 64,
        "longer": "x" * 5000,
        "empty": "",
    }
    spec = {"desiredMapping": {**hostile, "good": "good-rome"}}

    def phases() -> dict[str, str]:
        found = milan.get("namespacemap", "hostile", "-n", AWAY).get("status", {}).get("currentMapping", {})
        return {local: one["phase"] for local, one in found.items()}

    before = {one["metadata"]["uid"] for one in milan.items("rolebindings", "-A")}
    async with stage.client("control plane") as client:
        await client.create(NAMESPACE_MAPS.partial(), copy("hostile", spec), AWAY)
        try:
            wanted = {**dict.fromkeys(hostile, "CreationLoopBackOff"), "good": "Accepted"}
            eventually(lambda: phases() == wanted, within=60, what="all names refused but one")
            told = ("events", "-n", AWAY, "--field-selector", "reason=NamespaceRefused")
            eventually(
                lambda: any("kube-system" in event["message"] for event in milan.items(*told)),
                within=60,
                what="the event that says why",
            )
            eventually(
                lambda: milan.get("rolebinding", AWAY, "-n", "good-rome"),
                within=60,
                what="the good one's binding",
            )
            new = [one for one in milan.items("rolebindings", "-A") if one["metadata"]["uid"] not in before]
            assert {one["metadata"]["namespace"] for one in new} == {"good-rome"}
            assert milan.get("namespace", stage.others_twin)["metadata"]["labels"][
                "liqo.io/remote-cluster-id"
            ] == (stage.other)
        finally:
            await client.delete(NAMESPACE_MAPS, "hostile", AWAY)
    eventually(
        lambda: milan.get("namespacemap", "hostile", "-n", AWAY) is None, within=60, what="the end of the map"
    )
    assert milan.get("namespace", "good-rome") is None
    for name in ("kube-system", "default", "liqo", stage.others_tenant, stage.others_twin, stage.twin):
        assert "deletionTimestamp" not in milan.get("namespace", name)["metadata"]


async def test_a_renew_speaks_for_its_own_cluster_only(stage: Stage) -> None:
    def answer(name: str) -> Any:
        return stage.milan.get("renew", name, "-n", AWAY).get("status", {}).get("authParams")

    async with stage.client("control plane") as client:
        try:
            for name, consumer in (("of-another", stage.other), ("of-milan", "milan"), ("own", "rome")):
                await client.create(RENEWS.partial(), copy(name, {"consumerClusterID": consumer}), AWAY)
            eventually(lambda: answer("own"), within=60, what="the answer to its own")
            assert answer("of-another") is None
            assert answer("of-milan") is None
        finally:
            for name in ("of-another", "of-milan", "own"):
                await client.delete(RENEWS, name, AWAY)


def shadow_pod(stage: Stage, name: str = "bad", metadata: Manifest | None = None, **spec: Any) -> Manifest:
    container = {
        "name": "c",
        "image": TEST_IMAGE,
        "imagePullPolicy": "Never",
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
        **spec.pop("container", {}),
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 1, **spec}
    return {
        "metadata": {"name": name, "labels": ORIGIN, **(metadata or {})},
        "spec": {"pod": pod},
    }


def changes(container: Manifest) -> Manifest:
    added = {"ephemeralContainers": [{"name": "debug", "image": TEST_IMAGE, **container}]}
    return {"annotations": {"isthmus.liqo.io/changes": json.dumps(added)}}


BAD_PODS: list[tuple[dict[str, Any], str]] = [
    ({"hostNetwork": True}, "hostNetwork is not allowed"),
    ({"hostPID": True}, "hostPID is not allowed"),
    ({"hostIPC": True}, "hostIPC is not allowed"),
    ({"nodeName": "milan-1"}, "nodeName is not allowed"),
    ({"priorityClassName": "system-cluster-critical"}, "priorityClassName system-cluster-critical is not"),
    ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "volume root: hostPath is not allowed"),
    ({"container": {"securityContext": {"privileged": True}}}, "container c: privileged is not allowed"),
    ({"container": {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}}, "capability SYS_ADMIN"),
    ({"container": {"ports": [{"containerPort": 80, "hostPort": 6443}]}}, "hostPort is not allowed"),
    ({"initContainers": [{"name": "i", "securityContext": {"privileged": True}}]}, "container i: privileged"),
    ({"terminationGracePeriodSeconds": 10**9}, "terminationGracePeriodSeconds 1000000000 is over"),
    ({"container": {"resources": {"requests": {"cpu": "5k"}}}}, "cpu quota usage exceeded"),
    ({"container": {"resources": {"requests": {"cpu": "-1"}}}}, "negative"),
    (
        {"container": {"resources": {"requests": {"example.com/x": "1"}}}},
        "example.com/x quota limit not found",
    ),
    ({"containers": None}, "spec.pod.containers must be set"),
    ({"metadata": {"labels": {}}}, "missing origin Cluster ID label"),
    ({"metadata": {"labels": {"offloading.liqo.io/origin": "milan"}}}, "Cluster ID label mismatch"),
    (
        {"metadata": {"labels": ORIGIN | {"liqo.io/shadowPod": "true"}}},
        "cannot carry the label liqo.io/shadowPod",
    ),
    ({"metadata": {"finalizers": ["for.ever/here"]}}, "finalizers and owners"),
    (
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]}},
        "finalizers and owners",
    ),
    ({"metadata": changes({"securityContext": {"privileged": True}})}, "container debug: privileged"),
]


async def test_pods_that_want_more_than_a_consumer_may_have(stage: Stage) -> None:
    async with stage.client("slice") as client:
        for fields, part in BAD_PODS:
            said = await refused(client, SHADOW_PODS, shadow_pod(stage, **fields), stage.twin)
            assert part in said, said
        good = shadow_pod(
            stage, "good", container={"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
        )
        await client.create(SHADOW_PODS.partial(), good, stage.twin)
        patch = {"metadata": changes({"securityContext": {"privileged": True}})}
        assert "container debug: privileged" in await unchanged(
            client, SHADOW_PODS, "good", patch, stage.twin
        )
        for metadata in ({"finalizers": ["for.ever/here"]}, {"ownerReferences": [{"kind": "Node"}]}):
            await unchanged(client, SHADOW_PODS, "good", {"metadata": metadata}, stage.twin)
        eventually(lambda: stage.milan.get("pod", "good", "-n", stage.twin), within=60, what="the good pod")
        await client.delete(SHADOW_PODS, "good", stage.twin)
    assert [one["metadata"]["name"] for one in stage.milan.items("shadowpods", "-n", stage.twin)] in (
        [],
        ["good"],
    )


async def test_objects_that_would_reach_beyond_the_twin_namespace(stage: Stage) -> None:
    token = {
        "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
    }
    external = {"metadata": {"name": "e"}, "spec": {"ports": [{"port": 53}], "externalIPs": ["10.96.0.10"]}}
    async with stage.client("slice") as client:
        assert "Secrets of type" in await refused(client, SECRETS, token, stage.twin)
        assert "externalIPs is not allowed" in await refused(client, SERVICES, external, stage.twin)
        for key in ("nonce", "signed-nonce", "identity-type", "remote-cluster-id"):
            # A signed nonce is a signature of this cluster's key, an identity another cluster's kubeconfig.
            secret = {"metadata": {"name": "s", "labels": {f"liqo.io/{key}": "true"}}}
            assert "cannot carry the labels" in await refused(client, SECRETS, secret, stage.twin)
        held = {"metadata": {"name": "h", "finalizers": ["for.ever/here"]}}
        assert "finalizers and owners" in await refused(client, CONFIG_MAPS, held, stage.twin)
        await client.create(CONFIG_MAPS.partial(), {"metadata": {"name": "h"}}, stage.twin)
        patch = {"metadata": {"finalizers": ["for.ever/here"]}}
        assert "finalizers and owners" in await unchanged(client, CONFIG_MAPS, "h", patch, stage.twin)
        service = {"metadata": {"name": "h"}, "spec": {"ports": [{"port": 53}]}}
        await client.create(SERVICES.partial(), service, stage.twin)
        patch = {"spec": {"externalIPs": ["10.96.0.10"]}}
        assert "externalIPs is not allowed" in await unchanged(client, SERVICES, "h", patch, stage.twin)
        await client.delete(CONFIG_MAPS, "h", stage.twin)
        await client.delete(SERVICES, "h", stage.twin)
    # Whoever the provider itself lets in is not held to any of it.
    stage.milan.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "admins", "namespace": stage.twin, "finalizers": ["a.b/c"]},
        }
    )
    stage.milan.kubectl(
        "patch",
        "configmap",
        "admins",
        "-n",
        stage.twin,
        "--type=merge",
        "-p",
        '{"metadata":{"finalizers":null}}',
    )


async def test_endpoints_that_are_not_the_consumers(stage: Stage) -> None:
    milan = stage.milan
    api_server = milan.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    node = milan.items("nodes")[0]["status"]["addresses"][0]["address"]
    hostile = ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", api_server, node]  # noqa: S104
    template = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in hostile],
        "ports": [{"name": "", "port": 443, "protocol": "TCP"}],
    }
    labels = ORIGIN | {"kubernetes.io/service-name": "x"}
    manifest = {"metadata": {"name": "points", "labels": labels}, "spec": {"template": template}}

    def told() -> bool:
        return any(
            event["reason"] == "FailedEndpointSlice" and event["involvedObject"]["name"] == "points"
            for event in milan.items("events", "-n", stage.twin)
        )

    async with stage.client("slice") as client:
        await client.create(SHADOW_ENDPOINT_SLICES.partial(), manifest, stage.twin)
        eventually(told, within=60, what="the event that says what is dropped")
        made = milan.get("endpointslice", "points", "-n", stage.twin)
        assert made is None or not made["endpoints"]
        await client.delete(SHADOW_ENDPOINT_SLICES, "points", stage.twin)


async def test_a_peering_user_gets_no_token_and_no_signature(stage: Stage) -> None:
    def secret(name: str, type_: str = "Opaque", **marks: str) -> Manifest:
        account = {"kubernetes.io/service-account.name": "rome"}
        labels = {
            key.replace("_", "-").replace("liqo-io-", "liqo.io/"): value for key, value in marks.items()
        }
        return {"metadata": {"name": name, "labels": labels, "annotations": account}, "type": type_}

    async with stage.client("peering user") as client:
        # With the token of the gateway's account its pods could be changed, and they reach into the node.
        token = secret("t", "kubernetes.io/service-account-token")
        assert "cannot have Secrets of type" in await refused(client, SECRETS, token, AWAY)
        for marks in ({"liqo_io_signed_nonce": "true"}, {"liqo_io_identity_type": "ControlPlane"}):
            assert "cannot set the labels" in await refused(client, SECRETS, secret("s", **marks), AWAY)
        foreign = secret("n", liqo_io_nonce="true", liqo_io_remote_cluster_id=stage.other)
        assert "must name the cluster" in await refused(client, SECRETS, foreign, AWAY)
        own = secret("n", liqo_io_nonce="true", liqo_io_remote_cluster_id="rome")
        await client.create(SECRETS.partial(), own, AWAY)
        await client.delete(SECRETS, "n", AWAY)

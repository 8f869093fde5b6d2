"""The kinds on a real API server: all served, explained, strict where they are strict, and losing nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from isthmus.api.crds import KINDS, custom_resource_definitions
from tests.cluster.installation.commands import OURS
from tests.cluster.support import Cluster, eventually

POD_SPEC: dict[str, Any] = {
    "containers": [
        {
            "name": "main",
            "image": "x",
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "resources": {"requests": {"cpu": "5m"}},
            "fieldOfALaterRelease": {"deep": [1, {"x": True}]},
        }
    ],
    "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
    "anotherOfThem": "kept",
}


@pytest.fixture(scope="module")
def served(small: Cluster) -> Iterator[Cluster]:
    """The kinds without a controller or webhooks, so that only the schemas judge; gone afterwards."""
    small.kubectl("delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", "-l", OURS)
    manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": custom_resource_definitions()})
    small.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)
    names = [manifest["metadata"]["name"] for manifest in custom_resource_definitions()]
    small.kubectl("wait", "--for=condition=Established", "crd", *names, "--timeout=60s", timeout=70)
    eventually(
        lambda: small.kubectl("get", "liqo", "-A", check=False).returncode == 0,
        within=60,
        what="discovery of the kinds",
    )
    yield small
    small.kubectl("delete", "crd", *names)


def group_of(kind: str) -> str:
    (found,) = (each for each in KINDS if each.name == kind)
    return f"{found.group}/{found.version}"


def create(cluster: Cluster, kind: str, spec: Any, **more: Any) -> dict[str, Any]:
    """The object as the API server would keep it."""
    manifest = {"apiVersion": group_of(kind), "kind": kind, "metadata": {"name": "x"}, "spec": spec, **more}
    done = cluster.kubectl(
        "create", "--dry-run=server", "--validate=false", "-o", "json", "-f", "-", stdin=json.dumps(manifest)
    )
    kept: dict[str, Any] = json.loads(done.stdout)
    return kept


def denied(cluster: Cluster, specs: list[tuple[str, Any]]) -> dict[int, str]:
    """Why the API server takes none of these kinds with these specs, by their place in the list."""
    manifests = [
        {"apiVersion": group_of(kind), "kind": kind, "metadata": {"name": f"x{number}"}, "spec": spec}
        for number, (kind, spec) in enumerate(specs)
    ]
    stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    arguments = ("create", "--dry-run=server", "--validate=false", "-f", "-")
    done = cluster.kubectl(*arguments, stdin=stdin, check=False)
    assert done.stdout == "", "none of them is taken"
    # Error from server (Invalid): error when creating "STDIN": Tenant.authentication.liqo.io "x0" is invalid: …
    found = re.split(r'^Error from server .* "x(\d+)" is invalid: ', done.stderr, flags=re.MULTILINE)[1:]
    return {int(number): why for number, why in zip(*[iter(found)] * 2, strict=True)}


def test_all_kinds_are_in_the_category(served: Cluster) -> None:
    listed = served.kubectl("api-resources", "--categories=liqo", "--no-headers").stdout.splitlines()
    assert len(listed) == 28


def test_every_kind_is_explained(served: Cluster) -> None:
    text = served.kubectl("explain", f"{KINDS[0].plural}.{KINDS[0].group}").stdout
    assert "<empty>" not in text.split("FIELDS:")[0]
    # What kubectl explain shows of the others, without a process for each.
    for version in {(kind.group, kind.version) for kind in KINDS}:
        shown = json.loads(served.kubectl("get", "--raw", f"/openapi/v3/apis/{'/'.join(version)}").stdout)
        described = {
            one["kind"]
            for schema in shown["components"]["schemas"].values()
            for one in schema.get("x-kubernetes-group-version-kind", [])
            if schema.get("description")
        }
        assert {kind.name for kind in KINDS if (kind.group, kind.version) == version} <= described


def test_a_pod_spec_is_kept_whole(served: Cluster) -> None:
    assert create(served, "ShadowPod", {"pod": POD_SPEC})["spec"]["pod"] == POD_SPEC


def test_deployments_and_services_in_templates_are_kept_whole(served: Cluster) -> None:
    deployment = {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"creationTimestamp": None, "labels": {"a": "b"}}, "spec": POD_SPEC},
    }
    service = {"ports": [{"port": 51840, "protocol": "UDP", "targetPort": "wg"}], "trafficDistribution": "x"}
    kept = create(
        served, "WgGatewayServer", {"deployment": {"spec": deployment}, "service": {"spec": service}}
    )
    assert kept["spec"]["service"]["spec"] == service
    assert kept["spec"]["deployment"]["spec"] == deployment


def test_templates_are_kept_whole(served: Cluster) -> None:
    template = {"metadata": {"name": "{{ .Name }}"}, "spec": {"anything": [{"goes": "{{ .Spec.MTU }}"}]}}
    kept = create(served, "WgGatewayServerTemplate", {"template": template})
    assert kept["spec"]["template"] == template


def test_small_kubernetes_types_are_kept_whole(served: Cluster) -> None:
    term = {
        "matchExpressions": [{"key": "region", "operator": "In", "values": ["eu"]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}],
    }
    spec = {
        "clusterID": "milan",
        "images": [{"names": ["a", "b"], "sizeBytes": 5}],
        "taints": [{"key": "k", "value": "v", "effect": "NoSchedule", "timeAdded": "2026-01-02T03:04:05Z"}],
        "resourceQuota": {
            "hard": {"cpu": 4, "memory": "8Gi", "nvidia.com/gpu": "2"},
            "scopes": ["Terminating"],
        },
        "offloadingPatch": {
            "tolerations": [
                {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
                {"operator": "Gt", "key": "b", "value": "3"},
            ],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}],
                }
            },
        },
        "vkOptionsTemplateRef": {"name": "a", "namespace": "b", "kind": "c", "apiVersion": "d", "uid": "e"},
    }
    assert create(served, "VirtualNode", spec)["spec"] == spec


def test_endpoints_are_kept_whole(served: Cluster) -> None:
    endpoint = {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "hints": {"forZones": [{"name": "a"}], "forNodes": [{"name": "n"}], "later": 1},
        "hostname": "h",
        "nodeName": "rome",
        "targetRef": {"kind": "RemotePod", "name": "p"},
        "zone": "z",
        "later": {"x": 1},
    }
    spec = {"template": {"addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "", "port": 80}]}}
    assert create(served, "ShadowEndpointSlice", spec)["spec"] == spec


def test_defaults(served: Cluster) -> None:
    tenant = create(served, "Tenant", {"clusterID": "rome"})["spec"]
    assert (tenant["authzPolicy"], tenant["tenantCondition"]) == ("KeysExchange", "Active")
    namespace = create(served, "NamespaceOffloading", {})["spec"]
    assert namespace == {"namespaceMappingStrategy": "DefaultName", "podOffloadingStrategy": "LocalAndRemote"}
    # What is replicated must come back as it was sent, or the two sides would write it for ever.
    slice_ = {"class": "default", "consumerClusterID": "rome", "resources": {"cpu": 4, "memory": "1Gi"}}
    assert create(served, "ResourceSlice", slice_)["spec"] == slice_
    mapping = {"desiredMapping": {"demo": "demo-rome"}}
    assert create(served, "NamespaceMap", mapping)["spec"] == mapping


DENIED: list[tuple[str, Any, str]] = [
    ("Tenant", {"clusterID": "Rome"}, "spec.clusterID"),
    ("Tenant", {"authzPolicy": "None"}, "spec.authzPolicy"),
    ("Tenant", {"publicKey": "not base64!"}, "spec.publicKey"),
    ("ForeignCluster", {}, "spec.clusterID"),
    ("Identity", {"type": "Other"}, "spec.type"),
    ("Identity", {"authParams": {"awsConfig": {}}}, "awsUserArn"),
    ("ResourceSlice", {"resources": {"cpu": "many"}}, "spec.resources"),
    ("Quota", {"user": "x"}, "spec.resources"),
    ("Quota", {"user": "x", "resources": {}, "limitsEnforcement": "Firm"}, "limitsEnforcement"),
    ("NamespaceOffloading", {"podOffloadingStrategy": "Everywhere"}, "podOffloadingStrategy"),
    ("NamespaceOffloading", {"clusterSelector": {}}, "nodeSelectorTerms"),
    ("Network", {"cidr": "10.0.0.0"}, "spec.cidr"),
    ("Network", {"cidr": "10.0.0.0/16", "preAllocated": -1}, "preAllocated"),
    ("IP", {"ip": "10.0.0"}, "spec.ip"),
    ("Connection", {"type": "Peer", "gatewayRef": {}}, "spec.type"),
    ("GatewayClient", {"endpoint": {"port": 1, "ports": [2]}}, "either port or ports"),
    ("GatewayClient", {"endpoint": {}}, "list of ports is needed"),
    ("GatewayClient", {"endpoint": {"ports": [1, 1]}}, "twice"),
    ("GatewayClient", {"endpoint": {"port": 1, "protocol": "SCTP"}}, "protocol"),
    ("GatewayServer", {"endpoint": {"port": 1, "nodePort": 1, "nodePorts": [2]}}, "either nodePort"),
    ("GatewayServer", {"endpoint": {"ports": list(range(65))}}, "65"),
    ("RouteConfiguration", {"table": {"name": "t", "rules": []}}, "spec.table.rules"),
    ("VkOptionsTemplate", {"createNode": True}, "containerImage"),
]


def test_what_is_denied(served: Cluster) -> None:
    said = denied(served, [(kind, spec) for kind, spec, _ in DENIED])
    wrong = {
        number: said.get(number) for number, one in enumerate(DENIED) if one[2] not in said.get(number, "")
    }
    assert not wrong
    assert len(said) == len(DENIED)


def test_what_cannot_change(served: Cluster) -> None:
    network = {"apiVersion": group_of("Network"), "kind": "Network", "metadata": {"name": "x"}}
    served.apply({**network, "spec": {"cidr": "10.0.0.0/16"}})
    try:
        patch = '{"spec":{"cidr":"10.1.0.0/16"}}'
        done = served.kubectl("patch", "network.ipam.liqo.io", "x", "--type=merge", "-p", patch, check=False)
        assert "cannot be changed" in done.stderr
    finally:
        served.kubectl("delete", "network.ipam.liqo.io", "x")


def test_columns(served: Cluster) -> None:
    tenant = {"apiVersion": group_of("Tenant"), "kind": "Tenant", "metadata": {"name": "oslo"}}
    labels = {"liqo.io/remote-cluster-id": "oslo"}
    tenant["metadata"] = {"name": "oslo", "labels": labels}
    served.apply({**tenant, "spec": {"clusterID": "oslo"}})
    try:
        header, row = served.kubectl("get", "tn").stdout.splitlines()
        assert header.split() == ["NAME", "CONDITION", "AGE"]
        assert row.split()[:2] == ["oslo", "Active"]
    finally:
        served.kubectl("delete", "tn", "oslo", "--wait=false")


def test_status_is_a_subresource_where_there_is_one(served: Cluster) -> None:
    kept = create(served, "ShadowPod", {"pod": {}}, status={"phase": "Running"})
    assert "status" not in kept

"""Pods, virtual nodes and what is asked of them in the tests of offloading."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.support import TEST_IMAGE, Cluster, isthmus

SOON = 60.0
API = "offloading.liqo.io/v1beta1"
TENANT = "liqo-tenant-milan"
HOSTNAME = "kubernetes.io/hostname"
Pair = tuple[Cluster, Cluster]


def offload(rome: Cluster, name: str, *flags: str) -> None:
    isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig), *flags)


def pod(name: str, namespace: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": TEST_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"],
        "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name, "internal": "yes"},
            "annotations": annotations or {},
        },
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    found = cluster.get("pod", name, "-n", namespace)
    return str(found["status"].get("phase", "")) if found else ""


def node_is_ready(cluster: Cluster, name: str) -> bool:
    node = cluster.get("node", name)
    conditions = node["status"].get("conditions", []) if node else []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def node_condition(cluster: Cluster, name: str) -> dict[str, Any]:
    found = cluster.get("virtualnode", name, "-n", TENANT)
    conditions: list[dict[str, Any]] = (found or {}).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Node"), {})


def prefers_virtual_nodes() -> dict[str, Any]:
    expression = {"key": "liqo.io/type", "operator": "In", "values": ["virtual-node"]}
    term = {"weight": 100, "preference": {"matchExpressions": [expression]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


def set_create_node(cluster: Cluster, value: bool, name: str = "milan") -> None:
    patch = json.dumps({"spec": {"createNode": value}})
    cluster.kubectl("patch", "virtualnode", name, "-n", TENANT, "--type=merge", "-p", patch)

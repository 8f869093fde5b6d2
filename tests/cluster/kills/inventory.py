"""What there is in a cluster, said so that two lives that ended alike have the same to say.

One entry an object, with what holds it and what is said about it; names with a random part have a star there.
Pods are not in it: `history.py` and `life.py` look at them one by one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.cluster.support import Cluster

Inventory = Counter[str]

CORE = (
    "namespaces",
    "nodes",
    "secrets",
    "configmaps",
    "serviceaccounts",
    "services",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "deployments.apps",
    "daemonsets.apps",
    "endpointslices.discovery.k8s.io",
    "leases.coordination.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "runtimeclasses.node.k8s.io",
)
OTHERS = re.compile(r"^kube-system/|^default/kubernetes$|/kube-root-ca\.crt$")
"""What Kubernetes has of its own, and changes by itself."""


def take_inventory(cluster: Cluster) -> Inventory:
    """Everything in the cluster but pods and what belongs to Kubernetes itself."""
    served = {name.split("/")[1] for name in cluster.kubectl("get", "crd", "-o", "name").stdout.split()}
    kinds = [*CORE, *sorted(name for name in served if name.endswith(".liqo.io"))]
    found = cluster.items(",".join(kinds), "-A")
    return Counter(entry for item in found for entry in _describe(item))


def compare(expected: Inventory, found: Inventory) -> list[str]:
    """What is missing (-) and what is too much (+); empty where the two are alike."""
    missing, extra = expected - found, found - expected
    return sorted([f"- {one}" for one in missing.elements()] + [f"+ {one}" for one in extra.elements()])


def held(inventory: Inventory) -> list[str]:
    """The objects that are being deleted: none is, once everything has come to rest."""
    return sorted(entry for entry in inventory if entry.endswith(" deleting"))


def _describe(item: dict[str, Any]) -> Iterator[str]:
    meta = item["metadata"]
    place = "/".join(filter(None, (meta.get("namespace", ""), _stable_name(meta))))
    if OTHERS.search(place):
        return
    words = [item["kind"], place, *sorted(meta.get("finalizers", []))]
    if ".liqo.io/" in item["apiVersion"]:
        words += sorted(set(_verdicts(item.get("status") or {})))
    if "deletionTimestamp" in meta:
        words.append("deleting")
    yield " ".join(words)


def _stable_name(meta: dict[str, Any]) -> str:
    prefix = meta.get("generateName", "")
    return f"{prefix}*" if prefix else str(meta["name"])


def _verdicts(value: Any, name: str = "") -> Iterator[str]:
    """What a status says: conditions and phases, at any depth."""
    if isinstance(value, list):
        for one in value:
            yield from _verdicts(one, name)
    elif isinstance(value, dict):
        if isinstance(value.get("type"), str) and isinstance(value.get("status"), str):
            yield f"{value['type']}={value['status']}"
        for key, one in value.items():
            if isinstance(one, str) and key.lower().endswith("phase"):
                yield f"{key}={one}"
            elif key == "value" and isinstance(one, str):
                yield f"{name}={one}" if name else f"value={one}"
            else:
                yield from _verdicts(one, key)

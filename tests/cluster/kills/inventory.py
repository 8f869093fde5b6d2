"""What there is in a cluster, said so that two lives that ended alike have the same to say.

One entry an object, with what holds it and what is said about it; names with a random part have a star there.
Pods are not in it, nor what there is for each of them: `history.py` and `workload.py` look at those one by one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from isthmus.api.labels import SERVICE_ACCOUNT_POD_UID
from tests.cluster.kills.reading import Item, Reader

Inventory = Counter[str]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CORE = (
    "/api/v1/namespaces",
    "/api/v1/nodes",
    "/api/v1/secrets",
    "/api/v1/configmaps",
    "/api/v1/serviceaccounts",
    "/api/v1/services",
    f"{RBAC}/roles",
    f"{RBAC}/rolebindings",
    f"{RBAC}/clusterroles",
    f"{RBAC}/clusterrolebindings",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/daemonsets",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/coordination.k8s.io/v1/leases",
    f"{ADMISSION}/mutatingwebhookconfigurations",
    f"{ADMISSION}/validatingwebhookconfigurations",
    "/apis/node.k8s.io/v1/runtimeclasses",
)
OTHERS = re.compile(r"^kube-system/|^default/kubernetes$|/kube-root-ca\.crt$")
"""What Kubernetes has of its own, and changes by itself."""
RANDOM = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$")
"""What Kubernetes makes of a generateName, and what is named after such an object."""


def take_inventory(reader: Reader) -> Inventory:
    """Everything in the cluster but pods and what belongs to Kubernetes itself. Raises KubeError."""
    definitions = reader.items(DEFINITIONS)
    own = [_path(one["spec"]) for one in definitions if one["spec"]["group"].endswith(".liqo.io")]
    lists = [definitions, *reader.read([*CORE, *own])]
    return Counter(entry for items in lists for item in items for entry in describe(item))


def _path(spec: Item) -> str:
    version = next(one["name"] for one in spec["versions"] if one["storage"])
    return f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"


def compare(expected: Inventory, found: Inventory) -> list[str]:
    """What is missing (-) and what is too much (+); empty where the two are alike."""
    missing, extra = expected - found, found - expected
    return sorted([f"- {one}" for one in missing.elements()] + [f"+ {one}" for one in extra.elements()])


def held(inventory: Inventory) -> list[str]:
    """The objects that are being deleted: none is, once everything has come to rest."""
    return sorted(entry for entry in inventory if entry.endswith(" deleting"))


def describe(item: Item) -> Iterator[str]:
    """An object in one line; none for what is of no concern here."""
    meta = item["metadata"]
    place = "/".join(filter(None, (meta.get("namespace", ""), _stable_name(meta))))
    if OTHERS.search(place) or item["kind"] == "ShadowPod" or _is_token(meta):
        return
    words = [item["kind"], place, *sorted(meta.get("finalizers", []))]
    if ".liqo.io/" in item["apiVersion"]:
        words += sorted(set(_verdicts(item.get("status") or {})))
    if "deletionTimestamp" in meta:
        words.append("deleting")
    yield " ".join(words)


def _is_token(meta: Item) -> bool:
    """Whether it holds the tokens of one offloaded pod."""
    return SERVICE_ACCOUNT_POD_UID in {**meta.get("labels", {}), **meta.get("annotations", {})}


def _stable_name(meta: Item) -> str:
    return RANDOM.sub("-*", meta["name"])


def _verdicts(value: Any, name: str = "") -> Iterator[str]:
    """What a status says: conditions and phases, at any depth; not what is measured."""
    if name == "latency":
        return
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

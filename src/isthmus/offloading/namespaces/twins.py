"""Twin namespaces on the provider: what is created for a consumer, and what it may not have. Pure.

A consumer's NamespaceMap is untrusted: names are checked, names of the system are refused, and only a
namespace that carries this very map in its annotation is ever changed or deleted (wire.md 1.2).
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from isthmus.api import labels, names
from isthmus.api.offloading import NamespaceMap, RemoteNamespace
from isthmus.kube.builtin import ROLE_BINDINGS
from isthmus.kube.objects import Base, Key, Manifest, Object
from isthmus.offloading.namespaces.status import ACCEPTED, CREATION_LOOP_BACK_OFF, TERMINATING

MOST_TWINS = 1000
"""Twin namespaces one consumer may have: each of them costs the whole cluster."""

RBAC_GROUP = "rbac.authorization.k8s.io"


class RoleReference(Base, frozen=True, kw_only=True):
    """The role a binding gives."""

    kind: str = ""
    name: str = ""


class RoleBinding(Object, frozen=True, kw_only=True):
    """A RoleBinding with what it binds."""

    role_ref: RoleReference = field(default_factory=RoleReference)
    subjects: list[dict[str, Any]] = field(default_factory=list)


TWIN_ROLE_BINDINGS = ROLE_BINDINGS.view(RoleBinding)


def is_copy(map_: NamespaceMap) -> bool:
    """Whether the NamespaceMap came here from a consumer."""
    found = map_.metadata.labels
    return found.get(labels.REPLICATED) == labels.TRUE and bool(found.get(labels.ORIGIN_ID))


def origin_of(map_: NamespaceMap) -> str:
    """The consumer's cluster id, as the map claims it."""
    return map_.metadata.labels.get(labels.ORIGIN_ID, "")


def map_key_of(object: Object) -> Key | None:
    """The NamespaceMap that owns a twin namespace or its RoleBinding, None where none does."""
    namespace, _, name = object.metadata.annotations.get(labels.MANAGED_BY_NAMESPACE_MAP, "").partition("/")
    return Key(namespace, name) if namespace and name else None


def consumer_of_twin(namespace: Object) -> str:
    """The consumer whose twin namespace it is, "" for any other namespace."""
    return namespace.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "") if map_key_of(namespace) else ""


def is_twin_of(namespace: Object, map_: Key, local: str) -> bool:
    """Whether the namespace was made for that map and that namespace of the consumer."""
    return (
        map_key_of(namespace) == map_
        and namespace.metadata.annotations.get(labels.ORIGINAL_NAME, "") == local
    )


RESERVED = ("default", "liqo", "liqo-storage")
RESERVED_PREFIXES = ("kube-", names.tenant_namespace(""))
"""Kubernetes' own namespaces, those Liqo is installed in, and the tenant namespaces of peerings."""


def name_refused(name: str, own_namespace: str) -> str:
    """Why a consumer may not have a namespace of that name here, "" where it may."""
    if not names.is_dns_label(name):
        return "it is not a valid namespace name"
    reserved = name in RESERVED or name == own_namespace or name.startswith(RESERVED_PREFIXES)
    return "the name is reserved on this cluster" if reserved else ""


def number_refused(present: int) -> str:
    """Why a consumer with so many twin namespaces may not have one more, "" where it may."""
    return f"it has {present} already, {MOST_TWINS} are possible" if present >= MOST_TWINS else ""


def forge_twin(map_: NamespaceMap, local: str, remote: str) -> Manifest:
    """The twin namespace of a consumer's namespace."""
    return {
        "metadata": {
            "name": remote,
            "labels": {labels.REMOTE_CLUSTER_ID: origin_of(map_), labels.MANAGED: labels.TRUE},
            "annotations": {
                labels.MANAGED_BY_NAMESPACE_MAP: str(map_.key),
                labels.ORIGINAL_NAME: local,
            },
        }
    }


def forge_role_binding(map_: NamespaceMap, remote: str) -> Manifest:
    """What lets the consumer's slice identities work in the twin namespace (wire.md 7)."""
    return {
        "metadata": {
            "name": map_.metadata.namespace,
            "namespace": remote,
            "labels": {
                labels.REMOTE_CLUSTER_ID: origin_of(map_),
                labels.APP_MANAGED_BY: "liqo",
                labels.MANAGED: labels.TRUE,
            },
            "annotations": {labels.MANAGED_BY_NAMESPACE_MAP: str(map_.key)},
        },
        "roleRef": {
            "apiGroup": RBAC_GROUP,
            "kind": "ClusterRole",
            "name": names.ROLE_VIRTUAL_KUBELET_REMOTE,
        },
        "subjects": [{"apiGroup": RBAC_GROUP, "kind": "Group", "name": origin_of(map_)}],
    }


def binds_rightly(binding: RoleBinding, map_: NamespaceMap) -> bool:
    """Whether a RoleBinding gives the consumer what it needs, and nobody else anything."""
    wish = forge_role_binding(map_, binding.metadata.namespace)
    return (
        binding.role_ref == RoleReference(kind="ClusterRole", name=names.ROLE_VIRTUAL_KUBELET_REMOTE)
        and binding.subjects == wish["subjects"]
        and binding.metadata.annotations.items() >= wish["metadata"]["annotations"].items()
        and binding.metadata.labels.items() >= wish["metadata"]["labels"].items()
    )


def accepted(remote: str) -> RemoteNamespace:
    """The twin stands and may be used."""
    return RemoteNamespace(phase=ACCEPTED, remote_namespace=remote)


def refused(remote: str) -> RemoteNamespace:
    """The name cannot be had."""
    return RemoteNamespace(phase=CREATION_LOOP_BACK_OFF, remote_namespace=remote)


def terminating(remote: str) -> RemoteNamespace:
    """The twin is on its way out."""
    return RemoteNamespace(phase=TERMINATING, remote_namespace=remote)

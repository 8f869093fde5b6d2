"""Which namespace a peer may speak in. Pure."""

from __future__ import annotations

from isthmus.api import labels, names
from isthmus.kube.objects import Object


def is_tenant_namespace_of(namespace: Object | None, peer: str) -> bool:
    """Whether the namespace is a tenant namespace of that very peer: only there may it speak."""
    if namespace is None or not names.is_dns_label(peer):
        return False
    found = namespace.metadata.labels
    return (
        found.get(labels.TENANT_NAMESPACE, labels.FALSE) != labels.FALSE
        and found.get(labels.REMOTE_CLUSTER_ID) == peer
    )

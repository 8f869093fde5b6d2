"""The permissions of a consumer on the provider: two bindings of roles that the installation brings (wire.md 7).

Applied whole at every reconcile of the Tenant, so that what was changed or removed comes back.
"""

from __future__ import annotations

from isthmus.api import labels, names
from isthmus.api.authentication import TENANTS, Tenant
from isthmus.kube.builtin import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS
from isthmus.kube.client import Client
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.ownership import forge_controller, is_controlled_by
from isthmus.kube.resource import Resource

_RBAC = "rbac.authorization.k8s.io"


def forge_control_plane_binding(tenant: Tenant) -> Manifest:
    """Lets the consumer's control plane write what it replicates into its tenant namespace, and nothing else."""
    return {
        "metadata": {
            "name": names.ROLE_BINDING_REMOTE_CONTROL_PLANE,
            "labels": _labels(tenant.spec.cluster_id),
            "ownerReferences": [forge_controller(TENANTS, tenant)],
        },
        "roleRef": _role(names.ROLE_REMOTE_CONTROL_PLANE),
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": tenant.spec.cluster_id}],
    }


def forge_cluster_wide_binding(consumer: str) -> Manifest:
    """Lets the identities of the consumer's slices scrape metrics."""
    return {
        "metadata": {"name": names.cluster_wide_binding(consumer), "labels": _labels(consumer)},
        "roleRef": _role(names.ROLE_VIRTUAL_KUBELET_REMOTE_CLUSTERWIDE),
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": consumer}],
    }


async def bind(client: Client, tenant: Tenant, *, control_plane: bool) -> None:
    """Grant the permissions; `control_plane` false (no handshake) grants those of the slices only.

    Those of an earlier handshake are taken back then; a binding that the admin made instead stays.
    """
    name, namespace = names.ROLE_BINDING_REMOTE_CONTROL_PLANE, tenant.metadata.namespace
    if control_plane:
        await client.apply(ROLE_BINDINGS, forge_control_plane_binding(tenant), namespace)
    else:
        present = await client.find(ROLE_BINDINGS, name, namespace)
        if present is not None and is_controlled_by(present, tenant):
            await client.delete(ROLE_BINDINGS, name, namespace, uid=present.metadata.uid)
    await client.apply(CLUSTER_ROLE_BINDINGS, forge_cluster_wide_binding(tenant.spec.cluster_id))


async def unbind(client: Client, tenant: Tenant) -> None:
    """Take the permissions back; harmless where they are gone."""
    consumer, namespace = tenant.spec.cluster_id, tenant.metadata.namespace
    await _delete(client, ROLE_BINDINGS, names.ROLE_BINDING_REMOTE_CONTROL_PLANE, namespace, consumer)
    await _delete(client, CLUSTER_ROLE_BINDINGS, names.cluster_wide_binding(consumer), "", consumer)


async def _delete(
    client: Client, resource: Resource[Object], name: str, namespace: str, consumer: str
) -> None:
    binding = await client.find(resource, name, namespace)
    if binding is not None and binding.metadata.labels.get(labels.REMOTE_CLUSTER_ID) == consumer:
        await client.delete(resource, name, namespace, uid=binding.metadata.uid)


def _labels(consumer: str) -> dict[str, str]:
    return {labels.REMOTE_CLUSTER_ID: consumer, labels.APP_MANAGED_BY: "liqo"}


def _role(name: str) -> Manifest:
    return {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name}

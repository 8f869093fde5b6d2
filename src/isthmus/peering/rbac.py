"""What the controller's ServiceAccount must be allowed to do for this module: exactly the verbs in use.

`bind` names the roles that Tenants are bound to, `approve` the one signer; without them the API server refuses to
let a controller give what it does not have.
"""

from __future__ import annotations

from isthmus.api import names
from isthmus.api.authentication import GROUP as AUTHENTICATION
from isthmus.api.offloading import GROUP as OFFLOADING
from isthmus.kube.objects import Manifest
from isthmus.peering.signing import SIGNER

_RBAC = "rbac.authorization.k8s.io"
_CERTIFICATES = "certificates.k8s.io"


def _rule(group: str, resources: list[str], *verbs: str, resource_names: list[str] | None = None) -> Manifest:
    rule: Manifest = {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
    if resource_names:
        rule["resourceNames"] = resource_names
    return rule


CLUSTER_RULES: list[Manifest] = [
    _rule(AUTHENTICATION, ["tenants"], "get", "list", "watch", "patch"),
    _rule(AUTHENTICATION, ["identities", "renews"], "get", "list", "watch", "create", "patch", "delete"),
    _rule(AUTHENTICATION, ["resourceslices"], "get", "list", "watch", "patch", "delete"),
    _rule(
        AUTHENTICATION,
        ["tenants/status", "identities/status", "resourceslices/status", "renews/status"],
        "patch",
    ),
    # To own what blocks the owner's deletion, where the API server checks that.
    _rule(
        AUTHENTICATION, ["tenants/finalizers", "identities/finalizers", "resourceslices/finalizers"], "update"
    ),
    _rule(OFFLOADING, ["namespacemaps"], "get", "list", "watch", "patch", "delete"),
    _rule(OFFLOADING, ["namespacemaps/status"], "patch"),
    _rule(OFFLOADING, ["virtualnodes"], "get", "list", "watch"),
    _rule("", ["secrets"], "get", "list", "watch", "create", "patch"),
    _rule("", ["namespaces"], "get", "patch"),
    _rule("", ["nodes"], "get", "list", "watch"),
    _rule("", ["events"], "create", "patch"),
    _rule(_CERTIFICATES, ["certificatesigningrequests"], "get", "create", "delete"),
    _rule(_CERTIFICATES, ["certificatesigningrequests/approval"], "patch"),
    _rule(_CERTIFICATES, ["signers"], "approve", resource_names=[SIGNER]),
    _rule(_RBAC, ["rolebindings"], "get", "create", "patch", "delete"),
    _rule(_RBAC, ["clusterrolebindings"], "get", "create", "patch", "delete"),
    _rule(
        _RBAC,
        ["clusterroles"],
        "bind",
        resource_names=[names.ROLE_REMOTE_CONTROL_PLANE, names.ROLE_VIRTUAL_KUBELET_REMOTE_CLUSTERWIDE],
    ),
]
"""Cluster-wide rules."""

NAMESPACE_RULES: list[Manifest] = []
"""Rules for the installation's namespace only: none, tenant namespaces have any name."""

"""Who may do what: the roles that peers and peering users are bound to, and those of our own controller.

The rules of the former are part of the protocol (wire.md 7): a peer relies on exactly these. The controller's are
put together from what each module that is switched on says it uses; a module that is off brings none.
"""

from __future__ import annotations

import importlib

from isthmus.api import labels, names
from isthmus.install.values import Values
from isthmus.kube.objects import Manifest

RBAC = "rbac.authorization.k8s.io"
PEERING_USER = "peering-user"
ROLE_PEERING_USER_TENANT = "liqo-peering-user-tenant-ns"
ROLE_PEERING_USER_LIQO = "liqo-peering-user-liqo-ns"

_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "get", "list", "patch", "update", "watch"]
_EVERYTHING = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def rule(
    group: str, resources: list[str], verbs: list[str], resource_names: list[str] | None = None
) -> Manifest:
    """One PolicyRule."""
    found: Manifest = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return {**found, "resourceNames": resource_names} if resource_names else found


def _role(kind: str, name: str, rules: list[Manifest], own: dict[str, str], namespace: str = "") -> Manifest:
    metadata: Manifest = {"name": name, "labels": own}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules}


def _remote_control_plane() -> list[Manifest]:
    return [
        rule(
            "authentication.liqo.io",
            ["renews", "renews/status", "resourceslices", "resourceslices/status"],
            _EVERYTHING,
        ),
        rule("offloading.liqo.io", ["namespacemaps", "namespacemaps/status"], _EVERYTHING),
    ]


def _virtual_kubelet_remote() -> list[Manifest]:
    return [
        rule("", ["configmaps", "events", "persistentvolumeclaims", "secrets", "services"], _WRITE),
        rule("networking.k8s.io", ["ingresses"], _WRITE),
        rule("offloading.liqo.io", ["shadowpods", "shadowendpointslices"], _WRITE),
        rule("", ["pods"], _READ),
        rule("metrics.k8s.io", ["pods"], _READ),
        rule("", ["pods/log"], ["get", "list"]),
        # Stock's has no `get` of exec and attach, by which clients that speak WebSocket ask. Whoever may create them
        # gains nothing by it.
        rule("", ["pods/exec", "pods/attach", "pods/portforward"], ["create", "get"]),
    ]


def _peering_user_tenant() -> list[Manifest]:
    change = ["create", "delete", "get", "list", "update"]
    return [
        rule("", ["namespaces", "services"], ["get"]),
        rule("", ["secrets"], ["create", "delete", "get", "list"]),
        rule("apps", ["deployments"], ["get"]),
        rule("authentication.liqo.io", ["tenants"], change),
        rule("ipam.liqo.io", ["ips"], ["create", "delete", "get", "update"]),
        rule(
            "networking.liqo.io",
            ["configurations", "gatewayclients", "gatewayservers", "publickeies"],
            change,
        ),
        rule("networking.liqo.io", ["connections"], ["get", "list"]),
        rule("networking.liqo.io", ["gatewayclients/status", "gatewayservers/status"], ["get"]),
    ]


def _peering_user_liqo() -> list[Manifest]:
    return [
        rule("", ["configmaps"], _READ),
        rule("ipam.liqo.io", ["ips"], ["get"]),
        rule("ipam.liqo.io", ["networks"], ["get", "list"]),
        rule("networking.liqo.io", ["wggatewayclienttemplates", "wggatewayservertemplates"], ["get", "list"]),
    ]


def remote_roles(namespace: str) -> list[Manifest]:
    """The roles that others are bound to, with the labels by which they are found (wire.md 1.1 and 7)."""
    prefix = f"{names.NAMESPACE}-"

    def named(name: str) -> dict[str, str]:
        return {labels.APP_NAME: name.removeprefix(prefix)}

    peering_user = {labels.APP_COMPONENT: PEERING_USER}
    return [
        _role(
            "ClusterRole",
            names.ROLE_REMOTE_CONTROL_PLANE,
            _remote_control_plane(),
            named(names.ROLE_REMOTE_CONTROL_PLANE),
        ),
        _role(
            "ClusterRole",
            names.ROLE_VIRTUAL_KUBELET_REMOTE,
            _virtual_kubelet_remote(),
            named(names.ROLE_VIRTUAL_KUBELET_REMOTE),
        ),
        _role(
            "ClusterRole",
            names.ROLE_VIRTUAL_KUBELET_REMOTE_CLUSTERWIDE,
            [rule("metrics.liqo.io", ["scrape/metrics"], _READ)],
            named(names.ROLE_VIRTUAL_KUBELET_REMOTE_CLUSTERWIDE),
        ),
        _role("ClusterRole", ROLE_PEERING_USER_TENANT, _peering_user_tenant(), peering_user),
        _role("Role", ROLE_PEERING_USER_LIQO, _peering_user_liqo(), peering_user, namespace),
    ]


def _module_rules(values: Values) -> tuple[list[Manifest], list[Manifest]]:
    offloading = values.offloading.enabled
    modules = {
        "isthmus.peering.summaries_rbac": True,
        "isthmus.peering.rbac": values.authentication.enabled,
        "isthmus.offloading.rbac": offloading,
        "isthmus.offloading.virtualnode.rbac": offloading,
        "isthmus.offloading.kubelet.rbac": offloading,
        "isthmus.offloading.shadowendpointslice.rbac": offloading,
        "isthmus.reflection.rbac": offloading,
        "isthmus.network.ipam.rbac": values.networking.enabled,
        "isthmus.network.addresses.rbac": values.networking.enabled,
        "isthmus.network.configuration.rbac": values.networking.enabled,
        "isthmus.network.gateways.rbac": values.networking.enabled,
    }
    cluster: list[Manifest] = []
    own_namespace: list[Manifest] = []
    for name, enabled in modules.items():
        if enabled:
            module = importlib.import_module(name)
            cluster += module.CLUSTER_RULES
            own_namespace += module.NAMESPACE_RULES
    return cluster, own_namespace


def merged_rules(rules: list[Manifest]) -> list[Manifest]:
    """The same permissions with no rule said twice: one a combination of group, names and verbs, in order."""
    resources: dict[tuple[str, tuple[str, ...], tuple[str, ...]], set[str]] = {}
    verbs: dict[tuple[str, str, tuple[str, ...]], set[str]] = {}
    for entry in rules:
        restricted = tuple(sorted(entry.get("resourceNames", [])))
        for group in entry["apiGroups"]:
            for resource in entry["resources"]:
                verbs.setdefault((group, resource, restricted), set()).update(entry["verbs"])
    for (group, resource, restricted), allowed in verbs.items():
        # What a rule without names allows need not be said again with names.
        if restricted:
            allowed = allowed - verbs.get((group, resource, ()), set())
        if allowed:
            resources.setdefault((group, restricted, tuple(sorted(allowed))), set()).add(resource)
    return [
        rule(group, sorted(found), list(allowed), list(restricted))
        for (group, restricted, allowed), found in sorted(resources.items())
    ]


def _base_rules(namespace_rules: bool) -> list[Manifest]:
    if not namespace_rules:
        return [rule("", ["events"], ["create", "patch"])]
    return [
        rule("coordination.k8s.io", ["leases"], ["create", "get", "patch"]),
        rule("", ["configmaps"], ["get", "list"]),
    ]


def controller_roles(values: Values, namespace: str) -> list[Manifest]:
    """The controller's account and everything it may do, in the whole cluster and in its own namespace."""
    cluster, own_namespace = _module_rules(values)
    own = {labels.APP_NAME: "controller-manager", labels.APP_COMPONENT: "controller-manager"}
    return [
        *account(names.CONTROLLER, merged_rules(cluster + _base_rules(False)), own, namespace),
        _role("Role", names.CONTROLLER, merged_rules(own_namespace + _base_rules(True)), own, namespace),
        _binding("RoleBinding", names.CONTROLLER, own, namespace, namespace),
    ]


def account(name: str, rules: list[Manifest], own: dict[str, str], namespace: str) -> list[Manifest]:
    """A ServiceAccount, and what it may do in the whole cluster; `own` are the labels of all three objects."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace, "labels": own},
        },
        _role("ClusterRole", name, rules, own),
        _binding("ClusterRoleBinding", name, own, namespace),
    ]


def _binding(kind: str, name: str, own: dict[str, str], namespace: str, where: str = "") -> Manifest:
    bound = _role(kind, name, [], own, where)
    del bound["rules"]
    reference = {"apiGroup": RBAC, "kind": kind.removesuffix("Binding"), "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {**bound, "roleRef": reference, "subjects": [subject]}

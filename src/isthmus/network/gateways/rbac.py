"""What the controller's ServiceAccount may do for gateways: exactly the verbs in use."""

from __future__ import annotations

from isthmus.api.networking import GROUP
from isthmus.kube.objects import Manifest
from isthmus.network.gateways.workload import CLUSTER_ROLE, ROLE

_READ = ["get", "list", "watch"]
_RBAC = "rbac.authorization.k8s.io"


def _rule(group: str, resources: list[str], *verbs: str, names: list[str] | None = None) -> Manifest:
    rule: Manifest = {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
    return {**rule, "resourceNames": names} if names else rule


CLUSTER_RULES: list[Manifest] = [
    _rule(GROUP, ["gatewayservers", "gatewayclients", "configurations", "connections"], *_READ),
    _rule(GROUP, ["wggatewayservertemplates", "wggatewayclienttemplates"], *_READ),
    _rule(GROUP, ["gatewayservers/status", "gatewayclients/status"], "patch"),
    # What follows the peer's announcements, and where they are made.
    _rule(GROUP, ["gatewayclients"], "patch"),
    _rule(GROUP, ["publickeies"], *_READ, "patch"),
    _rule("authentication.liqo.io", ["resourceslices"], *_READ, "patch"),
    _rule(GROUP, ["wggatewayservers", "wggatewayclients"], *_READ, "create", "patch"),
    _rule(GROUP, ["wggatewayservers/status", "wggatewayclients/status"], "patch"),
    _rule(GROUP, ["internalfabrics", "internalnodes"], *_READ, "create", "patch"),
    _rule(GROUP, ["internalnodes/status"], "patch"),
    # To own what blocks the owner's deletion, where the API server checks that.
    _rule(
        GROUP,
        [
            "gatewayservers/finalizers",
            "gatewayclients/finalizers",
            "wggatewayservers/finalizers",
            "wggatewayclients/finalizers",
        ],
        "update",
    ),
    _rule("ipam.liqo.io", ["networks"], *_READ),
    _rule("apps", ["deployments"], *_READ, "create", "patch", "delete"),
    _rule("", ["services"], *_READ, "create", "patch", "delete"),
    _rule("", ["serviceaccounts"], *_READ, "create", "patch"),
    _rule("", ["secrets"], *_READ, "create"),
    _rule("", ["pods", "nodes", "namespaces"], *_READ),
    _rule("", ["events"], "create", "patch"),
    _rule("monitoring.coreos.com", ["servicemonitors"], "get", "create", "patch", "delete"),
    _rule(_RBAC, ["rolebindings"], *_READ, "create", "patch"),
    # The one that all gateways share, and those that stock Liqo left, whose names are the gateways'.
    _rule(_RBAC, ["clusterrolebindings"], "get", "create", "patch", "delete"),
    _rule(_RBAC, ["clusterroles"], "bind", names=[ROLE, CLUSTER_ROLE]),
]

NAMESPACE_RULES: list[Manifest] = []
"""Rules for the installation's namespace only: none."""

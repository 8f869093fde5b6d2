"""What the controller's ServiceAccount may do for the offloading module: exactly the verbs it uses."""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.api import authentication, names, offloading
from isthmus.kube.objects import Manifest

_READ = ("get", "list", "watch")
_WEBHOOKS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")


def _rule(group: str, resources: Sequence[str], *verbs: str) -> Manifest:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


CLUSTER_RULES: list[Manifest] = [
    # Namespaces across clusters: twin namespaces are created and deleted, offloaded ones labelled.
    _rule("", ["namespaces"], *_READ, "create", "patch", "delete"),
    _rule("rbac.authorization.k8s.io", ["rolebindings"], *_READ, "create", "patch", "delete"),
    {
        **_rule("rbac.authorization.k8s.io", ["clusterroles"], "bind"),
        "resourceNames": [names.ROLE_VIRTUAL_KUBELET_REMOTE],
    },
    _rule(offloading.GROUP, ["namespacemaps"], *_READ, "create", "patch", "delete"),
    _rule(offloading.GROUP, ["namespacemaps/status"], "patch"),
    _rule(offloading.GROUP, ["namespaceoffloadings"], *_READ, "patch"),
    _rule(offloading.GROUP, ["namespaceoffloadings/status"], "patch"),
    # Finalizers of owners: where owner references with blockOwnerDeletion are checked.
    _rule(offloading.GROUP, ["shadowpods/finalizers"], "update"),
    _rule(authentication.GROUP, ["resourceslices/finalizers"], "update"),
    # ShadowPods and their Pods.
    _rule(offloading.GROUP, ["shadowpods"], *_READ),
    _rule(offloading.GROUP, ["shadowpods/status"], "patch"),
    _rule("", ["pods"], *_READ, "create", "patch", "delete"),
    _rule("", ["pods/resize", "pods/ephemeralcontainers"], "patch"),
    # Quotas and VirtualNodes of slices.
    _rule(authentication.GROUP, ["resourceslices", "identities"], *_READ),
    _rule(offloading.GROUP, ["quotas"], *_READ, "create", "patch"),
    _rule(offloading.GROUP, ["virtualnodes"], *_READ, "create", "patch", "delete"),
    _rule("", ["secrets"], "get"),
    # Admission.
    _rule(authentication.GROUP, ["tenants"], "list"),
    _rule("rbac.authorization.k8s.io", ["clusterrolebindings"], "list"),
    _rule(offloading.GROUP, ["vkoptionstemplates"], "get"),
    _rule("", ["nodes"], "get"),
    _rule("admissionregistration.k8s.io", _WEBHOOKS, "list", "watch"),
    {
        **_rule("admissionregistration.k8s.io", _WEBHOOKS, "patch"),
        "resourceNames": [names.MUTATING_WEBHOOKS, names.VALIDATING_WEBHOOKS],
    },
    # Events.
    _rule("", ["events"], "create", "patch"),
]
"""Rules for every namespace and for what has none."""

NAMESPACE_RULES: list[Manifest] = [_rule("", ["secrets"], *_READ, "create", "patch")]
"""Rules for the namespace Isthmus runs in: the webhooks' certificate."""

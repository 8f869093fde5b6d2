"""What the controller of ShadowEndpointSlices may do; granted only where it runs."""

from __future__ import annotations

from isthmus.api import core, networking, offloading
from isthmus.kube.objects import Manifest

_READ = ["get", "list", "watch"]

CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [offloading.GROUP], "resources": ["shadowendpointslices"], "verbs": _READ},
    # Where owner references with blockOwnerDeletion are checked.
    {
        "apiGroups": [offloading.GROUP],
        "resources": ["shadowendpointslices/finalizers"],
        "verbs": ["update"],
    },
    {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": [*_READ, "create", "patch", "delete"],
    },
    {"apiGroups": [core.GROUP], "resources": ["foreignclusters"], "verbs": _READ},
    {"apiGroups": [networking.GROUP], "resources": ["configurations"], "verbs": _READ},
    {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": _READ},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]

NAMESPACE_RULES: list[Manifest] = []

"""What the controller's ServiceAccount must be allowed to do for IPAM: exactly the verbs in use."""

from __future__ import annotations

from isthmus.api.ipam import GROUP
from isthmus.kube.objects import Manifest

CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [GROUP], "resources": ["networks", "ips"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": [GROUP], "resources": ["networks/status", "ips/status"], "verbs": ["patch"]},
    # To own what blocks the owner's deletion, where the API server checks that.
    {"apiGroups": [GROUP], "resources": ["ips/finalizers"], "verbs": ["update"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "create", "patch", "delete"]},
    {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
"""Cluster-wide rules: IPs are in any namespace."""

NAMESPACE_RULES: list[Manifest] = []
"""Rules for the installation's namespace only: none."""

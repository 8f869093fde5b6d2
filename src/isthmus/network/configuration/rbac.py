"""What the controller's ServiceAccount must be allowed to do for Configurations: exactly the verbs in use."""

from __future__ import annotations

from isthmus.api.ipam import GROUP as IPAM
from isthmus.api.networking import GROUP as NETWORKING
from isthmus.kube.objects import Manifest

CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [NETWORKING], "resources": ["configurations"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": [NETWORKING], "resources": ["configurations/status"], "verbs": ["patch"]},
    # To own what blocks the owner's deletion, where the API server checks that.
    {"apiGroups": [NETWORKING], "resources": ["configurations/finalizers"], "verbs": ["update"]},
    {
        "apiGroups": [IPAM],
        "resources": ["networks", "ips"],
        "verbs": ["get", "list", "watch", "create", "delete"],
    },
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
"""Cluster-wide rules: tenant namespaces have any name."""

NAMESPACE_RULES: list[Manifest] = []
"""Rules for the installation's namespace only: none."""

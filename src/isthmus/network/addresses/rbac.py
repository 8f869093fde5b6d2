"""What the controller's ServiceAccount must be allowed to do for the IPs it makes itself: exactly the verbs in use."""

from __future__ import annotations

from isthmus.api.ipam import GROUP
from isthmus.kube.objects import Manifest

CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [GROUP], "resources": ["ips"], "verbs": ["list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
    # The API server's own addresses, in the namespace default.
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
"""Cluster-wide rules: offloaded pods are in any namespace."""

NAMESPACE_RULES: list[Manifest] = []
"""Rules for the installation's namespace only: none."""

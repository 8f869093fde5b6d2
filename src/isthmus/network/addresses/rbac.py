"""What the controller's ServiceAccount must be allowed to do for the IPs it makes itself: exactly the verbs in use."""

from __future__ import annotations

from isthmus.api.ipam import GROUP
from isthmus.api.networking import GROUP as NETWORKING
from isthmus.api.offloading import GROUP as OFFLOADING
from isthmus.kube.objects import Manifest

CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [GROUP], "resources": ["ips"], "verbs": ["list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
    # The API server's own addresses, in the namespace default.
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    # Offloaded pods, the providers they are at, and whose network is joined.
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": [OFFLOADING], "resources": ["virtualnodes"], "verbs": ["list", "watch"]},
    {"apiGroups": [NETWORKING], "resources": ["configurations"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
"""Cluster-wide rules: offloaded pods are in any namespace."""

NAMESPACE_RULES: list[Manifest] = []
"""Rules for the installation's namespace only: none."""

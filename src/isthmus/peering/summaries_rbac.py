"""What the controller's ServiceAccount must be allowed to do for ForeignClusters, whichever modules are on."""

from __future__ import annotations

from isthmus.api.core import GROUP
from isthmus.kube.objects import Manifest

CLUSTER_RULES: list[Manifest] = [
    {
        "apiGroups": [GROUP],
        "resources": ["foreignclusters"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [GROUP], "resources": ["foreignclusters/status"], "verbs": ["patch"]},
]
"""Cluster-wide rules; the objects that are summed up are read by their modules' own rules."""

NAMESPACE_RULES: list[Manifest] = []

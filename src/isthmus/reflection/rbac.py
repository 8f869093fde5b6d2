"""What reflection may do in its own cluster, for whoever renders the controller's ClusterRole.

What it may do at a provider is the provider's role for virtual kubelets (wire.md 7).
"""

from __future__ import annotations

from isthmus.kube.objects import Manifest

CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [""], "resources": ["configmaps", "secrets", "pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]

NAMESPACE_RULES: list[Manifest] = []

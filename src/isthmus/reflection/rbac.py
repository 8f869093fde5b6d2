"""What reflection may do in its own cluster, for whoever renders the controller's ClusterRole.

What it may do at a provider is the provider's role for virtual kubelets (wire.md 7).
"""

from __future__ import annotations

from isthmus.kube.objects import Manifest

_READ = ["get", "list", "watch"]

CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [""], "resources": ["configmaps", "secrets", "pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["services", "nodes", "namespaces"], "verbs": _READ},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
    {"apiGroups": ["authentication.liqo.io"], "resources": ["resourceslices"], "verbs": _READ},
    {"apiGroups": ["ipam.liqo.io"], "resources": ["ips", "networks"], "verbs": _READ},
    {"apiGroups": ["networking.liqo.io"], "resources": ["configurations"], "verbs": _READ},
]

NAMESPACE_RULES: list[Manifest] = []

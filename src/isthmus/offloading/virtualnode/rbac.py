"""What the virtual nodes and their pods need of this cluster; at the provider the slice's own role counts."""

from __future__ import annotations

from isthmus.kube.objects import Manifest

CLUSTER_RULES: list[Manifest] = [
    {
        "apiGroups": ["offloading.liqo.io"],
        "resources": ["virtualnodes"],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {"apiGroups": ["offloading.liqo.io"], "resources": ["virtualnodes/status"], "verbs": ["patch"]},
    {
        "apiGroups": ["offloading.liqo.io"],
        "resources": ["namespacemaps"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["offloading.liqo.io"], "resources": ["vkoptionstemplates"], "verbs": ["list", "watch"]},
    {"apiGroups": ["core.liqo.io"], "resources": ["foreignclusters"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["ipam.liqo.io"], "resources": ["ips", "networks"], "verbs": ["list", "watch"]},
    # Of peers: as a consumer whether there is a way home, as a provider where it leads.
    {"apiGroups": ["networking.liqo.io"], "resources": ["configurations"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": [""],
        "resources": ["nodes"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "patch"]},
]

NAMESPACE_RULES: list[Manifest] = []

"""What the ServiceAccount of the agents of nodes must be allowed to do: exactly the verbs in use.

They read, and say in the status of what users wrote how it went on their node.
"""

from __future__ import annotations

from isthmus.api.ipam import GROUP as IPAM
from isthmus.api.networking import GROUP
from isthmus.kube.objects import Manifest

_WATCH = ["list", "watch"]

CLUSTER_RULES: list[Manifest] = [
    # `get` is for the last look, whether the node is to be left.
    {"apiGroups": [GROUP], "resources": ["internalnodes"], "verbs": ["get", *_WATCH]},
    {
        "apiGroups": [GROUP],
        "resources": ["internalfabrics", "configurations", "firewallconfigurations", "routeconfigurations"],
        "verbs": _WATCH,
    },
    {
        "apiGroups": [GROUP],
        "resources": ["firewallconfigurations/status", "routeconfigurations/status"],
        "verbs": ["patch"],
    },
    {"apiGroups": [IPAM], "resources": ["ips"], "verbs": _WATCH},
]
"""Cluster-wide rules: gateways, and so their objects, are in any namespace."""

"""Networks and IPs as the API server would show them."""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.ipam import IP, IPSpec, IPStatus, Network, NetworkSpec, NetworkStatus
from isthmus.kube.objects import ObjectMeta


def network(
    name: str,
    cidr: str,
    assigned: str = "",
    *,
    immutable: bool = False,
    shared: bool = False,
    pre_allocated: int = 0,
    age: int = 0,
    uid: str = "",
) -> Network:
    marks = {}
    if immutable:
        marks[labels.NETWORK_NOT_REMAPPED] = labels.TRUE
    if shared:
        marks[labels.NETWORK_SHARED] = labels.TRUE
    return Network(
        metadata=ObjectMeta(
            name=name,
            namespace="liqo",
            uid=uid or f"uid-{name}",
            labels=marks,
            creation_timestamp=f"2026-01-01T00:{age // 60:02}:{age % 60:02}Z",
        ),
        spec=NetworkSpec(cidr=cidr, pre_allocated=pre_allocated),
        status=NetworkStatus(cidr=assigned),
    )


def ip(name: str, address: str = "192.0.2.1", assigned: str = "", cidr: str = "", *, age: int = 0) -> IP:
    return IP(
        metadata=ObjectMeta(
            name=name,
            namespace="apps",
            uid=f"uid-{name}",
            creation_timestamp=f"2026-01-01T00:{age // 60:02}:{age % 60:02}Z",
        ),
        spec=IPSpec(ip=address),
        status=IPStatus(ip=assigned, cidr=cidr),
    )

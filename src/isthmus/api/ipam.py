"""ipam.liqo.io: Network and IP, the ranges and addresses in use in this cluster (api-fields.md)."""

from __future__ import annotations

from typing import Any

from msgspec import field

from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource

GROUP, VERSION = "ipam.liqo.io", "v1alpha1"


class NetworkSpec(Base, frozen=True, kw_only=True):
    """The wished range, immutable; `pre_allocated` is how many of its first addresses are never handed out."""

    cidr: str = ""
    pre_allocated: int = 0


class NetworkStatus(Base, frozen=True, kw_only=True):
    """The range in use: the wished one, or another of the same size; "" while none is assigned."""

    cidr: str = ""


class Network(Object, frozen=True, kw_only=True):
    """A range of addresses set aside: of this cluster, or for a peer's range as this cluster sees it."""

    spec: NetworkSpec = field(default_factory=NetworkSpec)
    status: NetworkStatus = field(default_factory=NetworkStatus)


class NetworkReference(Base, frozen=True, kw_only=True):
    """The Network an address is to be of; `namespace` "" is the installation's."""

    namespace: str = ""
    name: str = ""


class IPSpec(Base, frozen=True, kw_only=True):
    """A host's address, immutable; `service_template` is the {metadata, spec} of a Service to be made for it."""

    ip: str = ""
    network_ref: NetworkReference | None = None
    masquerade: bool = False
    service_template: dict[str, Any] | None = None


class IPStatus(Base, frozen=True, kw_only=True):
    """The address under which other clusters reach the host, and the range it is of; immutable once set."""

    ip: str = ""
    cidr: str = ""


class IP(Object, frozen=True, kw_only=True):
    """A host that other clusters reach under an address of the external CIDR."""

    spec: IPSpec = field(default_factory=IPSpec)
    status: IPStatus = field(default_factory=IPStatus)


NETWORKS = Resource(GROUP, VERSION, "networks", "Network", Network)
IPS = Resource(GROUP, VERSION, "ips", "IP", IP)

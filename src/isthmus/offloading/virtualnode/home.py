"""Where offloaded pods reach the API server of their home: IP objects the networking module keeps."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import field

from isthmus.api import labels
from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource
from isthmus.offloading.pods.api_server import HomeApiServer


class IpStatus(Base, frozen=True, kw_only=True):
    """The address under which peers know it, before they map it themselves."""

    ip: str = ""


class Ip(Object, frozen=True, kw_only=True):
    """An IP that peers can reach."""

    status: IpStatus = field(default_factory=IpStatus)


IPS = Resource("ipam.liqo.io", "v1alpha1", "ips", "IP", Ip)
SELECTOR = f"{labels.IP_TYPE}=api-server"


def find_home(ips: Iterable[Ip]) -> HomeApiServer | None:
    """The home API server's addresses, None while it has none."""
    addresses = tuple(sorted({ip.status.ip for ip in ips if ip.status.ip}))
    return HomeApiServer(addresses) if addresses else None

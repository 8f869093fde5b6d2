"""Which IPs there are to be for the API server and its proxy, and what has to be done to those there are. Pure.

An IP's host can never change, so one of another host is deleted and, its deletion seen, made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from isthmus.api import labels
from isthmus.api.cidr import parse_address
from isthmus.api.endpoints import ENDPOINT_SLICES, IPV4, EndpointSlice
from isthmus.api.ipam import IP
from isthmus.kube.builtin import SERVICES
from isthmus.kube.objects import Base, Manifest, Object
from isthmus.network.ownership import guard

API_SERVER_NAMESPACE = "default"
API_SERVER_SERVICE = "kubernetes"
SLICES = ENDPOINT_SLICES


class ServiceSpec(Base, frozen=True, kw_only=True):
    """What of a Service's spec is read; `cluster_ip` is an address, "None" or ""."""

    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: list[str] = field(default_factory=list, name="clusterIPs")


class ServiceAddress(Object, frozen=True, kw_only=True):
    """A Service, of which only its own addresses are kept."""

    spec: ServiceSpec = field(default_factory=ServiceSpec)


SERVICE_ADDRESSES = SERVICES.view(ServiceAddress)


class Wanted(Struct, frozen=True, kw_only=True):
    """An IP there is to be."""

    type: str
    """The value of its label ipam.liqo.io/ip-type."""
    host: str
    masquerade: bool = False
    """Whether the host is to see the node as the sender, not the pod of a peer: it may not know a way back."""
    endpoint_slice: str = ""
    """The EndpointSlice the host is from, "" for a Service's own address."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to do, by the IPs' names."""

    create: list[str]
    delete: list[IP]
    """They are not wanted, or of another host."""
    mark: dict[str, Manifest]
    """Patches that bring back labels and annotations."""
    taken: list[str]
    """Names under which there is an IP that somebody else made."""


def service_address(service: ServiceAddress) -> str:
    """The IPv4 address of a Service, "" where it has none."""
    return next((text for text in [*service.spec.cluster_ips, service.spec.cluster_ip] if _is_ipv4(text)), "")


def want_service(type_: str, service: ServiceAddress | None) -> dict[str, Wanted]:
    """The IP of a Service by its name: none while the Service is not there or has no address."""
    host = service_address(service) if service is not None and not service.deleting else ""
    return {type_: Wanted(type=type_, host=host)} if host else {}


def want_endpoints(slices: Iterable[EndpointSlice]) -> dict[str, Wanted]:
    """The IPs of the API server's own addresses, by name: `<eps>-<ip dashed>` (wire.md 2)."""
    return {
        f"{slice_.metadata.name}-{address.replace('.', '-')}": Wanted(
            type=labels.IP_TYPE_API_SERVER,
            host=address,
            masquerade=True,
            endpoint_slice=slice_.metadata.name,
        )
        for slice_ in slices
        if slice_.address_type == IPV4 and not slice_.deleting
        for endpoint in slice_.endpoints
        if endpoint.conditions.ready is not False
        for address in endpoint.addresses
        if _is_ipv4(address)
    }


def forge_ip(name: str, namespace: str, wanted: Wanted) -> Manifest:
    """The IP as it is created."""
    spec: Manifest = {"ip": wanted.host}
    if wanted.masquerade:
        spec["masquerade"] = True
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": _labels(wanted),
            "annotations": {labels.PREINSTALLED: labels.TRUE},
        },
        "spec": spec,
    }


def is_ours(ip: IP) -> bool:
    """Whether an IP is one of those made here, by us or by what was installed before us."""
    meta = ip.metadata
    return meta.annotations.get(labels.PREINSTALLED) == labels.TRUE and labels.IP_TYPE in meta.labels


def plan(present: Mapping[str, IP], wanted: Mapping[str, Wanted], kept: frozenset[str]) -> Plan:
    """What is to be done; `present` are all IPs of the namespace by name, `kept` types of which none is deleted."""
    ours = {name: ip for name, ip in present.items() if is_ours(ip) and not ip.deleting}
    delete = [
        ip
        for name, ip in ours.items()
        if (name in wanted and not _is_of(ip, wanted[name]))
        or (name not in wanted and ip.metadata.labels[labels.IP_TYPE] not in kept)
    ]
    mark = {
        name: {"metadata": guard(ip) | {"labels": _labels(wanted[name])}}
        for name, ip in ours.items()
        if name in wanted
        and _is_of(ip, wanted[name])
        and any(ip.metadata.labels.get(label) != value for label, value in _labels(wanted[name]).items())
    }
    return Plan(
        create=[name for name in wanted if name not in present],
        delete=delete,
        mark=mark,
        taken=[name for name in wanted if name in present and not is_ours(present[name])],
    )


def _is_of(ip: IP, wanted: Wanted) -> bool:
    return ip.spec.ip == wanted.host and ip.spec.masquerade == wanted.masquerade


def _labels(wanted: Wanted) -> dict[str, str]:
    own = {labels.IP_TYPE: wanted.type, labels.MANAGED: labels.TRUE}
    return own | ({labels.IP_ENDPOINT_SLICE: wanted.endpoint_slice} if wanted.endpoint_slice else {})


def _is_ipv4(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True

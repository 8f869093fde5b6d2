"""The Networks that an installation begins with: what the cluster itself uses (behaviour.md 5.2). Pure.

`install` applies them; the Network controller assigns their ranges before it remaps any peer's.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from isthmus.api import labels
from isthmus.api.cidr import dashed, parse_cidr
from isthmus.api.ipam import NETWORKS
from isthmus.kube.objects import Manifest

POD, SERVICE, EXTERNAL, INTERNAL, RESERVED = (
    "pod-cidr",
    "service-cidr",
    "external-cidr",
    "internal-cidr",
    "reserved",
)
DEFAULT_POOLS = ("10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12")
DEFAULT_EXTERNAL = "10.70.0.0/16"
DEFAULT_INTERNAL = "10.80.0.0/16"


class InstalledRanges(Struct, frozen=True, kw_only=True):
    """The values of `ipam.*` that name ranges."""

    pod_cidrs: Sequence[str]
    service_cidr: str
    external_cidr: str = DEFAULT_EXTERNAL
    internal_cidr: str = DEFAULT_INTERNAL
    reserved_subnets: Sequence[str] = ()


def forge_networks(ranges: InstalledRanges, namespace: str) -> list[Manifest]:
    """The Networks of an installation. Raises ValueError naming the value that is no CIDR.

    Pod, Service and reserved ranges are what they are. The external and the internal one are moved aside where
    something is in their place, unless they were chosen by the administrator.
    """
    result = [_forge(f"{POD}-{_dashed(one)}", POD, one, namespace, fixed=True) for one in ranges.pod_cidrs]
    if ranges.service_cidr:
        result.append(_forge(SERVICE, SERVICE, ranges.service_cidr, namespace, fixed=True))
    result += [
        _forge(f"{RESERVED}-{_dashed(one)}", RESERVED, one, namespace, fixed=True)
        for one in ranges.reserved_subnets
    ]
    external = _forge(EXTERNAL, EXTERNAL, ranges.external_cidr, namespace)
    # The first address stands for sources that a peer cannot know (wire.md 10).
    external["spec"]["preAllocated"] = 1
    internal = _forge(INTERNAL, INTERNAL, ranges.internal_cidr, namespace)
    for network, default in ((external, DEFAULT_EXTERNAL), (internal, DEFAULT_INTERNAL)):
        if network["spec"]["cidr"] != default:
            network["metadata"]["labels"][labels.NETWORK_NOT_REMAPPED] = labels.TRUE
    return [*result, external, internal]


def _dashed(cidr: str) -> str:
    return dashed(parse_cidr(cidr))


def _forge(name: str, type_: str, cidr: str, namespace: str, *, fixed: bool = False) -> Manifest:
    marks = {labels.NETWORK_TYPE: type_, labels.MANAGED: labels.TRUE}
    if fixed:
        marks |= {labels.NETWORK_NOT_REMAPPED: labels.TRUE, labels.NETWORK_SHARED: labels.TRUE}
    return {
        "apiVersion": NETWORKS.api_version,
        "kind": NETWORKS.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": marks,
            "annotations": {labels.PREINSTALLED: labels.TRUE},
        },
        "spec": {"cidr": str(parse_cidr(cidr))},
    }

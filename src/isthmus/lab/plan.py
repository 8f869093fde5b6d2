"""Who is who in the lab: names and addresses of everything, worked out before anything is made.

Owns the address plan and every name that the lab gives to a thing of the kernel. Pure: fails only with
`LabError`, when what is asked for does not fit the plan.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import ClassVar

from isthmus.lab.errors import LabError

CITIES = (
    "rome", "milan", "naples", "turin", "florence", "bologna", "genoa", "venice", "verona", "palermo",
    "bari", "catania", "trieste", "padua", "pisa", "siena",
)  # fmt: skip
POD_CIDR = IPv4Network("10.244.0.0/16")
SERVICE_CIDR = IPv4Network("10.96.0.0/16")
API_PORT = 6443
MAX_WORKERS = 50


@dataclass(frozen=True)
class Site:
    """One lab on this machine: the name its things carry and the network its nodes are in."""

    SUFFIX: ClassVar[str] = "-lab"

    name: str
    network: IPv4Network

    @property
    def bridge(self) -> str:
        """The bridge that joins all nodes; also the name of the host's own link to it."""
        return f"{self.name}-lab"

    @property
    def switch(self) -> str:
        """The network namespace that holds the bridge, apart from the host's firewall."""
        return f"{self.name}-switch"

    @property
    def host_address(self) -> IPv4Address:
        """The host's address on the bridge."""
        return self.network[1]

    @property
    def state(self) -> Path:
        """The folder with all that the lab stores outside its cache."""
        return Path(f"/var/lib/{self.name}{self.SUFFIX}")

    @property
    def lock(self) -> Path:
        """The file that whoever changes the lab holds locked."""
        return Path(f"/run/lock/{self.name}-lab")

    @property
    def cgroup(self) -> str:
        """The control group, relative to a hierarchy's root, that every process of the lab is in."""
        return f"{self.name}-lab"


@dataclass(frozen=True)
class Worker:
    """A worker node: a network namespace with a kubelet and a containerd of its own."""

    name: str
    address: IPv4Address
    pod_cidr: IPv4Network


@dataclass(frozen=True)
class Cluster:
    """A cluster: the address of its control plane, its workers and its ranges."""

    name: str
    address: IPv4Address
    workers: tuple[Worker, ...]
    pod_cidr: IPv4Network
    service_cidr: IPv4Network

    @property
    def url(self) -> str:
        """Where the API server is, for the host and for every pod of every cluster."""
        return f"https://{self.address}:{API_PORT}"

    @property
    def dns_address(self) -> IPv4Address:
        """The cluster IP of the DNS service."""
        return self.service_cidr[10]


def site_from_environment(environment: Mapping[str, str] = os.environ) -> Site:
    """The lab meant by ISTHMUS_LAB_NAME and ISTHMUS_LAB_NETWORK (a /16), so that a second can be tried apart.

    Raises LabError for a name or a network that cannot be used.
    """
    name = environment.get("ISTHMUS_LAB_NAME", "isthmus")
    network = environment.get("ISTHMUS_LAB_NETWORK", "172.29.0.0/16")
    if not re.fullmatch(r"[a-z]{1,8}", name):
        raise LabError(f"ISTHMUS_LAB_NAME must be one to eight small letters, not {name!r}")
    try:
        parsed = IPv4Network(network)
    except (AddressValueError, ValueError) as error:
        raise LabError(f"ISTHMUS_LAB_NETWORK: {error}") from None
    if parsed.prefixlen != 16 or parsed.overlaps(POD_CIDR) or parsed.overlaps(SERVICE_CIDR):
        raise LabError(f"ISTHMUS_LAB_NETWORK must be a /16 apart from {POD_CIDR} and {SERVICE_CIDR}")
    return Site(name, parsed)


def plan_clusters(
    site: Site,
    clusters: int,
    workers: int,
    pod_cidr: IPv4Network = POD_CIDR,
    service_cidr: IPv4Network = SERVICE_CIDR,
    disjoint: bool = False,
) -> tuple[Cluster, ...]:
    """The clusters to make. All have the same ranges: overlap is what users have, so it is the normal case.

    With `disjoint` each cluster after the first has the ranges that follow. Raises LabError for a number the plan
    has no room for.
    """
    if not 1 <= clusters <= len(CITIES):
        raise LabError(f"the number of clusters must be 1 to {len(CITIES)}, not {clusters}")
    if not 1 <= workers <= MAX_WORKERS:
        raise LabError(f"the number of workers must be 1 to {MAX_WORKERS}, not {workers}")
    return tuple(
        _plan_cluster(
            site,
            number,
            workers,
            _shifted(pod_cidr, number - 1 if disjoint else 0),
            _shifted(service_cidr, number - 1 if disjoint else 0),
        )
        for number in range(1, clusters + 1)
    )


def _shifted(range_: IPv4Network, places: int) -> IPv4Network:
    """The range so many places of its own size further on."""
    return IPv4Network((int(range_.network_address) + places * range_.num_addresses, range_.prefixlen))


def _plan_cluster(
    site: Site, number: int, workers: int, pod_cidr: IPv4Network, service_cidr: IPv4Network
) -> Cluster:
    name = CITIES[number - 1]
    base = number * 256
    pod_ranges = list(pod_cidr.subnets(new_prefix=24))
    return Cluster(
        name=name,
        address=site.network[base + 1],
        workers=tuple(
            Worker(f"{name}-worker-{index}", site.network[base + 10 + index], pod_ranges[index])
            for index in range(1, workers + 1)
        ),
        pod_cidr=pod_cidr,
        service_cidr=service_cidr,
    )


def namespace(site: Site, node: str) -> str:
    """The network namespace of a node, or of a cluster's control plane when given the cluster's name."""
    return f"{site.name}-{node}"


def namespaces(site: Site, clusters: tuple[Cluster, ...]) -> list[str]:
    """Every network namespace of the lab, the switch first."""
    names = [site.switch]
    for cluster in clusters:
        names.append(namespace(site, cluster.name))
        names.extend(namespace(site, worker.name) for worker in cluster.workers)
    return names

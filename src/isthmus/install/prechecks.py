"""What of a cluster could make an installation useless although every object can be applied. Reads only.

Each check can be switched off by a flag that its error names, for each may be wrong about a cluster it does not know.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from msgspec import Struct, field

from isthmus.api import labels
from isthmus.install.api_server import check_address
from isthmus.install.errors import InstallError, listed
from isthmus.install.values import Values
from isthmus.kube.builtin import NODES, PODS, SERVICES
from isthmus.kube.client import Client
from isthmus.kube.errors import Forbidden
from isthmus.kube.objects import Base, Object

OLDEST_KERNEL = (5, 10)
"""As Liqo's requirements have it: older ones lack parts of nftables."""
_KERNEL = re.compile(r"(\d+)\.(\d+)")


class Checks(Struct, frozen=True, kw_only=True):
    """Which checks are made; that of the kernels is a value, `requirements.kernel.enabled`."""

    ranges: bool = True
    api_server: bool = True


class KernelInfo(Base, frozen=True, kw_only=True):
    """What a kubelet says of its kernel."""

    kernel_version: str = ""


class KernelStatus(Base, frozen=True, kw_only=True):
    """The status of a node of which only the kernel is read."""

    node_info: KernelInfo = field(default_factory=KernelInfo)


class KernelNode(Object, frozen=True, kw_only=True):
    """A node and its kernel."""

    status: KernelStatus = field(default_factory=KernelStatus)


class PodPlace(Base, frozen=True, kw_only=True):
    """Where a pod runs."""

    node_name: str = ""


class PodAddress(Base, frozen=True, kw_only=True):
    """The address of a pod."""

    pod_ip: str = field(default="", name="podIP")


class AddressedPod(Object, frozen=True, kw_only=True):
    """A pod, its node and its address."""

    spec: PodPlace = field(default_factory=PodPlace)
    status: PodAddress = field(default_factory=PodAddress)


class ServiceAddress(Base, frozen=True, kw_only=True):
    """The address of a Service."""

    cluster_ip: str = field(default="", name="clusterIP")


class AddressedService(Object, frozen=True, kw_only=True):
    """A Service and its address."""

    spec: ServiceAddress = field(default_factory=ServiceAddress)


def old_kernels(nodes: Iterable[KernelNode]) -> list[str]:
    """The real nodes whose kernel is too old, each as `name (version)`; what tells no version is passed over."""
    found = []
    for node in nodes:
        version = node.status.node_info.kernel_version
        told = _KERNEL.match(version)
        if (
            told
            and not labels.is_virtual_node(node.metadata.labels)
            and (int(told[1]), int(told[2])) < OLDEST_KERNEL
        ):
            found.append(f"{node.metadata.name} ({version})")
    return sorted(found)


def outside(addresses: Iterable[tuple[str, str]], ranges: Iterable[str]) -> list[str]:
    """Those whose IPv4 address is in none of the ranges, each as `name (address)`."""
    networks = [ipaddress.IPv4Network(text) for text in ranges]
    found = []
    for name, text in addresses:
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:  # None, headless, IPv6
            continue
        if not any(address in network for network in networks):
            found.append(f"{name} ({text})")
    return sorted(found)


async def check_cluster(client: Client, values: Values, checks: Checks) -> str:
    """Make the checks; returns what to warn of, "" for nothing. Raises InstallError naming the fault and the flag."""
    if values.networking.enabled:
        nodes = (await client.list(NODES.view(KernelNode))).items
        if values.requirements.kernel.enabled:
            _check_kernels(nodes)
        if checks.ranges:
            virtual = {one.metadata.name for one in nodes if labels.is_virtual_node(one.metadata.labels)}
            await _check_ranges(client, values, virtual)
    return await check_address(client, values) if checks.api_server else ""


def _check_kernels(nodes: list[KernelNode]) -> None:
    if old := old_kernels(nodes):
        raise InstallError(
            f"the network needs Linux {OLDEST_KERNEL[0]}.{OLDEST_KERNEL[1]} or later on every node: {listed(old, 3)}",
            "upgrade them, add --disable-kernel-version-check if their kernels have what was added later, or "
            "leave the network out with --set networking.enabled=false",
        )


async def _check_ranges(client: Client, values: Values, virtual: set[str]) -> None:
    """Raise InstallError where pods or Services have addresses outside the ranges that peers would be told of."""
    try:
        # Pods on virtual nodes have the addresses of other clusters.
        pods = await client.list(
            PODS.view(AddressedPod), field_selector="spec.hostNetwork=false,status.phase=Running"
        )
        services = await client.list(SERVICES.view(AddressedService))
    except Forbidden:
        return
    own = [(str(one.key), one.status.pod_ip) for one in pods.items if one.spec.node_name not in virtual]
    addressed = [(str(one.key), one.spec.cluster_ip) for one in services.items]
    for what, flag, found, ranges in (
        ("pods", "--pod-cidr", own, values.ipam.pod_cidrs),
        ("Services", "--service-cidr", addressed, [values.ipam.service_cidr]),
    ):
        if strangers := outside(found, ranges):
            raise InstallError(
                f"{what} have addresses outside {', '.join(ranges)} ({flag}): {listed(strangers, 3)}",
                f"peers would not reach them: give the right range with {flag}, or add --skip-validation",
            )

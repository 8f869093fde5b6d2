"""Which ranges a cluster's pods and Services have, where the user does not say so. Reads only.

Asked in this order: what kubeadm recorded, OpenShift's object Network, the flags of control-plane pods, kube-proxy's
configuration, ServiceCIDR objects, what k3s takes unless told otherwise, what an earlier installation found. The
nodes' own ranges come last, for they only hint at the whole: that answer is a guess, and said to be one. Whatever
cannot be read is passed over.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from isthmus.api import labels
from isthmus.install.errors import InstallError
from isthmus.install.network_validation import check_ranges
from isthmus.install.values import Tree, Values, group
from isthmus.kube.builtin import CONFIG_MAPS, NODES, PODS
from isthmus.kube.client import Client
from isthmus.kube.errors import Forbidden, NotFound
from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource

K3S_PODS, K3S_SERVICES = "10.42.0.0/16", "10.43.0.0/16"
POD_FLAG, SERVICE_FLAG = "--cluster-cidr", "--service-cluster-ip-range"
USUAL_PREFIX = 16
"""The size most clusters' pod ranges have: what is guessed around the ranges of nodes."""


class ContainerCommand(Base, frozen=True, kw_only=True):
    """What a container is started with."""

    command: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)


class CommandSpec(Base, frozen=True, kw_only=True):
    """The containers of a pod."""

    containers: list[ContainerCommand] = field(default_factory=list)


class CommandPod(Object, frozen=True, kw_only=True):
    """A pod of the control plane of which only the commands are read."""

    spec: CommandSpec = field(default_factory=CommandSpec)


class NodeInfo(Base, frozen=True, kw_only=True):
    """What a kubelet says of itself."""

    kubelet_version: str = ""


class VersionStatus(Base, frozen=True, kw_only=True):
    """The status of a node of which only the kubelet is read."""

    node_info: NodeInfo = field(default_factory=NodeInfo)


class RangeSpec(Base, frozen=True, kw_only=True):
    """The ranges of a node's pods."""

    pod_cidrs: list[str] = field(default_factory=list, name="podCIDRs")


class RangeNode(Object, frozen=True, kw_only=True):
    """A node, its range and its kubelet."""

    spec: RangeSpec = field(default_factory=RangeSpec)
    status: VersionStatus = field(default_factory=VersionStatus)


class ServiceRangeSpec(Base, frozen=True, kw_only=True):
    """The ranges of Services."""

    cidrs: list[str] = field(default_factory=list)


class ServiceRange(Object, frozen=True, kw_only=True):
    """A ServiceCIDR."""

    spec: ServiceRangeSpec = field(default_factory=ServiceRangeSpec)


_SERVICE_CIDRS = Resource(
    "networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", ServiceRange, namespaced=False
)


class OpenShiftRange(Base, frozen=True, kw_only=True):
    """One of the ranges of pods."""

    cidr: str = ""


class OpenShiftStatus(Base, frozen=True, kw_only=True):
    """The ranges that are in force."""

    cluster_network: list[OpenShiftRange] = field(default_factory=list)
    service_network: list[str] = field(default_factory=list)


class OpenShiftNetwork(Object, frozen=True, kw_only=True):
    """The object in which OpenShift keeps the ranges of a cluster."""

    status: OpenShiftStatus = field(default_factory=OpenShiftStatus)


_OPENSHIFT_NETWORKS = Resource(
    "config.openshift.io", "v1", "networks", "Network", OpenShiftNetwork, namespaced=False
)


class Evidence(Struct, frozen=True, kw_only=True):
    """What a cluster tells about its ranges; the texts are YAML, "" where there is none."""

    kubeadm: str = ""
    openshift: list[OpenShiftNetwork] = []
    kube_proxy: str = ""
    commands: list[str] = []
    """Every word of the commands of control-plane pods."""
    service_cidrs: list[str] = []
    nodes: list[RangeNode] = []
    recorded: Tree = {}


class Ranges(Struct, frozen=True, kw_only=True):
    """What was found; `guessed` says that the pods' range is only likely."""

    pod_cidrs: list[str] = []
    service_cidr: str = ""
    guessed: bool = False


async def with_ranges(client: Client, values: Values, recorded: Tree) -> tuple[Values, str]:
    """The values with the ranges that they lack, and what to tell about it, "" for nothing.

    Raises InstallError naming the flag where a range cannot be found out, or where ranges found cannot be together.
    """
    if not values.lacks_ranges:
        return values, ""
    found = conclude(await _gather(client, recorded))
    pods = values.ipam.pod_cidrs or found.pod_cidrs
    service = values.ipam.service_cidr or found.service_cidr
    for flag, what, known in (("--pod-cidr", "pods", pods), ("--service-cidr", "Services", service)):
        if not known:
            raise InstallError(
                f"the range of the cluster's {what} cannot be found out",
                f"give it with {flag}, or switch networking off with --set networking.enabled=false",
            )
    complete = values.with_ranges(list(pods), service)
    check_ranges(complete.ipam)
    guessed = found.guessed and not values.ipam.pod_cidrs
    told = (
        f"pods have {', '.join(pods)}, judging by the nodes; if it is another range, give it with --pod-cidr"
    )
    return complete, told if guessed else ""


def conclude(evidence: Evidence) -> Ranges:
    """The ranges that the evidence speaks for, the surest first."""
    kubeadm = group(_yaml(evidence.kubeadm), "networking")
    proxy = _yaml(evidence.kube_proxy)
    k3s = any("+k3s" in node.status.node_info.kubelet_version for node in evidence.nodes)
    recorded = group(evidence.recorded, "ipam")
    openshift = [one.status for one in evidence.openshift]
    pods = (
        _ranges(kubeadm.get("podSubnet"))
        or _ranges(",".join(part.cidr for one in openshift for part in one.cluster_network))
        or _ranges(flag_value(evidence.commands, POD_FLAG))
        or _ranges(proxy.get("clusterCIDR"))
        or (_k3s_pods(evidence.nodes) if k3s else [])
        or _listed_ranges(recorded.get("podCIDRs"))
    )
    services = (
        _ranges(kubeadm.get("serviceSubnet"))
        or _ranges(",".join(part for one in openshift for part in one.service_network))
        or _ranges(flag_value(evidence.commands, SERVICE_FLAG))
        or _ranges(",".join(evidence.service_cidrs))
        or ([K3S_SERVICES] if k3s else [])
        or _ranges(recorded.get("serviceCIDR"))
    )
    guess = [] if pods else guess_pods(evidence.nodes)
    return Ranges(pod_cidrs=pods or guess, service_cidr=services[0] if services else "", guessed=bool(guess))


def flag_value(words: Iterable[str], flag: str) -> str:
    """What a flag of a command is set to, "" where it is not there; both `--flag=x` and `--flag x`."""
    given = list(words)
    for index, word in enumerate(given):
        name, equals, value = word.partition("=")
        if name == flag:
            return value if equals else "".join(given[index + 1 : index + 2])
    return ""


def guess_pods(nodes: Iterable[RangeNode]) -> list[str]:
    """The range of usual size, or larger, that holds what every node has; none where nodes have no ranges."""
    own = _of_nodes(nodes)
    if not own:
        return []
    whole = own[0].supernet(new_prefix=min(USUAL_PREFIX, own[0].prefixlen))
    while not all(one.subnet_of(whole) for one in own):
        whole = whole.supernet()
    # Ranges that have nothing in common are not of one.
    return [str(whole)] if whole.prefixlen >= 8 else []


def _k3s_pods(nodes: Iterable[RangeNode]) -> list[str]:
    usual = ipaddress.IPv4Network(K3S_PODS)
    return [K3S_PODS] if all(one.subnet_of(usual) for one in _of_nodes(nodes)) else []


def _of_nodes(nodes: Iterable[RangeNode]) -> list[ipaddress.IPv4Network]:
    real = [one for one in nodes if not labels.is_virtual_node(one.metadata.labels)]
    texts = [text for node in real for text in node.spec.pod_cidrs]
    return [ipaddress.IPv4Network(text) for text in _ranges(",".join(texts))]


def _ranges(given: Any) -> list[str]:
    """The IPv4 ranges in a text, separated by commas; others, such as IPv6 ones, are left out."""
    found: list[str] = []
    for part in re.split(r"[,\s]+", given if isinstance(given, str) else ""):
        try:
            if "/" in part:
                found.append(str(ipaddress.IPv4Network(part, strict=False)))
        except ValueError:
            continue
    return found


def _listed_ranges(given: Any) -> list[str]:
    return _ranges(",".join(map(str, given))) if isinstance(given, list) else []


def _yaml(text: str) -> Tree:
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return data if isinstance(data, dict) else {}


async def _gather(client: Client, recorded: Tree) -> Evidence:
    pods = await _listed(client, PODS.view(CommandPod), "kube-system")
    containers = [one for pod in pods if _is_control_plane(pod) for one in pod.spec.containers]
    return Evidence(
        kubeadm=await _setting(client, "kubeadm-config", "ClusterConfiguration"),
        openshift=await _listed(client, _OPENSHIFT_NETWORKS),
        kube_proxy=await _setting(client, "kube-proxy", "config.conf"),
        commands=[word for one in containers for word in [*one.command, *one.args]],
        service_cidrs=[cidr for one in await _listed(client, _SERVICE_CIDRS) for cidr in one.spec.cidrs],
        nodes=await _listed(client, NODES.view(RangeNode)),
        recorded=recorded,
    )


def _is_control_plane(pod: CommandPod) -> bool:
    found = {pod.metadata.labels.get(key, "") for key in ("component", "k8s-app", "app")}
    return bool(found & {"kube-controller-manager", "kube-apiserver", "kube-proxy"})


async def _setting(client: Client, name: str, key: str) -> str:
    try:
        found = await client.find(CONFIG_MAPS, name, "kube-system")
    except Forbidden:
        return ""
    return found.data.get(key, "") if found is not None else ""


async def _listed(client: Client, resource: Resource[Any], namespace: str = "") -> list[Any]:
    try:
        return list((await client.list(resource, namespace)).items)
    except (NotFound, Forbidden):
        return []

"""What is read of the clusters before and while probes run: nodes, ranges, pods, Services. Reads only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

import msgspec

from isthmus.api import labels
from isthmus.api.networking import CONFIGURATIONS
from isthmus.api.peer_ranges import PeerRanges, configuration_of, read_ranges
from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.errors import CommandError
from isthmus.cli.installation import find_controller, read_options
from isthmus.cli.nettest.manifests import Image
from isthmus.cli.nettest.topology import Site, pick_nodes
from isthmus.kube.builtin import NAMESPACES, NODES, Deployment, Node
from isthmus.kube.errors import NotFound
from isthmus.kube.objects import Object, RawObject
from isthmus.kube.resource import Resource

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
NodeChoice = Literal["all", "workers", "control-planes"]
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", RawObject)


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A cluster as found: the site, the nodes to put probes on, and which provider each virtual node is of."""

    cluster: Cluster
    site: Site
    nodes: tuple[str, ...]
    virtual: dict[str, str]
    unready: tuple[str, ...]
    image: Image


async def survey(cluster: Cluster, which: NodeChoice, image: str) -> Surveyed:
    """Read a cluster. Raises CommandError where it cannot be read or has no node that is ready."""
    with explained(cluster, "reading nodes and Configurations"):
        nodes, ranges, controller = await asyncio.gather(
            cluster.client.list(NODES), _read_ranges(cluster), find_controller(cluster)
        )
    real = [one for one in nodes.items if not labels.is_virtual_node(one.metadata.labels)]
    ready = [one for one in real if _is_ready(one)]
    if not ready:
        raise CommandError(f"{cluster.title} has no node that is Ready", "see kubectl get nodes")
    addresses = [
        (one.metadata.name, _address(one), CONTROL_PLANE in one.metadata.labels)
        for one in sorted(ready, key=lambda one: one.metadata.name)
    ]
    virtual = [one for one in nodes.items if labels.is_virtual_node(one.metadata.labels)]
    return Surveyed(
        cluster,
        Site(cluster.id, ranges, pick_nodes(addresses, which)),
        tuple(name for name, _, _ in addresses),
        {
            one.metadata.name: one.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")
            for one in virtual
            if _is_ready(one)
        },
        tuple(sorted(one.metadata.name for one in nodes.items if not _is_ready(one))),
        Image(image) if image else pick_image(cluster, controller),
    )


def _is_ready(node: Node) -> bool:
    return not node.deleting and any(
        one.type == "Ready" and one.status == "True" for one in node.status.conditions
    )


def _address(node: Node) -> str:
    return next((one.address for one in node.status.addresses if one.type == "InternalIP"), "")


async def _read_ranges(cluster: Cluster) -> dict[str, PeerRanges]:
    """The ranges of each peer whose network is joined, by its id."""
    try:
        configurations = (await cluster.client.list(CONFIGURATIONS)).items
    except NotFound:
        return {}
    found = (await cluster.client.list(NAMESPACES, label_selector=labels.TENANT_NAMESPACE)).items
    namespaces: dict[str, Object] = {one.metadata.name: one for one in found}
    ranges: dict[str, PeerRanges] = {}
    for peer in {one.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "") for one in configurations}:
        configuration = configuration_of(peer, configurations, namespaces.get)
        settled = read_ranges(configuration) if configuration is not None else None
        if settled is not None:
            ranges[peer] = settled
    return ranges


class _Container(msgspec.Struct, frozen=True, rename="camel"):
    image: str = ""
    image_pull_policy: str = "IfNotPresent"


class _PodSpec(msgspec.Struct, frozen=True):
    containers: list[_Container] = []


class _Template(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()


class _DeploymentSpec(msgspec.Struct, frozen=True):
    template: _Template = _Template()


def pick_image(cluster: Cluster, controller: Deployment | None) -> Image:
    """The image that Isthmus runs from there. Raises CommandError where it is not Isthmus that runs."""
    if controller is not None and read_options(controller):
        containers = msgspec.json.decode(controller.spec, type=_DeploymentSpec).template.spec.containers
        if containers:
            return Image(containers[0].image, containers[0].image_pull_policy)
    raise CommandError(
        f"{cluster.title} does not run Isthmus in namespace {cluster.namespace}, so the image of the probe pods is not "
        "known",
        "name it with --image, or say with --namespace where Isthmus is installed",
    )


class _Address(msgspec.Struct, frozen=True):
    ip: str = ""


class _Port(msgspec.Struct, frozen=True):
    name: str = ""
    port: int = 0


class _Subset(msgspec.Struct, frozen=True):
    addresses: list[_Address] = []
    ports: list[_Port] = []


class _Endpoints(msgspec.Struct, frozen=True):
    subsets: list[_Subset] = []


async def find_api_server(cluster: Cluster) -> tuple[str, int]:
    """An address and port of the cluster's API server, as its pods reach it. Raises CommandError."""
    path = ENDPOINTS.path("default", "kubernetes")
    with explained(cluster, "reading the addresses of the API server"):
        answer = await cluster.client.request("GET", path)
    for subset in msgspec.json.decode(answer.body, type=_Endpoints).subsets:
        if subset.addresses and subset.ports:
            return subset.addresses[0].ip, subset.ports[0].port
    raise CommandError(f"{cluster.title} tells no address of its API server in Endpoints default/kubernetes")

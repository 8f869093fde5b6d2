"""What is installed in a cluster: its id, its controller, the kinds it serves (wire.md 9, pre-checks).

Works for Isthmus and for stock Liqo, and as far as the least-privilege peering user may read. Reads only.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from isthmus.api import labels, names
from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.errors import CommandError
from isthmus.cli.parameters import DNS_LABEL_RULE
from isthmus.kube.builtin import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, ConfigMap, Deployment
from isthmus.kube.client import Client
from isthmus.kube.errors import Forbidden, NotFound

PROBE_TIMEOUT = 10.0

CONSUMER_KINDS = {
    "authentication.liqo.io/v1beta1": ("identities", "resourceslices", "renews"),
    "offloading.liqo.io/v1beta1": ("virtualnodes", "namespaceoffloadings", "namespacemaps"),
    "core.liqo.io/v1beta1": ("foreignclusters",),
}
PROVIDER_KINDS = {
    "authentication.liqo.io/v1beta1": ("tenants", "resourceslices", "renews"),
    "offloading.liqo.io/v1beta1": ("namespacemaps", "shadowpods", "quotas"),
    "core.liqo.io/v1beta1": ("foreignclusters",),
}


@dataclass(frozen=True, slots=True)
class Identification:
    """What tells clusters apart: UIDs that no two share; "" where they could not be read."""

    version: str
    cluster_uid: str


class DeploymentStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What of a Deployment's status is read."""

    ready_replicas: int = 0
    replicas: int = 0


class _Resource(msgspec.Struct, frozen=True):
    name: str = ""


class _ResourceList(msgspec.Struct, frozen=True):
    resources: list[_Resource] = []


async def identify(cluster: Cluster) -> Identification:
    """Reach the cluster and tell which one it is. Raises CommandError where it cannot be reached or used."""
    probe = Client(cluster.client.credentials, user_agent="isthmus-cli", timeout=PROBE_TIMEOUT, attempts=1)
    with explained(cluster, "reading the version"):
        async with probe:
            version = await probe.version()
            try:
                # Two kubeconfigs may name one cluster by different addresses: the UID of this namespace is its.
                system = await probe.find(NAMESPACES, "kube-system")
            except Forbidden:
                system = None
    return Identification(version, system.metadata.uid if system else "")


async def find_cluster_id(cluster: Cluster) -> ConfigMap | None:
    """The ConfigMap holding the cluster's id, None where there is none in the namespace."""
    selector = f"{labels.APP_NAME}=clusterid-configmap"
    found = await cluster.client.list(CONFIG_MAPS, cluster.namespace, label_selector=selector)
    return found.items[0] if found.items else None


async def read_cluster_id(cluster: Cluster) -> ConfigMap:
    """Read the cluster's id into `cluster.id`. Raises CommandError where there is none, or none usable."""
    with explained(cluster, "reading the cluster id"):
        found = await find_cluster_id(cluster)
    if found is None:
        raise CommandError(
            f"Isthmus is not installed in {cluster.title} at {cluster.server}: namespace "
            f'"{cluster.namespace}" has no ConfigMap {names.CLUSTER_ID_CONFIG_MAP}',
            f"run isthmus install there, or say with {cluster.flag('namespace')} where it is",
        )
    cluster_id = found.data.get(names.CLUSTER_ID_KEY, "")
    if not names.is_dns_label(cluster_id):
        raise CommandError(
            f'the id "{cluster_id}" of {cluster.title} ({names.CLUSTER_ID_KEY} in ConfigMap {found.key}) is '
            "not a valid DNS label",
            f"{DNS_LABEL_RULE}: reinstall it with --cluster-id",
        )
    cluster.id = cluster_id
    return found


async def check_kinds(cluster: Cluster, kinds: dict[str, tuple[str, ...]]) -> None:
    """Raise CommandError where the API server does not serve the kinds."""
    with explained(cluster, "reading the served kinds"):
        missing: list[str] = []
        for version, plurals in kinds.items():
            served = await _served(cluster, version)
            missing += [f"{each}.{version.partition('/')[0]}" for each in plurals if each not in served]
    if missing:
        raise CommandError(
            f"{cluster.title} at {cluster.server} does not have the CRDs of Isthmus (missing: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''})",
            "run isthmus install there first",
        )


async def _served(cluster: Cluster, version: str) -> set[str]:
    try:
        answer = await cluster.client.request("GET", f"/apis/{version}")
    except NotFound:
        return set()
    return {each.name for each in msgspec.json.decode(answer.body, type=_ResourceList).resources}


async def find_controller(cluster: Cluster) -> Deployment | None:
    """The controller's Deployment, None where there is none. Raises Forbidden for a peering user."""
    selector = f"{labels.APP_NAME}=controller-manager,{labels.APP_COMPONENT}=controller-manager"
    found = await cluster.client.list(DEPLOYMENTS, cluster.namespace, label_selector=selector)
    return found.items[0] if found.items else None


class _Variable(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = ""


class _Container(msgspec.Struct, frozen=True):
    image: str = ""
    env: list[_Variable] = []


class _PodSpec(msgspec.Struct, frozen=True):
    containers: list[_Container] = []


class _Template(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()


class _DeploymentSpec(msgspec.Struct, frozen=True):
    template: _Template = _Template()


def installed_version(deployment: Deployment) -> str:
    """The version of what runs: its label as the chart sets it, else the tag of its image, "" where neither."""
    labelled = deployment.metadata.labels.get("app.kubernetes.io/version", "")
    if labelled:
        return labelled
    containers = _containers(deployment)
    image = containers[0].image if containers else ""
    name, _, tag = image.partition("@")[0].rpartition(":")
    return tag if name and "/" not in tag else ""


def read_options(deployment: Deployment) -> dict[str, Any]:
    """What the controller is started with, {} where it is not Isthmus's."""
    for container in _containers(deployment):
        for variable in container.env:
            if variable.name == "ISTHMUS_OPTIONS":
                try:
                    return msgspec.json.decode(variable.value, type=dict[str, Any])
                except msgspec.DecodeError:
                    return {}
    return {}


def _containers(deployment: Deployment) -> list[_Container]:
    return msgspec.json.decode(deployment.spec, type=_DeploymentSpec).template.spec.containers


def ready_replicas(deployment: Deployment) -> int:
    """How many pods of the Deployment are ready."""
    return msgspec.json.decode(deployment.status, type=DeploymentStatus).ready_replicas


async def gather_both(first: Cluster, second: Cluster) -> tuple[Identification, Identification]:
    """Identify both clusters at once; where both fail the local one's error is told."""
    results = await asyncio.gather(identify(first), identify(second), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results[0], results[1]  # type: ignore[return-value]

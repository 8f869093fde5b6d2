"""Bringing the test's objects into the clusters, waiting for them, and taking them away again.

Everything can be repeated: what is there and as it should be is used. Fails with CommandError at the deadline,
naming what is not there yet and what the cluster says of it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from isthmus.api import labels, names
from isthmus.api.endpoints import ENDPOINT_SLICES
from isthmus.api.ipam import IPS
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, NamespaceOffloading
from isthmus.cli.cluster import Cluster, explained, step
from isthmus.cli.errors import CommandError
from isthmus.cli.nettest import manifests
from isthmus.cli.nettest.manifests import BALANCER, DIGEST, LENT_HOST, MARK, NAMESPACE
from isthmus.cli.nettest.plan import SERVICE
from isthmus.cli.nettest.survey import Surveyed, find_api_server
from isthmus.cli.nettest.topology import LentHost, Place, ProbePod, ServiceView, Topology, address_at_home
from isthmus.cli.offload import UNCHANGEABLE, failures, forge_offloading
from isthmus.cli.progress import Progress, Step
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.cli.writes import FIELD_MANAGER, write
from isthmus.install.usage import find_network_test
from isthmus.kube.builtin import NAMESPACES, PODS, SERVICES, Pod
from isthmus.kube.errors import Forbidden
from isthmus.kube.objects import Manifest, Object

ENDPOINTS_PATIENCE = 45.0
"""Seconds after which endpoints that are missing are left to the probes to tell of."""
REFUSAL_PATIENCE = 5.0
"""Seconds for a provider that refuses the namespace: an earlier test's may be about to go there."""
SELECTOR = ",".join(f"{key}={value}" for key, value in MARK.items())


@dataclass(frozen=True, slots=True)
class Wanted:
    """A probe pod to be: on which node, and in which cluster it will run."""

    node: str
    cluster: str
    place: Place


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""


class _State(msgspec.Struct, frozen=True):
    waiting: _Waiting | None = None


class _ContainerStatus(msgspec.Struct, frozen=True):
    state: _State = _State()


class _Condition(msgspec.Struct, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[_Condition] = []
    container_statuses: list[_ContainerStatus] = []


class _ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    node_port: int = 0


class _ServiceSpec(msgspec.Struct, frozen=True):
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ports: list[_ServicePort] = []


class _Ingress(msgspec.Struct, frozen=True):
    ip: str = ""
    hostname: str = ""


class _Balancer(msgspec.Struct, frozen=True):
    ingress: list[_Ingress] = []


class _ServiceStatus(msgspec.Struct, frozen=True, rename="camel"):
    load_balancer: _Balancer = _Balancer()


def list_wanted(found: Surveyed, known: Sequence[str], basic: bool) -> list[Wanted]:
    """The probe pods of a cluster: a pod and a node's own network on each real node, a pod on each virtual one."""
    own = found.site.id
    wanted = [Wanted(node, own, "pod") for node in found.nodes]
    wanted += [Wanted(node, provider, "pod") for node, provider in found.virtual.items() if provider in known]
    return wanted if basic else wanted + [Wanted(node, own, "node") for node in found.nodes]


async def prepare_namespace(cluster: Cluster, progress: Progress, deadline: Deadline) -> None:
    """Have the namespace, waiting for the end of an earlier one. Raises CommandError where it is somebody else's."""
    with step(progress, f"Namespace {NAMESPACE}", cluster) as current:

        async def settle() -> bool:
            found = await cluster.client.find(NAMESPACES, NAMESPACE)
            if found is None:
                await cluster.client.apply(NAMESPACES, manifests.namespace(), field_manager=FIELD_MANAGER)
                return True
            if found.deleting:
                current.update("an earlier one is being deleted")
                return False
            if not _is_ours(found):
                raise CommandError(
                    f"namespace {NAMESPACE} of {cluster.title} was not made by isthmus test network",
                    f"delete it first: kubectl delete namespace {NAMESPACE}",
                )
            return True

        await wait_for(settle, deadline, current, f"namespace {NAMESPACE} of {cluster.title} was not ready")


async def offload_namespace(cluster: Cluster, progress: Progress, deadline: Deadline) -> str:
    """Extend the namespace to every provider; the name of its twins."""
    with step(progress, f"Namespace {NAMESPACE} offloaded", cluster) as current:
        patience: Deadline | None = None
        spec = {"podOffloadingStrategy": "LocalAndRemote", "namespaceMappingStrategy": "DefaultName"}
        manifest = forge_offloading(NAMESPACE, spec)
        await write(cluster.client, NAMESPACE_OFFLOADINGS, manifest, deadline, kept=UNCHANGEABLE)

        async def read() -> str | None:
            nonlocal patience
            found = await cluster.client.find(NAMESPACE_OFFLOADINGS, names.NAMESPACE_OFFLOADING, NAMESPACE)
            if found is None or found.status.observed_generation < found.metadata.generation:
                return None
            current.update("; ".join(failures(found)) or found.status.offloading_phase)
            refused = explain_refused_namespace(cluster, found)
            patience = (patience or deadline.within(REFUSAL_PATIENCE)) if refused else None
            if refused and patience and patience.left() == 0:
                raise refused
            return (
                found.status.remote_namespace_name or None
                if found.status.offloading_phase == "Ready"
                else None
            )

        what = f"namespace {NAMESPACE} of {cluster.title} was not offloaded everywhere"
        return await wait_for(read, deadline, current, what)


def explain_refused_namespace(cluster: Cluster, found: NamespaceOffloading) -> CommandError | None:
    """What to tell where providers refuse the namespace; None where none does."""
    if found.status.offloading_phase not in ("SomeFailed", "AllFailed"):
        return None
    return CommandError(
        f"namespace {NAMESPACE} of {cluster.title} is not taken by every provider: {'; '.join(failures(found))}",
        f"delete namespace {found.status.remote_namespace_name} there if nobody needs it, or see the events of the "
        "NamespaceMap in the provider's tenant namespace",
    )


async def deploy(
    found: Surveyed,
    wanted: Sequence[Wanted],
    images: dict[str, manifests.Image],
    balancer: bool,
    progress: Progress,
    deadline: Deadline,
) -> None:
    """Create the Services and the pods, replacing pods of another make and removing those of nodes that are gone."""
    cluster = found.cluster
    with step(progress, f"{len(wanted)} probe pods and the Services", cluster) as current:
        for service in manifests.services(balancer):
            await cluster.client.apply(SERVICES, service, field_manager=FIELD_MANAGER)
        made = [manifests.pod(cluster.id, one.node, one.place, images[one.cluster]) for one in wanted]
        expected = {one["metadata"]["name"] for one in made}
        for present in (await cluster.client.list(PODS, NAMESPACE, label_selector=SELECTOR)).items:
            if present.metadata.name not in expected:
                await _delete_pod(cluster, present)
        for manifest in made:
            await wait_for(
                functools.partial(_have_pod, cluster, manifest, current),
                deadline,
                current,
                f"pod {NAMESPACE}/{manifest['metadata']['name']} of {cluster.title} could not be created",
            )


async def _have_pod(cluster: Cluster, manifest: Manifest, current: Step) -> bool:
    metadata = manifest["metadata"]
    present = await cluster.client.find(PODS, metadata["name"], NAMESPACE)
    if present is None:
        try:
            await cluster.client.create(PODS, manifest, field_manager=FIELD_MANAGER)
        except Forbidden as error:
            # The ServiceAccount of a new namespace takes a moment.
            if "serviceaccount" not in str(error).lower():
                raise
            current.update(str(error))
            return False
        return True
    same = present.metadata.annotations.get(DIGEST) == metadata["annotations"][DIGEST]
    if not present.deleting and same and _read_status(present).phase in ("Pending", "Running"):
        return True
    if not present.deleting:
        await _delete_pod(cluster, present)
    return False


async def _delete_pod(cluster: Cluster, pod: Pod) -> None:
    await cluster.client.delete(
        PODS, pod.metadata.name, NAMESPACE, uid=pod.metadata.uid, grace_period_seconds=1
    )


def _read_status(pod: Pod) -> _PodStatus:
    return msgspec.json.decode(pod.status, type=_PodStatus)


def describe_wait(name: str, status: _PodStatus) -> str:
    """What a pod waits for, "" where it is ready."""
    if any(one.type == "Ready" and one.status == "True" for one in status.conditions) and status.pod_ip:
        return ""
    reasons = [one.state.waiting.reason for one in status.container_statuses if one.state.waiting]
    reasons += [one.reason for one in status.conditions if one.type == "PodScheduled" and one.reason]
    return f"{name}: {', '.join(reasons) or status.phase or 'new'}"


async def await_pods(
    found: Surveyed, wanted: Sequence[Wanted], progress: Progress, deadline: Deadline
) -> list[ProbePod]:
    """The probe pods once all are ready, each with the address it has in the cluster it runs in."""
    cluster = found.cluster
    with step(progress, f"{len(wanted)} probe pods ready", cluster) as current:

        async def read() -> list[ProbePod] | None:
            page = await cluster.client.list(PODS, NAMESPACE, label_selector=SELECTOR)
            present = {one.metadata.name: one for one in page.items}
            pods, waiting = [], []
            for one in wanted:
                name = manifests.pod_name(one.place, one.node)
                status = _read_status(present[name]) if name in present else _PodStatus(phase="missing")
                waits = describe_wait(name, status)
                if waits:
                    waiting.append(waits)
                    continue
                address = status.pod_ip
                if one.cluster != cluster.id:
                    address = address_at_home(address, found.site.ranges.get(one.cluster))
                pods.append(ProbePod(cluster.id, one.cluster, name, one.node, address, one.place))
            current.update("; ".join(waiting))
            return None if waiting else pods

        mend = f"see kubectl describe pods -n {NAMESPACE} in {cluster.id}"
        missing = f"the probe pods of {cluster.title} were not ready"
        return await wait_for(read, deadline, current, missing, mend)


async def view_service(
    owner: str, cluster: Cluster, namespace: str, progress: Progress, deadline: Deadline
) -> ServiceView:
    """The Service as it is in a cluster, in the owner's namespace or its twin."""
    title = "Service" if owner == cluster.id else f"Service reflected from {owner}"
    with step(progress, title, cluster) as current:

        async def read() -> ServiceView | None:
            found = await cluster.client.find(SERVICES, SERVICE, namespace)
            if found is None:
                return None
            spec = msgspec.json.decode(found.spec, type=_ServiceSpec)
            ports = {one.name: one.node_port for one in spec.ports if one.node_port}
            return ServiceView(owner, cluster.id, spec.cluster_ip, ports) if spec.cluster_ip else None

        missing = f"Service {namespace}/{SERVICE} of {cluster.title} was not there"
        return await wait_for(read, deadline, current, missing)


async def await_balancer(
    cluster: Cluster, view: ServiceView, progress: Progress, deadline: Deadline
) -> ServiceView:
    """The view with the addresses the load balancer gave."""
    with step(progress, "Load balancer", cluster) as current:

        async def read() -> tuple[str, ...] | None:
            found = await cluster.client.get(SERVICES, BALANCER, NAMESPACE)
            status = msgspec.json.decode(found.status, type=_ServiceStatus)
            return tuple(one.ip or one.hostname for one in status.load_balancer.ingress) or None

        missing = f"Service {NAMESPACE}/{BALANCER} of {cluster.title} was given no address"
        mend = "leave out --lb where there is no load balancer"
        addresses = await wait_for(read, deadline.within(ENDPOINTS_PATIENCE), current, missing, mend)
    return ServiceView(view.owner, view.cluster, view.address, view.node_ports, addresses)


async def await_endpoints(
    topology: Topology,
    view: ServiceView,
    cluster: Cluster,
    namespace: str,
    progress: Progress,
    deadline: Deadline,
) -> None:
    """Wait until the EndpointSlices name every replica as this cluster sees it; warn where they do not in time."""
    replicas = topology.replicas(view.owner)
    expected = {topology.see_replica(view, pod) for pod in replicas} - {""}
    title = f"{len(replicas)} endpoints of the Service of {view.owner}"
    try:
        with step(progress, title, cluster) as current:

            async def read() -> bool:
                selector = f"{labels.SERVICE_NAME}={SERVICE}"
                page = await cluster.client.list(ENDPOINT_SLICES, namespace, label_selector=selector)
                there = {
                    address
                    for one in page.items
                    for endpoint in one.endpoints
                    for address in endpoint.addresses
                    if endpoint.conditions.ready is not False
                }
                lacking, strange = sorted(expected - there), sorted(there - expected)
                current.update(
                    f"lacking {', '.join(lacking) or 'none'}, beyond {', '.join(strange) or 'none'}"
                )
                return expected <= there and len(there) == len(replicas)

            await wait_for(
                read,
                deadline.within(ENDPOINTS_PATIENCE),
                current,
                f"the EndpointSlices of {namespace}/{SERVICE} of {cluster.title} did not name every probe pod",
            )
    except CommandError as error:
        progress.warn(str(error), cluster.tag)


async def lend_host(cluster: Cluster, progress: Progress, deadline: Deadline) -> LentHost:
    """Lend the cluster's API server to its peers, as a host outside the pod network that every cluster has."""
    with step(progress, "IP of a host outside the pod network", cluster) as current:
        address, port = await find_api_server(cluster)
        await cluster.client.apply(IPS, manifests.lent_host(address), NAMESPACE, field_manager=FIELD_MANAGER)

        async def read() -> str | None:
            return (await cluster.client.get(IPS, LENT_HOST, NAMESPACE)).status.ip or None

        missing = f"IP {NAMESPACE}/{LENT_HOST} of {cluster.title} was given no address"
        given = await wait_for(read, deadline, current, missing)
    return LentHost(cluster.id, given, port)


async def remove(clusters: Sequence[Cluster], progress: Progress, deadline: Deadline) -> None:
    """Delete the namespace wherever a test has left it, then wait until it is gone. Raises CommandError."""

    leaving: list[Cluster] = []
    for cluster in clusters:
        with explained(cluster, f"removing namespace {NAMESPACE}"):
            found = await find_network_test(cluster.client)
            if found is not None:
                await cluster.client.delete(NAMESPACES, NAMESPACE, uid=found.metadata.uid)
                leaving.append(cluster)
    for cluster in leaving:
        with step(progress, f"Namespace {NAMESPACE} removed", cluster) as current:
            gone = functools.partial(_is_gone, cluster)
            await wait_for(gone, deadline, current, f"namespace {NAMESPACE} of {cluster.title} was not gone")


def _is_ours(namespace: Object) -> bool:
    return namespace.metadata.labels.get(labels.APP_MANAGED_BY) == MARK[labels.APP_MANAGED_BY]


async def _is_gone(cluster: Cluster) -> bool:
    return await cluster.client.find(NAMESPACES, NAMESPACE) is None

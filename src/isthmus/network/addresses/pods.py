"""The IPs of offloaded pods: by them pods at one provider reach those at another, by way of this cluster.

Endpoints of a Service that run at one provider are told to the other providers under these addresses. So with fewer
than two providers in joined networks there are none, nor a watch for them; the last one but one that leaves takes all
with it. An IP is the pod's own and goes with it. One of a pod's name that somebody else made is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import field

from isthmus.api import labels
from isthmus.api.cidr import CIDR, parse_address
from isthmus.api.ipam import IP, IPS
from isthmus.api.networking import CONFIGURATIONS, Configuration
from isthmus.api.offloading import VIRTUAL_NODES, VirtualNode
from isthmus.api.peer_ranges import read_ranges
from isthmus.kube.builtin import PODS
from isthmus.kube.errors import AlreadyExists, Conflict
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Base, Key, Manifest, Object
from isthmus.kube.reconcile import Controller

TASK = "addresses of offloaded pods"
NEED = Key("", "need")
WORKERS = 4
LONGEST_LABEL = 63
SELECTOR = f"{labels.SHADOW_POD}={labels.TRUE}"
FINISHED = frozenset({"Succeeded", "Failed"})
RETRY_SECONDS = 30.0


class PodStatus(Base, frozen=True, kw_only=True):
    """What of a pod's status is read."""

    phase: str = ""
    pod_ip: str = field(default="", name="podIP")


class OffloadedPod(Object, frozen=True, kw_only=True):
    """An offloaded pod, of which only its address is kept."""

    status: PodStatus = field(default_factory=PodStatus)


OFFLOADED_PODS = PODS.view(OffloadedPod)


def joined_providers(nodes: Iterable[VirtualNode], configurations: Iterable[Configuration]) -> set[str]:
    """The providers pods may be at whose network is joined with ours."""
    joined = {
        one.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "") for one in configurations if not one.deleting
    }
    return {node.spec.cluster_id for node in nodes if not node.deleting} & joined


def seen_ranges(configurations: Iterable[Configuration]) -> list[CIDR]:
    """The ranges under which this cluster sees the pods of its peers."""
    ranges = [found for one in configurations if (found := read_ranges(one)) is not None]
    return [seen for one in ranges for _, seen in one.pods]


def wanted_host(pod: OffloadedPod | None, ranges: Iterable[CIDR]) -> str:
    """The address an IP is to be of, "" for none: the pod's, while it runs and has one in a peer's ranges."""
    if pod is None or pod.deleting or pod.status.phase in FINISHED or not pod.status.pod_ip:
        return ""
    try:
        address = parse_address(pod.status.pod_ip)
    except ValueError:
        return ""
    return pod.status.pod_ip if any(range_.has(address) for range_ in ranges) else ""


def forge_pod_ip(pod: OffloadedPod) -> Manifest:
    """The IP of a pod. A name too long for a label's value is only in the owner reference."""
    meta = pod.metadata
    own = {labels.IP_POD_NAMESPACE: meta.namespace, labels.MANAGED: labels.TRUE}
    if len(meta.name) <= LONGEST_LABEL:
        own[labels.IP_POD_NAME] = meta.name
    owner = {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid, "controller": True}
    return {
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "labels": own,
            "ownerReferences": [owner],
        },
        "spec": {"ip": pod.status.pod_ip},
    }


def owner_uid(ip: IP) -> str:
    """The uid of the pod an IP was made for here, "" for any other IP."""
    if labels.IP_POD_NAMESPACE not in ip.metadata.labels:
        return ""
    owners = ip.metadata.owner_references
    return next((one.uid for one in owners if one.controller and one.kind == "Pod"), "")


class PodAddresses:
    """Keeps the IPs of offloaded pods, where they are needed."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._client = manager.client
        informers = manager.informers
        self._ips = informers.get(IPS)
        self._configurations = informers.get(CONFIGURATIONS)
        self._nodes = informers.get(VIRTUAL_NODES)
        self._pods: Informer[OffloadedPod] | None = None
        self._ranges: list[CIDR] | None = None
        """What `seen_ranges` says, None when a Configuration has changed since."""
        self._configurations.add_handler(self._forget_ranges)

    def controller(self) -> Controller:
        """The loop that finds out whether the IPs are needed, and starts or ends the one that keeps them."""
        controller = Controller("pod-ip-need", self.weigh)
        controller.watch(self._configurations, lambda _: [NEED])
        controller.watch(self._nodes, lambda _: [NEED])
        controller.watch(self._ips, lambda ip: [NEED] if owner_uid(ip) and self._pods is None else [])
        return controller

    async def weigh(self, _: Key) -> None:
        """Keep the IPs, or see that there are none."""
        if len(joined_providers(self._nodes.list(), self._configurations.list())) > 1:
            self._manager.tasks.ensure(TASK, "", self._keep)
            return
        await self._manager.tasks.stop(TASK)
        for ip in [one for one in self._ips.list() if owner_uid(one) and not one.deleting]:
            await self._delete(ip)

    async def _keep(self) -> None:
        pods = self._manager.informers.get(OFFLOADED_PODS, label_selector=SELECTOR)
        self._pods = pods
        controller = Controller("pod-ip", self.reconcile, workers=WORKERS)
        controller.watch(pods)
        controller.watch(self._ips, lambda ip: [ip.key] if owner_uid(ip) else [])
        # A pod that had its address before the ranges were known here.
        controller.watch(self._configurations, lambda _: [pod.key for pod in pods.list()])
        try:
            await controller.run()
        finally:
            self._pods = None
            self._manager.informers.release(pods)

    async def reconcile(self, key: Key) -> float | None:
        """Have the IP of one pod, or none; its name is the pod's."""
        if self._pods is None:
            return None
        pod, ip = self._pods.get(key), self._ips.get(key)
        if self._ranges is None:
            self._ranges = seen_ranges(self._configurations.list())
        host = wanted_host(pod, self._ranges)
        if ip is not None:
            # The host of an IP never changes: its deletion brings us back to make another.
            same = pod is not None and owner_uid(ip) == pod.metadata.uid and ip.spec.ip == host
            if owner_uid(ip) and not same and not ip.deleting:
                await self._delete(ip)
            return RETRY_SECONDS if host and not owner_uid(ip) else None
        if pod is None or not host:
            return None
        try:
            await self._client.create(IPS, forge_pod_ip(pod), key.namespace)
        except AlreadyExists:
            raise Conflict(f"IP {key} is there and not seen yet") from None
        return None

    def _forget_ranges(self, _old: Configuration | None, _new: Configuration | None) -> None:
        self._ranges = None

    async def _delete(self, ip: IP) -> None:
        await self._client.delete(IPS, ip.metadata.name, ip.metadata.namespace, uid=ip.metadata.uid)

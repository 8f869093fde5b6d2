"""A cluster to install into, in memory: its nodes, what makes pods of workloads, and what progress was shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from isthmus.install.assignments import parse_assignments
from isthmus.install.prechecks import Checks
from isthmus.install.progress import Progress, Step
from isthmus.install.removal import uninstall
from isthmus.install.steps import install
from isthmus.install.values import Values, resolve
from tests.apiserver import ApiServer, Change, Json, connected

NODES = ("one", "two")
KUBEADM = "networking:\n  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/16\n"
READY = [{"type": "Ready", "status": "True"}]
WORKLOADS = {"deployments": "Deployment", "daemonsets": "DaemonSet"}


@dataclass
class Shown(Step):
    """One step: its last title, what it said it waited for, and what it failed with."""

    title: str
    details: list[str] = field(default_factory=list)
    error: BaseException | None = None

    def update(self, detail: str) -> None:
        if detail not in self.details[-1:]:
            self.details.append(detail)


@dataclass
class Told(Progress):
    """Everything a command shows."""

    steps: list[Shown] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, title: str, cluster: str = "") -> Iterator[Step]:
        shown = Shown(title)
        self.steps.append(shown)
        try:
            yield shown
        except BaseException as error:
            shown.error = error
            raise

    def note(self, text: str, cluster: str = "") -> None:
        self.notes.append(text)

    def warn(self, text: str, cluster: str = "") -> None:
        self.warnings.append(text)

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.steps]

    def waited_for(self, title: str) -> list[str]:
        """What the one step of which the title begins so said that it waited for."""
        (found,) = (one for one in self.steps if one.title.startswith(title))
        return found.details


def values(*assignments: str) -> Values:
    """What `--set` with these stands for; the cluster is rome."""
    return resolve([("--set", parse_assignments("--set", assignments))]).with_cluster_id("rome")


def cluster(*, works: bool = True, **settings: Any) -> ApiServer:
    """A cluster of kubeadm's with two nodes; where it `works`, Deployments and DaemonSets get pods that are ready."""
    api = ApiServer(liqo=False, **settings)
    for name in ("kube-system", "default"):
        api.create("namespaces", {"metadata": {"name": name}})
    for name in NODES:
        marks = {"node-role.kubernetes.io/control-plane": ""} if name == "one" else {}
        addresses = [{"type": "InternalIP", "address": "172.18.0.2"}]
        status = {"conditions": READY, "addresses": addresses, "nodeInfo": {"kernelVersion": "6.1.0"}}
        api.create("nodes", {"metadata": {"name": name, "labels": marks}, "status": status})
    record = {"name": "kubeadm-config", "namespace": "kube-system"}
    api.create("configmaps", {"metadata": record, "data": {"ClusterConfiguration": KUBEADM}})
    if works:
        api.on_change(lambda change: run_workload(api, change))
    return api


def run_workload(api: ApiServer, change: Change) -> None:
    """Do at once what the controllers of workloads, the scheduler and the kubelets do."""
    place, value = change.place, change.new
    metadata = value["metadata"]
    is_over = change.type == "DELETED" or "deletionTimestamp" in metadata
    generation = metadata.get("generation")
    if place.plural not in WORKLOADS or is_over:
        return
    if value.get("status", {}).get("observedGeneration") == generation:
        return
    nodes = NODES[:1] if place.plural == "deployments" else NODES
    counts = dict.fromkeys(
        ("replicas", "updatedReplicas", "readyReplicas")
        if place.plural == "deployments"
        else ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady"),
        len(nodes),
    )
    for node in nodes:
        if api.get("pods", place.namespace, f"{place.name}-{node}") is None:
            api.create("pods", pod_of(value, node))
    api.merge(*place, {"status": {"observedGeneration": generation, **counts}})


def pod_of(workload: Json, node: str, **status: Any) -> Json:
    """A pod of a Deployment or a DaemonSet on a node, ready unless `status` says something else."""
    metadata = workload["metadata"]
    owner = {
        "apiVersion": "apps/v1",
        "kind": workload["kind"],
        "blockOwnerDeletion": True,
        "controller": True,
    }
    return {
        "metadata": {
            "name": f"{metadata['name']}-{node}",
            "namespace": metadata["namespace"],
            "labels": workload["spec"]["selector"]["matchLabels"],
            "ownerReferences": [{**owner, "name": metadata["name"], "uid": metadata["uid"]}],
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": READY, **status},
    }


async def installed(
    api: ApiServer,
    *assignments: str,
    version: str = "1.0.0",
    timeout: float = 120.0,
    checks: Checks | None = None,
    told: Told | None = None,
) -> Told:
    """Install with these values, or upgrade; what was shown, in `told` also where that fails."""
    told = told or Told()
    async with connected(api) as client:
        chosen = checks or Checks(api_server=False)
        await install(client, values(*assignments), "liqo", version, timeout, told, chosen)
    return told


_standing: list[ApiServer] = []


async def standing(**settings: Any) -> ApiServer:
    """A cluster in which rome is installed, as `installed` leaves it."""
    if not _standing:
        _standing.append(cluster())
        await installed(_standing[0])
    api = cluster(**settings)
    api.begin_like(_standing[0])
    return api


async def removed(
    api: ApiServer, *, purge: bool = False, timeout: float = 120.0, told: Told | None = None
) -> Told:
    """Uninstall; what was shown, in `told` also where that fails."""
    told = told or Told()
    async with connected(api) as client:
        await uninstall(client, "liqo", purge, timeout, told)
    return told

"""Two clusters in memory: rome, which has virtual nodes, and milan, their provider."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading import shadowpod, virtualnode
from isthmus.offloading.virtualnode import OffloadedPods
from tests.apiserver import ApiServer, Json, running

TNS = "liqo-tenant-milan"
TWIN = "demo-rome"
OPTIONS = Options(cluster_id="rome", pod_ip="172.16.0.1", namespace="liqo")


def kubeconfig(provider: ApiServer, token: str = "slice") -> Json:
    """The data of a Secret that leads to a provider."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "milan",
        "contexts": [{"name": "milan", "context": {"cluster": "milan", "user": "rome"}}],
        "clusters": [{"name": "milan", "cluster": {"server": provider.url}}],
        "users": [{"name": "rome", "user": {"token": token}}],
    }
    return {"kubeconfig": base64.b64encode(msgspec.json.encode(config)).decode()}


class Stage:
    """Both clusters, and what people, schedulers and kubelets do there."""

    def __init__(self, **settings: Any) -> None:
        self.ago = 0.0
        """Seconds by which rome's clock is behind: what happens there now seems to have happened so long ago."""
        self.rome = ApiServer(clock=lambda: time.time() - self.ago, **settings)
        self.milan = ApiServer()
        self.registry = OffloadedPods()
        """Of the process at work."""

    def admit(self, provider: ApiServer | None = None) -> None:
        """Have the slice's kubeconfig where virtual nodes find it."""
        data = kubeconfig(provider or self.milan)
        meta = {"name": "slice", "namespace": TNS, "labels": {"liqo.io/identity-type": "ResourceSlice"}}
        self.rome.create("secrets", {"metadata": meta, "data": data})

    def make_node(self, name: str = "milan", namespace: str = TNS, **spec: Any) -> Json:
        """A VirtualNode as a granted slice makes it."""
        wanted = {
            "clusterID": "milan",
            "kubeconfigSecretRef": {"name": "slice"},
            "resourceQuota": {"hard": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
        }
        meta = {"name": name, "namespace": namespace}
        return self.rome.create("virtualnodes", {"metadata": meta, "spec": wanted | spec})

    def accept(self, *, accepted: bool = True, **namespaces: str) -> None:
        """The provider's NamespaceMap with these namespaces, local to remote, and what it answers."""
        marks = {"liqo.io/replication": "true", "liqo.io/remoteID": "milan"}
        current = {
            local: {"remoteNamespace": remote, "phase": "Accepted"}
            for local, remote in namespaces.items()
            if accepted
        }
        self.rome.put(
            "namespacemaps",
            {
                "metadata": {"name": "milan", "namespace": TNS, "labels": marks},
                "spec": {"desiredMapping": namespaces},
                "status": {"currentMapping": current},
            },
        )

    def bind_pod(self, name: str, namespace: str = "demo", node: str = "milan", **metadata: Any) -> Json:
        """A pod that the scheduler has put on the virtual node."""
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "c"}]}
        return self.rome.create(
            "pods", {"metadata": {"name": name, "namespace": namespace, **metadata}, "spec": spec}
        )

    def delete_node(self, name: str = "milan", *, ago: float = 0.0) -> None:
        """Ask for the end of a VirtualNode, as if that had been done so many seconds ago."""
        self.ago = ago
        self.rome.delete("virtualnodes", TNS, name)
        self.ago = 0.0

    def pod(self, name: str = "web", namespace: str = "demo") -> Json:
        """A pod of rome, {} for none."""
        return self.rome.get("pods", namespace, name) or {}

    def remote(self, name: str = "web", namespace: str = TWIN) -> Json:
        """A pod of milan, {} for none."""
        return self.milan.get("pods", namespace, name) or {}

    def shadow(self, name: str = "web", namespace: str = TWIN) -> Json:
        """A ShadowPod, {} for none."""
        return self.milan.get("shadowpods", namespace, name) or {}

    def pod_ready(self, name: str = "web") -> str:
        """The status of the local pod's condition Ready, "" for none."""
        conditions = self.pod(name).get("status", {}).get("conditions", [])
        return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "")

    def play_kubelet(
        self, name: str = "web", phase: str = "Running", *, node: str = "worker", **status: Any
    ) -> None:
        """What milan's scheduler and kubelet say of a pod."""
        ready = "True" if phase == "Running" else "False"
        conditions = [{"type": one, "status": ready} for one in ("Ready", "ContainersReady")]
        state: Json = {"running": {}} if phase == "Running" else {"terminated": {"exitCode": 0}}
        container = {
            "name": "c",
            "image": "c",
            "restartCount": 0,
            "ready": phase == "Running",
            "state": state,
        }
        said: Json = {"phase": phase, "conditions": conditions, "containerStatuses": [container]}
        said |= {"hostIP": "192.168.0.9", "podIP": "10.71.0.7", "podIPs": [{"ip": "10.71.0.7"}]}
        self.milan.merge("pods", TWIN, name, {"spec": {"nodeName": node}, "status": said | status})

    async def run_pod(self, name: str = "web", **metadata: Any) -> None:
        """Have a pod run at milan and be Ready here."""
        self.bind_pod(name, **metadata)
        await self.until(lambda: self.remote(name))
        self.play_kubelet(name)
        await self.until(lambda: self.pod_ready(name) == "True")

    def node(self, name: str = "milan") -> Json | None:
        """The Node."""
        return self.rome.get("nodes", "", name)

    def ready(self, name: str = "milan") -> Json:
        """The Node's condition Ready, {} while there is none."""
        status = (self.node(name) or {}).get("status", {})
        return next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})

    def condition(self, type_: str, name: str = "milan", namespace: str = TNS) -> Json:
        """A condition of the VirtualNode, {} while there is none."""
        found = self.rome.get("virtualnodes", namespace, name) or {}
        conditions = found.get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == type_), {})

    def gone(self, name: str = "milan", namespace: str = TNS) -> bool:
        """Whether the VirtualNode has ended."""
        return self.rome.get("virtualnodes", namespace, name) is None

    async def until(self, true: Callable[[], Any], timeout: float = 30.0) -> Any:
        """Wait until something holds on either cluster."""
        return await self.rome.until(true, timeout)

    async def settle(self) -> None:
        """Let what is under way be done: what follows is then seen because it is watched, not by chance."""
        await asyncio.sleep(20)

    async def until_ready(self, name: str = "milan") -> Json:
        """Wait until the Node takes pods; the Node."""
        await self.until(lambda: self.ready(name).get("status") == "True")
        node = self.node(name)
        assert node is not None
        return node


@contextlib.asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    """Both clusters listening, and the credentials for milan in place; nothing runs yet."""
    stage = Stage(**settings)
    async with stage.rome, stage.milan:
        stage.admit()
        yield stage


@contextlib.asynccontextmanager
async def nodes(stage: Stage, options: Options = OPTIONS) -> AsyncIterator[OffloadedPods]:
    """The process that serves rome's virtual nodes, killed at the end of the block."""

    def setup(manager: Manager, options: Options) -> None:
        stage.registry = virtualnode.setup(manager, options)

    async with running(stage.rome, setup, options=options):
        yield stage.registry


@contextlib.asynccontextmanager
async def serving(stage: Stage) -> AsyncIterator[None]:
    """The process that makes the pods of ShadowPods at milan, killed at the end of the block."""
    async with running(stage.milan, shadowpod.setup, options=Options(cluster_id="milan")):
        yield


@contextlib.asynccontextmanager
async def offloaded(options: Options = OPTIONS, **settings: Any) -> AsyncIterator[Stage]:
    """Both clusters at work, with a virtual node and the namespace demo offloaded."""
    async with staged(**settings) as stage, serving(stage), nodes(stage, options):
        stage.make_node()
        stage.accept(demo=TWIN)
        await stage.until_ready()
        yield stage

"""What a life runs abroad: a Deployment, a StatefulSet and Jobs, all in the provider and nowhere else.

Whether it is as it should be is told as what is lacking, in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isthmus.offloading.pods.metadata import POD_UID
from tests.cluster.kills.reading import Item, Reader, is_ready
from tests.cluster.support import TEST_IMAGE, deployment

NAMESPACE = "life"
TWIN = "life-rome"
PODS = "/api/v1/namespaces/{}/pods"
OFFLOADING = "/apis/offloading.liqo.io/v1beta1"
JOB_PODS = 3
SELECTOR = {"liqo.io/type": "virtual-node"}
JOB_SCRIPT = "sleep $(( $(date +%s) % 3 + 1 ))"
"""Ends one to three seconds after its start, so that pods end at different moments of a phase."""


def forge_web(replicas: int) -> dict[str, Any]:
    """The Deployment."""
    return _placed(deployment("web", replicas=replicas, remote_only=True))


def forge_store() -> dict[str, Any]:
    """A StatefulSet of one pod, whose successor has its name."""
    manifest = _placed(deployment("store", replicas=1, remote_only=True))
    manifest["kind"] = "StatefulSet"
    manifest["spec"]["serviceName"] = "store"
    return manifest


def forge_job(name: str) -> dict[str, Any]:
    """A Job that fails for good with the first pod that does."""
    container = {
        "name": "main",
        "image": TEST_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", JOB_SCRIPT],
        "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}},
    }
    pod = {"restartPolicy": "Never", "nodeSelector": SELECTOR, "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "completions": JOB_PODS,
            "parallelism": JOB_PODS,
            "backoffLimit": 0,
            "template": {"spec": pod},
        },
    }


def forge_settings() -> list[dict[str, Any]]:
    """What is reflected beside pods."""
    metadata = {"name": "settings", "namespace": NAMESPACE}
    port = {"port": 80, "targetPort": 8080}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"c": "d"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"selector": {"app": "web"}, "ports": [port]},
        },
    ]


def _placed(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": NAMESPACE}}


def find_lacking(rome: Reader, milan: Reader, replicas: int, jobs: Sequence[str]) -> list[str]:
    """What the workload lacks while it runs abroad."""
    here, there = rome.items(PODS.format(NAMESPACE)), milan.items(PODS.format(TWIN))
    shadows = milan.items(f"{OFFLOADING}/namespaces/{TWIN}/shadowpods")
    faults = find_unfinished(rome, jobs)
    for name, number in (("web", replicas), ("store", 1)):
        pods = of_app(here, name)
        ready = sum(map(is_ready, pods))
        if not ready == len(pods) == number:
            faults.append(f"{ready} of {len(pods)} pods of {name} are Ready, not {number}")
    return [*faults, *find_unpaired(here, there, shadows)]


def find_lacking_at_home(rome: Reader, replicas: int, jobs: Sequence[str]) -> list[str]:
    """What it lacks while there is no provider: its pods wait, and its Jobs are as done as they were."""
    faults = find_unfinished(rome, jobs)
    here = rome.items(PODS.format(NAMESPACE))
    for name, number in (("web", replicas), ("store", 1)):
        pods = of_app(here, name)
        waiting = sum(
            one["status"].get("phase") == "Pending" and not one["spec"].get("nodeName") for one in pods
        )
        if not waiting == len(pods) == number:
            faults.append(f"{waiting} of {len(pods)} pods of {name} wait, not {number}")
    return faults


def count_ready(rome: Reader, name: str) -> int:
    """How many pods of the Deployment or StatefulSet are Ready."""
    return sum(map(is_ready, of_app(rome.items(PODS.format(NAMESPACE)), name)))


def of_app(pods: list[Item], name: str) -> list[Item]:
    """The pods of the Deployment or StatefulSet."""
    return [one for one in pods if one["metadata"].get("labels", {}).get("app") == name]


def find_unfinished(rome: Reader, jobs: Sequence[str]) -> list[str]:
    """Which Jobs are not done, each of their pods having succeeded."""
    done = {"succeeded": JOB_PODS, "failed": 0, "active": 0}
    found = {
        job["metadata"]["name"]: {key: job.get("status", {}).get(key, 0) for key in done}
        for job in rome.items(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")
    }
    return [f"job {name} is at {found.get(name)}" for name in jobs if found.get(name) != done]


def find_unpaired(here: list[Item], there: list[Item], shadows: list[Item]) -> list[str]:
    """Pods abroad without one at home, ones at home that have not ended without one abroad, and so for ShadowPods."""
    at_home = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in here}
    served = {pod["metadata"].get("annotations", {}).get(POD_UID, ""): pod for pod in there}
    wanted = {one["metadata"]["uid"] for one in shadows}
    faults = [
        f"{pod['metadata']['name']} runs abroad for nobody"
        for uid, pod in served.items()
        if uid not in at_home or pod["metadata"]["ownerReferences"][0]["uid"] not in wanted
    ]
    faults += [
        f"{pod['metadata']['name']} has no pod abroad"
        for pod in here
        if pod["status"].get("phase") != "Succeeded" and pod["metadata"]["uid"] not in served
    ]
    if len(served) != len(there):
        faults.append("two pods abroad run for the same one")
    names = {one["metadata"]["name"] for one in shadows} - set(at_home.values())
    return [*faults, *(f"ShadowPod {name} is of nobody" for name in sorted(names))]

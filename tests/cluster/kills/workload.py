"""What a life runs abroad: a Deployment, a StatefulSet and Jobs, all in the provider and nowhere else.

Whether it is as it should be is told as what is lacking, in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isthmus.offloading.pods.metadata import POD_UID
from tests.cluster.support import TEST_IMAGE, Cluster, deployment, ready_pods

NAMESPACE = "life"
TWIN = "life-rome"
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


def find_lacking(rome: Cluster, milan: Cluster, replicas: int, jobs: Sequence[str]) -> list[str]:
    """What the workload lacks while it runs abroad."""
    return [
        *_unfinished(rome, jobs),
        *_unready(rome, "web", replicas),
        *_unready(rome, "store", 1),
        *_unpaired(rome, milan),
    ]


def find_lacking_at_home(rome: Cluster, replicas: int, jobs: Sequence[str]) -> list[str]:
    """What it lacks while there is no provider: its pods wait, and its Jobs are as done as they were."""
    faults = _unfinished(rome, jobs)
    for name, number in (("web", replicas), ("store", 1)):
        pods = rome.items("pods", "-n", NAMESPACE, "-l", f"app={name}")
        waiting = [
            one for one in pods if one["status"].get("phase") == "Pending" and not one["spec"].get("nodeName")
        ]
        if len(waiting) != number or len(pods) != number:
            faults.append(f"{len(waiting)} of {len(pods)} pods of {name} wait, not {number}")
    return faults


def _unfinished(rome: Cluster, jobs: Sequence[str]) -> list[str]:
    found = {
        job["metadata"]["name"]: {
            key: job.get("status", {}).get(key, 0) for key in ("succeeded", "failed", "active")
        }
        for job in rome.items("jobs", "-n", NAMESPACE)
    }
    done = {"succeeded": JOB_PODS, "failed": 0, "active": 0}
    return [f"job {name} is at {found.get(name)}" for name in jobs if found.get(name) != done]


def _unready(rome: Cluster, name: str, number: int) -> list[str]:
    ready = len(ready_pods(rome, NAMESPACE, f"app={name}"))
    there = len(rome.items("pods", "-n", NAMESPACE, "-l", f"app={name}"))
    return [] if ready == there == number else [f"{ready} of {there} pods of {name} are Ready, not {number}"]


def _unpaired(rome: Cluster, milan: Cluster) -> list[str]:
    """Pods abroad without one at home, and running ones at home without one abroad."""
    here = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in rome.items("pods", "-n", NAMESPACE)}
    there = milan.items("pods", "-n", TWIN)
    shadows = {
        one["metadata"]["uid"]: one["metadata"]["name"] for one in milan.items("shadowpods", "-n", TWIN)
    }
    served = [pod["metadata"].get("annotations", {}).get(POD_UID, "") for pod in there]
    owners = [pod["metadata"]["ownerReferences"][0]["uid"] for pod in there]
    ended = {
        pod["metadata"]["uid"]
        for pod in rome.items("pods", "-n", NAMESPACE)
        if pod["status"].get("phase") == "Succeeded"
    }
    faults = [
        f"{pod['metadata']['name']} runs abroad for nobody"
        for pod, uid in zip(there, served, strict=True)
        if uid not in here
    ]
    faults += [
        f"{name} has no pod abroad" for uid, name in here.items() if uid not in served and uid not in ended
    ]
    faults += [f"pod of ShadowPod {uid} that is gone" for uid in owners if uid not in shadows]
    faults += [f"ShadowPod {name} of nobody" for name in shadows.values() if name not in here.values()]
    return faults

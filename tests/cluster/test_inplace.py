"""What users change in a running pod with stock kubectl, seen in the pod that really runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.peering import Pair
from tests.cluster.support import TEST_IMAGE, Cluster, eventually

SOON = 60.0
ON_VIRTUAL_NODES = {"liqo.io/type": "virtual-node"}
CONTAINER: dict[str, Any] = {
    "name": "main",
    "image": TEST_IMAGE,
    "imagePullPolicy": "IfNotPresent",
    "command": ["sleep", "3600"],
    "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
}


@pytest.fixture
def web(peered: Pair, namespace: str) -> str:
    """A running offloaded pod `web`; the name of its namespace."""
    rome, _ = peered
    spec = {
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": ON_VIRTUAL_NODES,
        "containers": [CONTAINER],
    }
    rome.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": spec,
        }
    )
    eventually(
        lambda: rome.get("pod", "web", "-n", namespace)["status"].get("phase") == "Running",
        within=SOON,
        what="the pod to run",
    )
    return namespace


def patch(cluster: Cluster, namespace: str, change: dict[str, Any], *more: str, check: bool = True) -> str:
    done = cluster.kubectl(
        "patch", "pod", "web", "-n", namespace, "-p", json.dumps(change), *more, check=check
    )
    return done.stderr


def test_images_deadline_and_tolerations_follow(peered: Pair, web: str) -> None:
    rome, milan = peered
    twin = f"{web}-rome"
    # The only other image of the lab; it has no sleep, so the container starts in vain, but of that image.
    controller = milan.get("deployment", "liqo-controller-manager", "-n", "liqo")
    image = controller["spec"]["template"]["spec"]["containers"][0]["image"]
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    present = rome.get("pod", "web", "-n", web)["spec"]["tolerations"]
    change: dict[str, Any] = {
        "spec": {
            "containers": [{"name": "main", "image": image}],
            "activeDeadlineSeconds": 3600,
            "tolerations": [*present, toleration],
        }
    }
    uid = milan.get("pod", "web", "-n", twin)["metadata"]["uid"]
    patch(rome, web, change)

    def followed() -> bool:
        pod = milan.get("pod", "web", "-n", twin)
        spec, (status,) = pod["spec"], pod["status"]["containerStatuses"]
        return (
            pod["metadata"]["uid"] == uid
            and spec["containers"][0]["image"] == image
            and spec.get("activeDeadlineSeconds") == 3600
            and toleration in spec["tolerations"]
            and status["restartCount"] >= 1
            and status["image"] == image
        )

    eventually(followed, within=SOON, what="the change of the running remote pod")
    eventually(
        lambda: rome.get("pod", "web", "-n", web)["status"]["containerStatuses"][0]["restartCount"] >= 1,
        within=SOON,
        what="the restart to be seen at home",
    )
    assert not rome.items("events", "-n", web, "--field-selector=reason=ChangeNotApplied")


def test_a_resize_follows_and_is_held_to_the_quota(peered: Pair, web: str) -> None:
    rome, milan = peered
    twin = f"{web}-rome"

    def resize(cpu: str) -> None:
        change = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}}
        patch(rome, web, change, "--subresource=resize")

    def requested() -> str:
        pod = milan.get("pod", "web", "-n", twin)
        return str(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"])

    resize("7m")
    eventually(lambda: requested() == "7m", within=SOON, what="the resize of the remote pod")
    eventually(
        lambda: (
            rome.get("pod", "web", "-n", web)["status"]["containerStatuses"][0]
            .get("resources", {})
            .get("requests", {})
            .get("cpu")
            == "7m"
        ),
        within=SOON,
        what="the resize to be seen at home",
    )
    # As much as the whole node has: this cluster lets that pass, but the pod is not alone.
    node = rome.get("pod", "web", "-n", web)["spec"]["nodeName"]
    beside = {"containers": [{**CONTAINER, "name": "beside"}], "nodeSelector": ON_VIRTUAL_NODES}
    rome.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "beside", "namespace": web}, "spec": beside}
    )
    eventually(lambda: milan.get("shadowpod", "beside", "-n", twin), within=SOON, what="a pod beside it")
    resize(rome.get("node", node)["status"]["allocatable"]["cpu"])

    def refused() -> bool:
        events = rome.items("events", "-n", web, "--field-selector=reason=FailedReflection")
        return any("cpu quota usage exceeded" in event["message"] for event in events)

    eventually(refused, within=SOON, what="the provider's refusal as an event")
    assert requested() == "7m"
    resize("6m")
    eventually(lambda: requested() == "6m", within=SOON, what="the next resize")


def test_a_debug_container_runs_at_the_provider(peered: Pair, web: str) -> None:
    rome, milan = peered
    rome.kubectl(
        *("debug", "web", "-n", web, f"--image={TEST_IMAGE}", "--image-pull-policy=IfNotPresent"),
        *("--container=debugger", "--", "sh", "-c", "echo here; sleep 600"),
    )

    def running(cluster: Cluster, namespace: str) -> bool:
        status = cluster.get("pod", "web", "-n", namespace)["status"]
        return any("running" in each["state"] for each in status.get("ephemeralContainerStatuses", []))

    eventually(lambda: running(milan, f"{web}-rome"), within=SOON, what="the debug container")
    eventually(lambda: running(rome, web), within=SOON, what="the debug container to be seen at home")
    done = rome.kubectl("exec", "web", "-n", web, "-c", "debugger", "--", "echo", "inside")
    assert done.stdout == "inside\n"
    assert rome.kubectl("logs", "web", "-n", web, "-c", "debugger").stdout == "here\n"

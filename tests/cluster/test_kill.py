"""Processes of ours and API servers killed in the middle of a burst: every pod becomes Ready, exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from isthmus import lab
from tests.cluster.support import TEST_IMAGE, Cluster, deployment, eventually, ready_pods
from tests.processes import mains

BURST = 40
"""Pods; of the machine that CI has, a hundred take minutes."""
OUTAGE_SECONDS = 20


def _kill_controller(cluster: str) -> None:
    running = mains("controller", cluster)
    assert running, f"no controller of {cluster} runs"
    for process in running:
        process.kill()


def _outage(cluster: str) -> None:
    lab.stop_api_server(cluster)
    time.sleep(OUTAGE_SECONDS)
    lab.start_api_server(cluster)


@pytest.mark.parametrize(
    ("strike", "side"),
    [
        pytest.param(_kill_controller, "rome", id="controller of the consumer"),
        pytest.param(_kill_controller, "milan", id="controller of the provider", marks=pytest.mark.endurance),
        pytest.param(_outage, "rome", id="API server of the consumer for 20 s", marks=pytest.mark.endurance),
        pytest.param(_outage, "milan", id="API server of the provider for 20 s"),
    ],
)
def test_a_burst_survives(
    peered: tuple[Cluster, Cluster], namespace: str, strike: Callable[[str], None], side: str
) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    rome.apply(
        {
            **deployment("burst", replicas=BURST, remote_only=True),
            "metadata": {"name": "burst", "namespace": namespace},
        }
    )
    eventually(
        lambda: len(milan.items("shadowpods", "-n", twin)) >= BURST // 4,
        within=90,
        what="a quarter of the burst",
    )
    strike(side)
    eventually(
        lambda: len(ready_pods(rome, namespace, "app=burst")) == BURST,
        within=240,
        what=f"{BURST} Ready pods after the strike",
        every=1,
    )
    here = rome.items("pods", "-n", namespace)
    there = milan.items("pods", "-n", twin)
    shadows = milan.items("shadowpods", "-n", twin)
    names = sorted(pod["metadata"]["name"] for pod in here)
    assert len(names) == BURST, "a pod was lost or made again at home"
    assert sorted(pod["metadata"]["name"] for pod in there) == names
    assert sorted(shadow["metadata"]["name"] for shadow in shadows) == names
    restarts = [s["restartCount"] for pod in there for s in pod["status"]["containerStatuses"]]
    assert set(restarts) == {0}, "a container was started twice"
    owners = {pod["metadata"]["ownerReferences"][0]["uid"] for pod in there}
    assert owners == {shadow["metadata"]["uid"] for shadow in shadows}


CONTROLLER = "deployment/liqo-controller-manager"


def _job_pod(namespace: str, name: str, exit_code: int = 0) -> dict[str, object]:
    """A pod that ends when it is told to, and not of being asked to stop."""
    until_told = f"trap '' TERM; while [ ! -e /tmp/end ]; do sleep 0.1; done; exit {exit_code}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            "nodeSelector": {"liqo.io/type": "virtual-node"},
            "containers": [
                {
                    "name": "main",
                    "image": TEST_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", until_told],
                    "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}},
                }
            ],
        },
    }


def _phase(cluster: Cluster, namespace: str, name: str) -> str:
    pod = cluster.get("pod", name, "-n", namespace)
    return "" if pod is None else str(pod["status"].get("phase", ""))


def _controllers(cluster: Cluster) -> list[dict[str, object]]:
    return cluster.items("pods", "-n", "liqo", "-l", "app.kubernetes.io/name=controller-manager")


@contextmanager
def _without_controller(*clusters: Cluster) -> Iterator[None]:
    """No controller runs in these clusters for as long as the block lasts."""
    try:
        for cluster in clusters:
            cluster.kubectl("scale", "-n", "liqo", CONTROLLER, "--replicas=0")
        for cluster in clusters:
            eventually(lambda api=cluster: not _controllers(api), within=60, what="the controller's end")
        yield
    finally:
        for cluster in clusters:
            cluster.kubectl("scale", "-n", "liqo", CONTROLLER, "--replicas=1")
        for cluster in clusters:
            cluster.kubectl("rollout", "status", "-n", "liqo", CONTROLLER, "--timeout=90s", timeout=100)


@pytest.mark.parametrize(
    ("exit_code", "deletion", "phase"),
    [
        pytest.param(0, [], "Succeeded", id="it succeeds"),
        pytest.param(3, [], "Failed", id="it fails"),
        pytest.param(3, ["--grace-period=0", "--force"], "Failed", id="it fails and is removed by force"),
    ],
)
@pytest.mark.parametrize("both", [False, True], ids=["provider down", "both down"])
def test_a_pod_that_ended_unseen_is_not_run_again(
    peered: tuple[Cluster, Cluster],
    namespace: str,
    exit_code: int,
    deletion: list[str],
    phase: str,
    both: bool,
) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    rome.apply(_job_pod(namespace, "once", exit_code))
    eventually(lambda: _phase(rome, namespace, "once") == "Running", within=60, what="the pod to run")
    uid = milan.get("pod", "once", "-n", twin)["metadata"]["uid"]
    with _without_controller(milan, *([rome] if both else [])):
        milan.kubectl("exec", "once", "-n", twin, "--", "touch", "/tmp/end")
        eventually(lambda: _phase(milan, twin, "once") == phase, within=60, what="its end")
        milan.kubectl("delete", "pod", "once", "-n", twin, "--wait=false", *deletion)
        left = milan.get("pod", "once", "-n", twin)
        assert "deletionTimestamp" in left["metadata"], "it waits for its end to be recorded"
    eventually(lambda: _phase(rome, namespace, "once") == phase, within=60, what="the end at home")
    eventually(lambda: milan.get("pod", "once", "-n", twin) is None, within=60, what="the pod to go")
    assert milan.get("shadowpod", "once", "-n", twin)["status"]["phase"] == phase
    # What would run again would be there before a pod made afterwards runs.
    rome.apply(_job_pod(namespace, "after"))
    eventually(lambda: _phase(rome, namespace, "after") == "Running", within=60, what="a later pod")
    assert {pod["metadata"]["name"] for pod in milan.items("pods", "-n", twin)} == {"after"}
    started = {
        event["involvedObject"]["uid"]
        for event in milan.items("events", "-n", twin, "--field-selector", "reason=Started")
        if event["involvedObject"]["name"] == "once"
    }
    assert started == {uid}


def test_a_pod_that_was_killed_unseen_comes_again(peered: tuple[Cluster, Cluster], namespace: str) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    rome.apply(_job_pod(namespace, "once"))
    eventually(lambda: _phase(rome, namespace, "once") == "Running", within=60, what="the pod to run")
    uid = milan.get("pod", "once", "-n", twin)["metadata"]["uid"]
    with _without_controller(milan):
        milan.kubectl("delete", "pod", "once", "-n", twin, "--wait=false")
        eventually(lambda: _phase(milan, twin, "once") == "Failed", within=60, what="its killing")

    def again() -> bool:
        found = milan.get("pod", "once", "-n", twin)
        running = found is not None and found["status"].get("phase") == "Running"
        return running and found["metadata"]["uid"] != uid

    eventually(again, within=60, what="the pod made again")
    assert _phase(rome, namespace, "once") == "Running"


def test_nothing_waits_for_a_controller_when_the_pod_is_not_wanted_any_more(
    peered: tuple[Cluster, Cluster], namespace: str
) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    rome.apply(_job_pod(namespace, "once"))
    eventually(lambda: _phase(rome, namespace, "once") == "Running", within=60, what="the pod to run")
    with _without_controller(milan):
        rome.kubectl("delete", "pod", "once", "-n", namespace, "--wait=false")
        eventually(
            lambda: milan.get("shadowpod", "once", "-n", twin) is None, within=60, what="the ShadowPod's end"
        )
    eventually(lambda: milan.get("pod", "once", "-n", twin) is None, within=60, what="the pod to go")
    eventually(lambda: rome.get("pod", "once", "-n", namespace) is None, within=60, what="its end at home")

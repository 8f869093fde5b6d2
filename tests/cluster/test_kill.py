"""Processes of ours and API servers killed in the middle of a burst: every pod becomes Ready, exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from isthmus import lab
from tests.cluster.peering import Pair
from tests.cluster.support import TEST_IMAGE, Cluster, deployment, eventually, ready_pods
from tests.processes import mains

BURST = 20
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
        pytest.param(_outage, "milan", id="API server of the provider for 20 s", marks=pytest.mark.endurance),
    ],
)
def test_a_burst_survives(peered: Pair, namespace: str, strike: Callable[[str], None], side: str) -> None:
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
ENDED: dict[str, tuple[int, tuple[str, ...], str]] = {
    "succeeds": (0, (), "Succeeded"),
    "fails": (3, (), "Failed"),
    "forced": (3, ("--grace-period=0", "--force"), "Failed"),
}
"""Pods that end by themselves: with which code, how they are deleted at the provider, in which phase they stay."""


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


def _phases(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The phase of each pod of a namespace, by name."""
    pods = cluster.items("pods", "-n", namespace)
    return {pod["metadata"]["name"]: pod["status"].get("phase", "") for pod in pods}


def _uids(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The uid of each pod of a namespace, by name."""
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in cluster.items("pods", "-n", namespace)}


def _run_jobs(rome: Cluster, namespace: str, *names: str) -> None:
    rome.apply(*(_job_pod(namespace, name, ENDED.get(name, (0,))[0]) for name in names))
    eventually(
        lambda: dict.fromkeys(names, "Running").items() <= _phases(rome, namespace).items(),
        within=60,
        what=f"the pods {names} to run",
    )


def _started(milan: Cluster, twin: str, *names: str) -> dict[str, set[str]]:
    """Of each of these names, the uids of the pods that were started."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for event in milan.items("events", "-n", twin, "--field-selector", "reason=Started"):
        if (about := event["involvedObject"])["name"] in found:
            found[about["name"]].add(about["uid"])
    return found


def _end_unseen(milan: Cluster, twin: str) -> None:
    """End the pods of ENDED and delete them at the provider, where no controller runs."""
    for name in ENDED:
        milan.kubectl("exec", name, "-n", twin, "--", "touch", "/tmp/end")
    wanted = {name: phase for name, (_, _, phase) in ENDED.items()}
    eventually(
        lambda: wanted.items() <= _phases(milan, twin).items(),
        within=60,
        what="the ends of the pods",
        instead=lambda: _phases(milan, twin),
    )
    for name, (_, deletion, _) in ENDED.items():
        milan.kubectl("delete", "pod", name, "-n", twin, "--wait=false", *deletion)
        left = milan.get("pod", name, "-n", twin)
        assert "deletionTimestamp" in left["metadata"], "it waits for its end to be recorded"


def _assert_not_run_again(rome: Cluster, milan: Cluster, namespace: str, uids: dict[str, str]) -> None:
    """What ended unseen is known at home, gone at the provider, and was started once."""
    twin = f"{namespace}-rome"
    wanted = {name: phase for name, (_, _, phase) in ENDED.items()}
    eventually(
        lambda: wanted.items() <= _phases(rome, namespace).items(),
        within=60,
        what="the ends at home",
        instead=lambda: _phases(rome, namespace),
    )
    eventually(lambda: not ENDED.keys() & _phases(milan, twin).keys(), within=60, what="the pods to go")
    for name, phase in wanted.items():
        assert milan.get("shadowpod", name, "-n", twin)["status"]["phase"] == phase
    # What would run again would be there before a pod made afterwards runs.
    _run_jobs(rome, namespace, "after")
    assert not ENDED.keys() & _phases(milan, twin).keys()
    assert _started(milan, twin, *ENDED) == {name: {uids[name]} for name in ENDED}


@contextmanager
def _without_controller(*clusters: Cluster) -> Iterator[None]:
    """No controller runs in these clusters for as long as the block lasts."""
    selector = ("pods", "-n", "liqo", "-l", "app.kubernetes.io/name=controller-manager")
    try:
        for cluster in clusters:
            cluster.kubectl("scale", "-n", "liqo", CONTROLLER, "--replicas=0")
        for cluster in clusters:
            eventually(lambda api=cluster: not api.items(*selector), within=60, what="the controller's end")
        yield
    finally:
        for cluster in clusters:
            cluster.kubectl("scale", "-n", "liqo", CONTROLLER, "--replicas=1")
        for cluster in clusters:
            cluster.kubectl("rollout", "status", "-n", "liqo", CONTROLLER, "--timeout=90s", timeout=100)


def test_what_ends_while_the_providers_controller_is_down(peered: Pair, namespace: str) -> None:
    """What ended is not run again, what was killed is, and what is not wanted any more waits for no controller."""
    rome, milan = peered
    twin = f"{namespace}-rome"
    _run_jobs(rome, namespace, *ENDED, "killed", "unwanted")
    uids = _uids(milan, twin)
    with _without_controller(milan):
        rome.kubectl("delete", "pod", "unwanted", "-n", namespace, "--wait=false")
        milan.kubectl("delete", "pod", "killed", "-n", twin, "--wait=false")
        _end_unseen(milan, twin)
        eventually(lambda: _phases(milan, twin).get("killed") == "Failed", within=60, what="its killing")
        gone = ("shadowpod", "unwanted", "-n", twin)
        eventually(lambda: milan.get(*gone) is None, within=60, what="the ShadowPod's end")

    def again() -> bool:
        running = _phases(milan, twin).get("killed") == "Running"
        return running and _uids(milan, twin)["killed"] != uids["killed"]

    eventually(again, within=60, what="the killed pod made again")
    assert _phases(rome, namespace)["killed"] == "Running"
    eventually(lambda: "unwanted" not in _phases(milan, twin), within=60, what="the pod to go")
    eventually(lambda: "unwanted" not in _phases(rome, namespace), within=60, what="its end at home")
    _assert_not_run_again(rome, milan, namespace, uids)
    assert _phases(milan, twin).keys() == {"killed", "after"}


def test_what_ends_while_both_controllers_are_down_is_not_run_again(peered: Pair, namespace: str) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    _run_jobs(rome, namespace, *ENDED)
    uids = _uids(milan, twin)
    with _without_controller(milan, rome):
        _end_unseen(milan, twin)
    _assert_not_run_again(rome, milan, namespace, uids)

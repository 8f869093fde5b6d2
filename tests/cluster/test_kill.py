"""Processes of ours and API servers killed in the middle of a burst: every pod becomes Ready, exactly once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus import lab
from tests.cluster.support import Cluster, deployment, eventually, ready_pods

BURST = 100
OUTAGE_SECONDS = 20


def controller_pids(cluster: str) -> list[int]:
    """The process ids of a cluster's controller, found by what it was started with."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if (
            b"isthmus" in command
            and b"controller" in command
            and f'"cluster_id":"{cluster}"'.encode() in environment
        ):
            found.append(int(process.name))
    return found


def _kill_controller(cluster: str) -> None:
    pids = controller_pids(cluster)
    assert pids, f"no controller of {cluster} runs"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _outage(cluster: str) -> None:
    lab.stop_api_server(cluster)
    time.sleep(OUTAGE_SECONDS)
    lab.start_api_server(cluster)


@pytest.mark.parametrize(
    ("strike", "side"),
    [
        pytest.param(_kill_controller, "rome", id="controller of the consumer"),
        pytest.param(_kill_controller, "milan", id="controller of the provider"),
        pytest.param(_outage, "rome", id="API server of the consumer for 20 s"),
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

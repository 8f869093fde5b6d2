"""What `info` and `info peer` tell a newcomer when a peering is in trouble: what is wrong, and what mends it.

One peering goes through one trouble after another; each is read by people and by scripts, and mended as it says.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from isthmus import lab
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

Pair = tuple[Cluster, Cluster]
HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"
MARKS = ("--global-labels", "team=blue", "--global-annotations", "of=${kind}/${name}")


def command(cluster: Cluster, *arguments: str) -> str:
    """A command in one cluster; what it prints."""
    return isthmus(*arguments, "--kubeconfig", str(cluster.kubeconfig)).stdout


def told(cluster: Cluster, peer: str) -> list[str]:
    """Everything that `info peer` says is wrong."""
    report: dict[str, Any] = json.loads(command(cluster, "info", "peer", peer, "-o", "json"))[peer]
    return [line for part in ("authentication", "offloading", "network") for line in report[part]["alerts"]]


def says(cluster: Cluster, peer: str, *words: str) -> bool:
    """Whether one line has all these words, for people and for scripts."""
    shown = [line for line in command(cluster, "info", "peer", peer).splitlines() if "    ! " in line]
    return all(any(all(word in line for word in words) for line in of) for of in (told(cluster, peer), shown))


@pytest.fixture
def small(installed: Pair) -> Iterator[tuple[Cluster, Cluster, str]]:
    """Rome may use one CPU of milan, and has a namespace there; both without a trace afterwards."""
    rome, milan = installed
    both = ("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig))
    isthmus("unpeer", *both, "--skip-confirm")
    isthmus(
        *("peer", *both, "--networking-disabled", "--cpu", "1", "--memory", "1Gi", "--pods", "10", *MARKS)
    )
    name = f"told-{uuid.uuid4().hex[:6]}"
    rome.kubectl("create", "namespace", name)
    command(rome, "offload", "namespace", name)
    yield rome, milan, name
    lab.start_api_server("milan")
    eventually(lambda: milan.get("namespace", "default"), within=60, what="milan's API server")
    rome.kubectl("delete", "namespace", name, "--wait=false")
    isthmus("unpeer", *both, "--skip-confirm", timeout=240)


def run_away(rome: Cluster, namespace: str, replicas: int) -> None:
    """So many pods of 400 millicores in milan."""
    requests = {"requests": {"cpu": "400m", "memory": "4Mi"}}
    wanted = deployment("away", replicas=replicas, remote_only=True, container={"resources": requests})
    wanted["metadata"]["namespace"] = namespace
    rome.apply(wanted)


def test_each_trouble_is_told_with_what_mends_it(small: tuple[Cluster, Cluster, str]) -> None:
    rome, milan, namespace = small
    check_marks_and_keys(rome, milan)
    eventually(lambda: told(rome, "milan") == told(milan, "rome") == [], within=60, what="nothing wrong")

    run_away(rome, namespace, 3)
    full = ("virtual node milan is full: 1 pod waits for room", "cpu 400m of 200m free")
    mend = "isthmus create resourceslice milan --remote-cluster-id milan --cpu N --memory N --pods N"
    eventually(lambda: says(rome, "milan", *full, mend), within=60, what="that the virtual node is full")
    eventually(lambda: "(cpu 800m of 1," in command(milan, "info", "peer", "rome"), within=60, what="its use")
    larger = ("--cpu", "4", "--memory", "2Gi", "--pods", "20")
    command(rome, "create", "resourceslice", "milan", "--remote-cluster-id", "milan", *larger)
    eventually(lambda: len(ready_pods(rome, namespace)) == 3, within=90, what="all pods")

    command(milan, "cordon", "tenant", "rome")
    assert says(milan, "rome", "rome is cordoned", "isthmus uncordon tenant rome")
    run_away(rome, namespace, 4)
    cordoned = ("1 pod on virtual node milan waits: milan refuses", "isthmus uncordon tenant rome")
    eventually(lambda: says(rome, "milan", *cordoned), within=60, what="that milan takes no new pods")
    command(milan, "uncordon", "tenant", "rome")
    eventually(lambda: len(ready_pods(rome, namespace)) == 4, within=120, what="the fourth pod")

    check_a_silent_provider(rome)
    command(milan, "drain", "tenant", "rome", "--skip-confirm")
    assert says(milan, "rome", "rome is drained", "isthmus activate tenant rome")
    refused = ("milan lets this cluster do nothing any more", "isthmus activate tenant rome")
    eventually(lambda: says(rome, "milan", *refused), within=60, what="that milan put rome out")
    command(milan, "activate", "tenant", "rome")
    eventually(lambda: len(ready_pods(rome, namespace)) == 4, within=120, what="the pods again")
    eventually(lambda: told(rome, "milan") == told(milan, "rome") == [], within=60, what="nothing wrong")


def check_a_silent_provider(rome: Cluster) -> None:
    """Milan's API server stops and starts again."""
    lab.stop_api_server("milan")
    silent = ("the API server of milan does not answer", "check that it runs", "isthmus force unpeer milan")
    eventually(lambda: says(rome, "milan", *silent), within=60, what="that milan is silent")
    node = ("virtual node milan is not ready: ", "milan does not answer")
    eventually(lambda: says(rome, "milan", *node), within=60, what="that the virtual node is not ready")
    shown = command(rome, "info")
    assert "  milan     Provider   Unhealthy" in shown
    assert "isthmus info peer milan says what is wrong" in shown
    get = ("info", "peer", "milan", "--get", "authentication.status")
    assert command(rome, *get) == "Unhealthy\n"
    lab.start_api_server("milan")
    eventually(lambda: told(rome, "milan") == [], within=90, what="nothing wrong any more")


def check_marks_and_keys(rome: Cluster, milan: Cluster) -> None:
    """What was made carries what the flags said, and the kubeconfig of the peering may do its work and no more."""
    for cluster, kind, name, namespace in (
        (rome, "ResourceSlice", "milan", HOME),
        (rome, "Identity", "controlplane-milan", HOME),
        (milan, "Tenant", "rome", AWAY),
    ):
        metadata = cluster.get(f"{kind.lower()}.authentication.liqo.io", name, "-n", namespace)["metadata"]
        assert metadata["labels"]["team"] == "blue"
        assert metadata["annotations"]["of"] == f"{kind}/{name}"
    assert command(rome, "version").startswith("Client version: ")
    kubeconfig = command(rome, "get", "kubeconfig", "--remote-cluster-id", "milan")
    for verb, what, answer in (
        ("create", "resourceslices.authentication.liqo.io", "yes"),
        ("create", "pods", "no"),
    ):
        done = milan.kubectl(
            *("--kubeconfig", "/dev/stdin", "auth", "can-i", verb, what, "-n", AWAY),
            stdin=kubeconfig,
            check=False,
        )
        assert done.stdout.strip() == answer

"""What `info` and `info peer` tell a newcomer when a peering is in trouble: what is wrong, and what mends it.

Each trouble of one peering is read by people and by scripts, and mended as it says.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from isthmus import lab
from tests.cluster.endings import Endings
from tests.cluster.peering import Pair, between, separate
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

Site = tuple[Cluster, Cluster, str]
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


@pytest.fixture(scope="module")
def small(installed: Pair, endings: Endings) -> Iterator[Site]:
    """Rome may use one CPU of milan, and has a namespace there; both without a trace afterwards."""
    rome, milan = installed
    separate(rome, milan)
    little = ("--cpu", "1", "--memory", "1Gi", "--pods", "10")
    isthmus("peer", *between(rome, milan), "--networking-disabled", *little, *MARKS)
    name = f"told-{uuid.uuid4().hex[:6]}"
    rome.kubectl("create", "namespace", name)
    command(rome, "offload", "namespace", name)
    yield rome, milan, name
    endings.delete(rome, name)
    endings.expect(milan, f"{name}-rome")
    separate(rome, milan)


@pytest.fixture
def well(small: Site) -> Site:
    """The peering with one pod in milan and nothing wrong."""
    rome, milan, namespace = small
    run_away(rome, namespace, 1)
    eventually(lambda: len(ready_pods(rome, namespace)) == 1, within=60, what="the pod")
    eventually(lambda: told(rome, "milan") == told(milan, "rome") == [], within=60, what="nothing wrong")
    return small


def run_away(rome: Cluster, namespace: str, replicas: int) -> None:
    """So many pods of 400 millicores in milan."""
    requests = {"requests": {"cpu": "400m", "memory": "4Mi"}}
    wanted = deployment("away", replicas=replicas, remote_only=True, container={"resources": requests})
    wanted["metadata"]["namespace"] = namespace
    rome.apply(wanted)


def test_what_was_made_carries_its_marks_and_the_kubeconfig_does_its_work_only(well: Site) -> None:
    rome, milan, _ = well
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


def test_a_consumer_that_is_cordoned_is_told_so_on_both_sides(well: Site) -> None:
    rome, milan, namespace = well
    command(milan, "cordon", "tenant", "rome")
    assert says(milan, "rome", "rome is cordoned", "isthmus uncordon tenant rome")
    run_away(rome, namespace, 2)
    cordoned = ("1 pod on virtual node milan waits: milan refuses", "isthmus uncordon tenant rome")
    eventually(lambda: says(rome, "milan", *cordoned), within=60, what="that milan takes no new pods")
    command(milan, "uncordon", "tenant", "rome")
    eventually(lambda: len(ready_pods(rome, namespace)) == 2, within=120, what="the second pod")
    eventually(lambda: told(rome, "milan") == told(milan, "rome") == [], within=60, what="nothing wrong")


def test_a_virtual_node_that_is_full_is_told_with_what_makes_it_larger(well: Site) -> None:
    rome, milan, namespace = well
    run_away(rome, namespace, 3)
    full = ("virtual node milan is full: 1 pod waits for room", "cpu 400m of 200m free")
    mend = "isthmus create resourceslice milan --remote-cluster-id milan --cpu N --memory N --pods N"
    eventually(lambda: says(rome, "milan", *full, mend), within=60, what="that the virtual node is full")
    eventually(lambda: "(cpu 800m of 1," in command(milan, "info", "peer", "rome"), within=60, what="its use")
    larger = ("--cpu", "4", "--memory", "2Gi", "--pods", "20")
    command(rome, "create", "resourceslice", "milan", "--remote-cluster-id", "milan", *larger)
    eventually(lambda: len(ready_pods(rome, namespace)) == 3, within=90, what="all pods")
    eventually(lambda: told(rome, "milan") == told(milan, "rome") == [], within=60, what="nothing wrong")


def test_a_consumer_that_is_drained_is_told_so_on_both_sides(well: Site) -> None:
    rome, milan, namespace = well
    command(milan, "drain", "tenant", "rome", "--skip-confirm")
    assert says(milan, "rome", "rome is drained", "isthmus activate tenant rome")
    refused = ("milan lets this cluster do nothing any more", "isthmus activate tenant rome")
    eventually(lambda: says(rome, "milan", *refused), within=60, what="that milan put rome out")
    command(milan, "activate", "tenant", "rome")
    eventually(lambda: len(ready_pods(rome, namespace)) == 1, within=120, what="the pod again")
    eventually(lambda: told(rome, "milan") == told(milan, "rome") == [], within=60, what="nothing wrong")


def test_a_provider_that_does_not_answer_is_told_until_it_does(well: Site) -> None:
    rome, _, _ = well
    lab.stop_api_server("milan")
    try:
        silent = (
            "the API server of milan does not answer",
            "check that it runs",
            "isthmus force unpeer milan",
        )
        eventually(lambda: says(rome, "milan", *silent), within=60, what="that milan is silent")
        node = ("virtual node milan is not ready: ", "milan does not answer")
        eventually(lambda: says(rome, "milan", *node), within=60, what="that the virtual node is not ready")
        shown = command(rome, "info")
        assert "  milan     Provider   Unhealthy" in shown
        assert "isthmus info peer milan says what is wrong" in shown
        get = ("info", "peer", "milan", "--get", "authentication.status")
        assert command(rome, *get) == "Unhealthy\n"
    finally:
        lab.start_api_server("milan")
    eventually(lambda: told(rome, "milan") == [], within=90, what="nothing wrong any more")

"""Traffic that says of itself when it was cut and when it came back.

The probe sends a numbered datagram ten times a second and prints, from its own clock, which is this machine's,
`lost T` with the time of the last answer once none came for half a second, and `back T` at the next answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.cluster.support import Cluster, eventually

IMAGE = "localhost/isthmus:latest"
PORT = 7007
SILENCE = 0.5
PATIENCE = 60.0
"""Seconds after which traffic that does not come back is given up."""

ECHO = f"""
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", {PORT}))
while True:
    data, peer = udp.recvfrom(65535)
    udp.sendto(data, peer)
"""

PROBE = f"""
import socket, sys, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(0.1)
target, last, lost, number = (sys.argv[1], {PORT}), time.time(), True, 0
while True:
    number += 1
    try:
        udp.sendto(b"%d" % number, target)
    except OSError:
        pass
    end = time.monotonic() + 0.1
    while (left := end - time.monotonic()) > 0:
        udp.settimeout(left)
        try:
            udp.recv(100)
        except OSError:
            continue
        last = time.time()
        if lost:
            print("back", last, flush=True)
            lost = False
    if not lost and time.time() - last > {SILENCE}:
        print("lost", last, flush=True)
        lost = True
"""


def pod(name: str, program: str, *arguments: str, **spec: Any) -> dict[str, Any]:
    """A pod that runs a Python program with the image of Isthmus, which every node has."""
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-c", program, *arguments],
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def run_pods(cluster: Cluster, namespace: str, *pods: dict[str, Any]) -> dict[str, str]:
    """Make pods; returns the address of each, as their cluster sees it, once all are Ready."""
    for one in pods:
        one["metadata"]["namespace"] = namespace
    cluster.apply(*pods)
    names = [one["metadata"]["name"] for one in pods]
    cluster.kubectl(
        "wait", "-n", namespace, "--for=condition=Ready", "--timeout=60s",
        *(f"pod/{name}" for name in names), timeout=70,
    )  # fmt: skip
    return {name: cluster.get("pod", "-n", namespace, name)["status"]["podIP"] for name in names}


class Probe:
    """The traffic between a probing pod and an answering one."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name

    def events(self) -> list[tuple[str, float]]:
        """(lost or back, when) in their order."""
        text = self._cluster.kubectl("logs", "-n", self._namespace, self._name).stdout
        return [(word, float(when)) for word, when in (line.split() for line in text.splitlines())]

    def flowing(self) -> bool:
        """Whether answers come."""
        events = self.events()
        return bool(events) and events[-1][0] == "back"

    def seconds_until_back(self, since: float, within: float) -> float:
        """How long after a moment (Unix time) answers came again; 0 where they never stopped.

        To be asked once what happened must have shown, or will never. Raises AssertionError when they do not come
        `within` seconds of now.
        """
        time.sleep(max(0.0, since + 2 * SILENCE - time.time()))
        eventually(self.flowing, within=within, what=f"traffic of {self._name}")
        return max([0.0, *(when - since for word, when in self.events() if word == "back")])


def start(cluster: Cluster, namespace: str, name: str, target: str, **spec: Any) -> Probe:
    """A pod that probes an address from now on; returns once it has had an answer."""
    run_pods(cluster, namespace, pod(name, PROBE, target, **spec))
    probe = Probe(cluster, namespace, name)
    eventually(probe.flowing, within=60, what=f"the first answer of {target} to {name}")
    return probe


def on_node(name: str) -> dict[str, Any]:
    """The part of a pod's spec that puts it on a node, virtual ones included."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


def dump(value: object) -> str:
    """A value as text, for messages."""
    return json.dumps(value, indent=1, default=str)


@dataclass(frozen=True)
class Flow:
    """Traffic from a node of one cluster to a pod on a node of the other."""

    source: str
    target: str
    probe: Probe


def back(flows: Sequence[Flow], since: float, what: str) -> float:
    """Seconds until all traffic flowed again; told on standard output for docs/reliability.md."""
    seconds = max(flow.probe.seconds_until_back(since, PATIENCE) for flow in flows)
    print(f"{what}: {seconds:.2f} s")
    return seconds

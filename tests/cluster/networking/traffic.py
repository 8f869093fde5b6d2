"""Traffic that says of itself when it was cut and when it came back.

The probe sends a numbered datagram ten times a second and prints, from its own clock, which is this machine's,
`lost T` with the time of the last answer once none came for half a second, and `back T` at the next answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
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
    found = {
        one["metadata"]["name"]: one["status"]["podIP"] for one in cluster.items("pods", "-n", namespace)
    }
    return {name: found[name] for name in names}


def start(cluster: Cluster, namespace: str, targets: Mapping[str, str], nodes: Mapping[str, str]) -> None:
    """Pods, by name, that each probe an address from now on, from the node given."""
    probes = [pod(name, PROBE, target, nodeName=nodes[name]) for name, target in targets.items()]
    for one in probes:
        one["metadata"]["labels"]["traffic"] = "probe"
    run_pods(cluster, namespace, *probes)


@dataclass(frozen=True)
class Flow:
    """Traffic from a node of one cluster to a pod on a node of the other, and the pod that probes it."""

    source: str
    target: str
    cluster: Cluster
    namespace: str

    @property
    def name(self) -> str:
        """The name of the probing pod."""
        return f"{self.source}-{self.target}"


def events(flows: Sequence[Flow]) -> dict[Flow, list[tuple[str, float]]]:
    """What each has seen so far: (lost or back, when) in their order."""
    found: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for cluster, namespace in {(one.cluster, one.namespace) for one in flows}:
        arguments = ("-l", "traffic=probe", "--prefix", "--tail=-1", "--max-log-requests=64")
        for line in cluster.kubectl("logs", "-n", namespace, *arguments).stdout.splitlines():
            place, word, when = line.split()  # [pod/NAME/main] back 1764.5
            found.setdefault((cluster.name, place.split("/")[1]), []).append((word, float(when)))
    return {one: found.get((one.cluster.name, one.name), []) for one in flows}


def flowing(flows: Sequence[Flow]) -> list[Flow]:
    """Those that have answers now."""
    return [one for one, seen in events(flows).items() if seen and seen[-1][0] == "back"]


def await_flowing(flows: Sequence[Flow], what: str) -> None:
    """Wait until all have answers. Raises AssertionError naming those that have none."""

    def silent() -> list[str]:
        return sorted({one.name for one in flows} - {one.name for one in flowing(flows)})

    eventually(lambda: not silent(), within=PATIENCE, what=what, instead=lambda: f"no answers: {silent()}")


def on_node(name: str) -> dict[str, Any]:
    """The part of a pod's spec that puts it on a node, virtual ones included."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


def dump(value: object) -> str:
    """A value as text, for messages."""
    return json.dumps(value, indent=1, default=str)


def back(flows: Sequence[Flow], since: float, what: str) -> float:
    """Seconds from a moment (Unix time) until all traffic flowed again; 0 where it never stopped.

    To be asked once what happened must have shown, or will never. Told on standard output for docs/reliability.md.
    Raises AssertionError when it does not come back in PATIENCE.
    """
    time.sleep(max(0.0, since + 2 * SILENCE - time.time()))
    await_flowing(flows, f"all traffic after: {what}")
    returns = [when for seen in events(flows).values() for word, when in seen if word == "back"]
    seconds = max(0.0, *(when - since for when in returns))
    print(f"{what}: {seconds:.2f} s")
    return seconds

"""Where `tests/bench/network.py lab` measures: a pod in each of two joined clusters of the lab, and their gateways."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from isthmus import lab
from tests.cluster.networking import failures, traffic
from tests.cluster.support import lab_cluster
from tests.processes import Process, mains


class Places(Struct, frozen=True):
    """Process ids on this machine, the client's first, and the second pod's address as the first one reaches it."""

    pods: tuple[int, int]
    gateways: tuple[int, int]
    address: str


@contextmanager
def places(beside_gateway: bool) -> Iterator[Places]:
    """Both pods run until the end of the block: on their gateways' nodes, or on others.

    Raises SystemExit saying what is missing where the lab has no two joined clusters, or no other node.
    """
    client, server = (_gateway(mode) for mode in ("client", "server"))
    name = f"bench-{uuid.uuid4().hex[:8]}"
    made = [lab_cluster(one.cluster) for one in (client, server)]
    for cluster in made:
        cluster.kubectl("create", "namespace", name)
    try:
        addresses = [
            traffic.run_pods(
                cluster,
                name,
                # The name is told to the program, so that its process is found by it.
                traffic.pod(
                    "bench", traffic.ECHO, f"{name}-{cluster.name}", nodeName=_node(one, beside_gateway)
                ),
            )["bench"]
            for cluster, one in zip(made, (client, server), strict=True)
        ]
        first, second = (_find(f"{name}-{cluster.name}") for cluster in made)
        address = failures.seen_from(made[0], made[1].name, addresses[1])
        yield Places((first, second), (client.pid, server.pid), address)
    finally:
        for cluster in made:
            cluster.kubectl("delete", "namespace", name, "--wait=false")


def _gateway(mode: str) -> Process:
    found = [one for one in mains("gateway") if one.settings["mode"] == mode]
    if len(found) != 1:
        raise SystemExit(
            f"there are {len(found)} gateway {mode}s, and one is measured: join two clusters first (make demo, or"
            " isthmus lab up, isthmus install and isthmus peer --gw-server-service-type NodePort)"
        )
    return found[0]


def _node(gateway: Process, beside: bool) -> str:
    workers = next(one.workers for one in lab.clusters() if one.name == gateway.cluster)
    fitting = [one.name for one in workers if (one.name == gateway.node) == beside]
    if not fitting:
        raise SystemExit(f"{gateway.cluster} has no node but its gateway's: isthmus lab up --workers 2")
    return fitting[0]


def _find(word: str) -> int:
    """The process that was started with that word as its last."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")[:-1]
        except OSError:
            continue
        if words and words[-1] == word.encode() and words[0].endswith(b"python3"):
            return int(path.name)
    raise SystemExit(f"no process with {word} was found: is the lab on this machine?")

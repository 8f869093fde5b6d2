"""Bursts of pods: a Deployment made at once, timed until the last of its pods is Ready, and taken away again.

A pod counts as Ready when our own watch sees it so. A burst that takes longer than its limit raises TimeoutError.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import field

from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Base
from tests.cluster.support import Cluster, eventually

LIMIT_SECONDS = 300.0


class Condition(Base, frozen=True, kw_only=True):
    """A pod's condition."""

    type: str = ""
    status: str = ""


class Status(Base, frozen=True, kw_only=True):
    """What of a pod's status tells whether it is Ready."""

    conditions: list[Condition] = field(default_factory=list)


@dataclass
class Clusters:
    """Both clusters and their admin clients."""

    rome: Cluster
    milan: Cluster
    home: Client
    abroad: Client


def _is_ready(pod: Pod) -> bool:
    status = msgspec.json.decode(pod.status, type=Status)
    return any(c.type == "Ready" and c.status == "True" for c in status.conditions)


async def burst(
    client: Client, cluster: Cluster, namespace: str, manifest: dict[str, Any], pods: int
) -> float:
    """Make the Deployment and wait until all its pods are Ready; returns the seconds."""
    informer = Informer(client, PODS, namespace)
    done = asyncio.Event()
    ready: set[str] = set()

    def watch(_: Pod | None, new: Pod | None) -> None:
        if new is not None and _is_ready(new):
            ready.add(new.metadata.uid)
            if len(ready) == pods:
                done.set()

    informer.add_handler(watch)
    running = asyncio.create_task(informer.run())
    await informer.synced.wait()
    manifest["metadata"]["namespace"] = namespace
    start = time.monotonic()
    await asyncio.to_thread(cluster.apply, manifest)
    await asyncio.wait_for(done.wait(), LIMIT_SECONDS)
    took = time.monotonic() - start
    running.cancel()
    return took


async def remove(cluster: Cluster, namespace: str, others: list[tuple[Cluster, str]]) -> None:
    """Delete the Deployment and wait until no pod of it is left anywhere."""

    def gone() -> bool:
        return not any(c.items("pods", "-n", n) for c, n in [(cluster, namespace), *others])

    await asyncio.to_thread(cluster.kubectl, "delete", "deployment", "--all", "-n", namespace)
    await asyncio.to_thread(eventually, gone, within=180, what="the end of the burst's pods", every=1)

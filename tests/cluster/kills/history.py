"""All that ever happened to the pods of a namespace, from a watch; and what of it must never happen.

The watch is kubectl's, so it sees what any client sees: a pod that ran twice between two looks at the cluster is
in it. `find_faults` and what it calls are pure.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any

from isthmus.offloading.pods.metadata import POD_UID
from tests.cluster.support import Cluster

FINISHED = ("Succeeded", "Failed")


@dataclass
class PodLife:
    """One pod, by its UID: what it was in any state that was seen."""

    uid: str
    name: str
    owner: str
    """As `Job/early`; "" for a pod of nobody."""
    stands_for: str
    """The UID of the local pod that a remote one runs for, "" of a local one."""
    phases: list[str] = field(default_factory=list)
    containers: set[str] = field(default_factory=set)
    restarts: int = 0
    deleting: bool = False
    gone: bool = False

    def see(self, pod: dict[str, Any], *, deleted: bool) -> None:
        """Take note of a state of the pod."""
        status = pod.get("status", {})
        phase = status.get("phase", "")
        if not self.phases or self.phases[-1] != phase:
            self.phases.append(phase)
        for one in status.get("containerStatuses", []):
            self.restarts = max(self.restarts, one["restartCount"])
            if one.get("containerID"):
                self.containers.add(one["containerID"])
        self.deleting = self.deleting or "deletionTimestamp" in pod["metadata"]
        self.gone = self.gone or deleted


class History:
    """The lives of the pods of one namespace, which need not be there yet, as long as the block lasts."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._command = [
            *(cluster.kubectl_path, "--kubeconfig", str(cluster.kubeconfig), "get", "pods", "-n", namespace),
            *("--watch", "--output-watch-events", "-o", "json"),
        ]
        self._lives: dict[str, PodLife] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> History:
        self._watch = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._watch.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._watch.stdout,), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.kill()
        self._watch.wait()
        self._reader.join()
        if self._watch.stdout is not None:
            self._watch.stdout.close()

    def _read(self, stream: IO[str]) -> None:
        for event in decode_events(stream):
            with self._lock:
                note(self._lives, event)

    def lives(self) -> list[PodLife]:
        """All pods there ever were. Raises AssertionError where the watch has ended: something was missed."""
        assert self._watch.poll() is None, "the watch of pods has ended"
        with self._lock:
            return list(self._lives.values())


def decode_events(stream: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects that kubectl writes one after the other, each over many lines ended by a lone brace."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if line.rstrip("\n") == "}":
            yield json.loads("".join(lines))
            lines.clear()


def note(lives: dict[str, PodLife], event: dict[str, Any]) -> None:
    """Add an event of the watch to the lives of pods."""
    pod = event["object"]
    meta = pod["metadata"]
    if meta["uid"] not in lives:
        owner = next((f"{one['kind']}/{one['name']}" for one in meta.get("ownerReferences", [])), "")
        stands_for = meta.get("annotations", {}).get(POD_UID, "")
        lives[meta["uid"]] = PodLife(meta["uid"], meta["name"], owner, stands_for)
    lives[meta["uid"]].see(pod, deleted=event["type"] == "DELETED")


def find_faults(local: list[PodLife], remote: list[PodLife], jobs: dict[str, int]) -> list[str]:
    """What must never have happened: pods run twice, made twice, come back to life, or jobs' pods replaced.

    `jobs` says of each Job how many pods it needs: it must not have had one more.
    """
    return [
        *_started_again(remote),
        *_come_back(local),
        *_come_back(remote),
        *_twice_at_once(remote),
        *_jobs_run_again(local, remote, jobs),
    ]


def _started_again(lives: list[PodLife]) -> list[str]:
    return [
        f"{one.name} was started again: {one.restarts} restarts, containers {sorted(one.containers)}"
        for one in lives
        if one.restarts or len(one.containers) > 1
    ]


def _come_back(lives: list[PodLife]) -> list[str]:
    return [
        f"{one.name} went on after its end: {one.phases}"
        for one in lives
        if any(phase in FINISHED for phase in one.phases[:-1])
    ]


def _twice_at_once(remote: list[PodLife]) -> list[str]:
    present = Counter(one.stands_for for one in remote if not one.gone and one.stands_for)
    return [f"local pod {uid} has {number} remote pods" for uid, number in present.items() if number > 1]


def _jobs_run_again(local: list[PodLife], remote: list[PodLife], jobs: dict[str, int]) -> list[str]:
    faults = []
    made = Counter(one.stands_for for one in remote)
    for job, number in jobs.items():
        pods = [one for one in local if one.owner == f"Job/{job}"]
        if len(pods) > number:
            faults.append(f"job {job} had {len(pods)} pods, not {number}")
        faults += [
            f"{one.name} of job {job} had {made[one.uid]} remote pods" for one in pods if made[one.uid] > 1
        ]
    return faults


def count_made(lives: list[PodLife], owner: str) -> int:
    """How many pods whose owner begins so there ever were."""
    return sum(one.owner.startswith(owner) for one in lives)

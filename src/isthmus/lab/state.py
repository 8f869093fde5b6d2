"""What the lab remembers between commands, and the lock that keeps two commands from changing it at once.

Owns `state.json`. It is written before anything is made, and names all that cannot be told from the plan:
folders made as mount points and settings of the kernel that were changed. Fails with `LabError` when another
command is at work, when there is no lab, or when the file cannot be understood.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path

from isthmus.lab import locks
from isthmus.lab.errors import LabError
from isthmus.lab.plan import Cluster, Site, plan_clusters


class Phase(StrEnum):
    """How far `up` got."""

    STARTING = "starting"
    UP = "up"


@dataclass
class State:
    """The lab as recorded."""

    phase: Phase
    kubernetes: dict[str, str]
    """The full version of each cluster, such as 1.36.3, by its name."""
    binaries: dict[str, str]
    """The folder with the programs of that version, by the cluster's name."""
    clusters: int
    workers: int
    pod_cidr: str
    service_cidr: str
    directories: list[str] = field(default_factory=list)
    """Folders made on the host as mount points, parents first."""
    settings: dict[str, str] = field(default_factory=dict)
    """Settings of the kernel as they were before."""
    disjoint: bool = False
    """Whether each cluster has ranges of its own."""
    images: str = ""
    """The archive with the images that every node has."""

    def plan(self, site: Site) -> tuple[Cluster, ...]:
        """The clusters of this lab."""
        pods, services = IPv4Network(self.pod_cidr), IPv4Network(self.service_cidr)
        return plan_clusters(site, self.clusters, self.workers, pods, services, self.disjoint)


def save(site: Site, state: State) -> None:
    """Write the state so that a crash leaves either the old or the new."""
    site.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = site.state / "state.json.new"
    with temporary.open("w") as file:
        json.dump(asdict(state), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(site.state / "state.json")


def load(site: Site) -> State | None:
    """The recorded lab, or None. Raises LabError when the record cannot be understood."""
    return _read(site.state / "state.json")


def _read(file: Path) -> State | None:
    known = {each.name for each in fields(State)}
    try:
        # A lab beside this one may be of a later release, whose record says more.
        found = {name: value for name, value in json.loads(file.read_text()).items() if name in known}
        return State(**{**found, "phase": Phase(found["phase"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LabError(f"{file} cannot be understood: {error}") from None


def others(site: Site) -> list[State]:
    """The records of the other labs on this machine, for what all of them share: mount points and settings."""
    files = site.state.parent.glob(f"*{Site.SUFFIX}/state.json")
    found = [_read(file) for file in files if file.parent != site.state]
    return [record for record in found if record is not None]


def require(site: Site) -> State:
    """The recorded lab that is up. Raises LabError when there is none."""
    state = load(site)
    if state is None:
        raise LabError("no lab is up: run `isthmus lab up` first")
    if state.phase is not Phase.UP:
        raise LabError("the lab is not up: `isthmus lab up` is at work, or was ended half-way")
    return state


def find_cluster(site: Site, name: str) -> Cluster:
    """A cluster of the lab that is up, by name. Raises LabError when there is no lab or no such cluster."""
    clusters = require(site).plan(site)
    for cluster in clusters:
        if cluster.name == name:
            return cluster
    raise LabError(f"no cluster {name!r}: there are {', '.join(cluster.name for cluster in clusters)}")


@contextlib.contextmanager
def locked(site: Site) -> Iterator[None]:
    """Hold the lab's lock; the kernel gives it up when the holder dies. Raises LabError when it is held."""

    def busy() -> None:
        raise LabError("another `isthmus lab` command is changing the lab: wait for it to end")

    with locks.held(site.lock, busy):
        yield


def kubeconfig(site: Site, cluster: str, user: str = "admin") -> Path:
    """Where a cluster's kubeconfig of some user is kept."""
    return site.state / "clusters" / cluster / f"{user}.kubeconfig"

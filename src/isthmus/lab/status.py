"""What the lab is made of at this moment: clusters, nodes, and whether their programs live.

Owns nothing and changes nothing. Fails with `LabError` when no lab is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from isthmus.lab import processes, state
from isthmus.lab.errors import LabError
from isthmus.lab.plan import Cluster, Site
from isthmus.lab.state import Phase, State

BROKEN = "broken"


@dataclass(frozen=True)
class Program:
    """One program of the lab and whether its process lives."""

    name: str
    pid: int
    alive: bool


@dataclass(frozen=True)
class Node:
    """A node, its address and its programs."""

    name: str
    address: str
    programs: tuple[Program, ...]


@dataclass(frozen=True)
class ClusterStatus:
    """A cluster, where to reach it, and the programs of its control plane and nodes."""

    name: str
    version: str
    server: str
    kubeconfig: str
    phase: str
    """How far `up` got, or `broken` when programs of it do not run: whoever ended them left the rest."""
    programs: tuple[Program, ...]
    nodes: tuple[Node, ...]

    @property
    def dead(self) -> list[str]:
        """The programs that do not run, as `owner/program`."""
        found = [f"{self.name}/{program.name}" for program in self.programs if not program.alive]
        for node in self.nodes:
            found += [f"{node.name}/{program.name}" for program in node.programs if not program.alive]
        return found


def read(site: Site) -> list[ClusterStatus]:
    """The state of every cluster. Raises LabError when no lab is recorded."""
    record = state.load(site)
    if record is None:
        raise LabError("no lab is up: run `isthmus lab up` first")
    programs: dict[str, list[Program]] = {}
    for process in processes.load(site):
        programs.setdefault(process.owner, []).append(Program(process.name, process.pid, process.alive))
    return [_status(site, record, cluster, programs) for cluster in record.plan(site)]


def _status(site: Site, record: State, cluster: Cluster, programs: dict[str, list[Program]]) -> ClusterStatus:
    status = ClusterStatus(
        name=cluster.name,
        version=record.kubernetes[cluster.name],
        server=cluster.url,
        kubeconfig=str(state.kubeconfig(site, cluster.name)),
        phase=record.phase,
        programs=tuple(programs.get(cluster.name, ())),
        nodes=tuple(
            Node(worker.name, str(worker.address), tuple(programs.get(worker.name, ())))
            for worker in cluster.workers
        ),
    )
    return replace(status, phase=BROKEN) if status.dead and record.phase is Phase.UP else status


def table(clusters: Sequence[ClusterStatus]) -> list[str]:
    """The clusters as aligned lines for reading, the programs that do not run below."""
    rows = [("CLUSTER", "VERSION", "API SERVER", "NODES", "STATE")]
    for cluster in clusters:
        nodes = ", ".join(f"{node.name} ({node.address})" for node in cluster.nodes)
        health = cluster.phase if not cluster.dead else f"{len(cluster.dead)} not running"
        rows.append((cluster.name, f"v{cluster.version}", cluster.server, nodes, health))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return lines + [f"not running: {name}" for cluster in clusters for name in cluster.dead]

"""Real Kubernetes clusters on one bare machine: for development, tests and demonstrations.

Nothing else of the product imports this package; tests and the command line do. What they may use is below:
`up` and `down`, a cluster's kubeconfig and API server, and images. Everything fails with `LabError`.
"""

import signal
from collections.abc import Callable
from pathlib import Path

from isthmus.lab import building, cluster, images, lifecycle, processes, reboot, state
from isthmus.lab.errors import LabError
from isthmus.lab.plan import Cluster, site_from_environment

__all__ = [
    "LabError",
    "build_image",
    "clusters",
    "down",
    "kubeconfig",
    "kubectl",
    "load_image",
    "pids",
    "reboot_node",
    "start_api_server",
    "stop_api_server",
    "up",
]

Report = Callable[[str], None]


def silent(_: str) -> None:
    """Report nothing."""


def up(
    clusters: int = 2,
    workers: int = 2,
    kubernetes: str = "1.36",
    report: Report = silent,
    disjoint: bool = False,
    certificate_life: str = "",
) -> tuple[Cluster, ...]:
    """Bring the lab up and return its clusters when pods can run in each. Raises LabError.

    `certificate_life` ("3m") is how long the certificates that the clusters sign are valid, else a year.
    """
    site = site_from_environment()
    return lifecycle.up(
        site, clusters, workers, kubernetes, report, disjoint=disjoint, certificate_life=certificate_life
    )


def down(report: Report = silent) -> bool:
    """End and remove the lab; False when there was none. Raises LabError."""
    return lifecycle.down(site_from_environment(), report)


def clusters() -> tuple[Cluster, ...]:
    """The clusters of the lab that is up. Raises LabError when there is none."""
    site = site_from_environment()
    return state.require(site).plan(site)


def kubeconfig(name: str) -> Path:
    """The file with a cluster's administrator's kubeconfig. Raises LabError for an unknown cluster."""
    site = site_from_environment()
    return state.kubeconfig(site, state.find_cluster(site, name).name)


def kubectl(name: str = "rome") -> Path:
    """The stock kubectl of a cluster's version. Raises LabError when no lab is up, or for an unknown cluster."""
    site = site_from_environment()
    return Path(state.require(site).binaries[state.find_cluster(site, name).name]) / "kubectl"


def pids(name: str) -> dict[str, int]:
    """The process ids of a cluster's control plane, by program. Raises LabError for an unknown cluster."""
    site = site_from_environment()
    found = state.find_cluster(site, name)
    return {process.name: process.pid for process in processes.load(site) if process.owner == found.name}


def stop_api_server(name: str, number: signal.Signals = signal.SIGKILL) -> None:
    """End a cluster's API server, by default as a crash would; returns when it is gone. Raises LabError."""
    site = site_from_environment()
    cluster.stop_api_server(site, state.find_cluster(site, name), number)


def start_api_server(name: str) -> None:
    """Start a cluster's API server again; returns when it is ready. Raises LabError."""
    site = site_from_environment()
    cluster.start_api_server(site, state.find_cluster(site, name))


def reboot_node(node: str) -> None:
    """Crash a worker node and start it again, with nothing of its kernel's state kept. Raises LabError."""
    reboot.reboot_node(site_from_environment(), node)


def build_image(report: Report = silent) -> Path:
    """Build the product's image and return the archive with it. Raises LabError."""
    return building.build(report)


def load_image(image: str, cluster: str | None = None, report: Report = silent) -> None:
    """Load an archive or a built image into every node, or into one cluster's. Raises LabError."""
    images.load(site_from_environment(), image, cluster, report)

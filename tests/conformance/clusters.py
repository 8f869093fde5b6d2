"""The two clusters of the suite: peered, their networks joined, and no pod may run on the nodes at home."""

from __future__ import annotations

from collections.abc import Callable

from isthmus import lab
from isthmus.lab import LabError
from tests.cluster.support import Cluster, isthmus, lab_cluster

HOME, PROVIDER = "rome", "milan"
SHARE = ("--cpu", "32", "--memory", "64Gi", "--pods", "500")
VALUES = {
    # The suite counts the nodes that any pod may be scheduled to.
    HOME: "virtualKubelet.virtualNode.taintEffect=PreferNoSchedule",
    # Specs of host paths and privileged containers are about what a provider may allow.
    PROVIDER: "offloading.privilegedPods=true",
}

REAL_NODES = "liqo.io/type!=virtual-node"

Report = Callable[[str], None]


def bring_up(report: Report) -> None:
    """Have both ready for the suite: made, or, where a lab is up, with what this checkout makes. Raises LabError."""
    try:
        lab.clusters()
    except LabError:
        lab.up(report=report)
    lab.build_image(report)
    lab.load_image("localhost/isthmus:latest", report=report)
    home, provider = lab_cluster(HOME), lab_cluster(PROVIDER)
    for cluster in (home, provider):
        report(f"{cluster.name}: installing")
        install(cluster)
    report("peering")
    both = ("--kubeconfig", str(home.kubeconfig), "--remote-kubeconfig", str(provider.kubeconfig))
    isthmus("peer", *both, "--gw-server-service-type", "NodePort", *SHARE)
    home.kubectl("cordon", f"--selector={REAL_NODES}")


def install(cluster: Cluster) -> None:
    """Install this checkout's Isthmus, whatever ran there before under the same tag."""
    cluster.kubectl("uncordon", f"--selector={REAL_NODES}")
    if cluster.get("namespace", "liqo") is not None:
        cluster.kubectl("delete", "pods", "--namespace=liqo", "--all")
    values = ("--set", VALUES[cluster.name])
    isthmus("install", "--kubeconfig", str(cluster.kubeconfig), "--cluster-id", cluster.name, *values)

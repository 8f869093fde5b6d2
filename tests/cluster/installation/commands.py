"""Installing and removing in the small lab, by the commands a user types."""

from __future__ import annotations

from tests.cluster.support import Cluster, isthmus


def install(cluster: Cluster, *arguments: str) -> str:
    """Install; returns what was said about it."""
    return isthmus("install", "--kubeconfig", str(cluster.kubeconfig), *arguments).stderr


def refuse(cluster: Cluster, *arguments: str) -> str:
    """A command that must fail; returns its one error."""
    done = isthmus(*arguments, "--kubeconfig", str(cluster.kubeconfig), check=False)
    assert done.returncode in (1, 2), done
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "fault of isthmus" not in done.stderr
    return errors[0]


def uninstall(cluster: Cluster, *arguments: str) -> str:
    return isthmus("uninstall", "--skip-confirm", "--kubeconfig", str(cluster.kubeconfig), *arguments).stderr


def remains(cluster: Cluster) -> list[str]:
    """Whatever of Isthmus is in the cluster, cluster-wide objects and namespaces."""
    kinds = (
        "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,runtimeclasses,nodes,"
        "mutatingwebhookconfigurations,validatingwebhookconfigurations,certificatesigningrequests,"
        "validatingadmissionpolicies,validatingadmissionpolicybindings"
    )
    names = cluster.kubectl("get", kinds, "-o", "name").stdout.splitlines()
    return [name for name in names if "liqo" in name or "isthmus" in name]

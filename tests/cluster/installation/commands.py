"""Installing and removing in the small lab, by the commands a user types."""

from __future__ import annotations

from tests.cluster.support import Cluster, eventually, isthmus

OURS = "app.kubernetes.io/managed-by=isthmus"
APPLIED = (
    "namespaces,customresourcedefinitions,configmaps,clusterroles,roles,serviceaccounts,clusterrolebindings,"
    "rolebindings,services,runtimeclasses,deployments,daemonsets,mutatingwebhookconfigurations,"
    "wggatewayservertemplates,wggatewayclienttemplates,vkoptionstemplates,validatingwebhookconfigurations,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings"
)


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


def refuse_in_time(cluster: Cluster, *arguments: str, parts: tuple[str, ...]) -> None:
    """A command that must fail after its time is up, and whose error must come to say all parts.

    Again until then: on a busy machine there may be nothing to tell yet when a first short time is up.
    """

    errors = []

    def says_all() -> bool:
        errors.append(refuse(cluster, *arguments, "--timeout", "8s"))
        return all(part in errors[-1] for part in parts)

    eventually(says_all, within=60, what=f"an error with {parts}", instead=lambda: errors[-1])


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


def versions(cluster: Cluster) -> dict[str, str]:
    """The resourceVersion of every object that installation applied, by kind and name.

    Of policies the generation: Kubernetes writes into their status when it has checked them.
    """
    return {
        f"{item['kind']} {item['metadata']['name']}": str(
            item["metadata"][
                "generation" if item["kind"] == "ValidatingAdmissionPolicy" else "resourceVersion"
            ]
        )
        for item in cluster.items(APPLIED, "-A", "-l", OURS)
    }

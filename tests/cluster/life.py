"""One whole life of Isthmus in two clusters, by the commands a user types: from `install` to `uninstall --purge`."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.installation.commands import remains
from tests.cluster.peering import NODE_PORT, between, left
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

NAMESPACE = "life"
PORT = 8080
STAYS = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "liqo.io/type", "operator": "DoesNotExist"}]}]
        }
    }
}
"""The affinity of a pod that stays at home."""
SERVE = ["agnhost", "netexec", f"--http-port={PORT}"]


def play(consumer: Cluster, provider: Cluster, directory: Path) -> None:
    """Install, peer, offload, reach pods in every way from home, unpeer, uninstall: each as it should be."""
    for cluster in (consumer, provider):
        isthmus(
            *("install", "--kubeconfig", str(cluster.kubeconfig), "--cluster-id", cluster.name),
            *("--api-server-url", cluster.server),
        )
    isthmus("peer", *between(consumer, provider), *NODE_PORT)
    consumer.kubectl("create", "namespace", NAMESPACE)
    isthmus("offload", "namespace", NAMESPACE, "--kubeconfig", str(consumer.kubeconfig))
    _run(consumer, provider)
    _use(consumer, directory)
    consumer.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    eventually(
        lambda: not provider.get("namespace", f"{NAMESPACE}-{consumer.name}"),
        within=60,
        what="the twin's end",
    )
    isthmus("unpeer", *between(consumer, provider), "--skip-confirm", "--delete-namespaces")
    assert left(consumer, provider) == []
    for cluster in (consumer, provider):
        isthmus("uninstall", "--kubeconfig", str(cluster.kubeconfig), "--purge", "--skip-confirm")
        assert remains(cluster) == []


def _run(consumer: Cluster, provider: Cluster) -> None:
    """A Deployment abroad and one at home, with a Service before each."""
    for name, abroad in (("away", True), ("home", False)):
        placed = {} if abroad else {"affinity": STAYS}
        web = deployment(name, replicas=1, command=SERVE, remote_only=abroad, **placed)
        web["metadata"]["namespace"] = NAMESPACE
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
        }
        consumer.apply(web, service)
    eventually(lambda: len(ready_pods(consumer, NAMESPACE)) == 2, within=90, what="both pods Ready")
    (away,) = ready_pods(consumer, NAMESPACE, "app=away")
    assert away["spec"]["nodeName"] == provider.name
    (twin,) = provider.items("pods", "-n", f"{NAMESPACE}-{consumer.name}")
    assert twin["metadata"]["name"] == away["metadata"]["name"]


def _use(consumer: Cluster, directory: Path) -> None:
    """Logs, exec, cp and a request to the Service of the other side, all asked of the consumer."""
    inside = ("exec", "-n", NAMESPACE, "deployment/away", "--")
    host = consumer.kubectl(*inside, "hostname").stdout.strip()
    assert host.startswith("away-")
    for where, service in (("home", "away"), ("away", "home")):
        fetch = ("exec", "-n", NAMESPACE, f"deployment/{where}", "--", "curl", "--silent", "--max-time", "3")

        def answered(fetch: tuple[str, ...] = fetch, service: str = service) -> bool:
            done = consumer.kubectl(*fetch, f"http://{service}/hostname", check=False)
            return done.stdout.startswith(f"{service}-")

        eventually(answered, within=60, what=f"an answer of Service {service} to a pod of {where}")
    # The server tells of each request it was asked.
    assert "GET /hostname" in consumer.kubectl("logs", "-n", NAMESPACE, "deployment/away").stdout
    consumer.kubectl("cp", "-n", NAMESPACE, f"{host}:/etc/hostname", str(directory / "copied"))
    assert (directory / "copied").read_text().strip() == host

"""Services across clusters: who answers, how changes follow, headless ones and StatefulSets."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.endings import Endings
from tests.cluster.networking import traffic
from tests.cluster.support import TEST_IMAGE, Cluster, deployment, eventually, isthmus, ready_pods

SERVE = "agnhost serve-hostname --port=8080 & trap 'exit 0' TERM; wait"
ASK = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).read().decode())"
FOLLOWS = 2.0
"""Seconds within which the other side must know, on a machine that does nothing else."""
REPLICAS = {"home": 2, "abroad": 2, "client-home": 1, "client-abroad": 1}


def _web(name: str, replicas: int, *, remote: bool) -> dict[str, Any]:
    made = deployment(name, replicas=replicas, command=["sh", "-c", SERVE], remote_only=remote)
    for labels in (made["spec"]["selector"]["matchLabels"], made["spec"]["template"]["metadata"]["labels"]):
        labels["service"] = "web"
    if not remote:
        # In an offloaded namespace pods go where there is room, unless told otherwise.
        expression = {"key": "liqo.io/type", "operator": "DoesNotExist"}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
        made["spec"]["template"]["spec"]["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}
        }
    return made


def _service(name: str, headless: bool = False) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"service": name},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    }
    if headless:
        spec["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _client(name: str, *, remote: bool) -> dict[str, Any]:
    made = _web(name, 1, remote=remote)
    made["spec"]["template"]["spec"]["containers"][0] |= {
        "image": traffic.IMAGE,
        "command": ["/usr/bin/python3", "-c", "import signal; signal.pause()"],
    }
    for labels in (made["spec"]["selector"]["matchLabels"], made["spec"]["template"]["metadata"]["labels"]):
        labels["service"] = "client"
    return made


def _stateful_set(name: str, replicas: int) -> dict[str, Any]:
    """One whose pods all run abroad."""
    container = {
        "name": "main",
        "image": TEST_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", SERVE],
    }
    pod = {
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"liqo.io/type": "virtual-node"},
    }
    spec = {
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"service": name}},
        "template": {"metadata": {"labels": {"app": name, "service": name}}, "spec": pod},
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}


def _breakable(made: dict[str, Any]) -> dict[str, Any]:
    """The same, each of whose pods fails once there is a file in it."""
    made["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {
        "exec": {"command": ["test", "!", "-e", "/tmp/broken"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    return made


@dataclass(frozen=True)
class Web:
    """An offloaded namespace of rome with Services whose pods are in both clusters, and a client on each side."""

    rome: Cluster
    milan: Cluster
    namespace: str

    @property
    def twin(self) -> str:
        """The namespace in milan."""
        return f"{self.namespace}-rome"

    def ready(self, app: str, count: int) -> list[str]:
        """The names of an app's pods once that many are Ready."""

        def names() -> list[str]:
            return [one["metadata"]["name"] for one in ready_pods(self.rome, self.namespace, f"app={app}")]

        eventually(lambda: len(names()) == count, within=60, what=f"{count} pods of {app}")
        return names()

    def scale(self, app: str, count: int) -> None:
        self.rome.kubectl("scale", "-n", self.namespace, f"deployment/{app}", f"--replicas={count}")

    def as_made(self) -> None:
        """Have as many pods of each app as at first, all of them endpoints on both sides."""
        for app, count in REPLICAS.items():
            self.scale(app, count)
        for app, count in REPLICAS.items():
            self.ready(app, count)
        eventually(
            lambda: self.endpoints(self.rome) == self.endpoints(self.milan) == 4,
            within=60,
            what="four endpoints in both clusters",
        )

    def ask(self, client: str, url: str) -> str:
        """What a client gets from a URL; "" for no answer."""
        command = ("/usr/bin/python3", "-c", ASK, url)
        return self.rome.kubectl(
            "exec", "-n", self.namespace, f"deployment/{client}", "--", *command, check=False
        ).stdout.strip()

    def endpoints(self, cluster: Cluster) -> int:
        """How many addresses a cluster has for the Service `web`."""
        namespace = self.namespace if cluster is self.rome else self.twin
        slices = cluster.items("endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name=web")
        return len(
            {
                address
                for one in slices
                for endpoint in one.get("endpoints") or []
                if endpoint.get("conditions", {}).get("ready") is not False
                for address in endpoint["addresses"]
            }
        )

    def followed(self, total: int, what: str) -> float:
        """Wait for a change in both clusters; the seconds from when rome has it until milan has."""
        eventually(lambda: self.endpoints(self.rome) == total, within=60, every=0.05, what=f"{what} in rome")
        seen = time.monotonic()
        eventually(
            lambda: self.endpoints(self.milan) == total, within=60, every=0.05, what=f"{what} in milan"
        )
        return time.monotonic() - seen


@pytest.fixture(scope="module")
def served(joined: tuple[Cluster, Cluster], endings: Endings) -> Iterator[Web]:
    """Everything at once: it is the starting of pods that takes time."""
    rome, milan = joined
    found = Web(rome, milan, f"net-{uuid.uuid4().hex[:8]}")
    rome.kubectl("create", "namespace", found.namespace)
    isthmus("offload", "namespace", found.namespace, "--kubeconfig", str(rome.kubeconfig))
    manifests = [
        _service("web"),
        _web("home", 2, remote=False),
        _breakable(_web("abroad", 2, remote=True)),
        _client("client-home", remote=False),
        _client("client-abroad", remote=True),
        _service("db", headless=True),
        _stateful_set("db", 3),
    ]
    for manifest in manifests:
        manifest["metadata"]["namespace"] = found.namespace
    rome.apply(*manifests)
    yield found
    endings.delete(rome, found.namespace)
    endings.expect(milan, found.twin)


@pytest.fixture
def web(served: Web) -> Web:
    """Two pods of the Service here and two there, whatever the test before did."""
    served.as_made()
    return served


@pytest.mark.parametrize("client", ["client-home", "client-abroad"])
def test_both_clusters_answer(web: Web, client: str) -> None:
    wanted = set(web.ready("home", 2)) | set(web.ready("abroad", 2))
    answered: set[str] = set()

    def all_have() -> bool:
        answered.add(web.ask(client, "http://web"))
        return answered >= wanted

    eventually(all_have, within=60, every=0.0, what=f"an answer of each of {wanted} to {client}")
    assert answered - {""} == wanted


def test_a_stateful_set_with_a_headless_service_works_across_clusters(web: Web) -> None:
    web.ready("db", 3)
    for client in ("client-home", "client-abroad"):
        for name in ("db-0", "db-1", "db-2"):
            # A headless Service resolves to the pods themselves, so the port is theirs.
            eventually(
                lambda name=name, client=client: web.ask(client, f"http://{name}.db:8080") == name,
                within=60,
                what=f"{name} answering {client} by its own name",
            )


def play_changes(web: Web) -> dict[str, float]:
    """Pods come and go on either side, and one fails; the seconds in which milan followed each change."""
    took = {}
    for what, app, count, total in (
        ("one more at home", "home", 3, 5),
        ("two less at home", "home", 1, 3),
        ("none abroad", "abroad", 0, 1),
        ("two again abroad", "abroad", 2, 3),
    ):
        web.scale(app, count)
        took[what] = web.followed(total, what)
    broken, _ = web.ready("abroad", 2)
    web.rome.kubectl("exec", "-n", web.namespace, broken, "--", "touch", "/tmp/broken")
    took["one that fails abroad"] = web.followed(2, "one that fails abroad")
    # Else the Deployment would not be as made for what follows.
    web.rome.kubectl("delete", "pod", "-n", web.namespace, broken, "--wait=false")
    return took


def test_the_other_side_follows(web: Web) -> None:
    play_changes(web)


@pytest.mark.figures
def test_the_other_side_follows_within_two_seconds(web: Web) -> None:
    took = play_changes(web)
    assert max(took.values()) < FOLLOWS, took

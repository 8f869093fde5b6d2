"""Services across clusters: who answers, how fast changes follow, headless ones and StatefulSets."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.cluster.networking import traffic
from tests.cluster.support import TEST_IMAGE, Cluster, deployment, eventually, ready_pods

SERVE = "agnhost serve-hostname --port=8080 & trap 'exit 0' TERM; wait"
ASK = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=3).read().decode())"
FOLLOWS = 2.0
"""Seconds within which the other side must know."""


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
    # A static busybox cannot ask for names; Python can.
    made["spec"]["template"]["spec"]["containers"][0] |= {
        "image": traffic.IMAGE,
        "command": ["/usr/bin/python3", "-c", "import signal; signal.pause()"],
    }
    for labels in (made["spec"]["selector"]["matchLabels"], made["spec"]["template"]["metadata"]["labels"]):
        labels["service"] = "client"
    return made


def _apply(cluster: Cluster, namespace: str, *manifests: dict[str, Any]) -> None:
    for manifest in manifests:
        manifest["metadata"]["namespace"] = namespace
    cluster.apply(*manifests)


def _ready(cluster: Cluster, namespace: str, app: str, count: int) -> list[str]:
    eventually(
        lambda: len(ready_pods(cluster, namespace, f"app={app}")) == count,
        within=60,
        what=f"{count} pods of {app}",
    )
    return [pod["metadata"]["name"] for pod in ready_pods(cluster, namespace, f"app={app}")]


def _ask(cluster: Cluster, namespace: str, app: str, url: str) -> str:
    done = cluster.kubectl(
        "exec",
        "-n",
        namespace,
        f"deployment/{app}",
        "--",
        "/usr/bin/python3",
        "-c",
        ASK,
        url,
        check=False,
    )
    return done.stdout.strip()


def _addresses(cluster: Cluster, namespace: str, service: str) -> set[str]:
    slices = cluster.items("endpointslices", "-n", namespace, "-l", f"kubernetes.io/service-name={service}")
    return {
        address
        for one in slices
        for endpoint in one.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready") is not False
        for address in endpoint["addresses"]
    }


@pytest.fixture
def web(joined: tuple[Cluster, Cluster], shared: str) -> tuple[Cluster, Cluster, str]:
    """A Service with two pods here and two there, and a client on each side."""
    rome, milan = joined
    _apply(
        rome,
        shared,
        _service("web"),
        _web("home", 2, remote=False),
        _web("abroad", 2, remote=True),
        _client("client-home", remote=False),
        _client("client-abroad", remote=True),
    )
    for app, count in (("home", 2), ("abroad", 2), ("client-home", 1), ("client-abroad", 1)):
        _ready(rome, shared, app, count)
    return rome, milan, shared


@pytest.mark.parametrize("client", ["client-home", "client-abroad"])
def test_both_clusters_answer(web: tuple[Cluster, Cluster, str], client: str) -> None:
    rome, _, namespace = web
    wanted = set(_ready(rome, namespace, "home", 2)) | set(_ready(rome, namespace, "abroad", 2))
    answered: set[str] = set()

    def all_have() -> bool:
        answered.add(_ask(rome, namespace, client, "http://web"))
        return answered >= wanted

    eventually(all_have, within=60, every=0.0, what=f"an answer of each of {wanted} to {client}")
    assert answered - {""} == wanted


def test_the_other_side_follows_within_two_seconds(web: tuple[Cluster, Cluster, str]) -> None:
    rome, milan, namespace = web
    twin = f"{namespace}-rome"
    eventually(lambda: len(_addresses(milan, twin, "web")) == 4, within=60, what="four endpoints in milan")

    def follows(change: str, app: str, count: int, total: int) -> None:
        rome.kubectl("scale", "-n", namespace, f"deployment/{app}", f"--replicas={count}")
        eventually(
            lambda: len(_addresses(rome, namespace, "web")) == total, within=60, every=0.05, what=change
        )
        seen = time.monotonic()
        eventually(
            lambda: len(_addresses(milan, twin, "web")) == total,
            within=10,
            every=0.05,
            what=f"{change} in milan",
        )
        assert time.monotonic() - seen < FOLLOWS, change

    follows("one more at home", "home", 3, 5)
    follows("one less at home", "home", 1, 3)
    follows("one more abroad", "abroad", 3, 4)
    follows("none abroad", "abroad", 0, 1)


def test_a_failing_pod_is_no_endpoint_on_either_side(joined: tuple[Cluster, Cluster], shared: str) -> None:
    rome, milan = joined
    made = _web("abroad", 2, remote=True)
    probe = {
        "exec": {"command": ["test", "!", "-e", "/tmp/broken"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    made["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe
    _apply(rome, shared, _service("web"), made)
    broken, _ = _ready(rome, shared, "abroad", 2)
    eventually(lambda: len(_addresses(milan, f"{shared}-rome", "web")) == 2, within=60, what="two endpoints")
    rome.kubectl("exec", "-n", shared, broken, "--", "touch", "/tmp/broken")
    remote = f"{shared}-rome"

    def remote_is_ready() -> bool:
        return any(pod["metadata"]["name"] == broken for pod in ready_pods(milan, remote))

    eventually(lambda: not remote_is_ready(), within=60, every=0.05, what="the failing pod")
    seen = time.monotonic()
    eventually(
        lambda: len(_addresses(rome, shared, "web")) == 1, within=10, every=0.05, what="its end in rome"
    )
    eventually(
        lambda: len(_addresses(milan, remote, "web")) == 1, within=10, every=0.05, what="its end in milan"
    )
    assert time.monotonic() - seen < FOLLOWS


def test_a_stateful_set_with_a_headless_service_works_across_clusters(
    joined: tuple[Cluster, Cluster], shared: str
) -> None:
    rome, _ = joined
    names = ["db-0", "db-1", "db-2"]
    abroad = {
        "containers": [
            {
                "name": "main",
                "image": TEST_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", SERVE],
            }
        ],
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"liqo.io/type": "virtual-node"},
    }
    stateful_set = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": 3,
            "serviceName": "db",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"service": "db"}},
            "template": {"metadata": {"labels": {"app": "db", "service": "db"}}, "spec": abroad},
        },
    }
    _apply(rome, shared, _service("db", headless=True), stateful_set, _client("client-home", remote=False))
    _apply(rome, shared, _client("client-abroad", remote=True))
    _ready(rome, shared, "db", 3)
    _ready(rome, shared, "client-home", 1)
    _ready(rome, shared, "client-abroad", 1)
    for client in ("client-home", "client-abroad"):
        for name in names:
            # A headless Service resolves to the pods themselves, so the port is theirs.
            eventually(
                lambda name=name, client=client: _ask(rome, shared, client, f"http://{name}.db:8080") == name,
                within=60,
                what=f"{name} answering {client} by its own name",
            )

"""A Deployment offloaded: where its pods run, and everything a user does with a pod, by stock kubectl."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import peering
from tests.cluster.endings import Endings
from tests.cluster.peering import Pair, between
from tests.cluster.support import TEST_IMAGE, Cluster, deployment, eventually, isthmus, ready_pods

PROGRAM = (
    'echo "$GREETING $PASSWORD $PLAIN"; '
    "agnhost netexec --http-override='/echo?msg=served' 2>/dev/null & trap 'exit 0' TERM; "
    'n=0; while :; do n=$((n+1)); echo "tick $n"; sleep 1 & wait $!; done'
)
UNPEER = 15.0
"""Seconds for unpeering with ten pods, on a machine that does nothing else."""


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, password: str) -> dict[str, Any]:
    data = {"password": password}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def _web() -> list[dict[str, Any]]:
    """A Deployment without pods, and what its pods are configured by."""
    greeting = {"configMapKeyRef": {"name": "greeting", "key": "greeting"}}
    password = {"secretKeyRef": {"name": "password", "key": "password"}}
    container = {
        "env": [
            {"name": "PLAIN", "value": "plain-value"},
            {"name": "GREETING", "valueFrom": greeting},
            {"name": "PASSWORD", "valueFrom": password},
        ],
        "volumeMounts": [{"name": "files", "mountPath": "/files"}],
    }
    volumes = [{"name": "files", "configMap": {"name": "greeting"}}]
    command = ["sh", "-c", PROGRAM]
    made = deployment(
        "web", replicas=0, command=command, remote_only=True, container=container, volumes=volumes
    )
    return [config_map("greeting", greeting="ciao"), secret("password", "segreto"), made]


@dataclass(frozen=True)
class Web:
    """An offloaded namespace of rome with a Deployment `web`, all of whose pods run at milan."""

    rome: Cluster
    milan: Cluster
    namespace: str

    @property
    def twin(self) -> str:
        """The namespace in milan."""
        return f"{self.namespace}-rome"

    def apply(self, *manifests: dict[str, Any]) -> None:
        for manifest in manifests:
            manifest["metadata"]["namespace"] = self.namespace
        self.rome.apply(*manifests)

    def scale(self, replicas: int) -> list[str]:
        """Have that many pods; their names, once they are Ready and no other is there."""
        self.rome.kubectl("scale", "-n", self.namespace, "deployment/web", f"--replicas={replicas}")
        eventually(
            lambda: (
                len(ready_pods(self.rome, self.namespace, "app=web")) == replicas
                and len(self.rome.items("pods", "-n", self.namespace, "-l", "app=web")) == replicas
            ),
            within=120,
            what=f"{replicas} Ready pods",
        )
        return [pod["metadata"]["name"] for pod in ready_pods(self.rome, self.namespace, "app=web")]

    def kubectl(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Stock kubectl in the namespace of rome."""
        return self.rome.kubectl("-n", self.namespace, *arguments, **settings)

    def command(self, *arguments: str) -> list[str]:
        """The same as a command line."""
        return [
            self.rome.kubectl_path,
            *("--kubeconfig", str(self.rome.kubeconfig), "-n", self.namespace),
            *arguments,
        ]

    @contextmanager
    def started(self, *arguments: str) -> Iterator[Iterator[str]]:
        """A kubectl that runs until the block ends; the lines it prints."""
        command = self.command(*arguments)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.kill()


@pytest.fixture(scope="module")
def web(installed: Pair, endings: Endings) -> Iterator[Web]:
    """One Deployment for all tests: it is its pods' starting and its namespace's end that take time."""
    rome, milan = installed
    peering.establish(rome, milan)
    found = Web(rome, milan, f"test-{uuid.uuid4().hex[:8]}")
    rome.kubectl("create", "namespace", found.namespace)
    isthmus("offload", "namespace", found.namespace, "--kubeconfig", str(rome.kubeconfig))
    found.apply(*_web())
    yield found
    endings.delete(rome, found.namespace)
    endings.expect(milan, found.twin)


@pytest.fixture
def name(peered: Pair, web: Web) -> str:
    """The name of the Deployment's one pod, whatever the test before did."""
    (found,) = web.scale(1)
    return found


def test_the_virtual_node_is_ready(peered: Pair) -> None:
    rome, _ = peered
    node = rome.get("node", "milan")
    ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True"
    assert node["metadata"]["labels"]["liqo.io/type"] == "virtual-node"
    assert node["metadata"]["labels"]["liqo.io/remote-cluster-id"] == "milan"
    assert node["status"]["capacity"]["cpu"] == "4"

    def taints() -> dict[str, str]:
        return {one["key"]: one["effect"] for one in rome.get("node", "milan")["spec"]["taints"]}

    # Kubernetes takes its own off a new node a little after it is ready.
    wanted = {"virtual-node.liqo.io/not-allowed": "NoExecute"}
    eventually(lambda: taints() == wanted, within=60, what="no taint but ours", instead=taints)


def test_a_deployment_of_twenty_runs_on_the_providers_real_nodes(peered: Pair, web: Web) -> None:
    rome, milan = peered
    names = web.scale(20)
    remote = milan.items("pods", "-n", web.twin)
    assert sorted(pod["metadata"]["name"] for pod in remote) == sorted(names)
    real = {node["metadata"]["name"] for node in milan.items("nodes", "-l", "liqo.io/type!=virtual-node")}
    assert {pod["spec"]["nodeName"] for pod in remote} <= real
    assert {pod["spec"]["nodeName"] for pod in rome.items("pods", "-n", web.namespace)} == {"milan"}
    warnings = [
        event["message"] for event in milan.items("events", "-n", web.twin, "--field-selector=type=Warning")
    ]
    assert not [text for text in warnings if "-token" in text], "a pod started before its tokens were there"

    web.scale(0)
    eventually(
        lambda: not milan.items("pods", "-n", web.twin) and not milan.items("shadowpods", "-n", web.twin),
        within=60,
        what="nothing left in milan after scaling to 0",
    )


def test_logs_and_what_the_pod_was_configured_by(web: Web, name: str) -> None:
    assert web.kubectl("logs", name).stdout.splitlines()[0] == "ciao segreto plain-value"
    assert web.kubectl("exec", name, "--", "cat", "/files/greeting").stdout == "ciao"
    (last,) = web.kubectl("logs", name, "--tail=1", "--timestamps").stdout.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \w", last)
    ticks: list[int] = []
    with web.started("logs", "-f", name) as lines:
        for line in lines:
            if match := re.match(r"tick (\d+)", line):
                ticks.append(int(match[1]))
            if len(ticks) == 5:
                break
    assert ticks == list(range(ticks[0], ticks[0] + 5))


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_exec(web: Web, name: str, websockets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over WebSockets and over SPDY: both streams, the exit code, standard input, a terminal."""
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
    done = web.kubectl("exec", name, "--", "sh", "-c", "hostname; echo wrong >&2; exit 3", check=False)
    assert (done.stdout, done.returncode) == (f"{name}\n", 3)
    assert done.stderr.startswith("wrong\n")
    sent = "0123456789abcdef" * 100_000
    summed = web.kubectl("exec", "-i", name, "--", "sha256sum", stdin=sent)
    assert summed.stdout.split()[0] == hashlib.sha256(sent.encode()).hexdigest()

    ours, theirs = pty.openpty()
    command = web.command("exec", "-it", name, "--", "sh")
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as shell:
        os.close(theirs)
        os.write(ours, b"echo $((20+3)) on $(hostname); tty; exit 7\n")
        output = _drain(ours, until=b"/dev/pts", seconds=60)
        assert shell.wait(timeout=60) == 7
    os.close(ours)
    assert f"23 on {name}".encode() in output


def _drain(descriptor: int, *, until: bytes, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    output = b""
    while until not in output and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.5)[0]:
            output += os.read(descriptor, 4096)
    return output


def test_attach_shows_what_the_container_prints(web: Web, name: str) -> None:
    with web.started("attach", name) as lines:
        assert next(line for line in lines if line.startswith("tick")).startswith("tick ")


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_port_forward(web: Web, name: str, websockets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
    with web.started("port-forward", name, ":8080") as lines:
        port = next(lines).partition("127.0.0.1:")[2].split()[0]
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                assert answer.read() == b"served"


def test_cp_both_ways(web: Web, name: str, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(3_000_000))
    web.kubectl("cp", str(sent), f"{name}:/tmp/file")
    web.kubectl("cp", f"{name}:/tmp/file", str(back))
    assert back.read_bytes() == sent.read_bytes()


@pytest.fixture
def stray(peered: Pair, endings: Endings) -> Iterator[tuple[str, str]]:
    """Namespace and name of a pod that was put on the virtual node although its namespace is not offloaded."""
    rome, _ = peered
    namespace = f"stray-{uuid.uuid4().hex[:8]}"
    container = {"name": "main", "image": TEST_IMAGE}
    tolerations = [{"operator": "Exists"}]
    spec = {
        "nodeName": "milan",
        "containers": [container],
        "tolerations": tolerations,
        "terminationGracePeriodSeconds": 0,
    }
    rome.kubectl("create", "namespace", namespace)
    eventually(lambda: rome.get("serviceaccount", "default", "-n", namespace), within=60, what="its account")
    metadata = {"name": "stray", "namespace": namespace}
    rome.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    yield namespace, "stray"
    rome.kubectl("delete", "pod", "stray", "-n", namespace, "--force", "--grace-period=0")
    endings.delete(rome, namespace)


def test_refusals_reach_the_user_as_sentences(web: Web, name: str, stray: tuple[str, str]) -> None:
    namespace, pod = stray
    for verb in (("logs", pod), ("exec", pod, "--", "true")):
        done = web.rome.kubectl("-n", namespace, *verb, check=False)
        assert done.returncode == 1
        assert f"pod {namespace}/{pod} does not run on a virtual node of this cluster" in done.stderr
    previous = web.kubectl("logs", name, "--previous", check=False)
    assert f'previous terminated container "main" in pod "{name}" not found' in previous.stderr


def test_what_is_about_the_node(web: Web, name: str) -> None:
    def ask(path: str) -> str:
        return web.rome.kubectl("get", "--raw", f"/api/v1/nodes/milan/proxy{path}").stdout

    assert ask("/healthz") == "ok"
    for path in ("/pods", "/runningpods/"):
        assert name in [pod["metadata"]["name"] for pod in json.loads(ask(path))["items"]]
    assert json.loads(ask("/stats/summary"))["node"]["nodeName"] == "milan"
    ask("/metrics/resource")
    signed = [
        csr for csr in web.rome.items("csr") if csr["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
    ]
    assert not [csr for csr in signed if "milan" in csr["metadata"]["name"]], "requests are cleared up"


def test_a_remote_pod_deleted_behind_its_back_comes_back(web: Web, name: str) -> None:
    rome, milan, twin = web.rome, web.milan, web.twin
    before = milan.get("pod", name, "-n", twin)["metadata"]["uid"]
    milan.kubectl("delete", "pod", name, "-n", twin, "--grace-period=1")
    eventually(
        lambda: (
            (milan.get("pod", name, "-n", twin) or {"metadata": {"uid": before}})["metadata"]["uid"] != before
        ),
        within=60,
        what="a new remote pod",
    )
    eventually(lambda: ready_pods(rome, web.namespace, "app=web"), within=60, what="the pod Ready again")
    (pod,) = rome.items("pods", "-n", web.namespace)
    assert pod["metadata"]["name"] == name
    assert pod["status"]["containerStatuses"][0]["restartCount"] >= 1


def test_configuration_changes_follow(web: Web, peered: Pair) -> None:
    _, milan = peered
    web.apply(config_map("changing", greeting="ciao"), secret("passing", "segreto"))
    for kind, one in (("configmap", "changing"), ("secret", "passing")):
        eventually(lambda kind=kind, one=one: milan.get(kind, one, "-n", web.twin), within=60, what=one)
    web.kubectl("patch", "configmap", "changing", "-p", '{"data":{"greeting":"salve"}}')
    eventually(
        lambda: milan.get("configmap", "changing", "-n", web.twin)["data"]["greeting"] == "salve",
        within=60,
        what="the changed ConfigMap",
    )
    web.kubectl("delete", "secret", "passing")
    eventually(
        lambda: milan.get("secret", "passing", "-n", web.twin) is None,
        within=60,
        what="the deleted Secret gone",
    )
    names = [one["metadata"]["name"] for one in milan.items("configmaps", "-n", web.twin)]
    assert [one for one in names if one.startswith("kube-root-ca.crt.rome")]


def unpeer_with_ten_pods(web: Web) -> float:
    """End the peering while pods run abroad, and see that nothing is left of it; the seconds it took."""
    rome, milan = web.rome, web.milan
    web.scale(10)
    start = time.monotonic()
    isthmus("unpeer", *between(rome, milan), "--skip-confirm")
    took = time.monotonic() - start
    assert rome.get("node", "milan") is None
    assert milan.get("namespace", web.twin) is None
    for cluster, tenant in ((rome, "liqo-tenant-milan"), (milan, "liqo-tenant-rome")):
        assert _ours(cluster, tenant) == []
        assert cluster.items("foreignclusters") == []
    print(f"unpeer with 10 pods took {took:.1f} s")
    return took


def test_unpeer_with_ten_pods_leaves_nothing(peered: Pair, web: Web) -> None:
    unpeer_with_ten_pods(web)


@pytest.mark.figures
def test_unpeer_with_ten_pods_takes_seconds(peered: Pair, web: Web) -> None:
    assert unpeer_with_ten_pods(web) < UNPEER


def _ours(cluster: Cluster, namespace: str) -> list[str]:
    """Every object in a tenant namespace but what Kubernetes itself puts into each."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").stdout.split()
    wanted = [k for k in kinds if "event" not in k and "metrics.k8s.io" not in k]
    found = cluster.kubectl(
        "get", ",".join(wanted), "-n", namespace, "-o", "name", "--ignore-not-found"
    ).stdout.split()
    return [n for n in found if n not in ("configmap/kube-root-ca.crt", "serviceaccount/default")]

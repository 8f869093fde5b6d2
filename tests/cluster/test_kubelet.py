"""The kubelet API of a virtual node, asked by a real API server for stock kubectl, answered by a real provider.

The node, its pod and where that runs are made by hand; the API runs in this process as the clusters' admin.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from msgspec import Struct

from isthmus.api.crds import custom_resource_definitions
from isthmus.kube.builtin import PODS, Pod
from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.offloading import kubelet
from tests.cluster.support import TEST_IMAGE, Cluster, eventually

LINES = "; ".join(
    (
        "echo started",
        "(agnhost netexec --http-override='/echo?msg=hello%0A' 2>/dev/null &)",
        "while :; do date; sleep 1; done",
    )
)


class Place(Struct, frozen=True):
    """Where the pods of the test run."""

    client: Client
    remote_namespace: str
    node: str
    pod_uid: str


class Pods:
    """All pods of the test's node, in one namespace of the provider."""

    def __init__(self, client: Client, informer: Informer[Pod], node: str, namespace: str) -> None:
        self._client, self._informer, self._node, self._namespace = client, informer, node, namespace

    def locate(self, namespace: str, pod: str) -> Place | None:
        found = self._informer.get(Key(namespace, pod))
        if found is None:
            return None
        return Place(self._client, self._namespace, self._node, found.metadata.uid)

    def pods_on(self, node: str) -> list[Pod]:
        return list(self._informer.list())

    def nodes(self) -> list[str]:
        return [self._node]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Served:
    """A virtual node with the pod `web`, whose kubelet API is up."""

    rome: Cluster
    node: str
    namespace: str

    async def kubectl(
        self, *arguments: str, check: bool = True, **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        arguments = ("-n", self.namespace, *arguments)
        return await asyncio.to_thread(self.rome.kubectl, *arguments, check=check, **settings)

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A kubectl that runs until the block ends."""
        command = [self.rome.kubectl_path, "--kubeconfig", str(self.rome.kubeconfig), "-n", self.namespace]
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _pod(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": TEST_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", LINES],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            **spec,
        },
    }


def _own_address(server: str) -> str:
    """The address of this machine that the cluster's API server can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((urlsplit(server).hostname, 9))
        return str(probe.getsockname()[0])


def _free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        return int(listener.getsockname()[1])


def _make(rome: Cluster, milan: Cluster, node: str, address: str, port: int) -> None:
    for manifest in custom_resource_definitions():
        if manifest["metadata"]["name"] == "virtualnodes.offloading.liqo.io":
            rome.apply(manifest)
            rome.kubectl("wait", "--for=condition=Established", f"crd/{manifest['metadata']['name']}")
    for cluster in (rome, milan):
        cluster.kubectl("create", "namespace", node)
    virtual_node = {
        "apiVersion": "offloading.liqo.io/v1beta1",
        "kind": "VirtualNode",
        "metadata": {"name": node, "namespace": node},
        "spec": {"clusterID": "milan", "createNode": False},
    }
    taints = [{"key": "test", "effect": "NoSchedule"}]
    rome.apply(
        virtual_node,
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {"taints": taints}},
    )
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    _patch_status(rome, status, "node", node)
    for name in ("web", "unknown"):
        rome.apply(_pod(node, name, nodeName=node))
        _patch_status(rome, {"phase": "Running"}, "pod", name, "-n", node)
    milan.apply(_pod(node, "web"))
    milan.kubectl("wait", "--for=condition=Ready", "pod/web", "-n", node, "--timeout=50s")


def _patch_status(cluster: Cluster, status: dict[str, Any], *which: str) -> None:
    cluster.kubectl(
        "patch", *which, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(rome: Cluster, milan: Cluster) -> AsyncIterator[Served]:
    node = f"kubelet-{uuid.uuid4().hex[:8]}"
    address, port = _own_address(rome.server), _free_port()
    await asyncio.to_thread(_make, rome, milan, node, address, port)
    home, provider = Client(load_kubeconfig(rome.kubeconfig)), Client(load_kubeconfig(milan.kubeconfig))
    manager = Manager(home)
    informer = manager.informers.get(PODS, field_selector=f"spec.nodeName={node}")
    options = Options(cluster_id="rome", pod_name=node, pod_ip=address, kubelet_port=port)
    kubelet.setup(manager, options, Pods(provider, informer, node, node))
    running = asyncio.create_task(manager.run())
    try:
        found = Served(rome, node, node)
        await asyncio.to_thread(
            eventually, lambda: _answers(address, port), within=60, what="the kubelet API to be served"
        )
        yield found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await home.close()
        await provider.close()
        for cluster in (rome, milan):
            cluster.kubectl("delete", "namespace", node, "--wait=false")
        rome.kubectl("delete", "node", node)
    leftover = rome.items("csr")
    assert not [csr for csr in leftover if csr["metadata"]["name"].endswith(node)]


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


async def test_logs(served: Served) -> None:
    whole = await served.kubectl("logs", "web")
    assert whole.stdout.startswith("started\n")
    last = await served.kubectl("logs", "web", "--tail=1", "--timestamps")
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \w", last.stdout)
    assert len(last.stdout.splitlines()) == 1
    with served.started("logs", "-f", "web", "--tail=1") as following:
        assert following.stdout is not None
        lines = [await asyncio.to_thread(following.stdout.readline) for _ in range(3)]
    assert len(set(lines)) == 3, "a followed log goes on"


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_exec(served: Served, websockets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
    done = await served.kubectl(
        "exec", "web", "--", "sh", "-c", "hostname; echo wrong >&2; exit 3", check=False
    )
    assert (done.stdout, done.returncode) == ("web\n", 3)
    assert done.stderr.startswith("wrong\n")
    sent = "0123456789abcdef" * 100_000
    summed = await served.kubectl("exec", "-i", "web", "--", "sha256sum", stdin=sent)
    assert summed.stdout.split()[0] == hashlib.sha256(sent.encode()).hexdigest()
    terminal = await asyncio.to_thread(
        subprocess.run,
        ["script", "-qec", _command(served, "exec -it web -- sh"), "/dev/null"],
        input="tty\nexit 4\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "/dev/pts/" in terminal.stdout
    assert terminal.returncode == 4


def _command(served: Served, arguments: str) -> str:
    return (
        f"{served.rome.kubectl_path} --kubeconfig {served.rome.kubeconfig} -n {served.namespace} {arguments}"
    )


async def test_cp_and_attach(served: Served, tmp_path: Path) -> None:
    original, back = tmp_path / "original", tmp_path / "back"
    original.write_bytes(os.urandom(1_000_000))
    await served.kubectl("cp", str(original), "web:/tmp/copy")
    await served.kubectl("cp", "web:/tmp/copy", str(back))
    assert back.read_bytes() == original.read_bytes()
    with served.started("attach", "web") as attached:
        assert attached.stdout is not None
        assert await asyncio.to_thread(attached.stdout.readline)


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_port_forward(served: Served, websockets: str) -> None:
    with served.started(
        "port-forward", "pod/web", ":8080", KUBECTL_PORT_FORWARD_WEBSOCKETS=websockets
    ) as forwarding:
        assert forwarding.stdout is not None
        line = await asyncio.to_thread(forwarding.stdout.readline)
        port = line.partition("127.0.0.1:")[2].split()[0]
        for _ in range(3):
            page = await asyncio.to_thread(_fetch, f"http://127.0.0.1:{port}/")
            assert page == b"hello\n"


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


async def test_refusals_reach_the_user_as_sentences(served: Served) -> None:
    unknown = await served.kubectl("logs", "unknown", check=False)
    assert f"virtual node {served.node} does not know this" in unknown.stderr
    assert 'pods "unknown" not found' in unknown.stderr
    previous = await served.kubectl("logs", "web", "--previous", check=False)
    assert 'previous terminated container "c" in pod "web" not found' in previous.stderr
    missing = await served.kubectl("exec", "unknown", "--", "true", check=False)
    assert f"virtual node {served.node} does not know this" in missing.stderr
    assert missing.returncode == 1


async def test_what_is_about_the_node(served: Served) -> None:
    async def ask(path: str) -> str:
        raw = f"/api/v1/nodes/{served.node}/proxy{path}"
        return (await served.kubectl("get", "--raw", raw)).stdout

    assert await ask("/healthz") == "ok"
    assert sorted(pod["metadata"]["name"] for pod in json.loads(await ask("/pods"))["items"]) == [
        "unknown",
        "web",
    ]
    assert json.loads(await ask("/stats/summary"))["node"]["nodeName"] == served.node
    assert await ask("/metrics/resource") == ""

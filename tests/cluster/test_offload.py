"""A Deployment offloaded: where its pods run, and everything a user does with a pod, by stock kubectl."""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import subprocess
import time
from pathlib import Path

from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

PROGRAM = (
    'echo "$GREETING $PASSWORD $PLAIN"; '
    "agnhost netexec --http-override='/echo?msg=served' 2>/dev/null & trap 'exit 0' TERM; "
    'n=0; while :; do n=$((n+1)); echo "tick $n"; sleep 1 & wait $!; done'
)


def _web(replicas: int) -> list[dict[str, object]]:
    manifest = deployment(
        "web",
        replicas=replicas,
        command=["sh", "-c", PROGRAM],
        remote_only=True,
        container={
            "env": [
                {"name": "PLAIN", "value": "plain-value"},
                {
                    "name": "GREETING",
                    "valueFrom": {"configMapKeyRef": {"name": "greeting", "key": "greeting"}},
                },
                {
                    "name": "PASSWORD",
                    "valueFrom": {"secretKeyRef": {"name": "password", "key": "password"}},
                },
            ],
            "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        },
        volumes=[{"name": "files", "configMap": {"name": "greeting"}}],
    )
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "greeting"},
            "data": {"greeting": "ciao"},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "password"},
            "stringData": {"password": "segreto"},
        },
        manifest,
    ]


def _deploy(rome: Cluster, namespace: str, replicas: int) -> list[str]:
    manifests = _web(replicas)
    for manifest in manifests:
        manifest["metadata"]["namespace"] = namespace  # type: ignore[index]
    rome.apply(*manifests)  # type: ignore[arg-type]
    eventually(
        lambda: len(ready_pods(rome, namespace, "app=web")) == replicas,
        within=120,
        what=f"{replicas} Ready pods",
    )
    return [pod["metadata"]["name"] for pod in ready_pods(rome, namespace, "app=web")]


def test_the_virtual_node_is_ready(peered: tuple[Cluster, Cluster]) -> None:
    rome, _ = peered
    node = rome.get("node", "milan")
    ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True"
    assert node["metadata"]["labels"]["liqo.io/type"] == "virtual-node"
    assert node["metadata"]["labels"]["liqo.io/remote-cluster-id"] == "milan"
    assert {t["key"]: t["effect"] for t in node["spec"]["taints"]} == {
        "virtual-node.liqo.io/not-allowed": "NoExecute"
    }
    assert node["status"]["capacity"]["cpu"] == "4"


def test_a_deployment_of_twenty_runs_on_the_providers_real_nodes(
    peered: tuple[Cluster, Cluster], namespace: str
) -> None:
    rome, milan = peered
    names = _deploy(rome, namespace, 20)
    remote = milan.items("pods", "-n", f"{namespace}-rome")
    assert sorted(pod["metadata"]["name"] for pod in remote) == sorted(names)
    real = {node["metadata"]["name"] for node in milan.items("nodes", "-l", "liqo.io/type!=virtual-node")}
    assert {pod["spec"]["nodeName"] for pod in remote} <= real
    assert {pod["spec"]["nodeName"] for pod in rome.items("pods", "-n", namespace)} == {"milan"}
    warnings = [
        event["message"]
        for event in milan.items("events", "-n", f"{namespace}-rome", "--field-selector=type=Warning")
    ]
    assert not [text for text in warnings if "-token" in text], "a pod started before its tokens were there"

    first = rome.kubectl("logs", "-n", namespace, names[0]).stdout.splitlines()[0]
    assert first == "ciao segreto plain-value"
    seen = rome.kubectl("exec", "-n", namespace, names[1], "--", "cat", "/files/greeting").stdout
    assert seen == "ciao"

    rome.kubectl("scale", "-n", namespace, "deployment/web", "--replicas=0")
    eventually(
        lambda: (
            not milan.items("pods", "-n", f"{namespace}-rome")
            and not milan.items("shadowpods", "-n", f"{namespace}-rome")
            and not rome.items("pods", "-n", namespace)
        ),
        within=60,
        what="nothing left on either side after scaling to 0",
    )


def test_logs_are_followed(peered: tuple[Cluster, Cluster], namespace: str) -> None:
    rome, _ = peered
    (name,) = _deploy(rome, namespace, 1)
    command = [rome.kubectl_path, "--kubeconfig", str(rome.kubeconfig), "logs", "-f", "-n", namespace, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        ticks = []
        for line in follower.stdout:
            if match := re.match(r"tick (\d+)", line):
                ticks.append(int(match[1]))
            if len(ticks) == 5:
                break
        follower.kill()
    assert ticks == list(range(ticks[0], ticks[0] + 5))


def test_exec_with_a_terminal(peered: tuple[Cluster, Cluster], namespace: str) -> None:
    rome, _ = peered
    (name,) = _deploy(rome, namespace, 1)
    ours, theirs = pty.openpty()
    command = [rome.kubectl_path, "--kubeconfig", str(rome.kubeconfig)]
    command += ["exec", "-it", "-n", namespace, name, "--", "sh"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as shell:
        os.close(theirs)
        os.write(ours, b"echo $((20+3)) on $(hostname); tty; exit 7\n")
        output = _drain(ours, until=b"/dev/pts", seconds=20)
        assert shell.wait(timeout=20) == 7
    os.close(ours)
    assert f"23 on {name}".encode() in output


def _drain(descriptor: int, *, until: bytes, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    output = b""
    while until not in output and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.5)[0]:
            output += os.read(descriptor, 4096)
    return output


def test_exec_carries_standard_input_and_the_exit_code(
    peered: tuple[Cluster, Cluster], namespace: str
) -> None:
    rome, _ = peered
    (name,) = _deploy(rome, namespace, 1)
    text = "".join(f"line {number}\n" for number in range(20_000))
    done = rome.kubectl("exec", "-i", "-n", namespace, name, "--", "wc", "-l", stdin=text)
    assert done.stdout.strip() == "20000"
    failed = rome.kubectl("exec", "-n", namespace, name, "--", "sh", "-c", "exit 3", check=False)
    assert failed.returncode == 3


def test_attach_shows_what_the_container_prints(peered: tuple[Cluster, Cluster], namespace: str) -> None:
    rome, _ = peered
    (name,) = _deploy(rome, namespace, 1)
    command = [rome.kubectl_path, "--kubeconfig", str(rome.kubeconfig), "attach", "-n", namespace, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as attached:
        assert attached.stdout is not None
        line = next(line for line in attached.stdout if line.startswith("tick"))
        attached.kill()
    assert line.startswith("tick ")


def test_port_forward(peered: tuple[Cluster, Cluster], namespace: str) -> None:
    rome, _ = peered
    (name,) = _deploy(rome, namespace, 1)
    command = [rome.kubectl_path, "--kubeconfig", str(rome.kubeconfig)]
    command += ["port-forward", "-n", namespace, name, ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as forward:
        assert forward.stdout is not None
        port = int(re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())[1])  # type: ignore[index]
        try:
            for _ in range(3):
                assert b"served" in _http_get(port)
        finally:
            forward.kill()


def _http_get(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = b""
        while block := connection.recv(4096):
            answer += block
    return answer


def test_cp_both_ways(peered: tuple[Cluster, Cluster], namespace: str, tmp_path: Path) -> None:
    rome, _ = peered
    (name,) = _deploy(rome, namespace, 1)
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(3_000_000))
    rome.kubectl("cp", str(sent), f"{namespace}/{name}:/tmp/file")
    rome.kubectl("cp", f"{namespace}/{name}:/tmp/file", str(back))
    assert back.read_bytes() == sent.read_bytes()


def test_a_remote_pod_deleted_behind_its_back_comes_back(
    peered: tuple[Cluster, Cluster], namespace: str
) -> None:
    rome, milan = peered
    (name,) = _deploy(rome, namespace, 1)
    twin = f"{namespace}-rome"
    before = milan.get("pod", name, "-n", twin)["metadata"]["uid"]
    milan.kubectl("delete", "pod", name, "-n", twin, "--grace-period=1")
    eventually(
        lambda: (
            (milan.get("pod", name, "-n", twin) or {"metadata": {"uid": before}})["metadata"]["uid"] != before
        ),
        within=60,
        what="a new remote pod",
    )
    eventually(lambda: ready_pods(rome, namespace, "app=web"), within=60, what="the pod Ready again")
    (pod,) = rome.items("pods", "-n", namespace)
    assert pod["metadata"]["name"] == name
    assert pod["status"]["containerStatuses"][0]["restartCount"] >= 1


def test_configuration_changes_follow(peered: tuple[Cluster, Cluster], namespace: str) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    _deploy(rome, namespace, 1)
    rome.kubectl("patch", "configmap", "greeting", "-n", namespace, "-p", '{"data":{"greeting":"salve"}}')
    eventually(
        lambda: milan.get("configmap", "greeting", "-n", twin)["data"]["greeting"] == "salve",
        within=60,
        what="the changed ConfigMap",
    )
    rome.kubectl("delete", "secret", "password", "-n", namespace)
    eventually(
        lambda: milan.get("secret", "password", "-n", twin) is None, within=60, what="the deleted Secret gone"
    )
    assert any(
        c["metadata"]["name"].startswith("kube-root-ca.crt.rome")
        for c in milan.items("configmaps", "-n", twin)
    )


def test_unpeer_with_ten_pods_leaves_nothing(peered: tuple[Cluster, Cluster], namespace: str) -> None:
    rome, milan = peered
    _deploy(rome, namespace, 10)
    start = time.monotonic()
    isthmus(
        "unpeer",
        "--kubeconfig",
        str(rome.kubeconfig),
        "--remote-kubeconfig",
        str(milan.kubeconfig),
        "--skip-confirm",
    )
    took = time.monotonic() - start
    assert rome.get("node", "milan") is None
    assert milan.get("namespace", f"{namespace}-rome") is None
    for cluster, tenant in ((rome, "liqo-tenant-milan"), (milan, "liqo-tenant-rome")):
        assert _ours(cluster, tenant) == []
        assert cluster.items("foreignclusters") == []
    print(f"unpeer with 10 pods took {took:.1f} s")  # 15 on a quiet machine; a busy one is no fault of ours.
    assert took < 60


def _ours(cluster: Cluster, namespace: str) -> list[str]:
    """Every object in a tenant namespace but what Kubernetes itself puts into each."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").stdout.split()
    wanted = [k for k in kinds if "event" not in k and "metrics.k8s.io" not in k]
    found = cluster.kubectl(
        "get", ",".join(wanted), "-n", namespace, "-o", "name", "--ignore-not-found"
    ).stdout.split()
    return [n for n in found if n not in ("configmap/kube-root-ca.crt", "serviceaccount/default")]

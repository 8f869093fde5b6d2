"""What goes to an API server through the tunnel: a peer that has no other way, and pods that ask their home."""

from __future__ import annotations

import base64
import ipaddress
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.endings import Endings
from tests.cluster.networking.traffic import pod, run_pods
from tests.cluster.peering import NODE_PORT, Pair, between, separate
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

UNREACHABLE = "https://kubernetes.default.svc"
"""A name of milan's API server that its certificate has and nobody outside milan can resolve."""

WAIT = "import time\ntime.sleep(3600)\n"

ASK_HOME = """
import json, os, ssl, sys, time, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
url = f"https://{host}:{port}/api/v1/namespaces/{sys.argv[1]}/pods/{sys.argv[2]}"
while True:
    try:
        context = ssl.create_default_context(cafile=folder + "ca.crt")
        request = urllib.request.Request(url)
        request.add_header("Authorization", "Bearer " + open(folder + "token").read())
        with urllib.request.urlopen(request, context=context, timeout=5) as answer:
            print("uid", json.load(answer)["metadata"]["uid"], flush=True)
    except Exception as error:
        print("failed", error, flush=True)
    time.sleep(1)
"""

TALK = """
import socket, ssl, sys
def ask(head):
    with socket.create_connection((sys.argv[1], 8118), timeout=10) as plain:
        plain.sendall(head)
        answer = plain.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200 "):
            return answer.split(b"\\r\\n")[0].decode()
        context = ssl.create_default_context(cafile="/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
        with context.wrap_socket(plain, server_hostname="kubernetes.default") as secure:
            secure.sendall(b"GET /livez HTTP/1.1\\r\\nHost: kubernetes.default\\r\\nConnection: close\\r\\n\\r\\n")
            return secure.recv(4096).split(b"\\r\\n")[0].decode()
print(ask(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"))
print(ask(b"CONNECT example.org:443 HTTP/1.1\\r\\nHost: example.org:443\\r\\n\\r\\n"))
"""


def _install(cluster: Cluster, server: str) -> None:
    isthmus(
        "install",
        *("--kubeconfig", str(cluster.kubeconfig), "--cluster-id", cluster.name, "--api-server-url", server),
    )


def _status_ip(cluster: Cluster, name: str) -> str:
    found = cluster.get("ip.ipam.liqo.io", "-n", "liqo", name)
    return str((found or {}).get("status", {}).get("ip", ""))


@pytest.fixture
def in_band(installed: Pair) -> Iterator[Pair]:
    """Rome may use milan, whose API server it can reach through the tunnel only; all as before afterwards."""
    rome, milan = installed
    separate(rome, milan)
    _install(milan, UNREACHABLE)
    try:
        isthmus("peer", *between(rome, milan), "--in-band", *NODE_PORT)
        yield rome, milan
    finally:
        isthmus("unpeer", *between(rome, milan), "--skip-confirm", check=False)
        _install(milan, milan.server)


def test_api_server_and_proxy_have_addresses_of_the_external_range(
    installed: Pair,
) -> None:
    services = {"api-server": ("default", "kubernetes"), "api-server-proxy": ("liqo", "liqo-proxy")}
    for cluster in installed:
        external = cluster.get("network.ipam.liqo.io", "-n", "liqo", "external-cidr")["status"]["cidr"]
        for name, (namespace, service) in services.items():
            eventually(
                lambda api=cluster, of=name: _status_ip(api, of),  # type: ignore[misc]
                within=60,
                what=f"the address of {name}",
            )
            assert ipaddress.ip_address(_status_ip(cluster, name)) in ipaddress.ip_network(external)
            found = cluster.get("ip.ipam.liqo.io", "-n", "liqo", name)
            wanted = cluster.get("service", "-n", namespace, service)["spec"]["clusterIP"]
            assert found["spec"]["ip"] == wanted
            assert found["metadata"]["labels"]["ipam.liqo.io/ip-type"] == name
            assert found["metadata"]["annotations"]["liqo.io/preinstalled"] == "true"


def test_proxy_takes_connect_only_and_leads_to_the_api_server_only(installed: Pair, endings: Endings) -> None:
    _, milan = installed
    (service,) = milan.items("service", "-n", "liqo", "-l", "app.kubernetes.io/name=proxy")
    address = service["spec"]["clusterIP"]
    name = f"proxy-{uuid.uuid4().hex[:8]}"
    milan.kubectl("create", "namespace", name)
    try:
        run_pods(milan, name, pod("asker", WAIT))
        done = milan.kubectl("exec", "-n", name, "asker", "--", "/usr/bin/python3", "-c", TALK, address)
        assert done.stdout.splitlines() == ["HTTP/1.1 405 Method Not Allowed", "HTTP/1.1 200 OK"]
    finally:
        endings.delete(milan, name)


def test_an_offloaded_pod_asks_its_home_about_itself(peered: Pair, namespace: str) -> None:
    rome, milan = peered
    role = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "self"}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    rome.apply(
        _rbac("Role", namespace, **role),
        _rbac("RoleBinding", namespace, roleRef=reference, subjects=[subject]),
    )
    asker = pod("asker", ASK_HOME, namespace, "asker", nodeSelector={"liqo.io/type": "virtual-node"})
    run_pods(rome, namespace, asker)
    uid = rome.get("pod", "-n", namespace, "asker")["metadata"]["uid"]
    abroad = milan.get("pod", "-n", f"{namespace}-rome", "asker")
    assert abroad["metadata"]["uid"] != uid
    aliases = {name: a["ip"] for a in abroad["spec"]["hostAliases"] for name in a["hostnames"]}
    seen = milan.get("configuration.networking.liqo.io", "-n", "liqo-tenant-rome", "rome")
    external = seen["status"]["remote"]["cidr"]["external"]
    external = external if isinstance(external, str) else external[0]
    assert ipaddress.ip_address(aliases["kubernetes.default"]) in ipaddress.ip_network(external)
    eventually(
        lambda: f"uid {uid}" in rome.kubectl("logs", "-n", namespace, "asker").stdout,
        within=60,
        what="rome's API server to tell the pod in milan its uid there",
    )


def _rbac(kind: str, namespace: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": "self", "namespace": namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, **fields}


def test_a_provider_that_is_reached_through_the_tunnel_only_runs_pods(
    in_band: Pair, endings: Endings
) -> None:
    rome, milan = in_band
    secret = rome.get("secret", "-n", "liqo-tenant-milan", "kubeconfig-controlplane-milan")
    kubeconfig = base64.b64decode(secret["data"]["kubeconfig"]).decode()
    assert UNREACHABLE in kubeconfig
    assert ":8118" in kubeconfig
    name = f"in-band-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    try:
        isthmus("offload", "namespace", name, "--kubeconfig", str(rome.kubeconfig))
        command = ["sh", "-c", "echo here; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]
        made = deployment("web", replicas=2, command=command, remote_only=True)
        made["metadata"]["namespace"] = name
        rome.apply(made)
        eventually(lambda: len(ready_pods(rome, name)) == 2, within=90, what="2 Ready pods")
        assert len(ready_pods(milan, f"{name}-rome")) == 2
        one = ready_pods(rome, name)[0]["metadata"]["name"]
        # Followed and executed: streams, watches and plain requests all go through the proxy.
        assert rome.kubectl("logs", "-n", name, one).stdout == "here\n"
        assert rome.kubectl("exec", "-n", name, one, "--", "echo", "there").stdout == "there\n"
        eventually(lambda: _answers(rome), within=60, what="the ForeignCluster to say that milan answers")
    finally:
        endings.delete(rome, name)
        endings.expect(milan, f"{name}-rome")


def _answers(rome: Cluster) -> bool:
    peer = rome.get("foreigncluster.core.liqo.io", "milan")
    conditions = peer["status"].get("conditions", [])
    proxied = str(peer["status"].get("foreignProxyUrl", "")).endswith(":8118")
    return proxied and any(
        c["type"] == "APIServerStatus" and c["status"] == "Established" for c in conditions
    )

"""The commands on real clusters as users meet them: with few rights, broken off, in both directions, again."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.support import ISTHMUS, Cluster, isthmus

Pair = tuple[Cluster, Cluster]
PEERING = (
    "tenants.authentication.liqo.io",
    "identities.authentication.liqo.io",
    "resourceslices.authentication.liqo.io",
    "renews.authentication.liqo.io",
    "namespacemaps.offloading.liqo.io",
    "virtualnodes.offloading.liqo.io",
    "quotas.offloading.liqo.io",
    "foreignclusters.core.liqo.io",
)


def kubeconfigs(consumer: Cluster, provider: Cluster | Path) -> tuple[str, ...]:
    remote = provider if isinstance(provider, Path) else provider.kubeconfig
    return ("--kubeconfig", str(consumer.kubeconfig), "--remote-kubeconfig", str(remote))


NODE_PORT = ("--gw-server-service-type", "NodePort")
"""The lab has no load balancers."""


def left(*clusters: Cluster) -> list[str]:
    """What of any peering is there: its objects, and the secrets of tenant namespaces."""
    found = []
    for cluster in clusters:
        found += cluster.items(",".join(PEERING), "-A")
        found += [
            secret
            for secret in cluster.items("secrets", "-A")
            if secret["metadata"]["namespace"].startswith("liqo-tenant-")
        ]
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


@pytest.fixture
def apart(installed: Pair) -> Iterator[Pair]:
    """The two clusters, not peered, before and after."""
    rome, milan = installed
    for pair in ((rome, milan), (milan, rome)):
        isthmus("unpeer", *kubeconfigs(*pair), "--skip-confirm")
    yield installed
    for pair in ((rome, milan), (milan, rome)):
        isthmus("unpeer", *kubeconfigs(*pair), "--skip-confirm")


@pytest.fixture
def peering_user(apart: Pair, tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig of milan that may do what wire.md 7 lets a peering user do, and nothing else."""
    _, milan = apart
    names = {"namespace": "default", "name": "peering-user-of-rome"}
    subject = {"kind": "ServiceAccount", **names}
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": names["name"], "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [subject],
        }
        for namespace, kind, role in (
            ("liqo", "Role", "liqo-peering-user-liqo-ns"),
            ("liqo-tenant-rome", "ClusterRole", "liqo-peering-user-tenant-ns"),
        )
    ]
    tenant_namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "liqo-tenant-rome",
            "labels": {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": "rome"},
        },
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": names}
    milan.apply(tenant_namespace, account, *bindings)
    token = milan.kubectl("create", "token", names["name"], "-n", "default").stdout.strip()
    path = tmp_path / "peering-user"
    path.touch(mode=0o600)
    path.write_text(milan.kubeconfig.read_text())
    for command in (
        ["set-credentials", "peering-user", f"--token={token}"],
        ["set-context", "--current", "--user=peering-user"],
    ):
        subprocess.run(
            [milan.kubectl_path, "--kubeconfig", path, "config", *command], check=True, capture_output=True
        )
    yield path
    milan.kubectl("delete", "serviceaccount", names["name"], "-n", "default")
    for namespace in ("liqo", "liqo-tenant-rome"):
        milan.kubectl("delete", "rolebinding", names["name"], "-n", namespace, "--ignore-not-found")


def test_a_peering_user_can_peer_and_unpeer(apart: Pair, peering_user: Path) -> None:
    rome, milan = apart
    done = isthmus("peer", *kubeconfigs(rome, peering_user), *NODE_PORT, "--cpu", "2", "--timeout", "120s")
    assert done.stdout == "rome is peered with milan\n"
    node = rome.get("node", "milan")
    assert node["status"]["capacity"]["cpu"] == "2"
    isthmus("unpeer", *kubeconfigs(rome, peering_user), "--skip-confirm")
    assert left(rome, milan) == []


@pytest.mark.parametrize(
    "after", ["Configuration milan", "Gateway server", "Key of", "Nonce", "Tenant rome", "Identity"]
)
def test_a_peering_broken_off_is_finished_by_the_next_run(apart: Pair, after: str) -> None:
    """SIGKILL after each step: the same command goes on, and unpeer cleans up as from any other peering."""
    rome, milan = apart
    command = subprocess.Popen(
        [*ISTHMUS, "peer", *kubeconfigs(rome, milan), *NODE_PORT],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    for line in command.stderr:
        if after in line:
            break
    command.send_signal(signal.SIGKILL)
    command.wait()
    command.stderr.close()
    isthmus("peer", *kubeconfigs(rome, milan), *NODE_PORT, "--timeout", "120s")
    assert (
        json.loads(isthmus("info", "peer", "milan", "-o", "json", *kubeconfigs(rome, milan)[:2]).stdout)[
            "milan"
        ]["offloading"]["virtualNodes"][0]["status"]
        == "Ready"
    )
    isthmus("unpeer", *kubeconfigs(rome, milan), "--skip-confirm")
    assert left(rome, milan) == []


def test_an_interrupted_command_says_so(apart: Pair) -> None:
    rome, milan = apart
    command = subprocess.Popen(
        [*ISTHMUS, "peer", *kubeconfigs(rome, milan), *NODE_PORT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    begun = command.stderr.readline()
    command.send_signal(signal.SIGINT)
    out, error = command.communicate(timeout=20)
    assert begun
    assert command.returncode == 130
    assert out == ""
    assert error.endswith("error: interrupted\n")
    assert "Traceback" not in error


def test_each_direction_is_ended_by_itself(apart: Pair) -> None:
    rome, milan = apart
    for pair in ((rome, milan), (milan, rome)):
        isthmus("peer", *kubeconfigs(*pair), *NODE_PORT, "--timeout", "120s")
    role = isthmus("info", "peer", "milan", "--get", "role", "--kubeconfig", str(rome.kubeconfig)).stdout
    assert role == "ConsumerAndProvider\n"
    refused = isthmus(
        "unpeer", *kubeconfigs(rome, milan), "--skip-confirm", "--delete-namespaces", check=False
    )
    assert refused.returncode == 2
    assert "--delete-namespaces: milan also consumes rome" in refused.stderr
    isthmus("unpeer", *kubeconfigs(rome, milan), "--skip-confirm")
    assert rome.get("node", "milan") is None
    again = isthmus("peer", *kubeconfigs(milan, rome), "--timeout", "120s")
    assert again.stdout == "milan is peered with rome\n"
    isthmus("unpeer", *kubeconfigs(milan, rome), "--skip-confirm", "--delete-namespaces")
    assert left(rome, milan) == []
    assert rome.get("namespace", "liqo-tenant-milan") is None
    assert milan.get("namespace", "liqo-tenant-rome") is None
    once_more = isthmus("unpeer", *kubeconfigs(rome, milan), "--skip-confirm")
    assert "was not peered" in once_more.stdout


def test_offloading_is_told_as_it_is(peered: Pair) -> None:
    rome, milan = peered
    local = ("--kubeconfig", str(rome.kubeconfig))
    rome.kubectl("create", "namespace", "told")
    try:
        done = isthmus("offload", "namespace", "told", "--selector", "region=nowhere", *local)
        assert "is extended to no cluster yet: no provider has labels that --selector asks for" in done.stderr
        done = isthmus("offload", "ns", "told", "--selector", "liqo.io/remote-cluster-id in (milan)", *local)
        assert "Namespace told is told-rome on milan" in done.stderr
        assert milan.get("namespace", "told-rome") is not None
        done = isthmus(
            "offload",
            "namespace",
            "told",
            "--namespace-mapping-strategy",
            "EnforceSameName",
            *local,
            check=False,
        )
        assert done.returncode == 1
        assert "cannot be changed: isthmus unoffload namespace told" in done.stderr
        isthmus("unoffload", "namespace", "told", "--skip-confirm", *local)
        assert milan.get("namespace", "told-rome") is None
        done = isthmus("unoffload", "namespace", "told", "--skip-confirm", *local)
        assert 'namespace "told" is not offloaded' in done.stderr
        # A namespace of that name which the provider has for itself is left alone, and that is said.
        milan.kubectl("create", "namespace", "told")
        done = isthmus(
            "offload",
            "namespace",
            "told",
            "--namespace-mapping-strategy",
            "EnforceSameName",
            "--timeout",
            "5s",
            *local,
            check=False,
        )
        assert done.returncode == 1
        assert "milan: CreationLoopBackOff" in done.stderr
    finally:
        isthmus("unoffload", "namespace", "told", "--skip-confirm", *local)
        rome.kubectl("delete", "namespace", "told")
        milan.kubectl("delete", "namespace", "told", "--ignore-not-found")

"""A peering with everything in it that a hostile consumer could reach for, and the consumer's own credentials."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from tests.cluster.endings import Endings
from tests.cluster.peering import NODE_PORT, Pair, between, stands
from tests.cluster.support import Cluster, eventually, isthmus

HOME, AWAY = "liqo-tenant-milan", "liqo-tenant-rome"
"""The tenant namespaces of the peering on rome and on milan."""
IDENTITIES = ("control plane", "slice", "peering user")


@dataclass(frozen=True)
class Stage:
    """Rome consumes milan; `twin` is one of its namespaces there. Beside it, another consumer has one, too."""

    rome: Cluster
    milan: Cluster
    local: str
    other: str
    kubeconfigs: dict[str, Path]

    @property
    def twin(self) -> str:
        return f"{self.local}-rome"

    @property
    def others_tenant(self) -> str:
        return f"liqo-tenant-{self.other}"

    @property
    def others_twin(self) -> str:
        return f"demo-{self.other}"

    def client(self, identity: str) -> Client:
        """Milan as one of rome's identities reaches it."""
        return Client(load_kubeconfig(self.kubeconfigs[identity]), attempts=1)

    def admin(self) -> Client:
        """Milan as its admin reaches it."""
        return Client(load_kubeconfig(self.milan.kubeconfig))


def _write(directory: Path, name: str, content: bytes) -> Path:
    path = directory / name.replace(" ", "-")
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def _kubeconfig(rome: Cluster, secret: str) -> bytes:
    eventually(lambda: rome.get("secret", secret, "-n", HOME), within=60, what=f"Secret {secret}")
    return base64.b64decode(rome.get("secret", secret, "-n", HOME)["data"]["kubeconfig"])


def _another_consumer(milan: Cluster, name: str) -> None:
    """A consumer's tenant namespace and twin, as its replication would bring them about."""
    tenant = f"liqo-tenant-{name}"
    marks = {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": name}
    copy = {"liqo.io/replicated": "true", "liqo.io/originID": name, "liqo.io/remoteID": "milan"}
    milan.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant, "labels": marks}},
        {
            "apiVersion": "offloading.liqo.io/v1beta1",
            "kind": "NamespaceMap",
            "metadata": {"name": "milan", "namespace": tenant, "labels": copy},
            "spec": {"desiredMapping": {"demo": f"demo-{name}"}},
        },
    )


def _controller(cluster: Cluster, *, running: bool) -> None:
    where = ("-n", "liqo", "deployment/liqo-controller-manager")
    cluster.kubectl("scale", *where, f"--replicas={int(running)}")
    if running:
        cluster.kubectl("rollout", "status", *where, "--timeout=90s", timeout=100)
    else:
        selector = ("pods", "-n", "liqo", "-l", "app.kubernetes.io/component=controller-manager")
        eventually(lambda: not cluster.items(*selector), within=60, what="the controller gone")


@pytest.fixture(scope="package")
def stage(installed: Pair, endings: Endings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The peering, a namespace offloaded, another consumer, and a peering user of rome's.

    Rome's controller is away: it would take back what is written in its name.
    """
    rome, milan = installed
    if not stands(rome, milan):
        isthmus("peer", *between(rome, milan), *NODE_PORT)
    local, other = f"safe-{uuid.uuid4().hex[:6]}", f"turin{uuid.uuid4().hex[:6]}"
    rome.kubectl("create", "namespace", local)
    isthmus("offload", "namespace", local, "--kubeconfig", str(rome.kubeconfig))
    _another_consumer(milan, other)
    users = ("peering-user", "--consumer-cluster-id", "rome", "--kubeconfig", str(milan.kubeconfig))
    isthmus("delete", *users, check=False)
    directory = tmp_path_factory.mktemp("identities")
    found = {
        "control plane": _kubeconfig(rome, "kubeconfig-controlplane-milan"),
        "slice": _kubeconfig(rome, "kubeconfig-resourceslice-milan"),
        "peering user": isthmus("generate", *users).stdout.encode(),
    }
    stage = Stage(
        rome, milan, local, other, {name: _write(directory, name, text) for name, text in found.items()}
    )
    eventually(lambda: milan.get("namespace", stage.others_twin), within=60, what="the other's twin")
    eventually(
        lambda: milan.get("rolebinding", AWAY, "-n", stage.twin),
        within=60,
        what="the permissions in the twin",
    )
    _controller(rome, running=False)
    try:
        yield stage
    finally:
        _controller(rome, running=True)
    isthmus("delete", *users, check=False)
    endings.delete(rome, local)
    endings.delete(milan, stage.others_tenant)
    endings.expect(milan, stage.twin, stage.others_twin)
    endings.settle()

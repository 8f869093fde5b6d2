"""A consumer that is played, for tests of the provider alone.

Its objects are written into a tenant namespace as its replication would, and its ShadowPods come from an identity
of its own with exactly the permissions a slice has.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, load_kubeconfig
from isthmus.kube.errors import ApiError
from tests.cluster.endings import Endings
from tests.cluster.peering import Pair
from tests.cluster.support import TEST_IMAGE, Cluster, eventually

LIMITS = {"cpu": "1", "memory": "1Gi", "pods": "100"}


@dataclass(frozen=True)
class Consumer:
    """A played consumer at a provider, and the name of the namespace it was given."""

    id: str
    provider: Cluster

    @property
    def tenant(self) -> str:
        return f"liqo-tenant-{self.id}"

    @property
    def twin(self) -> str:
        return f"demo-{self.id}"

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.tenant}:slice"

    def namespace_map(self, **mapping: str) -> None:
        """Write the NamespaceMap as replication would; keywords are local names."""
        labels = {
            "liqo.io/replication": "false",
            "liqo.io/replicated": "true",
            "liqo.io/originID": self.id,
            "liqo.io/remoteID": "milan",
            "liqo.io/remote-cluster-id": self.id,
        }
        self.provider.apply(
            {
                "apiVersion": "offloading.liqo.io/v1beta1",
                "kind": "NamespaceMap",
                "metadata": {"name": "milan", "namespace": self.tenant, "labels": labels},
                "spec": {"desiredMapping": mapping},
            }
        )

    def phase(self, local: str) -> str:
        """What the provider made of one mapping, "" where it says nothing."""
        found = self.provider.get("namespacemaps", "milan", "-n", self.tenant)
        current = (found or {}).get("status", {}).get("currentMapping", {})
        return str(current.get(local, {}).get("phase", ""))

    def quota(self, resources: dict[str, str], **spec: Any) -> None:
        """Write the consumer's Quota."""
        self.provider.apply(
            {
                "apiVersion": "offloading.liqo.io/v1beta1",
                "kind": "Quota",
                "metadata": {"name": "slice", "namespace": self.tenant},
                "spec": {"user": self.user, "limitsEnforcement": "None", "resources": resources, **spec},
            }
        )

    def admit(self) -> None:
        """See to the twin namespace and to the permissions of the consumer's identity in it."""

        def has_twin() -> bool:
            # As replication does: written again, where somebody deleted it.
            self.namespace_map(demo=self.twin)
            return self.phase("demo") == "Accepted"

        eventually(has_twin, within=60, what="the twin namespace", every=1)
        self.provider.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "played", "namespace": self.twin},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "liqo-virtual-kubelet-remote",
                },
                "subjects": [{"kind": "ServiceAccount", "name": "slice", "namespace": self.tenant}],
            }
        )

    def credentials(self) -> Credentials:
        """Credentials of the consumer's slice."""
        admin = load_kubeconfig(self.provider.kubeconfig)
        token = self.provider.kubectl("create", "token", "slice", "-n", self.tenant).stdout.strip()
        return Credentials(server=admin.server, ca_data=admin.ca_data, token=token)


@pytest.fixture(name="played", scope="module")
def played_fixture(installed: Pair, endings: Endings) -> Iterator[Consumer]:
    """A consumer with a twin namespace that its identity may work in."""
    _, milan = installed
    played = Consumer(f"paris{uuid.uuid4().hex[:6]}", milan)
    labels = {"liqo.io/tenant-namespace": "true", "liqo.io/remote-cluster-id": played.id}
    account = {"name": "slice", "namespace": played.tenant}
    milan.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": played.tenant, "labels": labels}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
    )
    played.admit()
    yield played
    endings.delete(milan, played.tenant)
    endings.expect(milan, played.twin)


@pytest.fixture(name="consumer")
def consumer_fixture(played: Consumer) -> Iterator[Consumer]:
    """The consumer with its usual Quota and no ShadowPods."""
    played.quota(LIMITS, cordoned=False)
    yield played
    played.provider.kubectl("delete", "shadowpods", "--all", "-n", played.twin)


def shadow_pod(consumer: Consumer, name: str, *, cpu: str = "10m", **spec: Any) -> dict[str, Any]:
    """A ShadowPod as a virtual node would write it."""
    container = {"name": "c", "image": TEST_IMAGE, "imagePullPolicy": "Never"}
    resources = {"requests": {"cpu": cpu, "memory": "1Mi"}}
    return {
        "apiVersion": "offloading.liqo.io/v1beta1",
        "kind": "ShadowPod",
        "metadata": {
            "name": name,
            "namespace": consumer.twin,
            "labels": {"offloading.liqo.io/origin": consumer.id, "app": name},
        },
        "spec": {
            "pod": {
                "containers": [{**container, "resources": resources}],
                "terminationGracePeriodSeconds": 1,
                **spec,
            }
        },
    }


async def create(consumer: Consumer, *manifests: dict[str, Any]) -> list[ApiError | None]:
    """Create ShadowPods as the consumer, all at the same time; each answer, None where it was accepted."""

    async def one(client: Client, manifest: dict[str, Any]) -> ApiError | None:
        try:
            await client.create(SHADOW_PODS, manifest, consumer.twin)
        except ApiError as error:
            return error
        return None

    async with Client(consumer.credentials()) as client:
        return await asyncio.gather(*(one(client, manifest) for manifest in manifests))


def pod(consumer: Consumer, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = consumer.provider.get("pod", name, "-n", consumer.twin)
    return found


def running(consumer: Consumer, name: str) -> bool:
    found = pod(consumer, name)
    return found is not None and found["status"].get("phase") == "Running"


def shadow_phase(consumer: Consumer, name: str) -> str:
    found = consumer.provider.get("shadowpod", name, "-n", consumer.twin)
    return str((found or {}).get("status", {}).get("phase", ""))


def events(consumer: Consumer, reason: str) -> list[str]:
    found = consumer.provider.items("events", "-A", "--field-selector", f"reason={reason}")
    about = (consumer.tenant, consumer.twin)
    return [e["message"] for e in found if e["involvedObject"].get("namespace") in about]

"""How the tests on real clusters reach them: the lab through its command, the clusters through stock kubectl."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isthmus import lab
from tests.cluster.reader import Reader, ReadError

ISTHMUS = [str(Path(sys.executable).parent / "isthmus")]
TEST_IMAGE = "localhost/isthmus-test:latest"


class CommandError(AssertionError):
    """A command ended with another exit code than the test expects; holds what it printed."""


def run(
    command: list[str], *, stdin: str | None = None, timeout: float = 120, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output captured; raises CommandError where it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise CommandError(
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done


def isthmus(*arguments: str, timeout: float = 180, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the isthmus command."""
    return run([*ISTHMUS, *arguments], timeout=timeout, check=check)


@dataclass(frozen=True)
class Cluster:
    """One cluster of the lab."""

    name: str
    kubeconfig: Path
    kubectl_path: str
    server: str
    reader: Reader | None = field(default=None, repr=False, compare=False)
    """Looks at objects as the lab's administrator; without one, kubectl does."""

    def kubectl(
        self, *arguments: str, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run stock kubectl against the cluster as its admin."""
        return run(
            [self.kubectl_path, "--kubeconfig", str(self.kubeconfig), *arguments],
            stdin=stdin,
            timeout=timeout,
            check=check,
        )

    def get(self, *arguments: str) -> Any:
        """What `kubectl get … -o json` says; None where the object is not there.

        Raises ReadError, or CommandError where kubectl has to ask.
        """
        if self.reader:
            return self.reader.get(*arguments)
        done = self.kubectl("get", *arguments, "-o", "json", "--ignore-not-found")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The items of a list of objects. Raises as `get` does."""
        found = self.get(*arguments)
        return list(found["items"]) if found else []

    def about(self, peer: str) -> str:
        """Whatever is there about a peer, a line each, and its ForeignCluster: what a failed test has to show."""
        mine = ("-A", "-l", f"liqo.io/remote-cluster-id={peer}", "--no-headers", "--ignore-not-found")
        found = self.kubectl("get", PEER_KINDS, *mine, check=False).stdout
        return found + self.kubectl("get", "foreigncluster", peer, "-o", "yaml", check=False).stdout

    def apply(self, *manifests: dict[str, Any]) -> None:
        """`kubectl apply` of manifests."""
        self.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        )

    def define(self, *definitions: dict[str, Any]) -> None:
        """Apply definitions of kinds and return when the API server serves them."""
        self.apply(*definitions)
        names = [one["metadata"]["name"] for one in definitions]
        self.kubectl("wait", "--for=condition=Established", "crd", *names, "--timeout=30s")


PEER_KINDS = (
    "tenants,identities,resourceslices,renews,namespacemaps,quotas,virtualnodes,nodes,configurations,"
    "connections,gatewayservers,gatewayclients,publickeies,secrets"
)


def custom_kind(group: str, kind: str, plural: str, scope: str) -> dict[str, Any]:
    """The definition of a kind of somebody else's, version v1, whose objects hold whatever is written."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": [version]},
    }


def lab_cluster(name: str) -> Cluster:
    """A cluster of the lab that is up."""
    server = next(cluster.url for cluster in lab.clusters() if cluster.name == name)
    kubeconfig = lab.kubeconfig(name)
    return Cluster(
        name, kubeconfig, str(lab.kubectl(name)), server, Reader(server, kubeconfig.parent / "pki")
    )


def eventually(
    check: Callable[[], object],
    *,
    within: float,
    what: str,
    every: float = 0.25,
    instead: Callable[[], object] | None = None,
) -> float:
    """Wait until `check` gives something true; returns the seconds it took.

    Raises AssertionError naming `what` and the last answer, or what `instead` finds, when it does not come
    `within` seconds.
    """
    start = time.monotonic()
    last: object = None
    while True:
        try:
            last = check()
        except (
            CommandError,
            ReadError,
            LookupError,
        ) as error:  # An object may lack a field that it will get.
            last = error
        else:
            if last:
                return time.monotonic() - start
        if time.monotonic() - start > within:
            last = last if instead is None else instead()
            raise AssertionError(f"{what} did not come true within {within} s; last: {last!r}")
        time.sleep(every)


def deployment(
    name: str,
    *,
    replicas: int,
    command: list[str] | None = None,
    remote_only: bool = False,
    grace_seconds: int = 1,
    **pod: Any,
) -> dict[str, Any]:
    """A Deployment of the test image; `remote_only` keeps its pods off the real nodes."""
    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [
            {
                "name": "main",
                "image": TEST_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": command or ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"],
                "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}},
                **pod.pop("container", {}),
            }
        ],
        **pod,
    }
    if remote_only:
        spec["nodeSelector"] = {"liqo.io/type": "virtual-node"}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def ready_pods(cluster: Cluster, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """The pods of a namespace that are Ready."""
    arguments = ["pods", "-n", namespace] + (["-l", selector] if selector else [])
    return [
        pod
        for pod in cluster.items(*arguments)
        if any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in pod.get("status", {}).get("conditions", [])
        )
        and "deletionTimestamp" not in pod["metadata"]
    ]

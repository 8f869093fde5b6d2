"""What the tests of installation read from a cluster and bring to it: options, kubeconfigs, other addresses."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.support import Cluster


def options(cluster: Cluster) -> dict[str, Any]:
    """What the controller is started with."""
    deployment = cluster.get("deployment", "liqo-controller-manager", "-n", "liqo")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = json.loads(
        next(one["value"] for one in container["env"] if one["name"] == "ISTHMUS_OPTIONS")
    )
    return found


def namespace_offloading(name: str, namespace: str = "default") -> dict[str, object]:
    return {
        "apiVersion": "offloading.liqo.io/v1beta1",
        "kind": "NamespaceOffloading",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {},
    }


def kubeconfig_with(cluster: Cluster, file: Path, *, server: str = "", token: str = "") -> Path:
    """A copy of the cluster's kubeconfig that leads to another address or proves another user."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    if server:
        config["clusters"][0]["cluster"]["server"] = server
    if token:
        config["users"][0]["user"] = {"token": token}
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return file


@contextmanager
def forwarded(host: str, cluster: Cluster) -> Iterator[str]:
    """The cluster's API server at another address, as behind a port forwarding; its URL."""
    host_of_it, port = cluster.server.removeprefix("https://").rsplit(":", 1)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def carry(near: socket.socket) -> None:
        with near, socket.create_connection((host_of_it, int(port))) as far:
            back = threading.Thread(target=copy, args=(far, near), daemon=True)
            back.start()
            copy(near, far)
            back.join()

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=carry, args=(near,), daemon=True).start()

    with socket.create_server((host, 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"https://{host}:{listener.getsockname()[1]}"

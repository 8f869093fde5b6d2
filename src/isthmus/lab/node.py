"""A worker node: namespaces of its own, in them containerd, the kubelet and kube-proxy.

Owns the folder of a node. In the node's mount namespace the usual paths (/var/lib/kubelet, /run/containerd, …)
are folders of the node, so that every program finds things where it would on a machine of its own, and every
mount goes with the namespace. The namespaces are held open by one process. Fails with `LabError`.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from isthmus.lab import configuration, imagestore, processes
from isthmus.lab.errors import LabError
from isthmus.lab.network import NETNS
from isthmus.lab.plan import Cluster, Site, Worker, namespace
from isthmus.lab.processes import Process

HOLDER = "namespaces"
MOUNTS = (
    ("kubelet", "/var/lib/kubelet"),
    ("containerd", "/var/lib/containerd"),
    ("cni", "/var/lib/cni"),
    ("cni-configuration", "/etc/cni/net.d"),
    ("run", "/run/containerd"),
    ("netns", "/run/netns"),
    ("log", "/var/log"),
)
START_SECONDS = 60.0


def folder(site: Site, node: str) -> Path:
    """Where everything of a node is stored."""
    return site.state / "nodes" / node


def missing_mount_points() -> list[str]:
    """The folders that must be made on the host for the nodes' mounts, parents first."""
    missing: list[str] = []
    for _, target in MOUNTS:
        path = Path(target)
        for candidate in (*reversed(path.parents), path):
            if not candidate.exists() and str(candidate) not in missing:
                missing.append(str(candidate))
    return missing


def prepare(site: Site, cluster: Cluster, worker: Worker) -> None:
    """Write the node's folders, keys and configuration files."""
    home = folder(site, worker.name)
    for name, _ in MOUNTS:
        (home / name).mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    source, pki = site.state / "clusters" / cluster.name, home / "kubelet" / "pki"
    pki.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(source / "pki" / "ca.crt", pki / "ca.crt")
    shutil.copy(source / "pki" / f"{worker.name}.crt", pki / "node.crt")
    shutil.copy(source / "pki" / f"{worker.name}.key", pki / "node.key")
    shutil.copy(source / f"{worker.name}.kubeconfig", home / "kubelet" / "kubelet.kubeconfig")
    shutil.copy(source / "kube-proxy.kubeconfig", home / "kubelet")
    kubelet = configuration.render_kubelet(cluster, f"{site.cgroup}/{worker.name}")
    (home / "kubelet" / "config.json").write_text(kubelet)
    (home / "kubelet" / "kube-proxy.json").write_text(configuration.render_proxy(cluster, worker))
    (home / "containerd" / "config.toml").write_text(configuration.render_containerd())
    (home / "cni-configuration" / "10-lab.conflist").write_text(configuration.render_cni(worker))


def take_images(site: Site, worker: Worker, images: Path) -> None:
    """Give the node, before its containerd first starts, the images of a store. Raises LabError."""
    imagestore.copy(images, folder(site, worker.name) / "containerd")


def hold(site: Site, worker: Worker, pause: Path) -> Process:
    """Make the node's mount and host name namespaces and start the process that holds them open."""
    home = folder(site, worker.name)
    ready = home / "ready"
    ready.unlink(missing_ok=True)
    binds = "".join(f"mount --bind {home / name} {target}\n" for name, target in MOUNTS)
    # Containers may ask for mounts that reach into the node or out of it: that takes a shared root.
    script = f"set -e\nhostname {worker.name}\n{binds}mount --make-rshared /\ntouch {ready}\nexec {pause}\n"
    netns = NETNS / namespace(site, worker.name)
    apart = ["unshare", "--mount", "--uts", "--propagation=private"]
    command = ["nsenter", f"--net={netns}", *apart, "sh", "-c", script]
    holder = processes.start(site, worker.name, HOLDER, command)
    processes.wait(f"making the namespaces of {worker.name}", ready.exists, [holder], START_SECONDS)
    return holder


def enter(holder: Process) -> list[str]:
    """The start of a command line that goes on inside a node."""
    return ["nsenter", f"--target={holder.pid}", "--mount", "--uts", "--net"]


def start_containerd(site: Site, worker: Worker, holder: Process) -> Process:
    """Start the node's containerd and wait until it answers."""
    command = [*enter(holder), "containerd", "--config=/var/lib/containerd/config.toml"]
    process = processes.start(site, worker.name, "containerd", command)
    address = folder(site, worker.name) / "run" / "containerd.sock"
    processes.wait(f"containerd of {worker.name}", lambda: _listening(address), [process], START_SECONDS)
    return process


def start_kubernetes(site: Site, worker: Worker, holder: Process, programs: Path) -> list[Process]:
    """Start the node's kubelet and kube-proxy; they need a while to become ready."""
    kubelet = [
        *enter(holder),
        str(programs / "kubelet"),
        "--config=/var/lib/kubelet/config.json",
        "--kubeconfig=/var/lib/kubelet/kubelet.kubeconfig",
        f"--hostname-override={worker.name}",
        f"--node-ip={worker.address}",
    ]
    proxy = [*enter(holder), str(programs / "kube-proxy"), "--config=/var/lib/kubelet/kube-proxy.json"]
    return [
        processes.start(site, worker.name, "kubelet", kubelet),
        processes.start(site, worker.name, "kube-proxy", proxy),
    ]


def load_image(holder: Process, archive: Path) -> None:
    """Import the images of an archive (docker-archive or OCI) into the node. Raises LabError when it is none.

    The archive is handed over as a stream: its path may mean something else inside the node.
    """
    command = [*enter(holder), "ctr", "--namespace=k8s.io", "images", "import", "-"]
    with archive.open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{holder.owner} does not take the images of {archive}: {done.stderr.strip()}")


def enter_node(site: Site, clusters: Sequence[Cluster], node: str) -> list[str]:
    """How to get into a node by name, or into a control plane by its cluster's name. Raises LabError."""
    for cluster in clusters:
        if cluster.name == node:
            return ["nsenter", f"--net={NETNS / namespace(site, node)}"]
        if any(worker.name == node for worker in cluster.workers):
            return enter(processes.find(site, node, HOLDER))
    names = [
        name for cluster in clusters for name in (cluster.name, *(each.name for each in cluster.workers))
    ]
    raise LabError(f"no node {node!r}: there are {', '.join(names)}")


def _listening(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.fspath(address))
        except OSError:
            return False
    return True

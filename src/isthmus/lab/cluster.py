"""One cluster from its keys to Ready nodes, and its API server stopped and started at will.

Owns the folder of a cluster and the order in which its programs start. What does not depend on the API server
starts beside it. Fails with `LabError`, naming the program that is to blame.
"""

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from isthmus.lab import certificates, configuration, flags, node, objects, processes, state
from isthmus.lab.api import Api, ApiError
from isthmus.lab.network import NETNS
from isthmus.lab.plan import Cluster, Site, Worker, namespace
from isthmus.lab.processes import Process

READY_SECONDS = 180.0
API_SERVER = "kube-apiserver"
USERS = {
    "admin": "kubernetes-admin",
    "controller-manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
    "kube-proxy": "system:kube-proxy",
    "coredns": "system:coredns",
}

Report = Callable[[str], None]


def folder(site: Site, cluster: str) -> Path:
    """Where everything of a cluster's control plane is stored."""
    return site.state / "clusters" / cluster


def prepare(site: Site, cluster: Cluster) -> None:
    """Write the cluster's keys, kubeconfigs and configuration files, and those of its nodes."""
    home = folder(site, cluster.name)
    certificates.create(cluster, home / "pki")
    home.chmod(0o700)
    users = USERS | {worker.name: f"system:node:{worker.name}" for worker in cluster.workers}
    authority = (home / "pki" / "ca.crt").read_bytes()
    for name, user in users.items():
        certificate = (home / "pki" / f"{name}.crt").read_bytes()
        key = (home / "pki" / f"{name}.key").read_bytes()
        file = state.kubeconfig(site, cluster.name, name)
        file.touch(mode=0o600)
        file.write_text(configuration.render_kubeconfig(cluster, user, authority, certificate, key))
    corefile = configuration.render_coredns(cluster, str(state.kubeconfig(site, cluster.name, "coredns")))
    (home / "Corefile").write_text(corefile)
    for worker in cluster.workers:
        node.prepare(site, cluster, worker)


def start(
    site: Site, cluster: Cluster, programs: Path, images: Path, report: Report, certificate_life: str = ""
) -> None:
    """Start everything of a cluster and return when pods can be made in it.

    `programs` is the folder of the binaries, `images` the store that every node starts from, `certificate_life` a
    Go duration that the certificates it signs are valid for ("": a year).
    """
    prepare(site, cluster)
    with ThreadPoolExecutor(len(cluster.workers) + 1) as pool:
        runtimes = [pool.submit(_start_runtime, site, worker, programs, images) for worker in cluster.workers]
        api_server = _start_api_server(site, cluster, programs)
        api = Api(cluster, folder(site, cluster.name) / "pki")
        _apply_objects(cluster, api, api_server)
        report(f"{cluster.name}: API server ready at {cluster.url}")
        started = _start_control_plane(site, cluster, programs, certificate_life)
        for worker, runtime in zip(cluster.workers, runtimes, strict=True):
            started += node.start_kubernetes(site, worker, runtime.result(), programs)
        _wait_ready(cluster, api, [api_server, *started], report)


def start_node(site: Site, worker: Worker, programs: Path) -> None:
    """Start all programs of a node that has its images; whether it becomes ready shows in its cluster."""
    holder = node.hold(site, worker, programs / "pause")
    node.start_containerd(site, worker, holder)
    node.start_kubernetes(site, worker, holder, programs)


def _start_runtime(site: Site, worker: Worker, programs: Path, images: Path) -> Process:
    """Start what a node needs before the kubelet; the images come first, for every pod needs the pause image."""
    node.take_images(site, worker, images)
    holder = node.hold(site, worker, programs / "pause")
    node.start_containerd(site, worker, holder)
    return holder


def _start_api_server(site: Site, cluster: Cluster, programs: Path) -> Process:
    home = folder(site, cluster.name)
    _start(site, cluster, programs / "etcd", flags.etcd(home / "etcd"))
    return _start(site, cluster, programs / API_SERVER, flags.api_server(cluster, home / "pki"))


def _apply_objects(cluster: Cluster, api: Api, api_server: Process) -> None:
    what = f"the API server of {cluster.name}"
    processes.wait(what, api.ready, [api_server], READY_SECONDS)
    for path, thing in objects.render(cluster):
        processes.wait(f"{what} to take {path}", partial(_applied, api, path, thing), [api_server], 30.0)


def _applied(api: Api, path: str, thing: dict[str, object]) -> bool:
    try:
        api.apply(path, thing)
    except (OSError, ApiError):
        return False
    return True


def _start_control_plane(
    site: Site, cluster: Cluster, programs: Path, certificate_life: str
) -> list[Process]:
    home = folder(site, cluster.name)
    user = partial(state.kubeconfig, site, cluster.name)
    manager = flags.controller_manager(cluster, home / "pki", user("controller-manager"), certificate_life)
    return [
        _start(site, cluster, programs / "kube-controller-manager", manager),
        _start(site, cluster, programs / "kube-scheduler", flags.scheduler(user("scheduler"))),
        _start(site, cluster, programs / "coredns", [f"-conf={home / 'Corefile'}"]),
    ]


def _wait_ready(cluster: Cluster, api: Api, needed: list[Process], report: Report) -> None:
    for worker in cluster.workers:
        ready = partial(api.node_ready, worker.name)
        processes.wait(f"node {worker.name}", ready, needed, READY_SECONDS)
    for kind, name in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
        path = f"/api/v1/namespaces/default/{kind}/{name}"
        processes.wait(f"{cluster.name}: {path}", partial(_exists, api, path), needed, READY_SECONDS)
    report(f"{cluster.name}: {len(cluster.workers)} nodes ready")


def _exists(api: Api, path: str) -> bool:
    try:
        api.request("GET", path)
    except (OSError, ApiError):
        return False
    return True


def _start(site: Site, cluster: Cluster, program: Path, arguments: list[str]) -> Process:
    netns = NETNS / namespace(site, cluster.name)
    command = ["nsenter", f"--net={netns}", str(program), *arguments]
    return processes.start(site, cluster.name, program.name, command)


def stop_api_server(site: Site, cluster: Cluster, number: signal.Signals) -> None:
    """End a cluster's API server by a signal and return when it is gone; not running is no error."""
    processes.stop(processes.find(site, cluster.name, API_SERVER), number)


def start_api_server(site: Site, cluster: Cluster) -> None:
    """Start a cluster's API server again and return when it is ready; running already is no error."""
    process = processes.find(site, cluster.name, API_SERVER)
    if not process.alive:
        process = processes.start(site, cluster.name, API_SERVER, process.command)
    api = Api(cluster, folder(site, cluster.name) / "pki")
    processes.wait(f"the API server of {cluster.name}", api.ready, [process], READY_SECONDS)

"""The cables of the lab: one bridge in a namespace of its own, one namespace a node, routes between them.

Owns every link, address, route and nftables rule outside the clusters' own software. What to run is rendered
by pure functions; `create` and `remove` hand it to iproute2 and nftables. The bridge is kept out of the host's
namespace so that neither the host's firewall nor a Docker on it has a say in the lab's traffic, and removing
the namespaces removes everything. Fails with `LabError` when a name or an address is taken.
"""

import json
import subprocess
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path

from isthmus.lab.errors import LabError
from isthmus.lab.plan import Cluster, Site, Worker, namespace, namespaces

NETNS = Path("/run/netns")
PEERS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""Where the pods of peers have their addresses: the pools that Isthmus takes ranges from."""


def render_switch(site: Site) -> list[str]:
    """Commands for `ip -batch` in the switch's namespace, before any node is plugged in."""
    return [
        "link set lo up",
        f"link add {site.bridge} type bridge",
        f"link set {site.bridge} up",
    ]


def render_host(site: Site) -> list[str]:
    """Commands for `ip -batch` on the host: its own end of a cable to the bridge."""
    return [
        f"link add {site.bridge} type veth peer name host netns {site.switch}",
        f"address add {site.host_address}/{site.network.prefixlen} dev {site.bridge}",
        f"link set {site.bridge} up",
    ]


def render_plugs(site: Site, clusters: tuple[Cluster, ...]) -> list[str]:
    """Commands in the switch's namespace that plug the host and every node into the bridge."""
    lines = [f"link set host master {site.bridge} up"]
    for name in namespaces(site, clusters)[1:]:
        lines += _plug(site, name.removeprefix(f"{site.name}-"))
    return lines


def _plug(site: Site, node: str) -> list[str]:
    return [
        f"link add {_port(node)} type veth peer name eth0 netns {namespace(site, node)}",
        f"link set {_port(node)} master {site.bridge} up",
    ]


def _port(node: str) -> str:
    """The bridge's end of a node's cable: at most the 15 characters that a link's name may have."""
    return node.replace("-worker-", "-w")


def render_control_plane(site: Site, cluster: Cluster) -> list[str]:
    """Commands in a control plane's namespace: it reaches pods by their node, Services and peers by any worker.

    It has no agent, so the workers' agents lead it to the pods of peers.
    """
    hops = " ".join(f"nexthop via {worker.address}" for worker in cluster.workers)
    return [
        *_uplink(site, str(cluster.address)),
        *_pod_routes(cluster.workers),
        *(f"route add {range_} {hops}" for range_ in (cluster.service_cidr, *PEERS)),
    ]


def render_worker(site: Site, cluster: Cluster, worker: Worker) -> list[str]:
    """Commands in a worker's namespace: its address, and the way to the other workers' pods."""
    others = (other for other in cluster.workers if other != worker)
    return [*_uplink(site, str(worker.address)), *_pod_routes(others)]


def _uplink(site: Site, address: str) -> list[str]:
    return [
        "link set lo up",
        f"address add {address}/{site.network.prefixlen} dev eth0",
        "link set eth0 up",
        f"route add default via {site.host_address}",
    ]


def _pod_routes(workers: Iterable[Worker]) -> list[str]:
    return [f"route add {worker.pod_cidr} via {worker.address}" for worker in workers]


def render_masquerade(cluster: Cluster, worker: Worker) -> str:
    """The nftables table that lets pods reach what lies outside their cluster, such as another's API server.

    Only what leaves by the uplink is translated: what is routed into a tunnel keeps the pod's address.
    """
    inside = f"{{ {cluster.pod_cidr}, {cluster.service_cidr} }}"
    return f"""table ip lab {{
    chain postrouting {{
        type nat hook postrouting priority srcnat + 10;
        ip saddr {worker.pod_cidr} ip daddr != {inside} oifname "eth0" masquerade
    }}
}}
"""


SYSCTLS = (
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.bridge.bridge-nf-call-iptables", "1"),
)
SWITCH_SYSCTLS = (
    ("net.bridge.bridge-nf-call-iptables", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "0"),
    ("net.bridge.bridge-nf-call-arptables", "0"),
)
"""A switch looks at link-layer addresses only: by default each frame would be routed and tracked in it as well."""


def check_free(site: Site, clusters: tuple[Cluster, ...]) -> None:
    """Raises LabError when a namespace, a link or an address that the lab needs is somebody else's."""
    for name in namespaces(site, clusters):
        if (NETNS / name).exists():
            raise LabError(
                f"the network namespace {name} exists already and is not this lab's: remove it first"
            )
    links = json.loads(_run(["ip", "-j", "link", "show"]))
    if any(link["ifname"] == site.bridge for link in links):
        raise LabError(
            f"the network link {site.bridge} exists already and is not this lab's: remove it first"
        )
    for route in json.loads(_run(["ip", "-j", "-4", "route", "show", "table", "all"])):
        taken = parse_route(route.get("dst", "default"))
        if taken is not None and taken.overlaps(site.network):
            raise LabError(
                f"the addresses {site.network} overlap {taken}, which {route.get('dev', 'this machine')} uses:"
                " choose another /16 with ISTHMUS_LAB_NETWORK"
            )


def parse_route(destination: str) -> IPv4Network | None:
    """The range a route stands for; None for the default route and for what is no address at all."""
    try:
        return IPv4Network(destination)
    except ValueError:
        return None


def create(site: Site, clusters: tuple[Cluster, ...]) -> None:
    """Make all namespaces, cables, addresses and routes. Raises LabError when the kernel refuses."""
    _batch(None, [f"netns add {name}" for name in namespaces(site, clusters)])
    _batch(site.switch, render_switch(site))
    _set_sysctls(site.switch, SWITCH_SYSCTLS)
    _batch(None, render_host(site))
    _batch(site.switch, render_plugs(site, clusters))
    for cluster in clusters:
        _batch(namespace(site, cluster.name), render_control_plane(site, cluster))
        for worker in cluster.workers:
            _configure(site, cluster, worker)


def create_again(site: Site, cluster: Cluster, worker: Worker) -> None:
    """Make a worker's namespace anew, as its kernel would be after a reboot. Raises LabError."""
    name = namespace(site, worker.name)
    # The kernel ends a namespace, and with it the other end of its cable, some time after it was removed.
    unplug = ["ip", "-n", site.switch, "link", "delete", _port(worker.name)]
    subprocess.run(unplug, capture_output=True, check=False)
    remove_namespace(name)
    _batch(None, [f"netns add {name}"])
    _batch(site.switch, _plug(site, worker.name))
    _configure(site, cluster, worker)


def _configure(site: Site, cluster: Cluster, worker: Worker) -> None:
    name = namespace(site, worker.name)
    _set_sysctls(name, SYSCTLS)
    _batch(name, render_worker(site, cluster, worker))
    _run(_inside(name, ["nft", "-f", "-"]), render_masquerade(cluster, worker))


def remove(site: Site, names: Iterable[str]) -> None:
    """Remove the given namespaces and with them every link; what is gone already is no error."""
    for name in names:
        remove_namespace(name)
    # The host's end goes with the switch's namespace, but the kernel takes a moment over it.
    subprocess.run(["ip", "link", "delete", site.bridge], capture_output=True, check=False)


def remove_namespace(name: str) -> None:
    """Remove one namespace, if it is there."""
    if (NETNS / name).exists():
        _run(["ip", "netns", "delete", name])


def _set_sysctls(name: str, wanted: Iterable[tuple[str, str]]) -> None:
    """Set what can be set: the bridge filter is absent where its kernel module is not loaded."""
    subprocess.run(
        _inside(name, ["sysctl", "-qew", *(f"{key}={value}" for key, value in wanted)]),
        capture_output=True,
        check=False,
    )


def _inside(name: str, command: list[str]) -> list[str]:
    return ["nsenter", f"--net={NETNS / name}", *command]


def _batch(name: str | None, lines: list[str]) -> None:
    where = ["-n", name] if name else []
    _run(["ip", *where, "-batch", "-"], "\n".join(lines) + "\n")


def _run(command: list[str], text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout

"""Which probes a topology asks for: every source to every target, by each protocol and size. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.cli.nettest.probes import PORT, Probe, Protocol
from isthmus.cli.nettest.topology import ProbePod, ServiceView, Topology

PODS, NODES, SERVICES, NODE_PORTS, NAMES, HOSTS = (
    "pod to pod",
    "node to pod",
    "pod to service",
    "pod to NodePort",
    "pod to name",
    "pod to external IP",
)
MACHINE_NODE_PORTS, MACHINE_BALANCERS = "this machine to NodePort", "this machine to LoadBalancer"
SERVICE, HEADLESS = "probe", "probe-headless"
ECHOED: tuple[Protocol, ...] = ("tcp", "udp", "icmp")
MACHINE = ProbePod("", "", "this machine", "", "")


@dataclass(frozen=True, slots=True)
class Check:
    """One probe, who does it, and what it is about."""

    kind: str
    source: ProbePod
    target: str
    target_cluster: str
    target_node: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user wants tested."""

    sizes: tuple[int, ...]
    basic: bool = False
    node_ports: bool = True
    machine_node_ports: bool = False
    balancers: bool = False
    hosts: bool = False


def plan_checks(topology: Topology, choice: Choice) -> dict[str, list[Check]]:
    """The checks by their kind, in the order in which to do them; kinds without any are left out."""
    planned = {PODS: list(_to_pods(topology, choice, "pod", PODS))}
    if not choice.basic:
        planned[SERVICES] = list(_to_services(topology))
        planned[NAMES] = list(_to_names(topology))
        planned[NODES] = list(_to_pods(topology, choice, "node", NODES))
        planned[NODE_PORTS] = list(_to_node_ports(topology)) if choice.node_ports else []
        planned[HOSTS] = list(_to_hosts(topology)) if choice.hosts else []
        planned[MACHINE_NODE_PORTS] = list(_from_machine(topology)) if choice.machine_node_ports else []
        planned[MACHINE_BALANCERS] = list(_to_balancers(topology)) if choice.balancers else []
    return {kind: checks for kind, checks in planned.items() if checks}


def _to_pods(topology: Topology, choice: Choice, place: str, kind: str) -> Iterator[Check]:
    for source in topology.pods:
        for target in topology.pods:
            if source.place != place or target.place != "pod" or source == target:
                continue
            address = topology.see(source.cluster, target)
            if not address:
                continue  # Not joined: told by the command, there is no address to try.
            for protocol in ECHOED:
                for size in choice.sizes:
                    number = 0 if protocol == "icmp" else PORT
                    # Of all the answers, TCP's says who it is from: an address may be mapped to the wrong pod.
                    names = (target.identity,) if protocol == "tcp" else ()
                    probe = Probe(0, protocol, address, number, size, names)
                    yield Check(kind, source, target.title, target.cluster, target.node, probe)


def _users(topology: Topology, view: ServiceView) -> list[ProbePod]:
    """The pods that live in the Service's namespace, in that cluster."""
    return [pod for pod in topology.replicas(view.owner) if pod.cluster == view.cluster]


def _to_services(topology: Topology) -> Iterator[Check]:
    for view in topology.services:
        for source in _users(topology, view):
            yield from _to_replicas(
                topology, SERVICES, source, view, view.address, {"tcp": PORT, "udp": PORT}
            )


def _to_replicas(
    topology: Topology, kind: str, source: ProbePod, view: ServiceView, address: str, ports: dict[str, int]
) -> Iterator[Check]:
    names = tuple(pod.identity for pod in topology.replicas(view.owner))
    target = f"Service of {view.owner} at {address}"
    protocols: tuple[Protocol, ...] = ("tcp", "udp")
    for protocol in protocols:
        if protocol in ports and names:
            probe = Probe(0, protocol, address, ports[protocol], 0, names)
            yield Check(kind, source, target, view.cluster, "", probe)


def _to_names(topology: Topology) -> Iterator[Check]:
    for view in topology.services:
        replicas = topology.replicas(view.owner)
        seen = tuple(topology.see_replica(view, pod) for pod in replicas)
        for source in _users(topology, view):
            probe = Probe(
                0, "names", HEADLESS, expected=tuple(one for one in seen if one), count=len(replicas)
            )
            yield Check(NAMES, source, f"headless Service of {view.owner}", view.cluster, "", probe)


def _to_node_ports(topology: Topology) -> Iterator[Check]:
    for view in topology.services:
        for source in _users(topology, view):
            for address in topology.sites[view.cluster].nodes.values():
                yield from _to_replicas(topology, NODE_PORTS, source, view, address, view.node_ports)


def _from_machine(topology: Topology) -> Iterator[Check]:
    for view in topology.services:
        for address in topology.sites[view.cluster].nodes.values():
            yield from _to_replicas(topology, MACHINE_NODE_PORTS, MACHINE, view, address, view.node_ports)


def _to_balancers(topology: Topology) -> Iterator[Check]:
    for view in topology.services:
        for address in view.balancers:
            # Over TCP only: many load balancers take no second protocol on one Service.
            yield from _to_replicas(topology, MACHINE_BALANCERS, MACHINE, view, address, {"tcp": PORT})


def _to_hosts(topology: Topology) -> Iterator[Check]:
    for host in topology.hosts:
        for source in topology.pods:
            if source.place != "pod" or source.cluster == host.cluster:
                continue
            address = topology.see_host(source.cluster, host)
            if address:
                probe = Probe(0, "connect", address, host.port)
                target = f"API server of {host.cluster} as {address}"
                yield Check(HOSTS, source, target, host.cluster, "", probe)

"""What the results mean: which pairs work, and for those that do not which part is to be suspected. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.cli.nettest.plan import ECHOED, MACHINE, NAMES, NODES, PODS, Check
from isthmus.cli.nettest.probes import Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """A check and how it ended."""

    check: Check
    result: Result


@dataclass(frozen=True, slots=True)
class Path:
    """All that was tried between one source and one target; `suspicion` is "" where all went well."""

    kind: str
    source: str
    source_cluster: str
    target: str
    target_cluster: str
    outcomes: tuple[Outcome, ...]
    suspicion: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything went well."""
        return all(one.result.ok for one in self.outcomes)

    def protocol(self, protocol: str) -> str:
        """`ok`, `failed` or which sizes failed; "" where the protocol was not tried."""
        tried = [one for one in self.outcomes if one.check.probe.protocol == protocol]
        failed = [one for one in tried if not one.result.ok]
        if not failed:
            return "ok" if tried else ""
        if len(failed) == len(tried):
            return "failed"
        return "failed: " + ", ".join(str(one.check.probe.size) for one in failed)


def judge(outcomes: Sequence[Outcome]) -> list[Path]:
    """Bring the outcomes together by source and target, and say what is suspicious of each that failed."""
    grouped: dict[tuple[str, str, str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        check = outcome.check
        key = (check.kind, check.source.title, check.source.cluster, check.target, check.target_cluster)
        grouped.setdefault(key, []).append(outcome)
    paths = [Path(*key, tuple(found)) for key, found in grouped.items()]
    return [path if path.ok else _with_suspicion(path, paths) for path in paths]


def _with_suspicion(path: Path, paths: list[Path]) -> Path:
    suspicion = _suspect(path, paths)
    return Path(
        path.kind,
        path.source,
        path.source_cluster,
        path.target,
        path.target_cluster,
        path.outcomes,
        suspicion,
    )


def _suspect(path: Path, paths: list[Path]) -> str:
    if all(one.result.detail.startswith("not ") for one in path.outcomes if not one.result.ok):
        return "nothing is known: the probes were not done"
    if path.kind == NAMES:
        return (
            f"the name server of {path.target_cluster}, or the Service's EndpointSlices there (kubectl get "
            "endpointslices)"
        )
    if path.kind not in (PODS, NODES):
        return _suspect_service(path, paths)
    if _passes(path):
        return _suspect_protocol(path)
    if path.source_cluster == path.target_cluster:
        return f"the network plugin of {path.source_cluster} itself: this path does not use Isthmus"
    return _suspect_hop(path, paths)


def _suspect_protocol(path: Path) -> str:
    """Some probes of the path went well: what tells those from the others?"""
    if any("answered instead of" in one.result.detail for one in path.outcomes):
        return (
            f"the mapping of addresses: {path.source_cluster} and {path.target_cluster} do not agree about a range "
            "(isthmus info peer)"
        )
    failed = [one.check.probe for one in path.outcomes if not one.result.ok]
    passed = [one.check.probe for one in path.outcomes if one.result.ok]
    largest, smallest = max(probe.size for probe in passed), min(probe.size for probe in failed)
    states = {protocol: path.protocol(protocol) for protocol in ECHOED}
    if smallest > largest:
        return (
            f"the MTU: packets of {largest} bytes pass, of {smallest} do not; set a smaller --mtu with isthmus network "
            "connect, or let ICMP 'fragmentation needed' through on the way"
        )
    dead = [name.upper() for name, state in states.items() if state == "failed"]
    alive = [name.upper() for name, state in states.items() if state and state != "failed"]
    if not dead:
        return (
            "loss, or the MTU: the same protocol passes with other sizes; run it again, and if it is always the large "
            "ones set a smaller --mtu with isthmus network connect"
        )
    if dead == ["ICMP"]:
        return "a firewall that drops ICMP echo, on the way or on the node: the pod itself is reached"
    return (
        f"a firewall or a NetworkPolicy: {' and '.join(alive)} {'passes' if len(alive) == 1 else 'pass'}, "
        f"{' and '.join(dead)} {'does' if len(dead) == 1 else 'do'} not"
    )


def _suspect_hop(path: Path, paths: list[Path]) -> str:
    """Nothing passes between two clusters: the hop is suspect that the paths which fail have in common."""
    here, there = path.source_cluster, path.target_cluster
    between = [one for one in paths if (one.source_cluster, one.target_cluster) == (here, there)]
    alike = [one for one in between if one.kind == path.kind]
    check = path.outcomes[0].check
    if not any(_passes(one) for one in alike):
        if any(_passes(one) for one in between if one.kind == PODS):
            return (
                f"the unknown-source address of {here}, which what nodes send goes by: pods of {here} get through to "
                f"{there}, its nodes do not"
            )
        return (
            f"the tunnel: nothing at all passes from {here} to {there}; see isthmus info and the gateway pods"
        )
    if not any(_passes(one) for one in alike if one.outcomes[0].check.source.node == check.source.node):
        return (
            f"the way from node {check.source.node} to the gateway of {here}: nothing from there passes to {there}; "
            "look at the Isthmus pod of that node"
        )
    if not any(_passes(one) for one in alike if one.outcomes[0].check.target_node == check.target_node):
        return (
            f"the way from the gateway of {there} to node {check.target_node}: nothing from {here} arrives there; "
            "look at the Isthmus pod of that node"
        )
    return f"the pod {path.target}, or its node: other paths from {here} to {there} pass"


def _passes(path: Path) -> bool:
    return any(one.result.ok for one in path.outcomes)


def _suspect_service(path: Path, paths: list[Path]) -> str:
    base = [
        one
        for one in paths
        if one.kind in (PODS, NODES) and one.source_cluster == path.source_cluster and not one.ok
    ]
    if base and path.source != MACHINE.name:
        return "what fails from pod to pod fails here as well: mend that first"
    details = " ".join(one.result.detail for one in path.outcomes)
    if "never answered" in details and "failed" not in details:
        return f"the EndpointSlices of the Service in {path.target_cluster}: pods that answer themselves are not in it"
    if "refused" in details:
        return f"the Service in {path.target_cluster}: no endpoint is ready, or kube-proxy has not caught up"
    return f"kube-proxy or a firewall of the nodes of {path.target_cluster}"

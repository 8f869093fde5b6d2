"""What is done in each phase of a life: commands and stock kubectl, as a user would do it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.cluster.kills import workload
from tests.cluster.kills.plan import Phase
from tests.cluster.kills.reading import Reader
from tests.cluster.kills.strike import Strike
from tests.cluster.support import Cluster, eventually

Pair = tuple[Cluster, Cluster]

FIRST, MOST, LAST = 3, 6, 2
"""How many pods the Deployment has at first, at most and in the end."""
EARLY, LATE = "early", "late"
"""The Jobs: of the phase in which the namespace is offloaded, and of the next."""
PATIENCE = 150.0
"""Seconds for pods to become Ready: a process that was killed several times is started after up to 40 s only."""


def install(pair: Pair, strike: Strike) -> None:
    """Isthmus in both clusters, at once."""
    _in_both(pair, strike, "install", cluster_id=True)


def peer(pair: Pair, strike: Strike) -> None:
    """Rome may use milan, and their networks are joined."""
    rome, milan = pair
    strike.isthmus(rome, "peer", *_both(rome, milan), "--gw-server-service-type", "NodePort")


def offload(pair: Pair, strike: Strike) -> None:
    """A namespace is extended, and something runs in it."""
    rome, _ = pair
    if rome.get("namespace", workload.NAMESPACE) is None:
        rome.kubectl("create", "namespace", workload.NAMESPACE)
    strike.isthmus(rome, "offload", "namespace", workload.NAMESPACE, *_one(rome), "--timeout", "100s")
    rome.apply(
        *workload.forge_settings(),
        workload.forge_web(FIRST),
        workload.forge_store(),
        workload.forge_job(EARLY),
    )


def scale(pair: Pair, strike: Strike) -> None:
    """More of it, and less again."""
    rome, _ = pair
    rome.apply(workload.forge_web(MOST), workload.forge_job(LATE))
    with Reader(rome) as reader:
        eventually(
            lambda: workload.count_ready(reader, "web") == MOST, within=PATIENCE, what=f"{MOST} Ready pods"
        )
    rome.apply(workload.forge_web(LAST))


def drain(pair: Pair, strike: Strike) -> None:
    """The provider puts the consumer out and lets it in again."""
    _, milan = pair
    strike.isthmus(milan, "drain", "tenant", "rome", *_one(milan), "--skip-confirm")
    strike.isthmus(milan, "activate", "tenant", "rome", *_one(milan))


def unpeer(pair: Pair, strike: Strike) -> None:
    """The peering ends, with all that is of it."""
    rome, milan = pair
    strike.isthmus(rome, "unpeer", *_both(rome, milan), "--skip-confirm", "--delete-namespaces")


def uninstall(pair: Pair, strike: Strike) -> None:
    """The namespace is taken back and deleted, and Isthmus removed from both clusters, at once."""
    rome, _ = pair
    strike.isthmus(rome, "unoffload", "namespace", workload.NAMESPACE, *_one(rome), "--skip-confirm")
    rome.kubectl("delete", "namespace", workload.NAMESPACE, "--wait=false")
    _in_both(pair, strike, "uninstall", "--purge", "--skip-confirm")


ACTIONS: dict[Phase, Callable[[Pair, Strike], None]] = {
    Phase.INSTALL: install,
    Phase.PEER: peer,
    Phase.OFFLOAD: offload,
    Phase.SCALE: scale,
    Phase.DRAIN: drain,
    Phase.UNPEER: unpeer,
    Phase.UNINSTALL: uninstall,
}


def reset(pair: Pair) -> None:
    """Take everything away, whatever there is, and whatever a failed phase left."""
    rome, milan = pair
    strike = Strike(None)
    for command in (
        ("unpeer", *_both(rome, milan), "--skip-confirm"),
        ("unoffload", "namespace", workload.NAMESPACE, *_one(rome), "--skip-confirm"),
    ):
        strike.isthmus(rome, *command, check=False)
    rome.kubectl("delete", "namespace", workload.NAMESPACE, "--ignore-not-found", "--wait=false")
    _in_both(pair, strike, "uninstall", "--purge", "--skip-confirm")
    eventually(
        lambda: rome.get("namespace", workload.NAMESPACE) is None, within=90, what="the namespace's end"
    )


def _in_both(pair: Pair, strike: Strike, *arguments: str, cluster_id: bool = False) -> None:
    def one(cluster: Cluster) -> str:
        own = ("--cluster-id", cluster.name, "--api-server-url", cluster.server) if cluster_id else ()
        return strike.isthmus(cluster, *arguments, *own, *_one(cluster))

    with ThreadPoolExecutor(len(pair)) as pool:
        list(pool.map(one, pair))


def _one(cluster: Cluster) -> tuple[str, ...]:
    return ("--kubeconfig", str(cluster.kubeconfig))


def _both(rome: Cluster, milan: Cluster) -> tuple[str, ...]:
    return (*_one(rome), "--remote-kubeconfig", str(milan.kubeconfig))

"""Months of a joined network in minutes: keys rotated, processes restarted, everything looked at again, nothing leaks.

What is counted is all that could pile up: rules, routes, links and neighbours of every node and gateway, the objects
of both clusters, memory. It must end as it was, not merely stop growing.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from isthmus import lab
from isthmus.api import labels
from tests.cluster.support import Cluster, eventually, isthmus
from tests.processes import Process, mains, processes

pytestmark = pytest.mark.endurance

ROUNDS = 3
RESYNCS = 10
GROWTH = 4.0
"""MB by which a process may grow over all resyncs. The heap is taken in arenas of 1 MB, and an arena half used is not
given back: two of them, and as much again for caches that fill once. A leak of one kept object (some 2 kB) for each
of the hundreds of events of the resyncs is more, and so is any that a day of them would show."""
KINDS = (
    "networks.ipam.liqo.io",
    "ips.ipam.liqo.io",
    "publickeies.networking.liqo.io",
    "connections.networking.liqo.io",
    "configurations.networking.liqo.io",
    "gatewayservers.networking.liqo.io",
    "gatewayclients.networking.liqo.io",
    "internalnodes.networking.liqo.io",
    "internalfabrics.networking.liqo.io",
    "routeconfigurations.networking.liqo.io",
    "firewallconfigurations.networking.liqo.io",
    "deployments.apps",
    "services",
    "serviceaccounts",
    "rolebindings",
    "clusterrolebindings",
)
TOUCHED = KINDS[:9]
AGENTS = ("daemonset/liqo-fabric", "deployment/liqo-controller-manager")
GATEWAYS = f"{labels.GATEWAY_RESOURCE}={labels.TRUE}"


def test_a_long_life_leaves_nothing_behind(joined: tuple[Cluster, Cluster]) -> None:
    before = _settled(joined)
    for number in range(ROUNDS):
        _rotate(*joined)
        if number:
            _restart(joined)
        else:
            _kill_all()
    eventually(lambda: _connected(joined), within=60, what="both tunnels after the restarts")
    _await_as_before(joined, before)


def test_looking_again_and_again_takes_no_memory(joined: tuple[Cluster, Cluster]) -> None:
    before = _settled(joined)
    _resync(joined, "warm")  # What fills once has been filled.
    members = _mains()
    start = {one.pid: one.pss() for one in members}
    for number in range(RESYNCS):
        _resync(joined, str(number))
    grown = {f"{one.role} of {one.node}": one.pss() - start[one.pid] for one in members}
    assert max(grown.values()) < GROWTH, grown
    assert _connected(joined)
    _await_as_before(joined, before)


def _rotate(rome: Cluster, milan: Cluster) -> None:
    """New keys for both gateways, and the exchange without which no tunnel can be: as docs/commands.md says."""
    old = _keys(rome, milan)
    for cluster in (rome, milan):
        for secret in cluster.items("secrets", "-A", "-l", GATEWAYS):
            meta = secret["metadata"]
            cluster.kubectl("delete", "secret", "-n", meta["namespace"], meta["name"])
    isthmus(
        *("network", "connect", "--wait"),
        *("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig)),
    )
    new = _keys(rome, milan)
    assert len(old) == len(new) == 2
    assert not old & new, "a gateway kept its key"
    known = {
        key["spec"]["publicKey"]
        for cluster in (rome, milan)
        for key in cluster.items("publickeies.networking.liqo.io", "-A")
    }
    assert known == new, "a peer does not know the new key"
    eventually(lambda: _connected((rome, milan)), within=60, what="the tunnel with the new keys")


def _keys(*clusters: Cluster) -> set[str]:
    return {
        secret["data"]["publicKey"]
        for cluster in clusters
        for secret in cluster.items("secrets", "-A", "-l", GATEWAYS)
    }


def _kill_all() -> None:
    """Every process of ours ends at once, with no word, and is started again by the kubelet."""
    members = _mains()
    for one in members:
        one.kill()
    gone = {one.pid for one in members}
    eventually(
        lambda: len([one for one in _mains() if one.pid not in gone]) == len(members),
        within=90,
        what="every process, started again",
    )


def _mains() -> list[Process]:
    return mains("controller") + mains("node") + mains("gateway")


def _restart(clusters: tuple[Cluster, Cluster]) -> None:
    """As an upgrade does: every pod of ours is replaced."""
    for cluster in clusters:
        for name in AGENTS:
            cluster.kubectl("rollout", "restart", "-n", "liqo", name)
        gateway = f"{labels.GATEWAY_COMPONENT}={labels.GATEWAY_COMPONENT_VALUE}"
        for pod in cluster.items("pods", "-A", "-l", gateway):
            meta = pod["metadata"]
            cluster.kubectl("delete", "pod", "-n", meta["namespace"], meta["name"], "--wait=false")
    for cluster in clusters:
        for name in AGENTS:
            cluster.kubectl("rollout", "status", "-n", "liqo", name, "--timeout=90s", timeout=100)


def _resync(clusters: tuple[Cluster, Cluster], mark: str) -> None:
    """A change that means nothing on every object of ours: each is looked at again by everybody."""
    for cluster in clusters:
        kinds = ",".join(TOUCHED)
        cluster.kubectl("annotate", kinds, "--all", "-A", "--overwrite", f"example.com/touched={mark}")


def _settled(clusters: tuple[Cluster, Cluster]) -> dict[str, int]:
    """The counts once two in a row are the same, with the tunnel up."""
    eventually(lambda: _connected(clusters), within=60, what="both tunnels")
    counts = [_count(clusters)]

    def same() -> bool:
        counts.append(_count(clusters))
        return counts[-1] == counts[-2]

    eventually(same, within=60, every=2, what="two counts alike")
    return counts[-1]


def _connected(clusters: tuple[Cluster, Cluster]) -> bool:
    found = [
        one.get("status", {}).get("value")
        for cluster in clusters
        for one in cluster.items("connections.networking.liqo.io", "-A")
    ]
    return found == ["Connected", "Connected"]


def _count(clusters: tuple[Cluster, Cluster]) -> dict[str, int]:
    """All that could pile up, by where and what."""
    result: dict[str, int] = {}
    for cluster in clusters:
        names = cluster.kubectl("get", ",".join(KINDS), "-A", "-o", "name").stdout.split()
        for kind, number in Counter(name.split("/")[0] for name in names).items():
            result[f"{cluster.name} {kind}"] = number
    # Those of nodes come with the first heartbeat, which is not waited for.
    result |= {f"{one.name} leases": len(one.items("leases", "-n", "liqo")) for one in clusters}
    result |= {
        f"{one.name} gateway secrets": len(one.items("secrets", "-A", "-l", GATEWAYS)) for one in clusters
    }
    workers = [worker.name for one in lab.clusters() for worker in one.workers]
    for role, place in (("node", "node"), ("gateway", "cluster")):
        for process in mains(role):
            where = f"{role} of {getattr(process, place)}"
            result |= {f"{where}: {what}": number for what, number in _kernel(process).items()}
    for one in processes():
        key = f"{one.cluster} processes {one.role} {one.program}"
        result[key] = result.get(key, 0) + 1
    assert all(f"node of {worker}: links" in result for worker in workers), "an agent does not run"
    return result


def _kernel(process: Process) -> dict[str, int]:
    ruleset: list[dict[str, Any]] = json.loads(process.run("nft", "-j", "list", "ruleset"))["nftables"]
    ours = [
        kind
        for entry in ruleset
        for kind, body in entry.items()
        if "isthmus" in str(body.get("table", body.get("name", "")))
    ]
    members = sum(
        len(body.get("elem", []))
        for entry in ruleset
        for body in entry.values()
        if "isthmus" in str(body.get("table", ""))
    )
    return {
        "nft objects": len(ours),
        "nft elements": members,
        # A pod that is replaced may come to another node, with its link.
        "links": len([line for line in process.run("ip", "-o", "link").splitlines() if ": veth" not in line]),
        "addresses": len(process.run("ip", "-o", "-4", "address").splitlines()),
        "routes": len(process.run("ip", "-4", "route", "show", "table", "all").splitlines()),
        "rules": len(process.run("ip", "-4", "rule").splitlines()),
    }


def _changes(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    names = sorted(before.keys() | after.keys())
    return {
        name: (before.get(name, 0), after.get(name, 0))
        for name in names
        if before.get(name) != after.get(name)
    }


def _await_as_before(clusters: tuple[Cluster, Cluster], before: dict[str, int]) -> None:
    """Wait until all is as it was: what a replaced pod had is taken away a little after it."""
    changes: dict[str, tuple[int, int]] = {}

    def is_same() -> bool:
        changes.clear()
        changes.update(_changes(before, _count(clusters)))
        return not changes

    try:
        eventually(is_same, within=60, every=2, what="everything as before")
    except AssertionError:
        raise AssertionError(f"left or lost, before and after: {changes}") from None

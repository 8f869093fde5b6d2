"""After `unpeer` and `uninstall` a node is what it was before: links, addresses, routes, rules, nftables, sysctls."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator

import pytest

from isthmus import lab
from tests.cluster.networking import traffic
from tests.cluster.support import Cluster, eventually, isthmus

COMMANDS = (
    ("ip", "-d", "-o", "link"),
    ("ip", "-o", "address"),
    ("ip", "route", "show", "table", "all"),
    ("ip", "-6", "route", "show", "table", "all"),
    ("ip", "rule"),
    ("ip", "-6", "rule"),
    ("bridge", "fdb"),
)
VOLATILE = re.compile(
    r"^(fs|kernel|vm|dev|debug|user|abi|sunrpc)\.|nf_conntrack_(count|buckets)|\.stable_secret|tcp_fastopen_key"
)
"""Settings that are no network's, or counters and secrets that change by themselves."""
NEIGHBOURS = re.compile(r"\.(veth\w+)\.")
"""The settings of a pod's link go with the pod."""


def nodes(name: str) -> list[str]:
    """The worker nodes of a cluster."""
    return [worker.name for one in lab.clusters() if one.name == name for worker in one.workers]


def inside(node: str, *command: str) -> str:
    """What a command prints inside a node."""
    return isthmus("lab", "exec", node, "--", *command).stdout


def snapshot(node: str) -> str:
    """All that the kernel holds for the network of a node, but counters and what belongs to kube-proxy."""
    parts = [f"# {' '.join(command)}\n{inside(node, *command)}" for command in COMMANDS]
    # The bridge of the CNI has clocks of its own.
    parts = [re.sub(r"_timer +[0-9.]+", "_timer", part) for part in parts]
    ruleset = json.loads(inside(node, "nft", "-j", "list", "ruleset"))["nftables"]
    parts.append("# nft\n" + "\n".join(sorted(_rule(entry) for entry in ruleset if _compared(entry))))
    settings = inside(node, "sysctl", "-a").splitlines()
    kept = [line for line in settings if not VOLATILE.search(line) and not NEIGHBOURS.search(line)]
    return "\n".join([*parts, "# sysctl", *sorted(kept)])


def _compared(entry: dict[str, dict[str, object]]) -> bool:
    (body,) = entry.values()
    return "metainfo" not in entry and "kube-proxy" not in (body.get("table"), body.get("name"))


def _rule(entry: dict[str, dict[str, object]]) -> str:
    text = json.dumps(entry, sort_keys=True)
    return re.sub(r'"(handle|packets|bytes)": \d+', r'"\1": 0', text)


def _warm_up(cluster: Cluster) -> None:
    """A first pod on each node: what the CNI makes once for all pods is there before and after."""
    for node in nodes(cluster.name):
        name = f"warm-{node}"
        traffic.run_pods(cluster, "default", traffic.pod(name, traffic.ECHO, nodeName=node))
        cluster.kubectl("delete", "pod", "-n", "default", name, "--now")


def _settled(cluster: Cluster) -> dict[str, str]:
    """The snapshot of each node once no pod comes or goes."""
    eventually(lambda: not cluster.items("pods", "-A"), within=90, what=f"no pod in {cluster.name}")
    return {node: snapshot(node) for node in nodes(cluster.name)}


@pytest.fixture
def bare(rome: Cluster, milan: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    """Both clusters without Isthmus; it is installed again for the tests that follow."""
    local, remote = str(rome.kubeconfig), str(milan.kubeconfig)
    isthmus("unpeer", "--kubeconfig", local, "--remote-kubeconfig", remote, "--skip-confirm", check=False)
    for cluster in (rome, milan):
        isthmus(
            "uninstall", "--kubeconfig", str(cluster.kubeconfig), "--purge", "--skip-confirm", check=False
        )
    yield rome, milan
    for cluster in (rome, milan):
        _install(cluster)


def _install(cluster: Cluster) -> None:
    isthmus(
        *("install", "--kubeconfig", str(cluster.kubeconfig), "--cluster-id", cluster.name),
        *("--api-server-url", cluster.server),
    )


@pytest.mark.endurance
def test_a_node_is_left_as_it_was_found(bare: tuple[Cluster, Cluster]) -> None:
    for cluster in bare:
        _warm_up(cluster)
    before = {node: text for cluster in bare for node, text in _settled(cluster).items()}
    rome, milan = bare
    for cluster in bare:
        _install(cluster)
    both = ("--kubeconfig", str(rome.kubeconfig), "--remote-kubeconfig", str(milan.kubeconfig))
    isthmus("peer", *both, "--gw-server-service-type", "NodePort")
    changed = {node: snapshot(node) for cluster in bare for node in nodes(cluster.name)}
    assert all(changed[node] != before[node] for node in before), (
        "nothing was changed by joining the networks"
    )
    isthmus("unpeer", *both, "--skip-confirm")
    for cluster in bare:
        isthmus("uninstall", "--kubeconfig", str(cluster.kubeconfig), "--purge", "--skip-confirm")
    after = {node: text for cluster in bare for node, text in _settled(cluster).items()}
    for node, text in before.items():
        difference = difflib.unified_diff(
            text.splitlines(), after[node].splitlines(), "before", "after", lineterm=""
        )
        assert text == after[node], f"{node}:\n" + "\n".join(difference)

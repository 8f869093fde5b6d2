"""Three clusters that use each other in every way at once, and ends of one peering that no other notices.

Rome uses milan and naples; milan uses naples as well, and rome: so milan is consumer and provider at once, and rome
and milan use each other. The tests go on from one another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.networking.labs import lab_apart, peer
from tests.cluster.offloading.objects import SOON, node_is_ready, offload, pod
from tests.cluster.support import Cluster, deployment, eventually, isthmus, ready_pods

pytestmark = pytest.mark.endurance

LAB = {"ISTHMUS_LAB_NAME": "three", "ISTHMUS_LAB_NETWORK": "172.27.0.0/16"}
Three = tuple[Cluster, Cluster, Cluster]
REMOTE = ("--pod-offloading-strategy", "Remote")


def only(provider: str) -> tuple[str, ...]:
    return (*REMOTE, "--selector", f"liqo.io/remote-cluster-id={provider}")


@pytest.fixture(scope="module")
def three() -> Iterator[Three]:
    """The clusters, with everybody's pods running."""
    with lab_apart(3, environment=LAB) as clusters:
        rome, milan, naples = clusters
        for consumer, provider in ((rome, milan), (rome, naples), (milan, naples), (milan, rome)):
            peer(consumer, provider)
        for cluster, namespace, flags in (
            (rome, "north", only("milan")),
            (rome, "south", only("naples")),
            (rome, "both", REMOTE),
            (milan, "onward", only("naples")),
            (milan, "back", only("rome")),
        ):
            cluster.kubectl("create", "namespace", namespace)
            # A controller that is just starting answers no webhook; the command says so and may be run again.
            eventually(
                lambda: offload(cluster, namespace, *flags) is None,  # noqa: B023 -- used at once
                within=SOON,
                what=f"namespace {namespace} offloaded",
                every=2.0,
            )
            manifest = deployment("web", replicas=2)
            if namespace == "both":
                manifest["spec"]["template"]["spec"]["topologySpreadConstraints"] = [spread()]
            manifest["metadata"]["namespace"] = namespace
            cluster.apply(manifest)
        # It tolerates everything, so also the virtual node naples that milan has.
        rome.apply(pod("tolerant", "north", tolerations=[{"operator": "Exists"}]))
        places = ((rome, "north"), (rome, "south"), (rome, "both"), (milan, "onward"), (milan, "back"))
        for cluster, namespace in places:
            count = 3 if namespace == "north" else 2
            eventually(
                lambda: len(ready_pods(cluster, namespace)) == count,  # noqa: B023 -- used at once
                within=120,
                what=f"the pods of {namespace} in {cluster.name}",
            )
        yield rome, milan, naples


def spread() -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }


def nodes_of(cluster: Cluster, namespace: str) -> list[str]:
    return sorted(one["spec"].get("nodeName", "") for one in cluster.items("pods", "-n", namespace))


def hosted(provider: Cluster) -> set[str]:
    """The namespaces that a provider has for its consumers."""
    found = provider.items("namespaces", "-l", "liqo.io/remote-cluster-id,!liqo.io/tenant-namespace")
    return {one["metadata"]["name"] for one in found}


def test_pods_are_only_where_the_selectors_say(three: Three) -> None:
    rome, milan, naples = three
    assert nodes_of(rome, "north") == ["milan"] * 3
    assert nodes_of(rome, "south") == ["naples"] * 2
    assert nodes_of(rome, "both") == ["milan", "naples"]
    assert nodes_of(milan, "onward") == ["naples"] * 2
    assert nodes_of(milan, "back") == ["rome"] * 2
    assert hosted(milan) == {"north-rome", "both-rome"}
    assert hosted(naples) == {"south-rome", "both-rome", "onward-milan"}
    assert hosted(rome) == {"back-milan"}
    for cluster in three:
        virtual = {
            one["metadata"]["name"] for one in cluster.items("nodes", "-l", "liqo.io/type=virtual-node")
        }
        for namespace in hosted(cluster):
            found = ready_pods(cluster, namespace)
            assert found, f"no pods in {namespace} of {cluster.name}"
            assert not {one["spec"]["nodeName"] for one in found} & virtual, "a guest's pod went on elsewhere"
            consumer = namespace.rpartition("-")[2]
            origins = {one["metadata"]["labels"]["offloading.liqo.io/origin"] for one in found}
            assert origins == {consumer}
    # Logs come from where the pod is, whichever way it went.
    for cluster, namespace in ((rome, "north"), (rome, "south"), (milan, "onward"), (milan, "back")):
        name = ready_pods(cluster, namespace, "app=web")[0]["metadata"]["name"]
        said = cluster.kubectl("exec", "-n", namespace, name, "--", "hostname").stdout.strip()
        assert said == name


def traces(cluster: Cluster, *namespaces: str) -> dict[tuple[str, str], Any]:
    """What must not change of the pods of some namespaces: which they are, and that no container began anew."""
    return {
        (one["metadata"]["namespace"], one["metadata"]["name"]): (
            one["metadata"]["uid"],
            one["spec"].get("nodeName"),
            [
                (c["restartCount"], c.get("containerID"), c["ready"])
                for c in one["status"].get("containerStatuses", [])
            ],
        )
        for namespace in namespaces
        for one in cluster.items("pods", "-n", namespace)
    }


def readiness(cluster: Cluster, *nodes: str) -> dict[str, Any]:
    """Whether virtual nodes are Ready, and since when."""
    found = {}
    for name in nodes:
        node = cluster.get("node", name)
        (ready,) = (c for c in node["status"]["conditions"] if c["type"] == "Ready")
        found[name] = (node["metadata"]["uid"], ready["status"], ready["lastTransitionTime"])
    return found


def unpeer(consumer: Cluster, provider: Cluster) -> None:
    isthmus(
        *("unpeer", "--kubeconfig", str(consumer.kubeconfig)),
        *("--remote-kubeconfig", str(provider.kubeconfig), "--skip-confirm"),
    )


def test_the_end_of_one_provider_is_nothing_to_the_other(three: Three) -> None:
    rome, milan, naples = three

    def untouched() -> list[Any]:
        return [
            traces(rome, "north", "back-milan"),
            traces(milan, "north-rome", "onward", "back"),
            traces(naples, "onward-milan"),
            readiness(rome, "milan"),
            readiness(milan, "naples", "rome"),
        ]

    before = untouched()
    on_milan = traces(milan, "both-rome")
    unpeer(rome, naples)
    assert rome.get("node", "naples") is None
    assert hosted(naples) == {"onward-milan"}
    assert untouched() == before
    assert on_milan.items() <= traces(milan, "both-rome").items()
    # The pod of `both` that was at naples finds its way to milan once its spread allows it.
    constraint = [{"op": "remove", "path": "/spec/template/spec/topologySpreadConstraints"}]
    rome.kubectl("patch", "deployment", "web", "-n", "both", "--type=json", "-p", json.dumps(constraint))
    eventually(
        lambda: (
            len(ready_pods(rome, "both")) == len(milan.items("pods", "-n", "both-rome")) == 2
            and nodes_of(rome, "both") == ["milan"] * 2
        ),
        within=SOON,
        what="both pods at milan",
    )
    assert rome.get("namespaceoffloading", "offloading", "-n", "south")["status"]["offloadingPhase"] == (
        "NoClusterSelected"
    )
    assert untouched() == before
    _assert_nothing_about(rome, "naples")
    _assert_nothing_about(naples, "rome")


def test_each_direction_between_two_ends_by_itself(three: Three) -> None:
    rome, milan, naples = three

    def untouched() -> list[Any]:
        return [
            traces(rome, "north", "both"),
            traces(milan, "north-rome", "both-rome", "onward"),
            traces(naples, "onward-milan"),
            readiness(rome, "milan"),
            readiness(milan, "naples"),
        ]

    before = untouched()
    unpeer(milan, rome)
    assert milan.get("node", "rome") is None
    assert hosted(rome) == set()
    assert untouched() == before
    assert rome.get("foreigncluster", "milan")["status"]["role"] == "Provider"
    assert milan.get("foreigncluster", "rome")["status"]["role"] == "Consumer"


def test_a_provider_that_gives_up_its_own_provider_keeps_its_guests(three: Three) -> None:
    rome, milan, naples = three

    def untouched() -> list[Any]:
        return [
            traces(rome, "north", "both"),
            traces(milan, "north-rome", "both-rome"),
            readiness(rome, "milan"),
        ]

    before = untouched()
    unpeer(milan, naples)
    assert milan.get("node", "naples") is None
    assert hosted(naples) == set()
    assert untouched() == before
    _assert_nothing_about(naples, "milan")
    _assert_nothing_about(milan, "naples")
    # New pods still find their way.
    rome.kubectl("scale", "deployment", "web", "-n", "north", "--replicas=3")
    eventually(lambda: len(ready_pods(rome, "north", "app=web")) == 3, within=SOON, what="a third pod")
    assert node_is_ready(rome, "milan")
    unpeer(rome, milan)
    assert hosted(milan) == set()
    eventually(
        lambda: [c.items("foreignclusters") for c in three] == [[], [], []],
        within=SOON,
        what="no ForeignCluster anywhere",
    )


def _assert_nothing_about(cluster: Cluster, peer_id: str) -> None:
    kinds = "foreignclusters,tenants,identities,resourceslices,virtualnodes,namespacemaps,quotas.offloading.liqo.io"
    eventually(
        lambda: cluster.items(kinds, "-A", "-l", f"liqo.io/remote-cluster-id={peer_id}") == [],
        within=SOON,
        what=f"nothing about {peer_id} in {cluster.name}",
    )

"""What users set on virtual nodes and in their templates, and what becomes of it; how they come and go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.offloading.objects import (
    API,
    HOSTNAME,
    SOON,
    TENANT,
    Pair,
    node_condition,
    node_is_ready,
    phase,
    pod,
    prefers_virtual_nodes,
    set_create_node,
)
from tests.cluster.support import deployment, eventually, ready_pods


@pytest.fixture
def template(pair: Pair) -> Iterator[str]:
    """A VkOptionsTemplate; its name."""
    rome, _ = pair
    rome.apply(
        {
            "apiVersion": API,
            "kind": "VkOptionsTemplate",
            "metadata": {"name": "edge", "namespace": "liqo"},
            "spec": {
                "containerImage": "localhost/isthmus:latest",
                "createNode": True,
                "disableNetworkCheck": True,
                "metricsEnabled": False,
                "labelsNotReflected": ["internal"],
                "annotationsNotReflected": ["example.com/secret"],
                "nodeExtraLabels": {"tier": "gold"},
                "nodeExtraAnnotations": {"example.com/note": "edge"},
                "reflectorsConfig": {
                    "secret": {"workers": 0, "type": "DenyList"},
                    "configmap": {"workers": 2, "type": "AllowList"},
                },
            },
        }
    )
    yield "edge"
    rome.kubectl("delete", "vkoptionstemplate", "edge", "-n", "liqo")


@pytest.fixture
def labelled_node(pair: Pair) -> Iterator[str]:
    """A real node of milan with a label and a taint of its own; its name."""
    _, milan = pair
    name = milan.items("nodes", "-l", "liqo.io/type!=virtual-node")[0]["metadata"]["name"]
    milan.kubectl("label", "node", name, "disk=ssd")
    yield name
    milan.kubectl("label", "node", name, "disk-")


def test_a_template_and_a_patch_shape_node_pods_and_reflection(
    pair: Pair,
    space: Callable[..., str],
    template: str,
    labelled_node: str,
    virtual_node: Callable[..., str],
) -> None:
    rome, milan = pair
    toleration = {"key": "only", "operator": "Exists", "effect": "NoSchedule"}
    expression = {"key": HOSTNAME, "operator": "In", "values": [labelled_node]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    node_affinity = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    name = virtual_node(
        vkOptionsTemplateRef={"name": template, "namespace": "liqo"},
        labels={"site": "edge"},
        offloadingPatch={
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [toleration],
            "affinity": {"nodeAffinity": node_affinity},
            "labelsNotReflected": ["private"],
        },
    )
    eventually(lambda: node_is_ready(rome, name), within=SOON, what="the node")
    node = rome.get("node", name)["metadata"]
    assert node["labels"]["tier"] == "gold"
    assert node["labels"]["site"] == "edge"
    assert node["annotations"]["example.com/note"] == "edge"
    spec = rome.get("virtualnode", name, "-n", TENANT)["spec"]
    assert spec["createNode"] is True
    assert spec["disableNetworkCheck"] is True
    assert spec["offloadingPatch"]["labelsNotReflected"] == ["private", "internal"]

    # The template's labels count for selectors, on the node and where the namespace goes.
    namespace = space("--pod-offloading-strategy", "Remote", "--selector", "tier=gold")
    twin = f"{namespace}-rome"
    for name_, marks in (("c0", {}), ("c1", {"liqo.io/allow-reflection": "true"})):
        metadata = {"name": name_, "namespace": namespace, "annotations": marks}
        rome.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})
    rome.kubectl("create", "secret", "generic", "kept", "-n", namespace, "--from-literal=a=b")
    annotations = {
        "example.com/secret": "x",
        "example.com/public": "y",
        "liqo.io/anti-affinity-preset": "hard",
    }
    rome.apply(pod("shaped", namespace, annotations))
    eventually(lambda: phase(rome, namespace, "shaped") == "Running", within=SOON, what="the pod")
    assert rome.get("pod", "shaped", "-n", namespace)["spec"]["nodeName"] == name
    there = milan.get("pod", "shaped", "-n", twin)
    assert there["spec"]["nodeName"] == labelled_node
    assert there["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert there["spec"]["affinity"]["nodeAffinity"] == node_affinity
    (term,) = there["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term == {
        "labelSelector": {"matchLabels": {"app": "shaped", "internal": "yes"}},
        "topologyKey": HOSTNAME,
    }
    assert toleration in there["spec"]["tolerations"]
    assert "internal" not in there["metadata"]["labels"]
    assert "example.com/secret" not in there["metadata"]["annotations"]
    assert there["metadata"]["annotations"]["example.com/public"] == "y"
    eventually(
        lambda: milan.get("configmap", "c1", "-n", twin), within=SOON, what="the ConfigMap let through"
    )
    assert milan.get("configmap", "c0", "-n", twin) is None
    assert milan.get("secret", "kept", "-n", twin) is None


def test_without_a_node_only_objects_are_reflected_and_the_node_comes_back_fit(
    pair: Pair, space: Callable[..., str]
) -> None:
    rome, milan = pair
    namespace = space()
    twin = f"{namespace}-rome"
    manifest = deployment("web", replicas=2, affinity=prefers_virtual_nodes())
    manifest["metadata"]["namespace"] = namespace
    rome.apply(manifest)
    eventually(lambda: len(milan.items("pods", "-n", twin)) == 2, within=SOON, what="two pods at milan")

    set_create_node(rome, False)
    try:
        eventually(lambda: rome.get("node", "milan") is None, within=SOON, what="the end of the Node")
        assert node_condition(rome, "milan")["status"] in ("None", "Draining")
        eventually(lambda: len(ready_pods(rome, namespace)) == 2, within=SOON, what="two pods at home")
        eventually(lambda: not milan.items("shadowpods", "-n", twin), within=SOON, what="no ShadowPods")
        rome.kubectl("create", "configmap", "late", "-n", namespace, "--from-literal=a=b")
        eventually(lambda: milan.get("configmap", "late", "-n", twin), within=SOON, what="the ConfigMap")
        assert rome.get("node", "milan") is None
    finally:
        set_create_node(rome, True)
        eventually(lambda: node_is_ready(rome, "milan"), within=SOON, what="the Node Ready again")
    assert not rome.get("node", "milan")["spec"].get("unschedulable")


def test_a_node_that_is_wanted_after_all_takes_pods_again(
    pair: Pair, space: Callable[..., str], virtual_node: Callable[..., str]
) -> None:
    rome, _ = pair
    name = virtual_node()
    eventually(lambda: node_is_ready(rome, name), within=SOON, what="the node")
    namespace = space()
    rome.apply(
        pod("guarded", namespace, nodeSelector={HOSTNAME: name}),
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "guarded", "namespace": namespace},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
        },
    )
    eventually(lambda: phase(rome, namespace, "guarded") == "Running", within=SOON, what="the pod")
    set_create_node(rome, False, name)
    eventually(
        lambda: rome.get("node", name)["spec"].get("unschedulable"), within=SOON, what="the node cordoned"
    )
    set_create_node(rome, True, name)
    eventually(
        lambda: not rome.get("node", name)["spec"].get("unschedulable"),
        within=SOON,
        what="the node uncordoned",
    )
    assert phase(rome, namespace, "guarded") == "Running"
    # What a person cordoned stays so.
    rome.kubectl("cordon", name)
    rome.kubectl("label", "virtualnode", name, "-n", TENANT, "poke=1")
    rome.kubectl(
        "patch", "virtualnode", name, "-n", TENANT, "--type=merge", "-p", '{"spec":{"labels":{"a":"b"}}}'
    )
    eventually(
        lambda: rome.get("node", name)["metadata"]["labels"].get("a") == "b",
        within=SOON,
        what="the new label",
    )
    assert rome.get("node", name)["spec"]["unschedulable"] is True
    rome.kubectl("delete", "pdb", "guarded", "-n", namespace)


def test_a_node_that_cannot_be_says_why_and_one_that_clashes_is_refused(
    pair: Pair, virtual_node: Callable[..., str]
) -> None:
    rome, _ = pair
    name = virtual_node(labels={"not a key": "x"})

    def told() -> bool:
        found = node_condition(rome, name)
        return found.get("reason") == "NodeRefused" and "not a key" in found["message"]

    eventually(told, within=SOON, what="the reason in the condition")
    patch = json.dumps({"spec": {"labels": {"not a key": None, "a-key": "x"}}})
    rome.kubectl("patch", "virtualnode", name, "-n", TENANT, "--type=merge", "-p", patch)
    eventually(lambda: node_is_ready(rome, name), within=SOON, what="the node, now possible")
    eventually(lambda: not node_condition(rome, name).get("reason"), within=SOON, what="the reason gone")

    clash = rome.get("virtualnode", name, "-n", TENANT)
    clash["metadata"] = {"name": "milan", "namespace": "default"}
    clash["spec"] = {"clusterID": "another"}
    done = rome.kubectl("create", "-f", "-", stdin=json.dumps(clash), check=False)
    assert "stands for cluster milan" in done.stderr
    clash["spec"] = {"clusterID": "milan", "resourceQuota": {"hard": {"cpu": "-1"}}}
    done = rome.kubectl("create", "-f", "-", stdin=json.dumps(clash), check=False)
    assert "spec.resourceQuota.hard: cpu" in done.stderr


def test_one_stuck_pod_holds_up_no_other_node(
    pair: Pair, space: Callable[..., str], virtual_node: Callable[..., str]
) -> None:
    rome, milan = pair
    stuck, free = virtual_node(), virtual_node()
    for name in (stuck, free):
        eventually(lambda: node_is_ready(rome, name), within=SOON, what=f"node {name}")  # noqa: B023
    namespace = space()
    held = pod("held", namespace, nodeSelector={HOSTNAME: stuck})
    finalized = pod("finalized", namespace, nodeSelector={HOSTNAME: free})
    finalized["metadata"]["finalizers"] = ["example.com/mine"]
    rome.apply(held, finalized, pod("plain", namespace, nodeSelector={HOSTNAME: free}))
    eventually(lambda: len(ready_pods(rome, namespace)) == 3, within=SOON, what="three pods")
    # Nothing ends this pod at the provider.
    patch = '{"metadata":{"finalizers":["example.com/held"]}}'
    twin = f"{namespace}-rome"
    milan.kubectl("patch", "pod", "held", "-n", twin, "--type=merge", "-p", patch)
    try:
        for name in (stuck, free):
            rome.kubectl("delete", "virtualnode", name, "-n", TENANT, "--wait=false")
        rome.kubectl("wait", "--for=delete", f"virtualnode/{free}", "-n", TENANT, "--timeout=50s")
        assert rome.get("node", free) is None
        assert rome.get("virtualnode", stuck, "-n", TENANT) is not None
        assert node_condition(rome, stuck)["status"] == "Draining"
        assert milan.get("pod", "plain", "-n", twin) is None
        assert milan.get("pod", "finalized", "-n", twin) is None
    finally:
        for cluster, name, where in ((milan, "held", twin), (rome, "finalized", namespace)):
            patch = '{"metadata":{"finalizers":null}}'
            cluster.kubectl("patch", "pod", name, "-n", where, "--type=merge", "-p", patch, check=False)
    rome.kubectl("wait", "--for=delete", f"virtualnode/{stuck}", "-n", TENANT, "--timeout=50s")

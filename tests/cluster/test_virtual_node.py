"""Virtual nodes and their pods under what really happens to them: jobs, same names, refusals, budgets, drains."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.endings import Endings
from tests.cluster.peering import Pair
from tests.cluster.support import TEST_IMAGE, Cluster, deployment, eventually, ready_pods

SOON = 60.0
TOLERATED = [{"key": "virtual-node.liqo.io/not-allowed", "operator": "Exists"}]
ON_VIRTUAL_NODES = {"nodeSelector": {"liqo.io/type": "virtual-node"}, "tolerations": TOLERATED}


def _pod(name: str, namespace: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            **ON_VIRTUAL_NODES,
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "main",
                    "image": TEST_IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "3600"],
                    "resources": {"requests": {"cpu": "5m", "memory": "4Mi"}},
                }
            ],
        },
    }


def _running(cluster: Cluster, namespace: str, name: str) -> bool:
    pod = cluster.get("pod", name, "-n", namespace)
    return pod is not None and pod["status"].get("phase") == "Running"


def test_a_job_runs_once_whatever_becomes_of_its_remote_pods(peered: Pair, namespace: str) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    template = _pod("", namespace)["spec"] | {"restartPolicy": "Never"}
    template["containers"][0]["command"] = ["true"]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": namespace},
        "spec": {"completions": 2, "parallelism": 2, "template": {"spec": template}},
    }
    rome.apply(job)
    eventually(
        lambda: rome.get("job", "once", "-n", namespace)["status"].get("succeeded") == 2,
        within=SOON,
        what="the job's end",
    )
    names = {pod["metadata"]["name"] for pod in milan.items("pods", "-n", twin)}
    assert len(names) == 2
    milan.kubectl("delete", "pods", "--all", "-n", twin)
    # What would run again would be there within moments; a pod made afterwards shows that they have passed.
    rome.apply(_pod("after", namespace))
    eventually(lambda: _running(rome, namespace, "after"), within=SOON, what="the later pod")
    assert [pod["metadata"]["name"] for pod in milan.items("pods", "-n", twin)] == ["after"]
    phases = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in rome.items("pods", "-n", namespace)}
    assert phases == dict.fromkeys(names, "Succeeded") | {"after": "Running"}


def test_labels_follow_and_a_pod_of_the_same_name_is_another_pod(peered: Pair, namespace: str) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"

    def remote_labels() -> dict[str, str]:
        pod = milan.get("pod", "same", "-n", twin)
        return dict(pod["metadata"].get("labels", {})) if pod else {}

    rome.apply(_pod("same", namespace, labels={"app": "x"}))
    eventually(lambda: _running(rome, namespace, "same"), within=SOON, what="the first pod")
    assert remote_labels()["app"] == "x"
    rome.kubectl("label", "pod", "same", "-n", namespace, "tier=front", "app-")
    eventually(
        lambda: remote_labels().get("tier") == "front" and "app" not in remote_labels(),
        within=SOON,
        what="the label added and the one removed",
    )
    first = milan.get("pod", "same", "-n", twin)["metadata"]["uid"]
    rome.kubectl("delete", "pod", "same", "-n", namespace, "--force", "--grace-period=0")
    rome.apply(_pod("same", namespace))
    eventually(lambda: _running(rome, namespace, "same"), within=SOON, what="the second pod")
    status = rome.get("pod", "same", "-n", namespace)["status"]
    assert status["containerStatuses"][0]["restartCount"] == 0
    assert milan.get("pod", "same", "-n", twin)["metadata"]["uid"] != first
    assert "tier" not in remote_labels()
    rome.kubectl("delete", "pod", "same", "-n", namespace)
    assert milan.get("pod", "same", "-n", twin) is None, "a pod that is gone here still runs there"


@pytest.fixture
def refusing(peered: Pair, namespace: str) -> Iterator[str]:
    """The provider refuses every ShadowPod of the namespace; yields what it says."""
    _, milan = peered
    name, message = f"refuse-{namespace}", "no pods on Mondays"
    api = "admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": ["offloading.liqo.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": ["shadowpods"],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": f"{namespace}-rome"}}
    milan.apply(
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"namespaceSelector": selector, "resourceRules": [rule]},
                "validations": [{"expression": "false", "message": message}],
            },
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    )
    probe = {"apiVersion": "offloading.liqo.io/v1beta1", "kind": "ShadowPod", "metadata": {"name": "probe"}}

    def refuses() -> bool:
        arguments = ["create", "--dry-run=server", "-n", f"{namespace}-rome", "-f", "-"]
        return message in milan.kubectl(*arguments, stdin=json.dumps(probe), check=False).stderr

    eventually(refuses, within=SOON, what="the policy in force")
    yield message
    milan.kubectl("delete", "validatingadmissionpolicybinding", name, "--ignore-not-found")
    milan.kubectl("delete", "validatingadmissionpolicy", name, "--ignore-not-found")


def test_a_pod_the_provider_refuses_says_why_and_starts_when_it_may(
    peered: Pair, namespace: str, refusing: str
) -> None:
    rome, milan = peered
    rome.apply(_pod("unwanted", namespace))

    def told() -> bool:
        status = rome.get("pod", "unwanted", "-n", namespace)["status"]
        return status.get("reason") == "FailedReflection" and refusing in status.get("message", "")

    eventually(told, within=SOON, what="the provider's words in the pod's status")
    events = rome.items("events", "-n", namespace, "--field-selector=reason=FailedReflection")
    assert any(refusing in event["message"] for event in events)
    milan.kubectl("delete", "validatingadmissionpolicybinding", f"refuse-{namespace}")
    eventually(lambda: _running(rome, namespace, "unwanted"), within=90, what="the pod, now allowed")
    assert "reason" not in rome.get("pod", "unwanted", "-n", namespace)["status"]


def _daemon_set(namespace: str, **metadata: Any) -> dict[str, Any]:
    """A DaemonSet that tolerates everything, with a pod on every node."""
    spec = _pod("", namespace)["spec"] | {"tolerations": [{"operator": "Exists"}]}
    del spec["nodeSelector"]
    labels = {"app": namespace}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": namespace, **metadata},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@pytest.fixture
def plain_namespace(peered: Pair, endings: Endings) -> Iterator[str]:
    """A namespace of rome that is not offloaded."""
    rome, _ = peered
    name = f"agents-{uuid.uuid4().hex[:8]}"
    rome.kubectl("create", "namespace", name)
    yield name
    endings.delete(rome, name)


def test_a_daemon_set_that_tolerates_everything_is_rolled_out_without_virtual_nodes(
    peered: Pair, plain_namespace: str
) -> None:
    rome, _ = peered
    rome.apply(_daemon_set(plain_namespace))
    rome.kubectl("rollout", "status", "daemonset/agent", "-n", plain_namespace, "--timeout=50s")
    real = rome.items("nodes", "-l", "liqo.io/type!=virtual-node")
    on = {pod["spec"]["nodeName"] for pod in rome.items("pods", "-n", plain_namespace)}
    assert on == {node["metadata"]["name"] for node in real}
    before = rome.get("daemonset", "agent", "-n", plain_namespace)["metadata"]["generation"]
    rome.apply(_daemon_set(plain_namespace))
    assert rome.get("daemonset", "agent", "-n", plain_namespace)["metadata"]["generation"] == before


def test_a_daemon_set_that_lands_on_a_virtual_node_is_told_what_to_do(
    peered: Pair, plain_namespace: str
) -> None:
    rome, _ = peered
    name = plain_namespace
    rome.apply(_daemon_set(name, labels={"liqo.io/webhook-skip": "true"}))

    def advised() -> bool:
        virtual = {
            node["metadata"]["name"] for node in rome.items("nodes", "-l", "liqo.io/type=virtual-node")
        }
        pods = rome.items("pods", "-n", name)
        statuses = [pod["status"] for pod in pods if pod["spec"].get("nodeName") in virtual]
        return bool(statuses) and all(
            status.get("reason") == "OffloadingBackOff"
            and "DaemonSet agent" in status["message"]
            and "NotIn [virtual-node]" in status["message"]
            for status in statuses
        )

    eventually(advised, within=SOON, what="the advice")


@pytest.fixture
def second_node(peered: Pair) -> Iterator[str]:
    """One more virtual node of the same slice; yields its name."""
    rome, _ = peered
    (found, *_) = rome.items("virtualnodes", "-A")
    name = f"second-{uuid.uuid4().hex[:6]}"
    metadata = found["metadata"]
    labels = {"liqo.io/remote-cluster-id": found["spec"]["clusterID"]}
    spec = {key: value for key, value in found["spec"].items() if key != "template"}
    rome.apply(
        {
            "apiVersion": found["apiVersion"],
            "kind": "VirtualNode",
            "metadata": {"name": name, "namespace": metadata["namespace"], "labels": labels},
            "spec": spec,
        }
    )
    eventually(lambda: _node_is_ready(rome, name), within=SOON, what="the second virtual node")
    yield name
    rome.kubectl(
        "delete", "virtualnode", name, "-n", metadata["namespace"], "--ignore-not-found", "--timeout=50s"
    )


def _node_is_ready(cluster: Cluster, name: str) -> bool:
    node = cluster.get("node", name)
    conditions = node["status"].get("conditions", []) if node else []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def test_a_virtual_node_comes_back_as_it_was(peered: Pair, second_node: str) -> None:
    rome, _ = peered
    before = rome.get("node", second_node)
    rome.kubectl("delete", "node", second_node)

    def restored() -> bool:
        node = rome.get("node", second_node)
        return (
            node is not None
            and node["metadata"]["uid"] != before["metadata"]["uid"]
            and before["metadata"]["labels"].items() <= node["metadata"]["labels"].items()
            and {"virtual-node.liqo.io/not-allowed"} == {t["key"] for t in node["spec"].get("taints", [])}
            and _node_is_ready(rome, second_node)
        )

    eventually(restored, within=SOON, what="the Node made again")
    rome.kubectl("taint", "node", second_node, "virtual-node.liqo.io/not-allowed-")
    rome.kubectl("label", "node", second_node, "liqo.io/remote-cluster-id-", "liqo.io/type-")
    eventually(restored, within=SOON, what="label and taint repaired")


def test_the_end_of_a_virtual_node_respects_disruption_budgets(
    peered: Pair, namespace: str, second_node: str
) -> None:
    rome, milan = peered
    twin = f"{namespace}-rome"
    for name, replicas in (("guarded", 1), ("free", 5)):
        manifest = deployment(
            name,
            replicas=replicas,
            nodeSelector={"kubernetes.io/hostname": second_node},
            tolerations=TOLERATED,
        )
        manifest["metadata"]["namespace"] = namespace
        rome.apply(manifest)
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
    rome.apply(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "guarded", "namespace": namespace},
            "spec": budget,
        }
    )
    eventually(lambda: len(ready_pods(rome, namespace)) == 6, within=SOON, what="six Ready pods")
    eventually(
        lambda: rome.get("pdb", "guarded", "-n", namespace)["status"].get("currentHealthy") == 1,
        within=SOON,
        what="the budget counted",
    )
    (tenant,) = (
        v["metadata"]["namespace"]
        for v in rome.items("virtualnodes", "-A")
        if v["metadata"]["name"] == second_node
    )
    rome.kubectl("delete", "virtualnode", second_node, "-n", tenant, "--wait=false")
    eventually(lambda: len(milan.items("pods", "-n", twin)) == 1, within=SOON, what="the free pods' end")
    (left,) = ready_pods(rome, namespace)
    assert left["metadata"]["labels"]["app"] == "guarded"

    def explained() -> bool:
        found = rome.get("virtualnode", second_node, "-n", tenant)
        conditions = {c["type"]: c for c in found["status"]["conditions"]}
        node = conditions["Node"]
        return node["status"] == "Draining" and "disruption budget" in node["message"]

    eventually(explained, within=SOON, what="the reason why the drain waits")
    assert rome.get("node", second_node)["spec"]["unschedulable"] is True

    rome.kubectl("delete", "pdb", "guarded", "-n", namespace)
    rome.kubectl("wait", "--for=delete", f"virtualnode/{second_node}", "-n", tenant, "--timeout=50s")
    assert rome.get("node", second_node) is None
    assert milan.items("shadowpods", "-n", twin) == []
    assert rome.items("pods", "-A", f"--field-selector=spec.nodeName={second_node}") == []

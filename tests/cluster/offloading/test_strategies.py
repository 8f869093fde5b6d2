"""Where the pods of offloaded namespaces run, what the namespaces are called there, and what a quota lets in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from tests.cluster.offloading.objects import (
    SOON,
    Pair,
    phase,
    pod,
    prefers_virtual_nodes,
)
from tests.cluster.played import (
    LIMITS,
    Consumer,
    consumer_fixture,  # noqa: F401 -- a fixture
    create,
    played_fixture,  # noqa: F401 -- a fixture
    shadow_pod,
)
from tests.cluster.support import deployment, eventually, isthmus, ready_pods


def test_strategies_of_pods_and_names_and_the_runtime_class(pair: Pair, space: Callable[..., str]) -> None:
    rome, milan = pair
    local = space("--pod-offloading-strategy", "Local")
    remote = space("--pod-offloading-strategy", "Remote", "--namespace-mapping-strategy", "EnforceSameName")
    chosen = f"opt-{uuid.uuid4().hex[:8]}-chosen"
    both = space("--namespace-mapping-strategy", "SelectedName", "--remote-namespace-name", chosen)
    nowhere = space("--selector", "liqo.io/remote-cluster-id=naples")
    rome.apply(
        pod("plain", local),
        pod("classy", local, runtimeClassName="liqo"),
        pod("plain", remote),
        pod("classy", both, runtimeClassName="liqo"),
        pod("plain", nowhere),
        pod("classy", nowhere, runtimeClassName="liqo"),
    )
    # The Local namespace has its twin all the same: the class sends pods there.
    places = ((local, "classy", f"{local}-rome"), (remote, "plain", remote), (both, "classy", chosen))
    for namespace, name, twin in places:
        eventually(
            lambda: phase(rome, namespace, name) == "Running",  # noqa: B023 -- used at once
            within=SOON,
            what=f"pod {name} of {namespace} ({twin})",
        )
        assert rome.get("pod", name, "-n", namespace)["spec"]["nodeName"] == "milan"
        there = milan.get("pod", name, "-n", twin)
        assert there["status"]["phase"] == "Running"
        assert "runtimeClassName" not in there["spec"]
    for namespace in (local, nowhere):
        eventually(lambda: phase(rome, namespace, "plain") == "Running", within=SOON, what="the pod at home")  # noqa: B023
        assert rome.get("pod", "plain", "-n", namespace)["spec"]["nodeName"] != "milan"
    status = rome.get("namespaceoffloading", "offloading", "-n", nowhere)["status"]
    assert status["offloadingPhase"] == "NoClusterSelected"
    assert milan.get("namespace", f"{nowhere}-rome") is None
    assert "nodeName" not in rome.get("pod", "classy", "-n", nowhere)["spec"], "it has nowhere to go"

    # A stricter strategy warns, and leaves what runs where it is.
    patch = '{"spec":{"podOffloadingStrategy":"Local"}}'
    arguments = ("patch", "namespaceoffloading", "offloading", "-n", both, "--type=merge", "-p", patch)
    assert "stay where they are" in rome.kubectl(*arguments).stderr
    patch = '{"spec":{"namespaceMappingStrategy":"DefaultName"}}'
    arguments = ("patch", "namespaceoffloading", "offloading", "-n", both, "--type=merge", "-p", patch)
    assert "is immutable" in rome.kubectl(*arguments, check=False).stderr
    assert phase(rome, both, "classy") == "Running"


def test_taking_a_namespace_back_ends_its_pods_there_and_they_start_at_home(
    pair: Pair, space: Callable[..., str]
) -> None:
    rome, milan = pair
    namespace = space()
    manifest = deployment("web", replicas=1, affinity=prefers_virtual_nodes())
    manifest["metadata"]["namespace"] = namespace
    rome.apply(manifest, pod("bare", namespace, affinity=prefers_virtual_nodes()))
    eventually(lambda: len(ready_pods(rome, namespace)) == 2, within=SOON, what="two pods")
    assert {p["spec"]["nodeName"] for p in rome.items("pods", "-n", namespace)} == {"milan"}
    isthmus("unoffload", "namespace", namespace, "--kubeconfig", str(rome.kubeconfig), "--skip-confirm")
    assert milan.get("namespace", f"{namespace}-rome") is None
    eventually(
        lambda: phase(rome, namespace, "bare") == "Failed", within=SOON, what="the end of the bare pod"
    )
    assert rome.get("pod", "bare", "-n", namespace)["status"]["reason"] == "OffloadingAborted"

    def at_home() -> bool:
        return any(p["spec"]["nodeName"] != "milan" for p in ready_pods(rome, namespace, "app=web"))

    eventually(at_home, within=SOON, what="the Deployment's pod at home")


def test_a_pod_that_does_not_start_says_what_the_provider_says_of_it(
    pair: Pair, space: Callable[..., str]
) -> None:
    rome, _ = pair
    namespace = space("--pod-offloading-strategy", "Remote")
    # Refused by the provider's API server when the pod is made, not with the ShadowPod.
    priced = pod("priced", namespace, {"liqo.io/remote-runtime-class-name": "nobody-has-this"})
    rome.apply(priced)
    told = ("--field-selector", "involvedObject.name=priced,reason=FailedCreatePod")
    eventually(lambda: rome.items("events", "-n", namespace, *told), within=SOON, what="why there is no pod")
    (event,) = rome.items("events", "-n", namespace, *told)
    assert event["message"].startswith("milan: Cannot create the pod")
    assert "nobody-has-this" in event["message"]
    assert event["type"] == "Warning"


def with_resources(manifest: dict[str, Any], **resources: dict[str, str]) -> dict[str, Any]:
    manifest["spec"]["pod"]["containers"][0]["resources"] = resources
    return manifest


async def test_a_soft_and_a_hard_quota_ask_for_requests_and_limits(consumer: Consumer) -> None:
    requests = {"cpu": "10m", "memory": "1Mi"}
    nothing = with_resources(shadow_pod(consumer, "nothing"))
    requested = with_resources(shadow_pod(consumer, "requested"), requests=requests)
    equal = with_resources(shadow_pod(consumer, "equal"), requests=requests, limits=requests)
    unequal = with_resources(
        shadow_pod(consumer, "unequal"), requests=requests, limits={**requests, "cpu": "20m"}
    )
    unset, different = "requests not set for container c", "cpu limits and requests are not equal"
    for mode, expected in (
        ("Soft", (unset, None, None, None)),
        ("Hard", (unset, different, None, different)),
        ("None", (None, None, None, None)),
    ):
        consumer.quota(LIMITS, limitsEnforcement=mode)
        await _in_force(consumer, mode)
        answers = await create(consumer, nothing, requested, equal, unequal)
        for answer, part in zip(answers, expected, strict=True):
            assert (answer is None) is (part is None), f"{mode}: {answer}"
            assert part is None or part in str(answer)
        consumer.provider.kubectl("delete", "shadowpods", "--all", "-n", consumer.twin)


async def _in_force(consumer: Consumer, mode: str) -> None:
    """Wait until the provider's webhook knows of the mode, by what it says to pods that are only tried."""
    wanted = {"None": (True, True), "Soft": (False, True), "Hard": (False, False)}[mode]
    requests = {"cpu": "10m", "memory": "1Mi"}
    probes = (
        with_resources(shadow_pod(consumer, "probe")),
        with_resources(shadow_pod(consumer, "probe"), requests=requests),
    )

    def taken() -> bool:
        done = [
            consumer.provider.kubectl(
                *("create", "--dry-run=server", "-f", "-", f"--as={consumer.user}"),
                *(f"--as-group=system:serviceaccounts:{consumer.tenant}", "--as-group=system:authenticated"),
                stdin=json.dumps(probe),
                check=False,
            ).returncode
            for probe in probes
        ]
        return tuple(code == 0 for code in done) == wanted

    eventually(taken, within=60, what=f"the quota's mode {mode}")


async def test_a_hard_quota_is_exact_in_a_burst_and_freed_by_what_has_finished(consumer: Consumer) -> None:
    share = {"cpu": "10m", "memory": "4Mi"}
    consumer.quota({"cpu": "50m", "memory": "1Gi", "pods": "100"}, limitsEnforcement="Hard")
    await _in_force(consumer, "Hard")

    def job(name: str) -> dict[str, Any]:
        manifest = with_resources(
            shadow_pod(consumer, name, restartPolicy="Never"), requests=share, limits=share
        )
        manifest["spec"]["pod"]["containers"][0]["command"] = ["true"]
        return manifest

    answers = await create(consumer, *(job(f"j{number}") for number in range(20)))
    assert answers.count(None) == 5
    assert all("cpu quota usage exceeded" in str(answer) for answer in answers if answer is not None)

    def finished() -> int:
        found = consumer.provider.items("shadowpods", "-n", consumer.twin)
        return sum(one.get("status", {}).get("phase") == "Succeeded" for one in found)

    eventually(lambda: finished() == 5, within=SOON, what="the end of five jobs")
    # Their ShadowPods are still there, for their logs, and take nothing of the quota.
    assert await create(consumer, *(job(f"k{number}") for number in range(5))) == [None] * 5

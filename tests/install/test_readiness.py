"""What an installation waits for once everything is applied, what it says meanwhile, and how it gives up."""

from __future__ import annotations

import pytest

from isthmus.install.errors import InstallError
from tests.apiserver import ApiServer, Json
from tests.install.cluster import Told, cluster, installed, pod_of, run_workload

pytestmark = pytest.mark.looptime

CONTROLLER, FABRIC = "liqo-controller-manager", "liqo-fabric"
NETWORK_OFF = "networking.enabled=false"
CRASHING = {
    "conditions": [{"type": "Ready", "status": "False"}],
    "containerStatuses": [
        {
            "name": "controller-manager",
            "restartCount": 1,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "message": "port 9443 is taken"}},
        }
    ],
}


def place_pod(api: ApiServer, workload: Json, node: str, **status: object) -> str:
    """A pod that is not ready, with two events about it; its name."""
    pod = api.create("pods", pod_of(workload, node, **status))
    name = pod["metadata"]["name"]
    for number, reason, message in (
        (1, "Pulled", "image is there"),
        (2, "BackOff", "restarting failed container"),
    ):
        about = {"involvedObject": {"kind": "Pod", "namespace": "liqo", "name": name}}
        time = {"lastTimestamp": f"2026-12-01T10:0{number}:00Z", "reason": reason, "message": message}
        api.create(
            "events", {"metadata": {"name": f"e{number}-{name}", "namespace": "liqo"}, **about, **time}
        )
    return name


def starting(api: ApiServer, plural: str, name: str, **status: object) -> None:
    """Have the workload of that name, as soon as it is there, get a pod that is not ready."""

    def react(change: object) -> None:
        workload = api.get(plural, "liqo", name)
        if workload is None or "status" in workload:
            return
        done = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}
        done |= {"desiredNumberScheduled": 2, "updatedNumberScheduled": 1, "numberReady": 0}
        api.merge(plural, "liqo", name, {"status": done})
        if status:
            place_pod(api, workload, "one", **status)

    api.on_change(react)


async def test_a_controller_that_does_not_start_is_told_with_its_last_words_and_its_last_event() -> None:
    api = cluster(works=False)
    starting(api, "deployments", CONTROLLER, **CRASHING)
    told = Told()
    with pytest.raises(InstallError) as failed:
        await installed(api, NETWORK_OFF, timeout=60, told=told)
    fault = f"pod {CONTROLLER}-one: it ended 2 times, the last time with exit code 1: port 9443 is taken"
    assert str(failed.value) == (
        f"the controller was not ready within 60 s: {fault} (last event: BackOff: restarting failed container): "
        "everything else is installed: fix this and run isthmus install again"
    )
    assert told.waited_for("Waiting for the controller") == [f"no pod is ready; {fault}"]


async def test_a_controller_that_comes_to_run_late_is_waited_for() -> None:
    api = cluster(works=False)
    told = Told()
    starting(api, "deployments", CONTROLLER, **CRASHING)
    looks = 0

    def looked_at(_: object) -> bool:
        nonlocal looks
        looks += 1
        if looks == 4:
            api.merge("deployments", "liqo", CONTROLLER, {"status": {"readyReplicas": 1}})
        return False

    api.fail(500, verb="get", plural="deployments", name=CONTROLLER, when=looked_at)
    await installed(api, NETWORK_OFF, told=told)
    assert looks == 4
    assert len(told.waited_for("The controller is ready")) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {
                "conditions": [
                    {"type": "ReplicaFailure", "status": "True", "message": 'exceeded quota "small"'}
                ]
            },
            'no pod could be made: exceeded quota "small"',
        ),
        ({}, "the rollout has not begun"),
    ],
)
async def test_a_controller_that_has_no_pod_is_told_with_what_its_deployment_says(
    status: Json, said: str
) -> None:
    api = cluster(works=False)

    def react(change: object) -> None:
        workload = api.get("deployments", "liqo", CONTROLLER)
        if status and workload is not None and "status" not in workload:
            api.merge("deployments", "liqo", CONTROLLER, {"status": status})

    api.on_change(react)
    with pytest.raises(InstallError, match=f"not ready within 5 s: {said}:"):
        await installed(api, NETWORK_OFF, timeout=5)


async def test_a_cluster_that_cannot_be_asked_why_is_said_to_be_one() -> None:
    api = cluster(works=False)
    api.fail(
        503, "ServiceUnavailable", "overloaded", verb="list", plural="pods", namespace="liqo", times=None
    )
    starting(api, "deployments", CONTROLLER)
    with pytest.raises(InstallError, match=r"within 5 s: and the cluster cannot be asked why \(.*overloaded"):
        await installed(api, NETWORK_OFF, timeout=5)


async def test_an_api_server_that_restarts_meanwhile_is_waited_for() -> None:
    api = cluster()
    api.fail(503, "ServiceUnavailable", "starting", verb="get", plural="deployments", times=3)
    told = await installed(api)
    (waited,) = told.waited_for("The controller is ready")
    assert "starting (503 ServiceUnavailable)" in waited


async def test_webhooks_that_are_not_reached_yet_are_waited_for_and_a_denial_is_an_answer() -> None:
    api = cluster()
    unreached = 'failed calling webhook "tenants.validate.liqo.io": connection refused'
    probe = {"verb": "create", "when": lambda one: "dryRun" in one.query}
    api.fail(500, "InternalError", unreached, plural="tenants", times=3, **probe)
    denied = api.fail(
        403, "Forbidden", 'admission webhook "virtualnodes" denied it', plural="virtualnodes", **probe
    )
    told = await installed(api)
    (waited,) = told.waited_for("The API server reaches")
    assert unreached in waited
    assert denied.hits == 1
    assert not api.named("tenants")


async def test_webhooks_that_are_never_reached_end_the_installation() -> None:
    api = cluster()
    unreached = 'failed calling webhook "tenants.validate.liqo.io": i/o timeout'
    api.fail(500, "InternalError", unreached, verb="create", plural="tenants", times=None)
    with pytest.raises(
        InstallError, match=r"cannot reach the admission webhooks within 30 s: .*i/o timeout.*9443"
    ):
        await installed(api, timeout=30)


async def test_without_offloading_no_webhook_is_asked_for() -> None:
    api = cluster()
    told = await installed(api, "offloading.enabled=false")
    assert told.titles[-1] == "The network of nodes is ready"
    assert not api.named("mutatingwebhookconfigurations")


async def test_a_node_whose_agent_does_not_start_is_named() -> None:
    api = cluster(works=False)
    api.on_change(lambda change: change.place.plural == "deployments" and run_workload(api, change))
    pulling = [
        {"name": "fabric", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    ]
    starting(api, "daemonsets", FABRIC, conditions=[], containerStatuses=pulling)
    told = Told()
    with pytest.raises(InstallError) as failed:
        await installed(api, timeout=20, told=told)
    gap = f"node one: pod {FABRIC}-one: ErrImagePull: no such image"
    assert failed.value.problem == (
        f"the network of nodes was not ready within 20 s: {gap} (last event: BackOff: restarting failed container)"
    )
    assert told.waited_for("Waiting for the network of nodes") == [gap]


async def test_nodes_that_are_down_are_not_waited_for() -> None:
    api = cluster(works=False)
    api.on_change(lambda change: change.place.plural == "deployments" and run_workload(api, change))
    down = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    api.merge("nodes", "", "one", down)
    api.create("nodes", {"metadata": {"name": "milan", "labels": {"liqo.io/type": "virtual-node"}}, **down})
    starting(api, "daemonsets", FABRIC, phase="Pending", conditions=[])

    def second(change: object) -> None:
        fabric = api.get("daemonsets", "liqo", FABRIC)
        if fabric and fabric.get("status", {}).get("numberReady") == 0:
            api.merge("daemonsets", "liqo", FABRIC, {"status": {"numberReady": 1}})

    api.on_change(second)
    told = await installed(api)
    assert told.warnings == ["not waited for, since they are not ready themselves: nodes one"]

"""Pods on a virtual node from their start to their end, with both clusters' controllers at work."""

from __future__ import annotations

import pytest

from isthmus.kube.options import Options
from tests.apiserver import Admission, StatusError
from tests.apiserver.clock import VIRTUAL_TIME
from tests.offloading.stage import OPTIONS, TWIN, Stage, nodes, offloaded, serving, staged

pytestmark = VIRTUAL_TIME
FINALIZER = "batch.kubernetes.io/job-tracking"


def message(stage: Stage, name: str = "web") -> str:
    return str(stage.pod(name).get("status", {}).get("message", ""))


def reason(stage: Stage, name: str = "web") -> str:
    return str(stage.pod(name).get("status", {}).get("reason", ""))


async def test_a_pod_runs_at_the_provider_and_is_seen_here_as_if_it_ran_here() -> None:
    async with offloaded() as stage:
        await stage.run_pod(labels={"app": "web"})
        pod, shadow = stage.pod(), stage.shadow()
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["hostIP"] == "172.16.0.1", "where the kubelet API of the virtual node is"
        assert pod["status"]["podIP"] == "10.71.0.7"
        assert pod["metadata"]["labels"]["liqo.io/shadowPod"] == "true"
        assert shadow["metadata"]["labels"]["app"] == "web"
        assert stage.remote()["spec"]["containers"][0]["image"] == "c"


async def test_a_pod_that_is_deleted_here_ends_there_first() -> None:
    async with offloaded(graceful_pods=True) as stage:
        await stage.run_pod()
        stage.milan.merge("pods", TWIN, "web", {"metadata": {"finalizers": ["example.com/slow"]}})
        stage.rome.delete("pods", "demo", "web", gracePeriodSeconds=30)
        await stage.until(lambda: stage.remote()["metadata"].get("deletionTimestamp"))
        assert stage.pod(), "its name is free only when nothing of it runs any more"
        stage.milan.merge("pods", TWIN, "web", {"metadata": {"finalizers": None}})
        await stage.until(lambda: not stage.pod())
        assert not stage.shadow()
        assert not stage.remote()


async def test_a_pod_that_succeeds_stays_at_the_provider_for_its_logs() -> None:
    async with offloaded() as stage:
        await stage.run_pod()
        stage.play_kubelet(phase="Succeeded")
        await stage.until(lambda: stage.pod()["status"]["phase"] == "Succeeded")
        await stage.until(lambda: stage.shadow()["status"]["phase"] == "Succeeded")
        assert stage.remote()
        stage.rome.delete("pods", "demo", "web")
        await stage.until(lambda: not stage.shadow())


async def test_a_pod_whose_end_nobody_could_read_ended_all_the_same() -> None:
    async with staged() as stage, serving(stage):
        async with nodes(stage):
            stage.make_node()
            stage.accept(demo=TWIN)
            await stage.run_pod()
        stage.play_kubelet(phase="Failed")
        await stage.until(lambda: stage.shadow()["status"]["phase"] == "Failed")
        stage.milan.delete("pods", TWIN, "web")
        async with nodes(stage):
            await stage.until(lambda: reason(stage) == "RemotePodTerminated")
        assert stage.pod()["status"]["phase"] == "Failed"


async def test_a_pod_that_ended_here_is_not_left_running_there() -> None:
    async with offloaded() as stage:
        await stage.run_pod()
        stage.rome.merge("pods", "demo", "web", {"status": {"phase": "Failed", "reason": "DeadlineExceeded"}})
        await stage.until(lambda: not stage.shadow())
        assert reason(stage) == "DeadlineExceeded"


async def test_a_remote_pod_that_is_evicted_is_made_again_and_counted_as_a_restart() -> None:
    async with offloaded() as stage:
        await stage.run_pod()
        first = stage.remote()["metadata"]["uid"]
        stage.milan.merge("pods", TWIN, "web", {"metadata": {"finalizers": ["example.com/slow"]}})
        stage.milan.delete("pods", TWIN, "web")
        await stage.until(lambda: stage.pod_ready() == "False")
        assert stage.pod()["status"]["phase"] == "Running", "to its owner it is still the same pod"
        stage.milan.merge("pods", TWIN, "web", {"metadata": {"finalizers": None}})
        await stage.until(lambda: stage.remote().get("metadata", {}).get("uid", first) != first)
        stage.play_kubelet()
        await stage.until(lambda: stage.pod_ready() == "True")
        assert stage.pod()["status"]["containerStatuses"][0]["restartCount"] == 1


async def test_a_shadow_pod_that_somebody_deletes_comes_back_unless_the_pod_may_have_ended() -> None:
    async with offloaded() as stage:
        await stage.run_pod()
        first = stage.shadow()["metadata"]["uid"]
        stage.milan.delete("shadowpods", TWIN, "web")
        await stage.until(lambda: stage.shadow().get("metadata", {}).get("uid", first) != first)
        stage.rome.create(
            "pods",
            {
                "metadata": {"name": "once", "namespace": "demo"},
                "spec": {"nodeName": "milan", "restartPolicy": "Never", "containers": [{"name": "c"}]},
            },
        )
        await stage.until(lambda: stage.remote("once"))
        stage.play_kubelet("once")
        await stage.until(lambda: stage.pod_ready("once") == "True")
        stage.milan.delete("shadowpods", TWIN, "once")
        await stage.until(lambda: stage.pod("once")["status"]["phase"] == "Failed")
        assert reason(stage, "once") == "RemotePodLost"
        assert not stage.shadow("once")


async def test_labels_follow_and_go() -> None:
    async with offloaded() as stage:
        await stage.run_pod(labels={"app": "x"})
        stage.rome.merge("pods", "demo", "web", {"metadata": {"labels": {"app": None, "tier": "front"}}})

        def followed(labels: dict[str, str]) -> bool:
            return labels.get("tier") == "front" and "app" not in labels

        await stage.until(lambda: followed(stage.shadow()["metadata"]["labels"]))
        await stage.until(lambda: followed(stage.remote()["metadata"]["labels"]))


def change_image(stage: Stage, image: str) -> None:
    stage.rome.merge("pods", "demo", "web", {"spec": {"containers": [{"name": "c", "image": image}]}})


async def test_an_image_that_is_changed_here_is_changed_there_and_a_refusal_told() -> None:
    def policy(review: Admission) -> None:
        containers = (review.object or {}).get("spec", {}).get("containers") or [{}]
        if review.place == ("pods", TWIN, "web") and containers[0].get("image") == "bad":
            raise StatusError(403, "Forbidden", "policy: no such images")

    async with offloaded() as stage:
        await stage.run_pod()
        stage.milan.admission.append(policy)
        change_image(stage, "c:2")
        await stage.until(lambda: stage.remote()["spec"]["containers"][0]["image"] == "c:2")
        change_image(stage, "bad")
        await stage.until(lambda: stage.milan.events("FailedUpdatePod"))
        assert "policy: no such images" in stage.milan.events("FailedUpdatePod")[0]
        assert stage.remote()["spec"]["containers"][0]["image"] == "c:2"


async def test_a_refusal_of_the_provider_is_told_and_the_pod_goes_once_it_is_lifted() -> None:
    async with offloaded() as stage:

        def policy(review: Admission) -> None:
            if review.place.plural == "shadowpods":
                raise StatusError(
                    403, "Forbidden", 'admission webhook "quota" denied the request: too much CPU'
                )

        stage.milan.admission.append(policy)
        stage.bind_pod("web")
        await stage.until(lambda: reason(stage) == "FailedReflection")
        assert "too much CPU" in message(stage)
        await stage.until(lambda: stage.rome.events("FailedReflection"))
        stage.milan.admission.clear()
        await stage.until(lambda: stage.remote(), 90)
        stage.play_kubelet()
        await stage.until(lambda: stage.pod_ready() == "True")
        assert not reason(stage)


async def test_permissions_that_are_a_moment_late_are_not_worth_a_word() -> None:
    async with offloaded() as stage:
        stage.milan.fail(
            403, "Forbidden", "User rome cannot create", verb="create", plural="shadowpods", times=2
        )
        stage.bind_pod("web")
        await stage.until(lambda: stage.remote())
        assert not stage.rome.events("FailedReflection")


async def test_access_that_is_late_is_told_after_ten_seconds_and_then_forgotten() -> None:
    async with staged() as stage, serving(stage), nodes(stage):
        fault = stage.milan.fail(
            403, "Forbidden", times=None, namespace=TWIN, verb="watch", plural="shadowpods"
        )
        stage.make_node()
        stage.accept(demo=TWIN)
        stage.bind_pod("web")
        await stage.until(lambda: "gives no access to namespace demo-rome" in message(stage))
        stage.milan.faults.end(fault)
        await stage.until(lambda: stage.remote(), 60)
        stage.play_kubelet()
        await stage.until(lambda: stage.pod_ready() == "True")


async def test_a_namespace_that_is_not_accepted_yet_has_its_pods_wait() -> None:
    async with staged() as stage, serving(stage), nodes(stage):
        stage.make_node()
        stage.bind_pod("web")
        await stage.until(lambda: reason(stage) == "OffloadingBackOff")
        assert "isthmus offload namespace demo" in message(stage)
        stage.accept(demo=TWIN, accepted=False)
        await stage.until(lambda: "has not accepted namespace demo yet" in message(stage))
        stage.accept(demo=TWIN)
        await stage.until(lambda: stage.remote())


async def test_a_namespace_that_is_no_longer_offloaded_has_its_pods_replaced() -> None:
    async with offloaded() as stage:
        await stage.run_pod()
        stage.accept()
        await stage.until(lambda: reason(stage) == "OffloadingAborted")
        assert stage.pod()["status"]["phase"] == "Failed"


async def test_a_shadow_pod_of_somebody_else_is_not_taken_over() -> None:
    async with offloaded() as stage:
        theirs = {"metadata": {"name": "web", "namespace": TWIN}, "spec": {"pod": {}}}
        uid = stage.milan.create("shadowpods", theirs)["metadata"]["uid"]
        stage.bind_pod("web")
        await stage.until(lambda: "that is not ours already exists" in message(stage))
        assert stage.shadow()["metadata"]["uid"] == uid
        stage.milan.delete("shadowpods", TWIN, "web")
        await stage.until(lambda: stage.shadow(), 90)
        assert stage.shadow()["metadata"]["uid"] != uid


async def test_a_successor_of_the_same_name_gets_a_pod_of_its_own() -> None:
    async with offloaded() as stage:
        await stage.run_pod()
        before = stage.shadow()["metadata"]["uid"]
        stage.rome.delete("pods", "demo", "web")
        stage.bind_pod("web")
        await stage.until(lambda: stage.shadow().get("metadata", {}).get("uid", before) != before)
        await stage.until(lambda: stage.remote())
        stage.play_kubelet()
        await stage.until(lambda: stage.pod_ready() == "True")


async def test_what_happened_while_nobody_was_at_work_is_made_up_for() -> None:
    async with staged() as stage, serving(stage):
        async with nodes(stage):
            stage.make_node()
            stage.accept(demo=TWIN)
            await stage.until_ready()
            for name in ("kept", "deleted", "replaced"):
                await stage.run_pod(name)
        for name in ("deleted", "replaced"):
            stage.rome.delete("pods", "demo", name)
        stage.bind_pod("replaced")
        stage.bind_pod("new")
        before = {name: stage.shadow(name)["metadata"]["uid"] for name in ("kept", "replaced")}
        async with nodes(stage):
            await stage.until(lambda: stage.milan.named("shadowpods") == {"kept", "replaced", "new"})
            await stage.until(lambda: stage.shadow("replaced").get("metadata", {}).get("uid", ""))
            await stage.until(lambda: stage.shadow("replaced")["metadata"]["uid"] != before["replaced"])
        assert stage.shadow("kept")["metadata"]["uid"] == before["kept"]


async def test_a_shadow_pod_whose_creation_was_not_answered_is_created_once() -> None:
    async with offloaded() as stage:
        stage.milan.lose_answer(verb="create", plural="shadowpods")
        stage.bind_pod("web")
        await stage.until(lambda: stage.remote())
        stage.play_kubelet()
        await stage.until(lambda: stage.pod_ready() == "True")
        created = [one for one in stage.milan.asked("create", "shadowpods") if one.code == 201]
        assert len(created) <= 1


async def test_a_pod_that_is_deleted_the_moment_it_was_sent_is_not_left_behind() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        stage.accept(demo=TWIN)
        await stage.until_ready()
        created = stage.milan.hold(verb="create", plural="shadowpods")
        stage.bind_pod("web", finalizers=["example.com/mine"])
        await stage.until(lambda: created.hits)
        stage.rome.delete("pods", "demo", "web")
        stage.milan.faults.end(created)
        await stage.until(lambda: stage.milan.asked("delete", "shadowpods"))
        assert not stage.shadow()


async def test_a_job_learns_of_the_end_of_a_pod_that_never_ran() -> None:
    async with offloaded(graceful_pods=True) as stage:
        stage.bind_pod("web", finalizers=[FINALIZER])
        await stage.until(lambda: stage.remote())
        stage.rome.delete("pods", "demo", "web", gracePeriodSeconds=30)
        await stage.until(lambda: stage.pod()["status"]["phase"] == "Failed")
        stage.rome.merge("pods", "demo", "web", {"metadata": {"finalizers": None}})
        await stage.until(lambda: not stage.pod())


async def test_a_status_that_the_api_server_takes_only_in_part_is_taken_in_part() -> None:
    def strict(review: Admission) -> None:
        status = (review.object or {}).get("status", {})
        if review.place == ("pods", "demo", "web") and review.subresource and status.get("containerStatuses"):
            raise StatusError(422, "Invalid", "status.containerStatuses[0].state: Forbidden: may not change")

    async with offloaded() as stage:
        stage.rome.admission.append(strict)
        await stage.run_pod()
        assert "containerStatuses" not in stage.pod()["status"]
        told = len(stage.rome.asked("patch", "pods", name="web", subresource="status"))
        with pytest.raises(TimeoutError):
            await stage.until(
                lambda: len(stage.rome.asked("patch", "pods", name="web", subresource="status")) > told, 60
            )


async def test_a_node_that_takes_no_more_pods_says_so_and_keeps_those_it_has() -> None:
    async with offloaded() as stage:
        await stage.run_pod("old")
        meta = {"name": "virtual-kubelet-default", "namespace": "liqo"}
        spec = {"reflectorsConfig": {"pod": {"workers": 0}}, "nodeExtraLabels": {"seen": "true"}}
        stage.rome.create("vkoptionstemplates", {"metadata": meta, "spec": spec})
        await stage.until(lambda: "seen" in (stage.node() or {})["metadata"]["labels"])
        stage.bind_pod("web")
        await stage.until(lambda: "takes no more pods" in message(stage))
        assert stage.shadow("old")
        assert not stage.shadow()


async def test_pods_that_no_node_is_found_for_say_what_the_providers_scheduler_says() -> None:
    async with offloaded() as stage:
        stage.bind_pod("web")
        await stage.until(lambda: stage.remote())
        unschedulable = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/2 nodes are available",
        }
        stage.milan.merge("pods", TWIN, "web", {"status": {"conditions": [unschedulable]}})
        about = {"kind": "Pod", "name": "web", "namespace": TWIN, "uid": stage.remote()["metadata"]["uid"]}
        event = {
            "metadata": {"name": "web.1", "namespace": TWIN},
            "involvedObject": about,
            "type": "Warning",
            "reason": "FailedScheduling",
            "message": "0/2 nodes are available",
        }
        stage.milan.create("events", event)

        def told() -> bool:
            return unschedulable in stage.pod()["status"].get("conditions", [])

        await stage.until(told)
        await stage.until(lambda: stage.rome.events("FailedScheduling"), 60)
        assert stage.rome.events("FailedScheduling") == ["milan: 0/2 nodes are available"]
        stage.play_kubelet(podIP="10.71.0.8", podIPs=[])
        await stage.until(lambda: stage.pod()["status"].get("podIP") == "10.71.0.8")


async def test_pods_of_a_lost_provider_are_not_ready_and_come_back_with_it() -> None:
    async with offloaded() as stage:
        await stage.run_pod()
        await stage.milan.stop()
        await stage.until(lambda: stage.pod_ready() == "False", 60)
        assert stage.pod()["metadata"]["labels"]["liqo.io/remote-unavailable"] == "true"
        assert stage.pod()["status"]["phase"] == "Running"
        await stage.milan.start()
        await stage.until(lambda: stage.pod_ready() == "True", 60)
        assert "liqo.io/remote-unavailable" not in stage.pod()["metadata"]["labels"]


def connect(stage: Stage, status: str) -> None:
    """What is known of the network to milan."""
    condition = {"type": "NetworkConnectionStatus", "status": status}
    networking = {"enabled": True, "conditions": [condition]}
    stage.rome.put(
        "foreignclusters",
        {"metadata": {"name": "milan"}, "spec": {}, "status": {"modules": {"networking": networking}}},
    )


async def test_a_network_that_is_cut_takes_node_and_pods_until_it_is_joined_again() -> None:
    options = Options(
        cluster_id="rome", pod_ip=OPTIONS.pod_ip, modules=OPTIONS.modules | {"networking"}, namespace="liqo"
    )
    async with staged() as stage, serving(stage), nodes(stage, options):
        connect(stage, "Established")
        stage.make_node()
        stage.accept(demo=TWIN)
        await stage.until_ready()
        await stage.run_pod()
        await stage.settle()
        connect(stage, "Error")
        await stage.until(lambda: stage.ready()["reason"] == "NetworkUnavailable")
        await stage.until(lambda: stage.pod_ready() == "False", 5)
        await stage.settle()
        connect(stage, "Established")
        await stage.until_ready()
        await stage.until(lambda: stage.pod_ready() == "True")

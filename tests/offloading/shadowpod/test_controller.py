"""A ShadowPod has a pod of its own at the provider: made once, never a stranger's, gone with it, told of."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.kube.options import Options
from isthmus.offloading import shadowpod
from tests.apiserver import Admission, ApiServer, Json, StatusError, running
from tests.apiserver.clock import VIRTUAL_TIME, Clock

pytestmark = VIRTUAL_TIME
TWIN = "demo-rome"
MILAN = Options(cluster_id="milan")


def add_shadow(api: ApiServer, name: str = "web", **spec: Any) -> Json:
    meta = {"name": name, "namespace": TWIN, "labels": {"offloading.liqo.io/origin": "rome"}}
    pod = {"containers": [{"name": "c", "image": "c"}], **spec}
    return api.create("shadowpods", {"metadata": meta, "spec": {"pod": pod}})


def pod(api: ApiServer, name: str = "web") -> Json:
    return api.get("pods", TWIN, name) or {}


def phase(api: ApiServer, name: str = "web") -> str:
    found = api.get("shadowpods", TWIN, name) or {}
    return str(found.get("status", {}).get("phase", ""))


async def test_its_phase_is_told_and_a_pod_that_starts_at_once_is_told_once(clock: Clock) -> None:
    api = ApiServer()
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api)
        await api.until(lambda: pod(api))
        api.merge("pods", TWIN, "web", {"status": {"phase": "Running"}})
        await api.until(lambda: phase(api) == "Running")
        assert len(api.asked("patch", "shadowpods", subresource="status")) == 1
        begun = clock.monotonic()
        add_shadow(api, "slow")
        await api.until(lambda: phase(api, "slow") == "Pending", 60)
        assert clock.monotonic() - begun >= 29, "most pods run by then"


async def test_a_pod_of_a_stranger_is_never_touched_and_its_name_taken_once_it_is_gone() -> None:
    api = ApiServer()
    theirs = api.create("pods", {"metadata": {"name": "web", "namespace": TWIN}, "spec": {}})
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api)
        await api.until(lambda: api.events("FailedCreatePod"))
        assert "was not made for this ShadowPod" in api.events("FailedCreatePod")[0]
        assert pod(api) == theirs
        api.delete("pods", TWIN, "web")
        await api.until(lambda: pod(api), 70)
        assert pod(api)["metadata"]["ownerReferences"][0]["kind"] == "ShadowPod"


async def test_a_pod_of_ours_that_lost_its_label_is_known_again_and_not_made_twice() -> None:
    api = ApiServer()
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api)
        await api.until(lambda: pod(api))
        first, marks = pod(api)["metadata"]["uid"], pod(api)["metadata"]["labels"]
        api.merge("pods", TWIN, "web", {"metadata": {"labels": dict.fromkeys(marks)}})
        await api.until(lambda: pod(api)["metadata"].get("labels") == marks)
        assert pod(api)["metadata"]["uid"] == first


async def test_a_pod_outlives_its_shadow_pod_by_seconds_only_where_nobody_collects_it(clock: Clock) -> None:
    api = ApiServer(collection=False)
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api)
        await api.until(lambda: pod(api))
        begun = clock.monotonic()
        api.delete("shadowpods", TWIN, "web")
        await api.until(lambda: not pod(api))
        assert clock.monotonic() - begun <= 3


async def test_a_refusal_is_told_and_tried_again_with_growing_pauses() -> None:
    def quota(review: Admission) -> None:
        if review.place.plural == "pods" and review.operation == "CREATE":
            raise StatusError(403, "Forbidden", "exceeded quota: team-a")

    api = ApiServer()
    api.admission.append(quota)
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api)
        await api.until(lambda: api.events("FailedCreatePod"))
        assert "exceeded quota: team-a" in api.events("FailedCreatePod")[0]
        with pytest.raises(TimeoutError):
            await api.until(lambda: pod(api), 120)
        assert len(api.asked("create", "pods")) <= 10
        api.admission.clear()
        await api.until(lambda: pod(api), 65)


async def test_a_creation_whose_answer_is_lost_makes_one_pod() -> None:
    api = ApiServer()
    async with running(api, shadowpod.setup, options=MILAN):
        api.lose_answer(verb="create", plural="pods")
        add_shadow(api)
        await api.until(lambda: pod(api))
        first = pod(api)["metadata"]["uid"]
        api.merge("pods", TWIN, "web", {"status": {"phase": "Running"}})
        await api.until(lambda: phase(api) == "Running")
        assert pod(api)["metadata"]["uid"] == first


async def test_what_finished_while_nobody_was_at_work_is_told_and_not_run_again() -> None:
    api = ApiServer(graceful_pods=True)
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api, restartPolicy="Never")
        await api.until(lambda: pod(api))
    api.merge("pods", TWIN, "web", {"spec": {"nodeName": "worker"}, "status": {"phase": "Succeeded"}})
    api.delete("pods", TWIN, "web")
    assert pod(api), "its finalizer keeps it until its end is written down"
    async with running(api, shadowpod.setup, options=MILAN):
        await api.until(lambda: phase(api) == "Succeeded")
        await api.until(lambda: not pod(api))
        with pytest.raises(TimeoutError):
            await api.until(lambda: pod(api), 60)


async def test_a_pod_that_is_deleted_is_made_again() -> None:
    api = ApiServer()
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api)
        await api.until(lambda: pod(api))
        first = pod(api)["metadata"]["uid"]
        api.delete("pods", TWIN, "web")
        await api.until(lambda: pod(api).get("metadata", {}).get("uid", first) != first)


@pytest.mark.parametrize("extended", [False, True])
async def test_a_guest_that_tolerates_everything_goes_on_only_where_its_namespace_is_offloaded(
    extended: bool,
) -> None:
    api = ApiServer()
    marks = {"liqo.io/scheduling-enabled": "true"} if extended else {}
    api.create("namespaces", {"metadata": {"name": TWIN, "labels": marks}})
    async with running(api, shadowpod.setup, options=MILAN):
        add_shadow(api, tolerations=[{"operator": "Exists"}])
        await api.until(lambda: pod(api))
        assert ("affinity" in pod(api)["spec"]) != extended

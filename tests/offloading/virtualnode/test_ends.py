"""The end of a VirtualNode: its pods go before its Node, and nobody can hold it up for ever."""

from __future__ import annotations

import pytest

from isthmus.offloading.virtualnode.drain import LAST_RESORT, PATIENCE
from tests.apiserver.clock import VIRTUAL_TIME, Clock
from tests.offloading.stage import TNS, TWIN, Stage, nodes, staged

pytestmark = VIRTUAL_TIME
BUDGET = "Cannot evict pod as it would violate the pod's disruption budget."


def refuse_evictions(stage: Stage) -> None:
    stage.rome.fail(
        429, "TooManyRequests", BUDGET, verb="create", plural="pods", subresource="eviction", times=None
    )


async def test_its_pods_are_evicted_and_then_it_goes_with_its_node() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        for name in ("a", "b"):
            stage.bind_pod(name)
        stage.delete_node()
        await stage.until(stage.gone)
        assert not stage.rome.named("pods")
        assert stage.node() is None
        evicted = stage.rome.asked("create", "pods", subresource="eviction")
        assert {one.name for one in evicted} == {"a", "b"}
        removal = stage.rome.asked("delete", "nodes")[0]
        assert stage.rome.requests.index(evicted[-1]) < stage.rome.requests.index(removal)


async def test_a_disruption_budget_is_respected_and_named(clock: Clock) -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.bind_pod("web")
        refuse_evictions(stage)
        stage.delete_node()
        await stage.until(lambda: "disruption budget" in stage.condition("Node").get("message", ""))
        assert "demo/web" in stage.condition("Node")["message"]
        assert stage.condition("Node")["status"] == "Draining"
        node = stage.node()
        assert node
        assert node["spec"]["unschedulable"]
        begun = clock.monotonic()
        with pytest.raises(TimeoutError):
            await stage.until(stage.gone, 60)
        assert stage.rome.named("pods") == {"web"}
        tries = len(stage.rome.asked("create", "pods", subresource="eviction"))
        assert tries < (clock.monotonic() - begun) * 2, "a drain that drags on looks less often"
        stage.rome.faults.active.clear()
        await stage.until(stage.gone)


async def test_what_may_not_be_evicted_is_deleted_after_ten_minutes() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.bind_pod("web")
        refuse_evictions(stage)
        stage.delete_node(ago=PATIENCE + 1)
        await stage.until(stage.gone)
        assert not stage.rome.asked("create", "pods", subresource="eviction")


async def test_a_pod_that_does_not_end_is_removed_by_force_in_the_end() -> None:
    async with staged(graceful_pods=True) as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.accept(demo=TWIN)
        stage.milan.hold(times=None, namespace=TWIN)
        stage.bind_pod("web")
        stage.delete_node(ago=PATIENCE + 1)
        await stage.until(lambda: stage.rome.list("pods")[0]["metadata"].get("deletionTimestamp"))
        with pytest.raises(TimeoutError):
            await stage.until(stage.gone, LAST_RESORT - PATIENCE - 10)
        await stage.until(stage.gone, 20)
        assert not stage.rome.named("pods")


async def test_a_provider_whose_credentials_are_gone_holds_nothing_up() -> None:
    async with staged(graceful_pods=True) as stage:
        async with nodes(stage):
            stage.make_node()
            await stage.until_ready()
            stage.bind_pod("web")
        stage.rome.delete("secrets", TNS, "slice")
        stage.delete_node()
        async with nodes(stage):
            await stage.until(stage.gone, 5)
        assert not stage.rome.named("pods")


async def test_a_provider_that_shuts_us_out_lets_it_go_within_its_bound(clock: Clock) -> None:
    async with staged(graceful_pods=True) as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.accept(demo=TWIN)
        stage.milan.fail(403, "Forbidden", times=None, namespace=TWIN)
        stage.bind_pod("web")
        begun = clock.monotonic()
        stage.delete_node()
        await stage.until(stage.gone, 60)
        assert 15 <= clock.monotonic() - begun <= 40, "a provider that restarts refuses for less"


@pytest.mark.parametrize("dead", [False, True])
async def test_a_silent_provider_is_waited_for_unless_it_was_declared_dead(dead: bool) -> None:
    async with staged(graceful_pods=True) as stage, nodes(stage):
        marks = {"liqo.io/foreign-cluster-permanently-unreachable": "true"} if dead else {}
        stage.rome.create(
            "foreignclusters", {"metadata": {"name": "milan", "annotations": marks}, "spec": {}}
        )
        stage.make_node()
        await stage.until_ready()
        stage.accept(demo=TWIN)
        stage.bind_pod("web")
        await stage.until(lambda: stage.milan.named("shadowpods") == {"web"})
        await stage.milan.stop()
        stage.delete_node()
        if not dead:
            with pytest.raises(TimeoutError):
                await stage.until(stage.gone, 60)
            await stage.milan.start()
        await stage.until(stage.gone, 60)
        assert stage.milan.named("shadowpods") == ({"web"} if dead else set())


async def test_pods_that_a_drain_leaves_alone_go_with_the_node() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d1", "controller": True}
    async with staged(collection=False) as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.bind_pod("daemon", ownerReferences=[owner])
        stage.bind_pod("static", annotations={"kubernetes.io/config.mirror": "x"})
        stage.bind_pod("held", finalizers=["example.com/mine"])
        stage.delete_node()
        await stage.until(stage.gone)
        asked = {one.name for one in stage.rome.asked("create", "pods", subresource="eviction")}
        assert asked == {"held"}, "their owners would only make the others again"
        assert stage.rome.named("pods") == {"held"}, "that finalizer is its owner's to remove"


async def test_shadow_pods_left_at_the_provider_are_waited_for() -> None:
    async with staged() as stage, nodes(stage) as registry:
        stage.make_node()
        await stage.until_ready()
        stage.accept(demo=TWIN)
        stage.bind_pod("web")
        await stage.until(lambda: stage.milan.named("shadowpods") == {"web"})
        stage.milan.merge("shadowpods", TWIN, "web", {"metadata": {"finalizers": ["example.com/slow"]}})
        session = registry.session("milan")
        assert session
        await stage.until(lambda: session.leftovers() == 1)
        stage.delete_node()
        await stage.until(lambda: stage.condition("Node").get("status") == "Deleting")
        stage.milan.merge("shadowpods", TWIN, "web", {"metadata": {"finalizers": None}})
        await stage.until(stage.gone)


async def test_a_process_that_is_killed_in_the_middle_is_carried_on_by_the_next() -> None:
    async with staged() as stage:
        stage_pods = {"a", "b"}
        async with nodes(stage):
            stage.make_node()
            await stage.until_ready()
            stage.accept(demo=TWIN)
            for name in stage_pods:
                stage.bind_pod(name)
            await stage.until(lambda: stage.milan.named("shadowpods") == stage_pods)
            refuse_evictions(stage)
            stage.delete_node()
            await stage.until(lambda: stage.condition("Node").get("status") == "Draining")
        stage.rome.faults.active.clear()
        async with nodes(stage):
            await stage.until(stage.gone)
        assert not stage.rome.named("pods")
        assert not stage.milan.named("shadowpods"), "the provider is told by the new process"


async def test_refusals_and_conflicts_on_the_way_are_overcome() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        for name in "abcd":
            stage.bind_pod(name)
        place = {"verb": "create", "plural": "pods", "subresource": "eviction"}
        stage.rome.fail(500, "InternalError", name="a", **place)
        stage.rome.fail(409, "Conflict", name="b", **place)
        stage.rome.fail(404, "NotFound", name="c", **place)
        stage.rome.lose_answer(name="d", **place)
        stage.rome.fail(409, "Conflict", verb="patch", plural="virtualnodes", subresource="")
        stage.rome.fail(500, "InternalError", verb="delete", plural="nodes")
        stage.delete_node()
        await stage.until(stage.gone)
        assert not stage.rome.named("pods")


async def test_a_node_that_is_no_longer_wanted_goes_and_comes_back() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.bind_pod("web")
        stage.rome.merge("virtualnodes", TNS, "milan", {"spec": {"createNode": False}})
        await stage.until(lambda: stage.node() is None)
        assert not stage.rome.named("pods")
        await stage.until(lambda: stage.condition("Node").get("status") == "None")
        assert stage.condition("VirtualKubelet")["status"] == "Running", "reflection goes on"
        stage.rome.merge("virtualnodes", TNS, "milan", {"spec": {"createNode": True}})
        await stage.until_ready()


async def test_a_node_that_is_wanted_after_all_takes_pods_again() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.bind_pod("web")
        refuse_evictions(stage)
        stage.rome.merge("virtualnodes", TNS, "milan", {"spec": {"createNode": False}})
        await stage.until(lambda: (stage.node() or {})["spec"].get("unschedulable"))
        stage.rome.merge("virtualnodes", TNS, "milan", {"spec": {"createNode": True}})
        await stage.until(lambda: not (stage.node() or {})["spec"].get("unschedulable"))
        assert stage.rome.named("pods") == {"web"}

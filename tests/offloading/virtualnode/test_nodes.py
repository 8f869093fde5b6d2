"""A VirtualNode makes a Node that schedulers, people and the node controllers can live with, and keeps it so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec

from isthmus.api.offloading import VirtualNode
from isthmus.kube.objects import Key
from isthmus.offloading.virtualnode.node import NodeObject
from isthmus.offloading.virtualnode.nodes import NodeReconciler
from tests.apiserver import connected
from tests.apiserver.clock import VIRTUAL_TIME, Clock
from tests.offloading.stage import TNS, nodes, staged
from tests.offloading.virtualnode.test_node import FACTS, HEALTHY

pytestmark = VIRTUAL_TIME
LEASES = "kube-node-lease"


async def test_a_virtual_node_makes_a_node_and_says_so() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node(labels={"region": "north"})
        node = await stage.until_ready()
        assert node["metadata"]["labels"]["region"] == "north"
        assert node["metadata"]["labels"]["liqo.io/type"] == "virtual-node"
        taint = {"key": "virtual-node.liqo.io/not-allowed", "value": "true", "effect": "NoExecute"}
        assert node["spec"]["taints"] == [taint]
        assert node["status"]["capacity"] == {"cpu": "4", "memory": "8Gi", "pods": "110"}
        assert node["status"]["addresses"] == [{"type": "InternalIP", "address": "172.16.0.1"}]
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.3"
        await stage.until(lambda: stage.condition("Node").get("status") == "Running")
        assert stage.condition("VirtualKubelet")["status"] == "Running"
        virtual_node = stage.rome.get("virtualnodes", TNS, "milan")
        assert virtual_node
        assert virtual_node["metadata"]["finalizers"], "its pods have to be ended before it goes"


async def test_the_lease_is_renewed_as_long_as_the_provider_answers(clock: Clock) -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()

        def renewed() -> str:
            lease = stage.rome.get("leases", LEASES, "milan")
            return str(lease["spec"]["renewTime"]) if lease else ""

        first = await stage.until(renewed)
        lease = stage.rome.get("leases", LEASES, "milan")
        assert lease
        assert lease["metadata"]["ownerReferences"][0]["kind"] == "Node", "it is collected with its Node"
        begun = clock.monotonic()
        await stage.until(lambda: renewed() > first)
        assert clock.monotonic() - begun <= 10.1
        second = renewed()
        await stage.milan.stop()
        await stage.until(lambda: stage.ready()["status"] == "False")
        assert renewed() == second, "the node controller must see that nobody answers"


async def test_a_provider_that_vanishes_takes_the_node_and_one_that_answers_again_brings_it_back(
    clock: Clock,
) -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        begun = clock.monotonic()
        await stage.milan.stop()
        await stage.until(lambda: stage.ready()["status"] == "False")
        assert stage.ready()["reason"] == "ProviderUnreachable"
        assert 15 <= clock.monotonic() - begun <= 28, "a restart of its API server costs no node"
        await stage.milan.start()
        begun = clock.monotonic()
        await stage.until_ready()
        assert clock.monotonic() - begun <= 3


async def test_a_provider_that_hangs_is_no_provider_that_answers() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        stage.milan.hold(times=None, when=lambda request: request.path == "/livez")
        await stage.until(lambda: stage.ready()["status"] == "False", 60)
        assert "nothing within 5 s" in stage.ready()["message"]


async def test_a_provider_whose_health_is_none_of_our_business_answers() -> None:
    async with staged() as stage, nodes(stage):
        stage.milan.fail(403, "Forbidden", times=None, when=lambda request: request.path == "/livez")
        stage.make_node()
        await stage.until_ready()


async def test_a_node_that_somebody_deleted_comes_back() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        first = await stage.until_ready()
        stage.rome.delete("nodes", "", "milan")
        again = await stage.until_ready()
        assert again["metadata"]["uid"] != first["metadata"]["uid"]


async def test_what_people_changed_on_a_node_is_repaired_and_what_others_added_stays() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node(labels={"region": "north"})
        await stage.until_ready()
        theirs = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        metadata = {"labels": {"region": "south", "liqo.io/type": None, "team": "a"}}
        stage.rome.merge("nodes", "", "milan", {"metadata": metadata, "spec": {"taints": [theirs]}})

        def repaired() -> bool:
            node = stage.node()
            return node is not None and node["metadata"]["labels"].get("liqo.io/type") == "virtual-node"

        await stage.until(repaired)
        await stage.until(lambda: len((stage.node() or {})["spec"]["taints"]) == 2)
        node = stage.node()
        assert node
        assert node["metadata"]["labels"]["region"] == "north"
        assert node["metadata"]["labels"]["team"] == "a"
        assert theirs in node["spec"]["taints"]


async def test_the_node_follows_its_virtual_node() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node(labels={"region": "north"}, taints=[{"key": "gpu", "effect": "NoSchedule"}])
        await stage.until_ready()
        await stage.settle()
        wish = {
            "labels": {"region": None, "zone": "b"},
            "taints": [],
            "resourceQuota": {"hard": {"cpu": "8"}},
        }
        stage.rome.merge("virtualnodes", TNS, "milan", {"spec": wish})

        def follows() -> bool:
            node = stage.node()
            assert node is not None
            labels = node["metadata"]["labels"]
            return labels.get("zone") == "b" and "region" not in labels and len(node["spec"]["taints"]) == 1

        await stage.until(follows)
        await stage.until(lambda: (stage.node() or {})["status"]["capacity"]["cpu"] == "8")


async def test_the_node_has_what_its_template_adds() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        await stage.settle()
        meta = {"name": "virtual-kubelet-default", "namespace": "liqo"}
        stage.rome.create(
            "vkoptionstemplates", {"metadata": meta, "spec": {"nodeExtraLabels": {"tier": "edge"}}}
        )
        await stage.until(lambda: (stage.node() or {})["metadata"]["labels"].get("tier") == "edge", 5)


async def test_a_grant_of_nothing_is_shown_as_not_ready() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node(resourceQuota={"hard": {"cpu": "0", "memory": "8Gi"}})
        await stage.until(lambda: stage.ready().get("reason") == "NoResources")
        stage.rome.merge("virtualnodes", TNS, "milan", {"spec": {"resourceQuota": {"hard": {"cpu": "1"}}}})
        await stage.until_ready()


async def test_the_status_is_told_again_every_five_minutes() -> None:
    async with staged() as stage, nodes(stage):
        stage.make_node()
        await stage.until_ready()
        await stage.settle()
        told = len(stage.rome.asked("patch", "nodes", subresource="status"))
        await stage.until(lambda: len(stage.rome.asked("patch", "nodes", subresource="status")) > told, 310)
        assert stage.ready()["status"] == "True"


async def test_a_node_whose_provider_is_away_from_the_beginning_is_there_and_not_ready() -> None:
    async with staged() as stage:
        await stage.milan.stop()
        async with nodes(stage):
            stage.make_node()
            await stage.until(lambda: stage.ready().get("status") == "False", 5)
            assert stage.ready()["reason"] == "ProviderUnreachable"
            assert (stage.node() or {})["status"]["capacity"]["cpu"] == "4"
            await stage.milan.start()
            await stage.until_ready()


async def test_the_finalizers_of_others_are_kept() -> None:
    async with staged() as stage, nodes(stage):
        held = stage.rome.hold(verb="patch", plural="virtualnodes", subresource="")
        stage.make_node()
        await stage.until(lambda: held.hits)
        stage.rome.merge("virtualnodes", TNS, "milan", {"metadata": {"finalizers": ["example.com/theirs"]}})
        stage.rome.faults.end(held)

        def finalizers() -> list[str]:
            found = stage.rome.get("virtualnodes", TNS, "milan") or {"metadata": {}}
            return list(found["metadata"].get("finalizers", []))

        await stage.until(lambda: len(finalizers()) == 2)
        stage.delete_node()
        await stage.until(lambda: finalizers() == ["example.com/theirs"])


async def test_a_node_that_went_while_it_was_looked_at_is_not_made_again() -> None:
    async with staged() as stage:
        async with nodes(stage):
            stage.make_node()
            await stage.until_ready()
        found: Any = stage.node()
        seen = msgspec.convert(
            {
                **found,
                "status": msgspec.Raw(msgspec.json.encode(found["status"])),
                "spec": msgspec.Raw(msgspec.json.encode(found["spec"])),
            },
            NodeObject,
        )
        virtual_node = msgspec.convert(stage.rome.get("virtualnodes", TNS, "milan"), VirtualNode)
        stage.rome.delete("nodes", "", "milan")
        cache: Any = SimpleNamespace(get=lambda _: seen)
        async with connected(stage.rome) as client:
            reconciler = NodeReconciler(
                client, cache, HEALTHY, FACTS, lambda: virtual_node, lambda _: None, lambda _: None
            )
            await reconciler.reconcile(Key("", "milan"))
        assert stage.node() is None, "its VirtualNode may be ending: another look tells"

"""A Node stands for one VirtualNode only, and never in the place of a node that is not ours."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver import Admission, StatusError
from tests.apiserver.clock import VIRTUAL_TIME
from tests.offloading.stage import TNS, nodes, staged

pytestmark = VIRTUAL_TIME


async def test_a_real_node_of_that_name_is_left_alone_even_when_the_virtual_node_ends() -> None:
    async with staged() as stage, nodes(stage):
        real: dict[str, Any] = {"metadata": {"name": "milan", "labels": {"kubernetes.io/hostname": "milan"}}}
        stage.rome.create("nodes", {**real, "spec": {}, "status": {}})
        before = stage.node()
        stage.bind_pod("theirs")
        stage.make_node()
        await stage.until(lambda: stage.condition("VirtualKubelet").get("reason") == "NameTaken")
        assert "Node milan exists already" in stage.condition("VirtualKubelet")["message"]
        stage.rome.delete("virtualnodes", TNS, "milan")
        await stage.until(stage.gone)
        assert stage.node() == before
        assert stage.rome.named("pods") == {"theirs"}


async def test_a_real_node_that_takes_the_name_ends_what_runs_under_it() -> None:
    async with staged() as stage, nodes(stage) as registry:
        stage.make_node()
        await stage.until_ready()
        stage.rome.delete("nodes", "", "milan")
        stage.rome.create("nodes", {"metadata": {"name": "milan"}, "spec": {}, "status": {}})
        await stage.until(lambda: stage.condition("VirtualKubelet").get("reason") == "NameTaken", 70)
        assert registry.session("milan") is None
        assert stage.ready() == {}


async def test_a_name_that_comes_free_is_taken() -> None:
    async with staged() as stage, nodes(stage):
        stage.rome.create("nodes", {"metadata": {"name": "milan"}, "spec": {}, "status": {}})
        stage.make_node()
        await stage.until(lambda: stage.condition("VirtualKubelet").get("reason") == "NameTaken")
        stage.rome.delete("nodes", "", "milan")
        await stage.until(lambda: stage.ready().get("status") == "True", 70)


async def test_of_two_virtual_nodes_of_one_name_the_older_has_the_node_and_the_other_follows() -> None:
    async with staged() as stage, nodes(stage):
        stage.ago = 60.0
        stage.make_node()
        stage.ago = 0.0
        await stage.until_ready()
        data = stage.rome.list("secrets", TNS)[0]["data"]
        stage.rome.create("secrets", {"metadata": {"name": "slice", "namespace": "other"}, "data": data})
        stage.make_node(namespace="other")
        await stage.until(
            lambda: stage.condition("VirtualKubelet", namespace="other").get("reason") == "NameTaken"
        )
        assert f"VirtualNode {TNS}/milan" in stage.condition("VirtualKubelet", namespace="other")["message"]
        stage.bind_pod("web")
        before = (stage.node() or {})["metadata"]["uid"]
        stage.rome.delete("virtualnodes", "other", "milan")
        await stage.until(lambda: stage.gone(namespace="other"))
        assert (stage.node() or {})["metadata"]["uid"] == before, "its end costs the older nothing"
        assert stage.rome.named("pods") == {"web"}
        stage.make_node(namespace="other")
        stage.rome.delete("virtualnodes", TNS, "milan")
        await stage.until(stage.gone)
        await stage.until(
            lambda: stage.condition("VirtualKubelet", namespace="other").get("status") == "Running", 70
        )
        await stage.until_ready()


@pytest.mark.parametrize("code", [400, 422])
async def test_a_node_that_the_api_server_refuses_is_told_and_tried_again(code: int) -> None:
    async with staged() as stage, nodes(stage):

        def refuse(review: Admission) -> None:
            bad = review.object and "no good" in review.object["metadata"].get("labels", {}).values()
            if review.place.plural == "nodes" and bad:
                raise StatusError(code, "Invalid", "metadata.labels: Invalid value: 'no good'")

        stage.rome.admission.append(refuse)
        stage.make_node(labels={"region": "no good"})
        await stage.until(lambda: stage.condition("Node").get("reason") == "NodeRefused")
        assert "'no good'" in stage.condition("Node")["message"]
        await stage.settle()
        tries = len(stage.rome.asked("apply", "nodes"))
        await stage.settle()
        assert len(stage.rome.asked("apply", "nodes")) == tries, "nothing has changed that would help"
        stage.rome.merge("virtualnodes", TNS, "milan", {"spec": {"labels": {"region": "good"}}})
        await stage.until_ready()
        await stage.until(lambda: not stage.condition("Node").get("reason"))


async def test_a_node_that_lost_its_labels_is_known_again_by_its_mark() -> None:
    async with staged() as stage:
        async with nodes(stage):
            stage.make_node()
            await stage.until_ready()
        stage.rome.merge("nodes", "", "milan", {"metadata": {"labels": None}})
        async with nodes(stage):
            await stage.until(
                lambda: ((stage.node() or {})["metadata"].get("labels") or {}).get("liqo.io/type")
            )
            await stage.until_ready()

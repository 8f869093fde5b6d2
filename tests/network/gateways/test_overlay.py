"""The objects of the overlay: who is on it, under which address, and what is in the way; virtual time."""

from __future__ import annotations

import asyncio

from isthmus.api import labels
from isthmus.network.gateways import setup
from tests.apiserver import ApiServer, running
from tests.apiserver.clock import VIRTUAL_TIME
from tests.network.gateways.api import PEER, TNS, add_node, add_server, run_pod

pytestmark = VIRTUAL_TIME


def overlay_of(api: ApiServer, node: str) -> str:
    spec = (api.get("internalnodes", "", node) or {}).get("spec", {})
    return str(spec.get("interface", {}).get("node", {}).get("ip", ""))


async def test_every_real_node_has_an_address_of_its_own_and_gives_it_back(api: ApiServer) -> None:
    async with running(api, setup):
        add_node(api, "milan", "192.0.2.99", **{labels.NODE_TYPE: labels.NODE_TYPE_VIRTUAL})
        add_node(api, "worker-2", "192.0.2.12")
        await asyncio.sleep(1)
        assert api.named("internalnodes") == {"worker-1", "worker-2"}
        first, second = overlay_of(api, "worker-1"), overlay_of(api, "worker-2")
        assert first != second
        told = api.get("internalnodes", "", "worker-1") or {}
        assert told["status"]["nodeIP"] == {"local": "192.0.2.11", "remote": "192.0.2.11"}
        api.delete("nodes", "", "worker-2")
        await asyncio.sleep(1)
        assert api.named("internalnodes") == {"worker-1"}
        add_node(api, "worker-3", "192.0.2.13")
        await asyncio.sleep(1)
        assert overlay_of(api, "worker-3") not in ("", first)


async def test_an_object_of_stock_liqos_loses_the_finalizer_nobody_else_honours(api: ApiServer) -> None:
    node = api.get("nodes", "", "worker-1") or {}
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "worker-1",
        "uid": node["metadata"]["uid"],
        "controller": True,
    }
    held = {"name": "worker-1", "finalizers": [labels.FINALIZER_INTERNAL_NODE], "ownerReferences": [owner]}
    api.create("internalnodes", {"metadata": held, "spec": {"interface": {"node": {"ip": "10.80.0.77"}}}})
    async with running(api, setup):
        await asyncio.sleep(1)
        kept = api.get("internalnodes", "", "worker-1") or {}
        assert not kept["metadata"].get("finalizers")
        assert overlay_of(api, "worker-1") == "10.80.0.77", "an address that was given stays"


async def test_without_an_internal_range_everybody_waits_for_it(api: ApiServer) -> None:
    network = dict(api.get("networks", "liqo", "internal-cidr") or {})
    api.delete("networks", "liqo", "internal-cidr")
    async with running(api, setup):
        add_server(api)
        run_pod(api)
        await asyncio.sleep(60)
        assert not api.named("internalnodes") | api.named("internalfabrics")
        metadata = {key: network["metadata"][key] for key in ("name", "namespace", "labels")}
        api.create("networks", {**network, "metadata": metadata})
        await asyncio.sleep(1)
        assert api.named("internalnodes") == {"worker-1"}
        assert api.named("internalfabrics") == {"milan"}


async def test_a_range_with_no_address_left_is_told_where_it_is_missed(api: ApiServer) -> None:
    api.merge(
        "networks",
        "liqo",
        "internal-cidr",
        {"spec": {"cidr": "10.80.0.0/30"}, "status": {"cidr": "10.80.0.0/30"}},
    )
    async with running(api, setup):
        for number in range(2, 6):
            add_node(api, f"worker-{number}", f"192.0.2.{10 + number}")
        await asyncio.sleep(1)
        left = {f"worker-{number}" for number in range(1, 6)} - api.named("internalnodes")
        assert left
        told = [one for one in api.list("events") if one["reason"] == "NoOverlayAddress"]
        assert {one["involvedObject"]["name"] for one in told} == left
        add_server(api)
        run_pod(api)
        await asyncio.sleep(1)
        assert "GatewayServer" in {
            one["involvedObject"]["kind"] for one in api.list("events") if one["reason"] == "NoOverlayAddress"
        }


async def test_a_fabric_of_somebody_else_is_told_and_left_alone(api: ApiServer) -> None:
    spec = {"gatewayIP": "192.0.2.1"}
    api.create(
        "internalfabrics", {"metadata": {"name": "milan", "namespace": TNS, "labels": PEER}, "spec": spec}
    )
    async with running(api, setup):
        add_server(api)
        run_pod(api)
        await asyncio.sleep(1)
        assert "InternalFabric milan exists and was not made for this gateway: delete it" in api.events(
            "NoOverlayAddress"
        )
        assert (api.get("internalfabrics", TNS, "milan") or {})["spec"] == spec
        api.delete("internalfabrics", TNS, "milan")
        await asyncio.sleep(61)
        assert (api.get("internalfabrics", TNS, "milan") or {})["spec"]["gatewayIP"] == "10.244.1.7"


async def test_objects_of_another_are_not_taken_by_a_gateway(api: ApiServer) -> None:
    for plural in ("services", "deployments", "serviceaccounts"):
        name = "milan" if plural == "serviceaccounts" else "gw-milan"
        api.create(plural, {"metadata": {"name": name, "namespace": TNS}, "spec": {"theirs": True}})
    before = dict(api.objects)
    async with running(api, setup):
        add_server(api)
        await asyncio.sleep(1)
        (told,) = set(api.events("ProvisioningFailed"))
        assert "exists and was not made for this gateway: delete it, or give the gateway another name" in told
        assert all(api.objects[place] == one for place, one in before.items() if place[1] == TNS)


async def test_what_an_administrator_refuses_is_told_and_tried_again(api: ApiServer) -> None:
    why = 'admission webhook "policy" denied the request: no privileged pods'
    refused = api.fail(403, "Forbidden", why, verb="apply", plural="deployments", times=1)
    async with running(api, setup):
        add_server(api)
        await asyncio.sleep(1)
        assert refused.hits
        assert why in api.events("Refused")[0]
        await asyncio.sleep(61)
        assert api.get("deployments", TNS, "gw-milan")

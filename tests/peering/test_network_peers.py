"""A peer whose network alone is joined with ours is a peer like any other, until nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from isthmus import peering
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.network.summaries import NetworkSummaries
from tests.apiserver import ApiServer, Json, running

NETWORKING = "networking.liqo.io/v1beta1"
TNS = "liqo-tenant-milan"
PEER = {"liqo.io/remote-cluster-id": "milan"}


def setup(manager: Manager, options: Options) -> None:
    """The controllers of peering with what the networking module tells them, as the entry point has it."""
    peering.setup(manager, options, NetworkSummaries(manager))


def about_milan(name: str, **fields: Any) -> Json:
    return {"metadata": {"name": name, "namespace": TNS, "labels": PEER}, **fields}


def networking(api: ApiServer) -> Callable[[], dict[str, str] | None]:
    """The conditions of the networking module as they stand; None while the ForeignCluster does not tell."""

    def read() -> dict[str, str] | None:
        module = (api.get("foreignclusters", "", "milan") or {}).get("status", {}).get("modules", {})
        if not module.get("networking", {}).get("enabled"):
            return None
        return {one["type"]: one["status"] for one in module["networking"]["conditions"]}

    return read


async def test_a_joined_network_makes_a_peer_and_its_tunnel_is_told() -> None:
    api = ApiServer()
    told = networking(api)

    def connection_is(status: str) -> bool:
        return (told() or {}).get("NetworkConnectionStatus") == status

    async with running(api, setup):
        api.create("configurations", about_milan("milan", spec={}))
        assert (await api.until(told))["NetworkConfigurationStatus"] == "NotReady"
        assert api.objects["foreignclusters", "", "milan"]["status"]["role"] == "Unknown"
        api.create("gatewayclients", about_milan("milan", spec={}))
        api.create("connections", about_milan("gw-milan", spec={"type": "Client"}))
        for value, status in (("Connecting", "Pending"), ("Connected", "Established"), ("Error", "Error")):
            api.merge("connections", TNS, "gw-milan", {"status": {"value": value}})
            await api.until(partial(connection_is, status))


async def test_it_goes_when_nothing_is_left_and_not_before() -> None:
    api = ApiServer()
    told = networking(api)
    async with running(api, setup):
        api.create("configurations", about_milan("milan", spec={}))
        secret = about_milan("kubeconfig-controlplane-milan", type="Opaque")
        secret["metadata"]["labels"] = {**PEER, "liqo.io/identity-type": "ControlPlane"}
        secret["metadata"]["annotations"] = {"liqo.io/remote-tenant-namespace": "liqo-tenant-rome"}
        api.create("secrets", secret)
        await api.until(told)
        await api.until(lambda: api.objects["foreignclusters", "", "milan"]["status"]["role"] == "Provider")
        api.delete("configurations", TNS, "milan")
        await api.until(lambda: told() is None)
        kept = api.objects["foreignclusters", "", "milan"]
        assert kept["status"]["modules"]["networking"]["conditions"] == []
        api.delete("secrets", TNS, "kubeconfig-controlplane-milan")
        await api.until(lambda: api.get("foreignclusters", "", "milan") is None)


async def test_a_virtual_node_makes_a_provider_though_nothing_is_authenticated_here() -> None:
    api = ApiServer()

    def without_authentication(manager: Manager, options: Options) -> None:
        peering.setup_summaries(manager, replace(options, modules=frozenset({"offloading", "networking"})))

    async with running(api, without_authentication):
        api.create("virtualnodes", about_milan("milan", spec={"clusterID": "milan"}))
        found = await api.until(lambda: (api.get("foreignclusters", "", "milan") or {}).get("status"))
        assert found["role"] == "Provider"
        assert found["modules"]["authentication"] == {"enabled": False, "conditions": []}
        told = {one["type"]: one["status"] for one in found["modules"]["offloading"]["conditions"]}
        assert told == {"OffloadingVirtualNodeStatus": "NotReady", "OffloadingNodeStatus": "NotReady"}
        api.delete("virtualnodes", TNS, "milan")
        await api.until(lambda: api.get("foreignclusters", "", "milan") is None)


async def test_what_is_labelled_with_ourselves_or_no_cluster_makes_no_peer() -> None:
    api = ApiServer()
    async with running(api, setup):
        for name, peer in (("own", "rome"), ("none", "Not.A_Cluster")):
            own = about_milan(name, spec={})
            own["metadata"]["labels"] = {"liqo.io/remote-cluster-id": peer}
            api.create("configurations", own)
        api.create("configurations", about_milan("milan", spec={}))
        await api.until(networking(api))
        assert api.named("foreignclusters") == {"milan"}

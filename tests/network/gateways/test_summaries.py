"""The network towards a peer as ForeignClusters will tell it, followed through a peering's life."""

from __future__ import annotations

from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.network.gateways import setup
from isthmus.network.gateways.objects import peer_of
from isthmus.network.summaries import NetworkSummaries
from tests.apiserver import ApiServer, running, wake
from tests.network.gateways.api import PEER, TNS, add_server


async def test_each_step_of_a_connection_is_told(api: ApiServer) -> None:
    told: dict[str, dict[str, str]] = {}

    def summed_up(manager: Manager, options: Options) -> None:
        summaries = NetworkSummaries(manager)

        async def reconcile(key: Key) -> None:
            told[key.name] = {type_: status for type_, status, _, _ in summaries.conditions(key.name)}
            wake()

        controller = manager.add(Controller("summaries", reconcile))
        summaries.watch(controller, lambda object_: [Key("", peer_of(object_))])

    async with running(api, setup, summed_up):
        add_server(api)
        await api.until(lambda: told.get("milan", {}).get("NetworkGatewayServerStatus") == "NotReady")
        await api.until(lambda: api.get("deployments", TNS, "gw-milan"))
        api.merge("deployments", TNS, "gw-milan", {"status": {"readyReplicas": 1}})
        await api.until(lambda: told["milan"].get("NetworkGatewayServerStatus") == "Ready")
        assert told["milan"]["NetworkConnectionStatus"] == "Pending"
        connection = {
            "metadata": {"name": "gw-milan", "namespace": TNS, "labels": PEER},
            "spec": {"type": "Server"},
        }
        api.create("connections", connection)
        api.merge("connections", TNS, "gw-milan", {"status": {"value": "Connected"}})
        await api.until(lambda: told["milan"].get("NetworkConnectionStatus") == "Established")
        api.delete("connections", TNS, "gw-milan")
        api.delete("gatewayservers", TNS, "milan")
        await api.until(lambda: told["milan"] == {})

"""The controllers of gateways against an API server: what a user asks for is there, told, repaired and removed."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from isthmus.network.gateways import setup
from tests.apiserver import ApiServer, running
from tests.network.gateways.api import (
    GATEWAY_LABELS,
    NETWORKING,
    PEER,
    TNS,
    add_client,
    add_node,
    add_server,
    run_pod,
    touched,
)


def status(api: ApiServer, plural: str, name: str = "milan") -> dict[str, Any]:
    return (api.get(plural, TNS, name) or {}).get("status") or {}


def refusals(api: ApiServer) -> list[str]:
    return api.events("ProvisioningFailed") + api.events("Refused")


async def test_a_server_gets_all_it_needs_and_tells_where_it_is(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api)
        await api.until(lambda: status(api, "gatewayservers").get("secretRef"))
        deployment = await api.until(lambda: api.get("deployments", TNS, "gw-milan"))
        assert [one["name"] for one in deployment["spec"]["template"]["spec"]["containers"]] == ["gateway"]
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
        pod = deployment["spec"]["template"]["metadata"]
        assert GATEWAY_LABELS.items() <= pod["labels"].items()
        service = api.get("services", TNS, "gw-milan")
        assert service is not None
        assert service["spec"]["selector"].items() <= pod["labels"].items()
        assert service["spec"]["ports"][0]["port"] == 51840
        secret = api.get("secrets", TNS, "gw-milan")
        assert secret is not None
        assert {len(base64.b64decode(value)) for value in secret["data"].values()} == {32}
        assert secret["metadata"]["labels"] == {"networking.liqo.io/gateway-resource": "true", **PEER}
        binding = await api.until(lambda: api.get("clusterrolebindings", "", "liqo-gateway-cluster"))
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "milan", "namespace": TNS}]
        assert not any("finalizers" in one["metadata"] for one in api.objects.values())

        assert "endpoint" not in status(api, "gatewayservers")
        run_pod(api)
        ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}
        api.merge("services", TNS, "gw-milan", ingress)
        told = await api.until(lambda: status(api, "gatewayservers").get("endpoint"))
        assert told == {"addresses": ["203.0.113.9"], "port": 51840, "protocol": "UDP"}
        told = await api.until(lambda: status(api, "gatewayservers").get("internalEndpoint"))
        assert told == {"ip": "10.244.1.7", "node": "worker-1"}
        assert status(api, "gatewayservers")["serverRef"]["kind"] == "WgGatewayServer"


async def test_a_client_keeps_its_pods_when_the_server_moves_and_has_no_service(api: ApiServer) -> None:
    async with running(api, setup):
        add_client(api, addresses=("203.0.113.9", "gateway.example"))
        deployment = await api.until(lambda: api.get("deployments", TNS, "gw-milan"))
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        told = json.loads(container["env"][0]["value"])
        assert (told["mode"], told["peer"], told["cluster_id"]) == ("client", "milan", "rome")
        assert told["mtu"] == 1340
        await api.until(lambda: status(api, "gatewayclients").get("secretRef"))
        generation = deployment["metadata"]["generation"]
        moved = {"addresses": ["203.0.113.10"], "port": 30123}
        api.merge("gatewayclients", TNS, "milan", {"spec": {"endpoint": moved}})
        with pytest.raises(TimeoutError):
            await api.until(
                lambda: api.get("deployments", TNS, "gw-milan")["metadata"]["generation"] != generation,  # type: ignore[index]
                timeout=1,
            )
        assert api.named("services") == set()


async def test_everything_goes_with_the_gateway_and_the_shared_binding_with_the_last(api: ApiServer) -> None:
    before = set(api.objects)
    async with running(api, setup):
        add_server(api)
        run_pod(api)
        await api.until(lambda: api.get("internalfabrics", TNS, "milan"))
        await api.until(lambda: api.get("clusterrolebindings", "", "liqo-gateway-cluster"))
        api.delete("gatewayservers", TNS, "milan")
        api.delete("pods", TNS, "gw-milan-0")
        await api.until(lambda: not api.named("clusterrolebindings"))
    left = {place for place in set(api.objects) - before if place[0] not in ("events", "internalnodes")}
    assert left == set()


async def test_a_restart_writes_nothing(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api, serviceType="ClusterIP")
        run_pod(api)
        await api.until(lambda: status(api, "gatewayservers").get("internalEndpoint"))
        await api.until(lambda: api.get("internalfabrics", TNS, "milan"))
        await api.until(lambda: status_of_node(api))
    version = api.version
    async with running(api, setup):
        add_node(api, "worker-2", "192.0.2.12")  # Its InternalNode tells that the controllers are at work.
        await api.until(lambda: api.get("internalnodes", "", "worker-2"))
        changed = [
            place
            for place, one in api.objects.items()
            if int(one["metadata"]["resourceVersion"]) > version and place[2] != "worker-2"
        ]
        assert changed == []


def status_of_node(api: ApiServer) -> Any:
    return (api.get("internalnodes", "", "worker-1") or {}).get("status")


async def test_what_is_deleted_behind_its_back_comes_back(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api)
        await api.until(lambda: status(api, "gatewayservers").get("secretRef"))
        for plural, name in (
            ("deployments", "gw-milan"),
            ("services", "gw-milan"),
            ("serviceaccounts", "milan"),
            ("rolebindings", "liqo-gateway-milan"),
            ("wggatewayservers", "milan"),
        ):
            uid = api.objects[plural, TNS, name]["metadata"]["uid"]
            api.delete(plural, TNS, name)
            place = (plural, TNS, name)
            await api.until(
                lambda p=place, u=uid: p in api.objects and api.objects[p]["metadata"]["uid"] != u
            )


async def test_new_keys_bring_new_pods(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api)
        deployment = await api.until(lambda: api.get("deployments", TNS, "gw-milan"))
        before = deployment["spec"]["template"]["metadata"]["annotations"]
        api.delete("secrets", TNS, "gw-milan")
        await api.until(
            lambda: (
                api.objects["deployments", TNS, "gw-milan"]["spec"]["template"]["metadata"]["annotations"]
                != before
            )
        )
        assert api.get("secrets", TNS, "gw-milan")


async def test_a_new_service_account_brings_new_pods_whose_tokens_are_its_own(api: ApiServer) -> None:
    def account_of_pods() -> str:
        deployment = api.get("deployments", TNS, "gw-milan") or {"spec": {"template": {"metadata": {}}}}
        annotations = deployment["spec"]["template"]["metadata"].get("annotations", {})
        return str(annotations.get("isthmus.io/gateway-service-account"))

    def account() -> str | None:
        found = api.get("serviceaccounts", TNS, "milan")
        return found and found["metadata"]["uid"]

    async with running(api, setup):
        add_server(api)
        await api.until(lambda: account_of_pods() == account())
        before = account()
        api.delete("serviceaccounts", TNS, "milan")
        await api.until(lambda: account_of_pods() == account() != before)


async def test_no_pod_runs_with_the_account_of_an_earlier_gateway(api: ApiServer) -> None:
    # Its collection ends the tokens of whatever runs by then: such a gateway is refused by the API server for hours.
    still_there = api.objects["namespaces", "", TNS]["metadata"]["uid"]
    earlier = {"apiVersion": NETWORKING, "kind": "WgGatewayServer", "name": "milan", "uid": still_there}
    meta = {"name": "milan", "namespace": TNS, "labels": GATEWAY_LABELS, "ownerReferences": [earlier]}
    api.create("serviceaccounts", {"metadata": meta})
    async with running(api, setup):
        add_server(api)
        await api.until(lambda: api.get("services", TNS, "gw-milan"))
        await api.until(lambda: api.get("rolebindings", TNS, "liqo-gateway-milan"))
        assert api.get("deployments", TNS, "gw-milan") is None
        api.delete("serviceaccounts", TNS, "milan")
        deployment = await api.until(lambda: api.get("deployments", TNS, "gw-milan"))
        assert deployment["metadata"]["generation"] == 1
        account = api.objects["serviceaccounts", TNS, "milan"]["metadata"]["uid"]
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        assert annotations["isthmus.io/gateway-service-account"] == account


async def test_objects_of_others_are_never_touched(api: ApiServer) -> None:
    mine = {"metadata": {"name": "gw-milan", "namespace": TNS}, "spec": {"mine": True}}
    api.create("services", mine)
    version = touched(api, "services", "gw-milan")
    async with running(api, setup):
        add_server(api)
        told = await api.until(lambda: refusals(api))
        assert "Service gw-milan exists and was not made for this gateway" in told[0]
        assert touched(api, "services", "gw-milan") == version
        api.delete("gatewayservers", TNS, "milan")
    assert api.get("services", TNS, "gw-milan")


async def test_a_peer_has_one_tunnel(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api)
        await api.until(lambda: api.get("deployments", TNS, "gw-milan"))
        add_client(api, name="second")
        told = await api.until(lambda: refusals(api))
        assert "GatewayServer milan is there for peer milan already" in told[0]
        assert api.named("wggatewayclients") == set()
        api.delete("gatewayservers", TNS, "milan")
        await api.until(lambda: api.get("wggatewayclients", TNS, "second"))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (None, "Secret liqo-tenant-milan/mine does not exist"),
        ({"privateKey": 32}, "has no publicKey"),
        ({"privateKey": 32, "publicKey": 31}, "publicKey has 31 bytes"),
        ({"privateKey": 32, "publicKey": 44}, "publicKey has 44 bytes"),
    ],
)
async def test_unusable_keys_of_the_user_are_told(
    api: ApiServer, data: dict[str, int] | None, fault: str
) -> None:
    if data is not None:
        encoded = {field: base64.b64encode(b"k" * size).decode() for field, size in data.items()}
        api.create("secrets", {"metadata": {"name": "mine", "namespace": TNS}, "data": encoded})
    async with running(api, setup):
        add_server(api)
        api.merge("gatewayservers", TNS, "milan", {"spec": {"secretRef": {"name": "mine"}}})
        told = await api.until(lambda: [one for one in refusals(api) if fault in one])
        assert told
        assert api.get("services", TNS, "gw-milan")  # The address may be found out meanwhile.


async def test_a_refused_port_is_told_on_the_gateway(api: ApiServer) -> None:
    message = "spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated"
    api.fail(422, "Invalid", message, times=None, verb="apply", plural="services")
    async with running(api, setup):
        add_server(api, serviceType="NodePort", nodePort=30000)
        told = await api.until(lambda: api.events("Refused"))
        assert "30000: provided port is already allocated" in told[0]


async def test_the_type_of_the_service_can_change(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api)
        run_pod(api)
        await api.until(lambda: api.get("services", TNS, "gw-milan"))
        spec = {"endpoint": {"port": 51840, "serviceType": "NodePort", "nodePort": 30000}}
        api.merge("gatewayservers", TNS, "milan", {"spec": spec})
        told = await api.until(lambda: status(api, "gatewayservers").get("endpoint"))
        assert told == {"addresses": ["192.0.2.11"], "port": 30000, "protocol": "UDP"}
        api.delete("pods", TNS, "gw-milan-0")
        await api.until(lambda: "internalEndpoint" not in status(api, "gatewayservers"))
        assert status(api, "gatewayservers")["endpoint"] == told


async def test_a_template_that_is_repaired_is_used_at_once(api: ApiServer) -> None:
    place = ("wggatewayservertemplates", "liqo", "wireguard-server")
    deployment = api.objects[place]["spec"]["template"]["spec"]["deployment"]
    broken = {"spec": {"template": {"spec": {"deployment": {"metadata": {"name": "{{ .Name | quote }}"}}}}}}
    name = deployment["metadata"]["name"]
    api.merge(*place, broken)
    async with running(api, setup):
        add_server(api)
        told = await api.until(lambda: refusals(api))
        assert (
            "WgGatewayServerTemplate liqo/wireguard-server: {{ .Name | quote }} is not supported" in told[0]
        )
        broken["spec"]["template"]["spec"]["deployment"]["metadata"]["name"] = name
        api.merge(*place, broken)
        await api.until(lambda: api.get("deployments", TNS, "gw-milan"))


async def test_what_stock_liqo_left_is_removed(api: ApiServer) -> None:
    async with running(api, setup):
        add_server(api)
        await api.until(lambda: api.get("wggatewayservers", TNS, "milan"))
    binding = f"liqo-gateway-{TNS}-milan"
    metadata = {"name": binding, "namespace": "", "labels": GATEWAY_LABELS}
    api.create("clusterrolebindings", {"metadata": metadata})
    finalizers = {"metadata": {"finalizers": ["networking.liqo.io/clusterrolebinding", "another/finalizer"]}}
    api.merge("wggatewayservers", TNS, "milan", finalizers)
    async with running(api, setup):
        await api.until(lambda: api.get("clusterrolebindings", "", binding) is None)
        await api.until(
            lambda: (
                api.objects["wggatewayservers", TNS, "milan"]["metadata"]["finalizers"]
                == ["another/finalizer"]
            )
        )


async def test_nodes_and_gateways_have_addresses_of_their_own_on_the_overlay(api: ApiServer) -> None:
    configuration = {
        "metadata": {"name": "milan", "namespace": TNS, "labels": PEER},
        "spec": {"remote": {"cidr": {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}}},
        "status": {"remote": {"cidr": {"pod": ["10.71.0.0/16"], "external": ["10.72.0.0/16"]}}},
    }
    async with running(api, setup):
        add_node(api, "worker-2", "192.0.2.12")
        add_node(api, "paris", "192.0.2.13", **{"liqo.io/type": "virtual-node"})
        api.create("configurations", configuration)
        add_server(api)
        run_pod(api)
        fabric = await api.until(lambda: api.get("internalfabrics", TNS, "milan"))
        await api.until(lambda: len(api.named("internalnodes")) == 2)
        assert api.named("internalnodes") == {"worker-1", "worker-2"}
        nodes = [api.objects["internalnodes", "", name] for name in ("worker-1", "worker-2")]
        given = [node["spec"]["interface"]["node"]["ip"] for node in nodes]
        given.append(fabric["spec"]["interface"]["gateway"]["ip"])
        assert len(set(given)) == 3
        assert all(address.startswith("10.80.") for address in given)
        await api.until(
            lambda: (
                api.objects["internalfabrics", TNS, "milan"]["spec"]["remoteCIDRs"]
                == ["10.71.0.0/16", "10.72.0.0/16"]
            )
        )
        assert api.objects["internalfabrics", TNS, "milan"]["spec"]["gatewayIP"] == "10.244.1.7"
        assert fabric["spec"]["mtu"] == 1340
        api.delete("pods", TNS, "gw-milan-0")
        run_pod(api, "10.244.1.8", "gw-milan-1")
        await api.until(
            lambda: api.objects["internalfabrics", TNS, "milan"]["spec"]["gatewayIP"] == "10.244.1.8"
        )
        api.delete("nodes", "", "worker-2")
        await api.until(lambda: api.named("internalnodes") == {"worker-1"})


async def test_metrics_are_served_when_asked_for_even_where_nobody_watches_monitors(api: ApiServer) -> None:
    assert "servicemonitors" not in api.kinds
    place = ("wggatewayservertemplates", "liqo", "wireguard-server")
    metadata = {"name": "gw-{{ .Name }}-metrics", "namespace": "{{ .Namespace }}"}
    metrics = {
        "enabled": True,
        "service": {"metadata": metadata, "spec": {"ports": [{"name": "metrics", "port": 8084}]}},
        "serviceMonitor": {"metadata": metadata, "spec": {"selector": {}, "endpoints": []}},
    }
    api.merge(*place, {"spec": {"template": {"spec": {"metrics": metrics}}}})
    async with running(api, setup):
        add_server(api)
        await api.until(lambda: api.get("services", TNS, "gw-milan-metrics"))
        await api.until(lambda: status(api, "gatewayservers").get("secretRef"))
        assert refusals(api) == []
        api.merge(*place, {"spec": {"template": {"spec": {"metrics": {"enabled": False}}}}})
        await api.until(lambda: api.get("services", TNS, "gw-milan-metrics") is None)
        assert api.get("services", TNS, "gw-milan")


async def test_being_killed_again_and_again_leaves_one_of_each(api: ApiServer) -> None:
    for pause in range(12):
        async with running(api, setup):
            if pause == 0:
                add_server(api)
            await asyncio.sleep(pause * 0.004)
    async with running(api, setup):
        await api.until(lambda: status(api, "gatewayservers").get("secretRef"))
    for plural in (
        "deployments",
        "services",
        "secrets",
        "wggatewayservers",
        "serviceaccounts",
        "rolebindings",
    ):
        assert len(api.named(plural)) == 1, plural


async def test_an_address_in_use_is_not_given_again_after_a_restart(api: ApiServer) -> None:
    async with running(api, setup):
        node = await api.until(lambda: api.get("internalnodes", "", "worker-1"))
    address = node["spec"]["interface"]["node"]["ip"]
    api.delete("internalnodes", "", "worker-1")
    spec = {
        "gatewayIP": "10.244.0.9",
        "interface": {"gateway": {"ip": address}, "node": {"name": "isthmus0"}},
    }
    api.create(
        "internalfabrics", {"metadata": {"name": "paris", "namespace": "liqo-tenant-paris"}, "spec": spec}
    )
    async with running(api, setup):
        node = await api.until(lambda: api.get("internalnodes", "", "worker-1"))
    assert node["spec"]["interface"]["node"]["ip"] != address


async def test_a_gateway_outside_its_peers_namespace_waits_for_it_to_be_made_one(api: ApiServer) -> None:
    peers = api.objects["namespaces", "", TNS]["metadata"]["labels"]
    api.merge("namespaces", "", TNS, {"metadata": {"labels": {"liqo.io/remote-cluster-id": "paris"}}})
    async with running(api, setup):
        add_server(api)
        told = await api.until(lambda: refusals(api))
        assert "is not a tenant namespace of milan" in told[0]
        assert api.named("wggatewayservers") == set()
        api.merge("namespaces", "", TNS, {"metadata": {"labels": peers}})
        await api.until(lambda: api.get("deployments", TNS, "gw-milan"))

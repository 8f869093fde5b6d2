"""The templates of an installation: what is rendered of them is what the gateway process and the protocol expect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from isthmus.api.crds.wireguard import WG_GATEWAY_CLIENT, WG_GATEWAY_SERVER
from isthmus.api.networking import (
    Endpoint,
    GatewayClient,
    GatewayClientSpec,
    GatewayServer,
    GatewayServerSpec,
    GatewayTemplate,
    ServerEndpoint,
    WgGateway,
)
from isthmus.kube.objects import ObjectMeta
from isthmus.network.gateway.settings import read_settings
from isthmus.network.gateways import TemplateValues, default_templates
from isthmus.network.gateways.objects import CLIENT, SERVER, Gateway
from isthmus.network.gateways.requests import forge_made
from isthmus.network.gateways.workload import forge_deployment, forge_metrics, forge_service

META = ObjectMeta(
    name="milan", namespace="liqo-tenant-milan", uid="u-1", labels={"liqo.io/remote-cluster-id": "milan"}
)
SERVER_SPEC = GatewayServerSpec(endpoint=ServerEndpoint(port=51840, service_type="NodePort", node_port=30007))
CLIENT_SPEC = GatewayClientSpec(mtu=1200, endpoint=Endpoint(addresses=["192.0.2.1"], port=51841))


def made(gateway: Gateway, **values: Any) -> WgGateway:
    server, client = default_templates(TemplateValues(image="isthmus:1", cluster_id="rome", **values))
    side, template = (SERVER, server) if isinstance(gateway, GatewayServer) else (CLIENT, client)
    manifest = forge_made(
        side, gateway, msgspec.json.decode(msgspec.json.encode(template), type=GatewayTemplate)
    )
    manifest["metadata"]["uid"] = "u-2"
    # By way of JSON, as the API server has it.
    return msgspec.json.decode(msgspec.json.encode(manifest), type=WgGateway)


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value", "filled-in") for one in container["env"]}


@pytest.mark.parametrize("mode", ["server", "client"])
def test_the_process_understands_what_it_is_told(mode: str) -> None:
    gateway = (
        GatewayServer(metadata=META, spec=SERVER_SPEC)
        if mode == "server"
        else GatewayClient(metadata=META, spec=CLIENT_SPEC)
    )
    side = SERVER if mode == "server" else CLIENT
    settings = read_settings(environment(forge_deployment(side, made(gateway), "key", "uid")))
    assert (settings.mode, settings.peer, settings.fabric, settings.uid) == (mode, "milan", "milan", "u-1")
    assert settings.cluster_id == "rome"
    # A client reads from its GatewayClient where the server is, so that its pods outlive a change.
    assert (settings.mtu, settings.port) == ((1340, 51840) if mode == "server" else (1200, 0))
    assert settings.finds_server == (mode == "client")


def test_the_service_is_as_asked_for() -> None:
    service = forge_service(SERVER, made(GatewayServer(metadata=META, spec=SERVER_SPEC)))
    assert service is not None
    port = {"name": "wireguard", "protocol": "UDP", "port": 51840, "targetPort": 51840, "nodePort": 30007}
    assert service["spec"]["ports"] == [port]
    assert service["spec"]["type"] == "NodePort"
    assert "loadBalancerIP" not in service["spec"]


def test_labels_and_annotations_of_the_gateway_win_over_the_templates() -> None:
    spec = msgspec.structs.replace(
        SERVER_SPEC,
        service_annotations={"cloud/kind": "mine"},
        service_labels={"app.kubernetes.io/name": "mine", "networking.liqo.io/gateway-name": "forged"},
    )
    gateway = GatewayServer(metadata=META, spec=spec)
    service = forge_service(
        SERVER, made(gateway, service_annotations={"cloud/kind": "theirs", "cloud/other": "x"})
    )
    assert service is not None
    assert service["metadata"]["annotations"] == {"cloud/kind": "mine", "cloud/other": "x"}
    assert service["metadata"]["labels"]["app.kubernetes.io/name"] == "mine"
    # But what others rely on stays.
    assert service["metadata"]["labels"]["networking.liqo.io/gateway-name"] == "milan"


@pytest.mark.parametrize("replicas", [1, 3])
def test_one_pod_is_active_from_the_start_and_several_find_out(replicas: int) -> None:
    gateway = GatewayServer(metadata=META, spec=SERVER_SPEC)
    deployment = forge_deployment(SERVER, made(gateway, replicas=replicas), "key", "uid")
    pod = deployment["spec"]["template"]["metadata"]["labels"]
    assert ("networking.liqo.io/active" in pod) == (replicas == 1)
    assert deployment["spec"]["replicas"] == replicas
    # A selector can never change: neither by the number of replicas nor by who is active.
    assert deployment["spec"]["selector"]["matchLabels"] == {
        "networking.liqo.io/component": "gateway",
        "networking.liqo.io/gateway-name": "milan",
        "networking.liqo.io/gateway-namespace": "liqo-tenant-milan",
    }


def test_metrics_are_only_there_when_asked_for() -> None:
    gateway = GatewayServer(metadata=META, spec=SERVER_SPEC)
    assert forge_metrics(SERVER, made(gateway)) == (None, None)
    service, monitor = forge_metrics(SERVER, made(gateway, metrics=True, service_monitor=True))
    assert service is not None
    assert monitor is not None
    assert service["metadata"]["name"] == monitor["metadata"]["name"] == "gw-milan-metrics"
    assert service["spec"]["selector"] == monitor["spec"]["selector"]["matchLabels"]


def test_one_container_that_runs_our_gateway_and_keeps_off_virtual_nodes() -> None:
    gateway = GatewayClient(metadata=META, spec=CLIENT_SPEC)
    pod = forge_deployment(CLIENT, made(gateway), "key", "uid")["spec"]["template"]["spec"]
    assert [one["args"] for one in pod["containers"]] == [["gateway"]]
    assert pod["volumes"][0]["secret"] == {"secretName": "gw-milan", "defaultMode": 0o400}
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"][0]["matchExpressions"][0]["key"] == "liqo.io/type"


@pytest.mark.parametrize("metrics", [False, True])
@pytest.mark.parametrize("mode", ["server", "client"])
def test_what_is_rendered_fits_the_served_schema(mode: str, metrics: bool) -> None:
    server = mode == "server"
    gateway: Gateway = (
        GatewayServer(metadata=META, spec=SERVER_SPEC)
        if server
        else GatewayClient(metadata=META, spec=CLIENT_SPEC)
    )
    values = TemplateValues(
        image="isthmus:1",
        cluster_id="rome",
        replicas=2,
        metrics=metrics,
        service_monitor=metrics,
        tolerations=[{"operator": "Exists"}],
        node_selector={"a": "b"},
        priority_class_name="high",
        image_pull_secrets=[{"name": "x"}],
        allocate_load_balancer_node_ports=False,
    )
    template = default_templates(values)[0 if server else 1]
    decoded = msgspec.json.decode(msgspec.json.encode(template), type=GatewayTemplate)
    manifest = forge_made(SERVER if server else CLIENT, gateway, decoded)
    kind = WG_GATEWAY_SERVER if server else WG_GATEWAY_CLIENT
    crd = kind.manifest()
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert list(misfits(manifest["spec"], schema, "spec")) == []


TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "boolean": bool, "number": (int, float), "object": dict, "array": list,
}  # fmt: skip


def misfits(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """What the API server would refuse, or would silently drop."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{path}: neither a number nor a text"
        return
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    expected = TYPES[schema["type"]]
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        yield f"{path}: {value!r} is no {schema['type']}"
    elif isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties")
        yield from (f"{path}.{name}: is missing" for name in schema.get("required", []) if name not in value)
        for name, child in value.items():
            if name in properties:
                yield from misfits(child, properties[name], f"{path}.{name}")
            elif isinstance(more, dict):
                yield from misfits(child, more, f"{path}.{name}")
            else:
                yield f"{path}.{name}: is not known"
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from misfits(child, schema["items"], f"{path}[{number}]")

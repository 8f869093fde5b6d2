"""A cluster as gateways find it, and what its users and its kubelets do to it."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.network.gateways import TemplateValues, default_templates
from tests.apiserver import ApiServer

NETWORKING = "networking.liqo.io/v1beta1"
TNS = "liqo-tenant-milan"
PEER = {"liqo.io/remote-cluster-id": "milan"}
GATEWAY_LABELS = {
    "networking.liqo.io/component": "gateway",
    "networking.liqo.io/gateway-name": "milan",
    "networking.liqo.io/gateway-namespace": TNS,
    "networking.liqo.io/active": "true",
}


@pytest.fixture
def api() -> ApiServer:
    """A cluster with the default templates, the internal CIDR and one node."""
    server = ApiServer()
    for template in default_templates(TemplateValues(image="isthmus:test", cluster_id="rome")):
        server.create(f"{template['kind'].lower()}s", template)
    server.create(
        "networks",
        {
            "metadata": {
                "name": "internal-cidr",
                "namespace": "liqo",
                "labels": {"ipam.liqo.io/network-type": "internal-cidr"},
            },
            "spec": {"cidr": "10.80.0.0/16"},
            "status": {"cidr": "10.80.0.0/16"},
        },
    )
    tenant = {"name": TNS, "namespace": "", "labels": {"liqo.io/tenant-namespace": "true", **PEER}}
    server.create("namespaces", {"metadata": tenant})
    add_node(server, "worker-1", "192.0.2.11")
    return server


def add_node(api: ApiServer, name: str, address: str, **labels: str) -> None:
    """A Node as its kubelet makes it."""
    api.create(
        "nodes",
        {
            "metadata": {"name": name, "namespace": "", "labels": labels},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        },
    )


def add_server(api: ApiServer, name: str = "milan", **endpoint: Any) -> None:
    """A GatewayServer as `peer` writes it."""
    spec = {
        "serverTemplateRef": {
            "apiVersion": NETWORKING,
            "kind": "WgGatewayServerTemplate",
            "name": "wireguard-server",
            "namespace": "liqo",
        },
        "mtu": 1340,
        "endpoint": {"port": 51840, "serviceType": "LoadBalancer", **endpoint},
    }
    api.create("gatewayservers", {"metadata": {"name": name, "namespace": TNS, "labels": PEER}, "spec": spec})


def add_client(api: ApiServer, name: str = "milan", addresses: tuple[str, ...] = ("203.0.113.9",)) -> None:
    """A GatewayClient as `peer` writes it."""
    spec = {
        "clientTemplateRef": {
            "kind": "WgGatewayClientTemplate",
            "name": "wireguard-client",
            "namespace": "liqo",
        },
        "mtu": 1340,
        "endpoint": {"addresses": list(addresses), "port": 51840, "protocol": "UDP"},
    }
    api.create("gatewayclients", {"metadata": {"name": name, "namespace": TNS, "labels": PEER}, "spec": spec})


def run_pod(api: ApiServer, address: str = "10.244.1.7", name: str = "gw-milan-0") -> None:
    """The gateway's pod as the scheduler and the kubelet would bring it up."""
    api.create(
        "pods",
        {
            "metadata": {"name": name, "namespace": TNS, "labels": GATEWAY_LABELS},
            "spec": {"nodeName": "worker-1"},
            "status": {"phase": "Running", "podIP": address},
        },
    )


def touched(api: ApiServer, plural: str, name: str, namespace: str = TNS) -> str:
    """The version an object is at."""
    return str(api.objects[plural, namespace, name]["metadata"]["resourceVersion"])


def expose(api: ApiServer, port: int) -> None:
    """Give the gateway's Service a node port, as the API server does."""
    ports = api.objects["services", TNS, "gw-milan"]["spec"]["ports"]
    api.merge("services", TNS, "gw-milan", {"spec": {"ports": [{**one, "nodePort": port} for one in ports]}})

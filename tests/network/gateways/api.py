"""The API server of the network tests with what gateways need besides: their kinds, applies, any label selector."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.network.gateways import TemplateValues, default_templates
from tests.kube.fake import Exchange
from tests.network import api_server
from tests.network.api_server import ApiServer, Json, Place

NETWORKING = "networking.liqo.io/v1beta1"
KINDS = {
    "gatewayservers": (NETWORKING, "GatewayServer"),
    "gatewayclients": (NETWORKING, "GatewayClient"),
    "wggatewayservers": (NETWORKING, "WgGatewayServer"),
    "wggatewayclients": (NETWORKING, "WgGatewayClient"),
    "wggatewayservertemplates": (NETWORKING, "WgGatewayServerTemplate"),
    "wggatewayclienttemplates": (NETWORKING, "WgGatewayClientTemplate"),
    "publickeies": (NETWORKING, "PublicKey"),
    "resourceslices": ("authentication.liqo.io/v1beta1", "ResourceSlice"),
    "connections": (NETWORKING, "Connection"),
    "internalfabrics": (NETWORKING, "InternalFabric"),
    "internalnodes": (NETWORKING, "InternalNode"),
    "deployments": ("apps/v1", "Deployment"),
    "pods": ("v1", "Pod"),
    "namespaces": ("v1", "Namespace"),
    "nodes": ("v1", "Node"),
    "secrets": ("v1", "Secret"),
    "serviceaccounts": ("v1", "ServiceAccount"),
    "rolebindings": ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    "clusterrolebindings": ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    "servicemonitors": ("monitoring.coreos.com/v1", "ServiceMonitor"),
}
TNS = "liqo-tenant-milan"
PEER = {"liqo.io/remote-cluster-id": "milan"}
GATEWAY_LABELS = {
    "networking.liqo.io/component": "gateway",
    "networking.liqo.io/gateway-name": "milan",
    "networking.liqo.io/gateway-namespace": TNS,
    "networking.liqo.io/active": "true",
}


class GatewayApi(ApiServer):
    """Takes an apply for a create where the object is not there; otherwise it merges."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, str] = {}
        """Kinds whose applies are answered 422, and what is said."""
        self.unserved: set[str] = set()

    async def handle(self, exchange: Exchange) -> None:
        plural = api_server._parts(exchange.path)[0]
        if plural in self.refused and exchange.method == "PATCH":
            await exchange.fail(422, "Invalid", self.refused[plural])
        else:
            await super().handle(exchange)

    async def _act(self, exchange: Exchange, place: Place, subresource: str) -> Json:
        if place[0] in self.unserved:
            raise KeyError(place[0])
        applied = exchange.headers.get("content-type", "").startswith("application/apply-patch")
        if applied and place not in self.objects:
            body = exchange.json()
            body["metadata"].setdefault("namespace", place[1])
            return self._collected(place, self.create(place[0], body))
        return await super()._act(exchange, place, subresource)

    def _collected(self, place: Place, value: Json) -> Json:
        """Delete what was made for an owner that is gone, as the garbage collector does."""
        owners = {owner["uid"] for owner in value["metadata"].get("ownerReferences", [])}
        if owners and owners.isdisjoint(one["metadata"]["uid"] for one in self.objects.values()):
            self.delete(*place)
        return value

    async def noticed(self) -> None:
        """Look again whether what is waited for holds: something beside the objects changed."""
        async with self._changed:
            self._changed.notify_all()

    def touched(self, plural: str, name: str, namespace: str = TNS) -> str:
        """The version an object is at."""
        return str(self.objects[plural, namespace, name]["metadata"]["resourceVersion"])


def selected(value: Json, selector: str) -> bool:
    """Label selectors of one or more terms."""
    found = value["metadata"].get("labels", {})
    for term in selector.split(",") if selector else ():
        if "!=" in term:
            label, _, wanted = term.partition("!=")
            if found.get(label) == wanted:
                return False
        elif "=" in term:
            label, _, wanted = term.partition("=")
            if found.get(label) != wanted:
                return False
        elif term not in found:
            return False
    return True


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> GatewayApi:
    """A cluster with the default templates, the internal CIDR and one node."""
    for plural, kind in KINDS.items():
        monkeypatch.setitem(api_server.KINDS, plural, kind)
    monkeypatch.setattr(api_server, "_selected", selected)
    server = GatewayApi()
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


def add_node(api: GatewayApi, name: str, address: str, **labels: str) -> None:
    """A Node as its kubelet makes it."""
    api.create(
        "nodes",
        {
            "metadata": {"name": name, "namespace": "", "labels": labels},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        },
    )


def add_server(api: GatewayApi, name: str = "milan", **endpoint: Any) -> None:
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


def add_client(api: GatewayApi, name: str = "milan", addresses: tuple[str, ...] = ("203.0.113.9",)) -> None:
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


def run_pod(api: GatewayApi, address: str = "10.244.1.7", name: str = "gw-milan-0") -> None:
    """The gateway's pod as the scheduler and the kubelet would bring it up."""
    api.create(
        "pods",
        {
            "metadata": {"name": name, "namespace": TNS, "labels": GATEWAY_LABELS},
            "spec": {"nodeName": "worker-1"},
            "status": {"phase": "Running", "podIP": address},
        },
    )

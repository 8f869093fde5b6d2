"""Two clusters in the tests' own process whose controllers answer at once, as far as the tunnel between them goes."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

from isthmus.cli.cluster import Cluster
from isthmus.cli.network_check import plan_tunnel, read_ranges
from isthmus.cli.network_connect import join_networks
from isthmus.cli.network_plan import NetworkWish
from isthmus.cli.preflight import Pair
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from tests.kube.fake import Exchange, FakeServer
from tests.network.api_server import KINDS, ApiServer, Json, Place

NETWORKING = "networking.liqo.io/v1beta1"
KINDS.update(
    {
        "gatewayservers": (NETWORKING, "GatewayServer"),
        "gatewayclients": (NETWORKING, "GatewayClient"),
        "publickeies": (NETWORKING, "PublicKey"),
        "connections": (NETWORKING, "Connection"),
        "internalfabrics": (NETWORKING, "InternalFabric"),
        "wggatewayservers": (NETWORKING, "WgGatewayServer"),
        "wggatewayclients": (NETWORKING, "WgGatewayClient"),
        "wggatewayservertemplates": (NETWORKING, "WgGatewayServerTemplate"),
        "wggatewayclienttemplates": (NETWORKING, "WgGatewayClientTemplate"),
        "deployments": ("apps/v1", "Deployment"),
        "secrets": ("v1", "Secret"),
    }
)
PEER = "liqo.io/remote-cluster-id"
GATEWAY = {"networking.liqo.io/component": "gateway"}


class Site(ApiServer):
    """A cluster: its API server, and what its controllers make of what is written."""

    def __init__(self, name: str, pods: str) -> None:
        super().__init__()
        self.name = name
        self.methods: set[str] = set()
        self.refusal = ""
        """What the controller says of a gateway it cannot make; "" makes it."""
        self.lack = ""
        """What the pods of gateways say of themselves, which then never are ready."""
        self.taken_port = 0
        """A node port that another Service has."""
        self.rejection: Json = {}
        """The condition of a Configuration that is not accepted."""
        self.load_balancer = "192.0.2.1"
        """The address load balancers get; "" for a cluster without."""
        self.connection = "Connected"
        for type_, cidr in (("pod-cidr", pods), ("external-cidr", "10.70.0.0/16")):
            metadata = {"name": type_, "namespace": "liqo", "labels": {"ipam.liqo.io/network-type": type_}}
            self.create("networks", {"metadata": metadata, "spec": {"cidr": cidr}, "status": {"cidr": cidr}})
        for side in ("server", "client"):
            metadata = {"name": f"wireguard-{side}", "namespace": "liqo"}
            self.create(f"wggateway{side}templates", {"metadata": metadata})

    async def handle(self, exchange: Exchange) -> None:
        if exchange.path.endswith("/proxy/faults"):
            await exchange.respond(200, self.lack.encode())
        elif exchange.query.get("dryRun"):
            await self._try_port(exchange)
        else:
            await super().handle(exchange)

    async def _try_port(self, exchange: Exchange) -> None:
        (port,) = exchange.json()["spec"]["ports"]
        if port["nodePort"] == self.taken_port:
            said = f"spec.ports[0].nodePort: Invalid value: {self.taken_port}: provided port is already allocated"
            await exchange.fail(422, "Invalid", said)
        else:
            await exchange.respond(201, exchange.json())

    async def _act(self, exchange: Exchange, place: Place, subresource: str) -> Json:
        plural, namespace, name = place
        self.methods.add(exchange.method)
        if exchange.method == "GET" and not name:
            return {"items": self._list(plural, namespace, exchange.query), "metadata": {}}
        if exchange.method == "PUT":
            body = exchange.json()
            status = self.objects[place].get("status")
            value = self.merge(plural, namespace, name, body)
            # A merge keeps what a replacement drops; only specs are replaced here.
            value["spec"], value["status"] = body["spec"], status or {}
        else:
            value = await super()._act(exchange, place, subresource)
        if exchange.method in ("POST", "PUT"):
            self._react(plural, self.objects.get((plural, namespace, body_name(value))) or value)
        return value

    def _list(self, plural: str, namespace: str, query: dict[str, str]) -> list[Json]:
        found = [
            value
            for (kind, place, _), value in self.objects.items()
            if kind == plural and namespace in ("", place)
        ]
        if uid := query.get("fieldSelector", "").partition("involvedObject.uid=")[2]:
            found = [one for one in found if one["involvedObject"]["uid"] == uid]
        label, _, wanted = query.get("labelSelector", "").partition("=")
        if " in " not in label:
            found = [
                one
                for one in found
                if not label
                or one["metadata"].get("labels", {}).get(label) in ((wanted,) if wanted else (True,))
            ]
        return found

    def _react(self, plural: str, written: Json) -> None:
        if plural == "configurations":
            self._assign(written)
        elif plural in ("gatewayservers", "gatewayclients"):
            self._make(plural, written)
        elif plural == "publickeies":
            self._connect(written)

    def _assign(self, written: Json) -> None:
        condition = {"type": "NetworkCIDRsConfigured", "status": "True"} | self.rejection
        condition["observedGeneration"] = written["metadata"]["generation"]
        remote = {} if self.rejection else written["spec"]["remote"]
        written["status"] = {"remote": remote, "conditions": [condition]}

    def _make(self, plural: str, written: Json) -> None:
        meta = written["metadata"]
        owned = {
            "namespace": meta["namespace"],
            "name": f"gw-{meta['name']}",
            "labels": GATEWAY,
            "ownerReferences": [{"kind": written["kind"], "name": meta["name"], "uid": meta["uid"]}],
        }
        if self.refusal:
            event = {"namespace": meta["namespace"], "name": f"refusal-{self.version}"}
            about = {"involvedObject": {"uid": meta["uid"]}, "type": "Warning", "reason": "Refused"}
            self.create("events", {"metadata": event, **about, "message": self.refusal})
            return
        if self.lack:
            labels = {"networking.liqo.io/gateway-name": meta["name"]}
            pod = {"namespace": meta["namespace"], "name": owned["name"], "labels": labels}
            self.create("pods", {"metadata": pod, "spec": {}, "status": {"phase": "Running"}})
            return
        if ("deployments", meta["namespace"], owned["name"]) not in self.objects:
            key = base64.b64encode(f"{self.name}-{self.version:04}".encode().ljust(32, b".")).decode()
            self.create("deployments", {"metadata": dict(owned), "status": {"readyReplicas": 1}})
            self.create("secrets", {"metadata": dict(owned), "data": {"publicKey": key, "privateKey": "x"}})
        written["status"] = {"secretRef": {"name": owned["name"]}}
        if plural == "gatewayservers":
            self._expose(written, owned)

    def _expose(self, written: Json, owned: Json) -> None:
        endpoint = written["spec"]["endpoint"]
        spec = {"type": endpoint["serviceType"], "ports": [{"port": endpoint["port"], "protocol": "UDP"}]}
        if ("services", owned["namespace"], owned["name"]) not in self.objects:
            self.create("services", {"metadata": dict(owned), "spec": spec})
        balanced = endpoint["serviceType"] == "LoadBalancer"
        address = self.load_balancer if balanced else "192.0.2.2"
        port = endpoint["port"] if balanced else endpoint.get("nodePort", 30500)
        if address:
            written["status"]["endpoint"] = {"addresses": [address], "port": port, "protocol": "UDP"}

    def _connect(self, key: Json) -> None:
        meta = key["metadata"]
        place = ("connections", meta["namespace"], f"gw-{meta['name']}")
        if place not in self.objects:
            metadata = {
                "namespace": meta["namespace"],
                "name": place[2],
                "labels": {PEER: meta["labels"][PEER]},
                "ownerReferences": meta["ownerReferences"],
            }
            self.create("connections", {"metadata": metadata, "status": {"value": self.connection}})

    def one(self, plural: str) -> Json:
        """The only object of a kind."""
        (found,) = [value for (kind, _, _), value in self.objects.items() if kind == plural]
        return found


def body_name(value: Json) -> str:
    """The name of an object, "" for a Status."""
    return str(value.get("metadata", {}).get("name", ""))


@contextlib.asynccontextmanager
async def paired(local: Site, remote: Site) -> AsyncIterator[Pair]:
    """The two as a command has them once it knows their ids."""
    async with contextlib.AsyncExitStack() as stack:
        clusters: list[Any] = []
        for site, side in ((local, "local"), (remote, "remote")):
            server = await stack.enter_async_context(FakeServer(site.handle))
            client = await stack.enter_async_context(Client(Credentials(server.url), attempts=1))
            clusters.append(Cluster(client, side, "liqo", site.name))  # type: ignore[arg-type]
        yield Pair(clusters[0], clusters[1], f"liqo-tenant-{remote.name}", f"liqo-tenant-{local.name}")


async def join(local: Site, remote: Site, wish: NetworkWish | None = None) -> str:
    """What `network connect --wait` does after its checks; returns what the user saw."""
    wish = wish or NetworkWish()
    shown, deadline = io.StringIO(), Deadline(20)
    progress = Progress(shown, live=False)
    async with paired(local, remote) as pair:
        mine = await read_ranges(pair.local, progress, deadline)
        theirs = await read_ranges(pair.remote, progress, deadline)
        assert mine is not None
        assert theirs is not None
        await join_networks(await plan_tunnel(pair, wish, mine, theirs), wish, progress, deadline)
    return shown.getvalue()

"""Two clusters in the tests' own process whose controllers answer at once, as far as the tunnel between them goes."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import AsyncIterator

from isthmus.cli.network_check import plan_tunnel, read_ranges
from isthmus.cli.network_connect import join_networks
from isthmus.cli.network_plan import NetworkWish
from isthmus.cli.preflight import Pair
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline
from tests.apiserver import Admission, ApiServer, Change, Json, Place, StatusError, commanded
from tests.kube.fake import Exchange

PEER = "liqo.io/remote-cluster-id"
GATEWAY = {"networking.liqo.io/component": "gateway"}


class Site(ApiServer):
    """A cluster: its API server, and what its controllers make of what is written."""

    def __init__(self, name: str, pods: str) -> None:
        super().__init__()
        self.name = name
        self.refusal = ""
        """What the controller says of a gateway it cannot make; "" makes it."""
        self.lack = ""
        """What the pods of gateways say of themselves, which then never are ready."""
        self.taken_port = 0
        """A node port that another Service has."""
        self.rejection: Json = {}
        """The condition of a Configuration that is not accepted."""
        self.seen: Json = {}
        """The ranges peers are seen under; {} sees them as they are."""
        self.load_balancer = "192.0.2.1"
        """The address load balancers get; "" for a cluster without."""
        self.connection = "Connected"
        for type_, cidr in (("pod-cidr", pods), ("external-cidr", "10.70.0.0/16")):
            metadata = {"name": type_, "namespace": "liqo", "labels": {"ipam.liqo.io/network-type": type_}}
            self.create("networks", {"metadata": metadata, "spec": {"cidr": cidr}, "status": {"cidr": cidr}})
        for side in ("server", "client"):
            metadata = {"name": f"wireguard-{side}", "namespace": "liqo"}
            self.create(f"wggateway{side}templates", {"metadata": metadata})
        self.admission.append(self._allocate)
        self.respond(self._tell_faults, when=lambda request: request.path.endswith("/proxy/faults"))
        self.on_change(self._react)

    async def _tell_faults(self, exchange: Exchange) -> None:
        await exchange.respond(200, self.lack.encode())

    def _allocate(self, review: Admission) -> None:
        for port in (review.object or {}).get("spec", {}).get("ports", ()):
            if review.place.plural == "services" and port.get("nodePort", 0) == self.taken_port != 0:
                said = f"spec.ports[0].nodePort: Invalid value: {self.taken_port}: provided port is already allocated"
                raise StatusError(422, "Invalid", said)

    def _react(self, change: Change) -> None:
        if change.type == "DELETED":
            return
        if change.place.plural == "configurations":
            self._assign(change.new)
        elif change.place.plural in ("gatewayservers", "gatewayclients"):
            self._make(change.place.plural, change.new)
        elif change.place.plural == "publickeies":
            self._connect(change.new)

    def _tell(self, plural: str, about: Json, status: Json) -> None:
        meta = about["metadata"]
        place = Place(plural, meta["namespace"], meta["name"])
        self.writer.patch(place, lambda old: {**old, "status": status})

    def _assign(self, written: Json) -> None:
        condition = {"type": "NetworkCIDRsConfigured", "status": "True"} | self.rejection
        condition["observedGeneration"] = written["metadata"]["generation"]
        remote = {} if self.rejection else self.seen or written["spec"]["remote"]
        self._tell("configurations", written, {"remote": remote, "conditions": [condition]})

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
        status: Json = {"secretRef": {"name": owned["name"]}}
        if plural == "gatewayservers":
            status |= self._expose(written, owned)
        self._tell(plural, written, status)

    def _expose(self, written: Json, owned: Json) -> Json:
        endpoint = written["spec"]["endpoint"]
        spec = {"type": endpoint["serviceType"], "ports": [{"port": endpoint["port"], "protocol": "UDP"}]}
        if ("services", owned["namespace"], owned["name"]) not in self.objects:
            self.create("services", {"metadata": dict(owned), "spec": spec})
        balanced = endpoint["serviceType"] == "LoadBalancer"
        address = self.load_balancer if balanced else "192.0.2.2"
        port = endpoint["port"] if balanced else endpoint.get("nodePort", 30500)
        if not address:
            return {}
        return {"endpoint": {"addresses": [address], "port": port, "protocol": "UDP"}}

    def _connect(self, key: Json) -> None:
        meta = key["metadata"]
        place = ("connections", meta["namespace"], f"gw-{meta['name']}")
        if place not in self.objects:
            metadata = {
                "namespace": meta["namespace"],
                "name": place[2],
                "labels": {PEER: meta["labels"][PEER]},
                "ownerReferences": meta.get("ownerReferences", []),
            }
            self.create("connections", {"metadata": metadata, "status": {"value": self.connection}})

    def one(self, plural: str) -> Json:
        """The only object of a kind."""
        (found,) = self.list(plural)
        return found


@contextlib.asynccontextmanager
async def paired(local: Site, remote: Site) -> AsyncIterator[Pair]:
    """The two as a command has them once it knows their ids."""
    async with (
        commanded(local, "local", local.name) as one,
        commanded(remote, "remote", remote.name) as other,
    ):
        yield Pair(one, other, f"liqo-tenant-{remote.name}", f"liqo-tenant-{local.name}")


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

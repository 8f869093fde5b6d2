"""Two joined clusters for `isthmus test network`: what schedulers, kubelets, Services and providers do, played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from isthmus.cli.nettest.manifests import BEHIND_SERVICE, NAMESPACE
from isthmus.cli.nettest.probes import Probe, Result, Results, Work
from isthmus.kube.remote_command import Output
from tests.apiserver import ApiServer, Change, Json, Place
from tests.cli.played import PEER, Duo

TWIN = f"{NAMESPACE}-rome"
READY = [{"type": "Ready", "status": "True"}]
NODES = {"rome": {"r1": "172.18.1.1", "r2": "172.18.1.2"}, "milan": {"m1": "172.18.2.1"}}


def place_node(api: ApiServer, name: str, address: str = "", *, ready: str = "True", peer: str = "") -> None:
    """Place a Node, a virtual one where it is of a peer."""
    labels = {"liqo.io/type": "virtual-node", PEER: peer} if peer else {}
    addresses = [{"type": "InternalIP", "address": address}] if address else []
    status = {"conditions": [{"type": "Ready", "status": ready}], "addresses": addresses}
    api.create("nodes", {"metadata": {"name": name, "labels": labels}, "status": status})


def node_of(pod: Json) -> str:
    """The node a probe pod is made for."""
    affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(affinity["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])


@dataclass(eq=False)
class Stage:
    """The two clusters, and how probes end there."""

    duo: Duo
    passes: Callable[[str, Probe], str] = lambda pod, probe: ""
    """What goes wrong with a probe of a pod (`rome/pod-r1`), "" for nothing."""
    idle: set[str] = field(default_factory=set)
    """The kinds that nobody looks after."""
    pod_status: Json = field(default_factory=dict)
    """What pods say instead of being ready."""
    batches: list[tuple[str, Work]] = field(default_factory=list)
    """What each pod was asked to do."""

    def __post_init__(self) -> None:
        for name, api in (("rome", self.duo.rome), ("milan", self.duo.milan)):
            for node, address in NODES[name].items():
                place_node(api, node, address)
            endpoint = {
                "addresses": [{"ip": f"172.18.{1 if name == 'rome' else 2}.9"}],
                "ports": [{"port": 6443}],
            }
            metadata = {"namespace": "default", "name": "kubernetes"}
            api.create("endpoints", {"metadata": metadata, "subsets": [endpoint]})
            api.on_change(self._reacting(api))

    def _reacting(self, api: ApiServer) -> Callable[[Change], None]:
        def react(change: Change) -> None:
            plural, gone = change.place.plural, change.type == "DELETED"
            if change.place.namespace not in (NAMESPACE, TWIN) or plural in self.idle or gone:
                return
            if plural == "pods" and change.type == "ADDED":
                self._start(api, change.place, change.new)
            elif plural == "services":
                self._serve(api, change.place, change.new)
            elif plural == "ips":
                api.merge(*change.place, {"status": {"ip": "10.70.0.3"}})
            elif plural == "namespaceoffloadings":
                self._extend(api, change)

        return react

    def _start(self, api: ApiServer, place: Place, pod: Json) -> None:
        node = node_of(pod)
        number = len(api.list("pods"))
        own = NODES["rome" if api is self.duo.rome else "milan"]
        abroad = node not in own
        pods = "10.201" if abroad or api is self.duo.milan else "10.200"
        address = own[node] if pod["spec"].get("hostNetwork") else f"{pods}.{9 if abroad else 0}.{number}"
        api.merge(
            *place, {"status": self.pod_status or {"phase": "Running", "podIP": address, "conditions": READY}}
        )
        self._tell_endpoints(api)

    def _serve(self, api: ApiServer, place: Place, service: Json) -> None:
        if "clusterIP" not in service["spec"]:
            ports = [port | {"nodePort": 30001 + n} for n, port in enumerate(service["spec"]["ports"])]
            api.merge(*place, {"spec": {"clusterIP": f"10.96.0.{api.version % 250}", "ports": ports}})
        if service["spec"].get("type") == "LoadBalancer" and "loadbalancers" not in self.idle:
            api.merge(*place, {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}]}}})
        self._tell_endpoints(api)

    def _tell_endpoints(self, api: ApiServer) -> None:
        """Name the pods of the Service where it is, and where it is reflected to."""
        if "endpointslices" in self.idle:
            return
        pods = [
            one
            for one in api.list("pods", NAMESPACE)
            if BEHIND_SERVICE.items() <= one["metadata"]["labels"].items()
        ]
        addresses = [one["status"]["podIP"] for one in pods if one.get("status", {}).get("podIP")]
        places = [(api, NAMESPACE)] + ([(self.duo.milan, TWIN)] if api is self.duo.rome else [])
        for where, namespace in places:
            if where.get("services", namespace, "probe") is not None:
                labels = {"kubernetes.io/service-name": "probe"}
                metadata = {"namespace": namespace, "name": "probe-1", "labels": labels}
                endpoints = [{"addresses": [one]} for one in addresses]
                where.put(
                    "endpointslices", {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints}
                )

    def _extend(self, api: ApiServer, change: Change) -> None:
        if self.duo.milan.get("namespaces", "", TWIN) is None:
            self.duo.milan.create("namespaces", {"metadata": {"name": TWIN}})
            service = {"metadata": {"namespace": TWIN, "name": "probe"}, "spec": {"ports": [{"name": "tcp"}]}}
            self.duo.milan.create("services", service)
        seen = {"observedGeneration": change.new["metadata"]["generation"], "remoteNamespaceName": TWIN}
        api.merge(*change.place, {"status": {"offloadingPhase": "Ready"} | seen})

    async def run_command(self, client: object, *words: object, stdin: bytes, timeout: float) -> Output:
        """Stands for the exec in a probe pod."""
        work = msgspec.json.decode(stdin, type=Work)
        server = client.credentials.server  # type: ignore[attr-defined]
        pod = f"{'rome' if server == self.duo.rome.url else 'milan'}/{words[1]}"
        self.batches.append((pod, work))
        told = [(one.id, self.passes(pod, one)) for one in work.probes]
        results = [Result(number, not problem, 1.5, problem) for number, problem in told]
        return Output(msgspec.json.encode(Results(results)), b"", 0)

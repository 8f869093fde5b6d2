"""`isthmus info` as a whole command: what it tells people and programs of an installation and its peers."""

from __future__ import annotations

import json

import pytest
import yaml

from isthmus.api import names
from tests.apiserver import Json
from tests.cli.played import HERE, PEER, Duo, failure

CONSUMER = names.resource_slice_user("gpu", "turin")


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def module(*conditions: Json) -> Json:
    return {"enabled": bool(conditions), "conditions": list(conditions)}


def place_peer(duo: Duo, *, node: str = "Ready", identity: str = "Ready", reason: str = "") -> None:
    """The ForeignCluster of milan, as its controller would have it."""
    modules = {
        "networking": module(),
        "authentication": module(condition("AuthIdentityControlPlaneStatus", identity, reason)),
        "offloading": module(condition("OffloadingNodeStatus", node)),
    }
    server = [condition("APIServerStatus", "Established")]
    status = {
        "role": "Provider",
        "apiServerUrl": "https://milan:6443",
        "modules": modules,
        "conditions": server,
    }
    spec = {"clusterID": "milan"}
    duo.rome.put("foreignclusters", {"metadata": {"name": "milan"}, "spec": spec, "status": status})


def place_pod(
    duo: Duo, name: str, node: str = "", cpu: str = "1", namespace: str = "shop", **status: object
) -> None:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    spec = {"nodeName": node, "containers": [container]}
    metadata = {"namespace": namespace, "name": name}
    duo.rome.create("pods", {"metadata": metadata, "spec": spec, "status": {"phase": "Pending", **status}})


@pytest.fixture
async def peered(duo: Duo) -> Duo:
    """Rome consumes milan, with a virtual node of two CPUs."""
    assert (await duo("peer", "--networking-disabled", "--cpu", "2")).code == 0
    duo.rome.merge("virtualnodes", HERE, "milan", {"spec": {"resourceQuota": {"hard": {"cpu": "2"}}}})
    place_peer(duo)
    return duo


async def test_an_installation_alone(duo: Duo) -> None:
    ended = await duo.alone("info")
    assert ended.out.splitlines() == [
        "Installation",
        "  Cluster ID: rome",
        "  Version:    1.2.3",
        f"  API server: {duo.rome.url}",
        "",
        "Health",
        "  no pods: the controller does not run",
        "",
        "Network",
        "  the networking module is not installed",
        "",
        "Peerings",
        "  none; see isthmus peer --help",
        "",
        "Offloaded namespaces",
        "  none; see isthmus offload --help",
    ]
    assert (await duo.alone("info", "peer")).out == "no peers; see isthmus peer --help\n"
    told = failure(await duo.alone("info", "peer", "milan"))
    assert told == 'the local cluster "rome" is not peered with "milan": it has no peers; see isthmus peer'


async def test_an_installation_in_use(peered: Duo) -> None:
    place_peer(peered, node="NotReady")
    place_pod(
        peered,
        "controller",
        "worker",
        namespace="liqo",
        phase="Running",
        containerStatuses=[{"restartCount": 3}],
    )
    status = {"offloadingPhase": "Ready", "remoteNamespaceName": "shop-rome"}
    metadata = {"namespace": "shop", "name": "offloading"}
    spec = {"podOffloadingStrategy": "Remote"}
    peered.rome.create("namespaceoffloadings", {"metadata": metadata, "spec": spec, "status": status})
    lines = (await peered.alone("info")).out.splitlines()
    assert ["controller", "Running", "0/1", "3"] in [line.split() for line in lines]
    assert ["milan", "Provider", "Healthy", "Unhealthy", "Disabled"] in [line.split() for line in lines]
    assert "  ! isthmus info peer milan says what is wrong and what to do" in lines
    assert ["shop", "shop-rome", "Remote", "Ready"] in [line.split() for line in lines]
    report = json.loads((await peered.alone("info", "-o", "json")).out)
    assert report["health"]["unhealthyPods"]["controller"]["restarts"] == 3
    assert report["peerings"]["peers"][0]["offloadingStatus"] == "Unhealthy"
    ended = await peered.alone("info", "--get", "peerings.peers.milan.role")
    assert ended.out == "Provider\n"
    ended = await peered.alone("info", "--get", "namespaces", "-o", "yaml")
    assert yaml.safe_load(ended.out)[0]["podOffloadingStrategy"] == "Remote"


async def test_a_peer_that_is_well(peered: Duo) -> None:
    place_pod(peered, "web", "milan", cpu="500m", phase="Running")
    place_pod(peered, "done", "milan", cpu="1", phase="Succeeded")
    ended = await peered.alone("info", "peer", "milan")
    assert ended.out.splitlines() == [
        "milan (Provider)",
        "  Authentication: Healthy",
        "    API server: https://milan:6443",
        "    Resource slice milan: consuming, accepted (cpu 2, memory 8Gi, pods 110)",
        "  Offloading: Healthy",
        "    Virtual node milan: Ready (cpu 500m of 2)",
        "  Networking: Disabled",
    ]
    ended = await peered.alone("info", "peer", "milan", "--get", "offloading.virtualnodes")
    assert json.loads(ended.out)[0]["used"] == {"cpu": "500m"}


async def test_pods_that_wait_are_told_with_what_would_help(peered: Duo) -> None:
    metadata = {"namespace": "shop", "name": "offloading"}
    peered.rome.create(
        "namespaceoffloadings", {"metadata": metadata, "spec": {"podOffloadingStrategy": "Remote"}}
    )
    place_pod(peered, "web", "milan", cpu="1500m", phase="Running")
    unschedulable = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    place_pod(peered, "big", cpu="1", conditions=unschedulable)
    place_pod(peered, "elsewhere", cpu="1", namespace="market", conditions=unschedulable)
    for name, why in (("more", "the quota of rome is used up"), ("new", "milan is cordoned")):
        place_pod(peered, name, "milan", cpu="0", reason="FailedReflection", message=why)
    alerts = (await peered.alone("info", "peer", "milan", "--get", "offloading.alerts")).out.splitlines()
    more = (
        "end pods that run there, or ask for more with isthmus create resourceslice milan --remote-cluster-id milan "
        "--cpu N --memory N --pods N"
    )
    assert alerts == [
        "1 pod on virtual node milan waits: milan refuses shop/more (the quota of rome is used up): " + more,
        "1 pod on virtual node milan waits: milan refuses shop/new (milan is cordoned): its operator lets pods in "
        "again with isthmus uncordon tenant rome, or isthmus uncordon resourceslice milan --remote-cluster-id rome",
        "virtual node milan is full: 1 pod waits for room, such as shop/big, which asks for cpu 1 of 500m free: "
        + more,
    ]


@pytest.mark.parametrize(
    ("change", "state", "alert"),
    [
        ({"spec": {"unschedulable": True}}, "Ready,SchedulingDisabled", ""),
        (
            {"status": {"conditions": [condition("Ready", "False", "NoTunnel", "the tunnel is down")]}},
            "NotReady",
            "virtual node milan is not ready: the tunnel is down",
        ),
        (None, "Missing", ""),
    ],
)
async def test_the_state_of_a_virtual_node(peered: Duo, change: Json | None, state: str, alert: str) -> None:
    if change is None:
        peered.rome.delete("nodes", "", "milan")
    else:
        peered.rome.merge("nodes", "", "milan", change)
    out = (await peered.alone("info", "peer")).out
    assert f"    Virtual node milan: {state} (cpu 2)\n" in out
    assert (f"    ! {alert}\n" in out) == bool(alert)
    peered.rome.merge("virtualnodes", HERE, "milan", {"spec": {"createNode": False}})
    assert "Virtual node milan: NoNode" in (await peered.alone("info", "peer")).out


async def test_what_a_consumer_uses_here(duo: Duo) -> None:
    labels = {"liqo.io/replicated": "true", "liqo.io/originID": "turin", PEER: "turin"}
    accepted = [condition(kind, "Accepted") for kind in ("Authentication", "Resources")]
    slice_ = {"namespace": "liqo-tenant-turin", "name": "gpu", "labels": labels}
    cordoned = slice_ | {"annotations": {"liqo.io/cordon": "true"}}
    status = {"conditions": accepted, "resources": {"cpu": "4"}}
    duo.consumer.idle.add("resourceslices")
    spec: Json = {"consumerClusterID": "turin"}
    duo.rome.create("resourceslices", {"metadata": cordoned, "spec": spec, "status": status})
    tenant = {"namespace": "liqo-tenant-turin", "name": "turin"}
    spec = {"clusterID": "turin", "tenantCondition": "Cordoned"}
    duo.consumer.idle.add("tenants")
    duo.rome.create("tenants", {"metadata": tenant, "spec": spec})
    for name, cpu, phase in (("a", "1", "Running"), ("b", "500m", "Pending"), ("c", "1", "Failed")):
        metadata = {"namespace": "shop", "name": name, "labels": {"liqo.io/creator-user": CONSUMER}}
        container = {"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}
        pod = {"pod": {"containers": [container]}}
        duo.rome.create("shadowpods", {"metadata": metadata, "spec": pod, "status": {"phase": phase}})
    consumer = {"metadata": {"name": "turin"}, "spec": {"clusterID": "turin"}, "status": {"role": "Consumer"}}
    duo.rome.create("foreignclusters", consumer)
    out = (await duo.alone("info", "peer", "turin")).out
    assert "    Resource slice gpu: providing, accepted, cordoned (cpu 1500m of 4)\n" in out
    assert "! turin is cordoned and gets nothing new here: isthmus uncordon tenant turin ends that" in out


async def test_who_may_not_look_at_pods_is_told_the_rest(peered: Duo) -> None:
    peered.rome.fail(
        403, "Forbidden", times=None, verb="list", plural="pods", when=lambda one: not one.namespace
    )
    ended = await peered.alone("info", "peer", "milan")
    assert "Virtual node milan: Ready (cpu 2)" in ended.out
    told = failure(await peered.alone("info", "peer", "turin"))
    assert told == 'the local cluster "rome" is not peered with "turin": its peers are milan'


async def test_networks_of_a_peer(sites: Duo) -> None:
    assert (await sites("network", "connect", "--gw-server-service-type", "NodePort", "--wait")).code == 0
    out = (await sites.alone("info", "peer", "milan")).out
    assert "  Networking: Healthy\n" in out
    assert [line.split(":", 1)[1].strip() for line in out.splitlines()[4:7]] == [
        "Client, 192.0.2.2:30500/UDP, MTU 1340",
        "Connected",
        "10.201.0.0/16",
    ]
    out = (await sites.alone("info")).out
    assert "Pod CIDRs:     10.200.0.0/16\n" in out
    assert "liqo/wireguard-server, liqo/wireguard-client\n" in out
    sites.rome.merge("connections", HERE, "gw-milan", {"status": {"value": "Error"}})
    out = (await sites.alone("info", "peer", "milan")).out
    assert "Networking: Unhealthy" in out
    assert "! milan's gateway at 192.0.2.2:30500/UDP does not answer: open the port there" in out


async def test_what_cannot_be_shown(duo: Duo) -> None:
    told = failure(await duo.alone("info", "everything"), code=2)
    assert told == '"everything" is nothing to show: leave it out, or write "peer [ID]..."'
    duo.rome.fail(403, "Forbidden", "you may not list foreignclusters", verb="list", plural="foreignclusters")
    told = failure(await duo.alone("info"))
    assert told.startswith('reading the installation in the local cluster "rome" is not allowed (')
    assert told.endswith("use a --kubeconfig whose user has this permission")
    duo.rome.kinds.drop("foreignclusters")
    told = failure(await duo.alone("info"))
    assert "does not have the CRDs of Isthmus (missing: foreignclusters.core.liqo.io)" in told

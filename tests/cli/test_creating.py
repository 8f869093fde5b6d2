"""`isthmus create`: one object of a peering at a time, in one cluster."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml

from isthmus.cli import network_connect
from isthmus.peering.secret_data import encode
from tests.apiserver import Json
from tests.cli.played import HERE, NONCE, OFFERED, PEER, Duo, conditions, failure, tenant_namespace

KEY = base64.b64encode(b"k" * 32).decode()
OF_MILAN = ("--remote-cluster-id", "milan")
RANGES = ("--remote-pod-cidr", "10.201.0.0/16", "--remote-external-cidr", "10.71.0.0/16")


def made(duo: Duo, plural: str, name: str = "milan") -> Json:
    found = duo.rome.get(plural, HERE, name)
    assert found is not None
    assert found["metadata"]["labels"][PEER] == "milan"
    return found


async def test_a_nonce_is_made_once_in_a_namespace_for_the_consumer(duo: Duo) -> None:
    ended = await duo.alone("create", "nonce", *OF_MILAN)
    assert (ended.code, ended.out) == (
        0,
        "milan can sign what isthmus get nonce --remote-cluster-id milan prints\n",
    ), ended.err
    assert duo.journal == [f"rome: create namespaces {HERE}", f"rome: create secrets {HERE}/liqo-nonce"]
    ended = await duo.alone("get", "nonce", *OF_MILAN)
    assert ended.out == base64.b64decode(NONCE).decode() + "\n"
    ended = await duo.alone("create", "nonce", *OF_MILAN)
    assert (ended.code, len(duo.journal)) == (0, 2)


async def test_a_nonce_that_nobody_fills(duo: Duo) -> None:
    duo.consumer.idle.add("secrets")
    ended = await duo.alone("create", "nonce", *OF_MILAN, "--wait=false")
    assert (ended.code, ended.out) == (0, "the nonce for milan is asked for\n")
    told = failure(await duo.alone("get", "nonce", *OF_MILAN))
    assert told == (
        f'the local cluster "rome" has no nonce in Secret {HERE}/liqo-nonce: run isthmus create nonce '
        "--remote-cluster-id milan"
    )
    told = failure(await duo.alone("create", "nonce", *OF_MILAN, "--timeout", "3s"))
    assert told.startswith(f'the local cluster "rome" did not fill Secret {HERE}/liqo-nonce within 3.0 s')
    assert told.endswith("look at the log of the controller in namespace liqo of rome, then run this again")


@pytest.mark.parametrize(
    ("words", "plural", "said"),
    [
        (("configuration", *RANGES), "configurations", "rome: configuration milan created\n"),
        (
            ("gatewayserver", "--service-type", "NodePort"),
            "gatewayservers",
            "gateway server milan for milan is there\n",
        ),
        (
            ("gatewayclient", "--addresses", "203.0.113.7", "--port", "51840"),
            "gatewayclients",
            "gateway client milan for milan is there\n",
        ),
        (("publickey", "--public-key", KEY), "publickeies", "rome has the key of milan\n"),
    ],
)
async def test_each_object_of_a_tunnel_is_made_printed_and_changed(
    sites: Duo, words: tuple[str, ...], plural: str, said: str
) -> None:
    ended = await sites.alone("create", *words, *OF_MILAN, "-o", "yaml")
    printed = yaml.safe_load(ended.out)
    assert sites.journal == []
    ended = await sites.alone("create", *words, *OF_MILAN)
    assert (ended.code, ended.out) == (0, said), ended.err
    assert sites.journal[-1] == f"rome: create {plural} {HERE}/milan"
    assert made(sites, plural)["spec"] == printed["spec"]
    sites.journal.clear()
    assert (await sites.alone("create", *words, *OF_MILAN)).code == 0
    assert sites.journal == []
    kind, verb = printed["kind"], words[0]
    told = failure(await sites.alone("create", verb, "another", *words[1:], *OF_MILAN))
    assert told == (
        f"{kind} {HERE}/milan is for milan already, and a peer has one: change that one by its name, or delete it "
        f"with isthmus delete {verb} milan"
    )


async def test_ranges_are_waited_for(sites: Duo) -> None:
    ended = await sites.alone("create", "configuration", *RANGES, *OF_MILAN, "--wait")
    assert "Address ranges of milan assigned: pods 10.201.0.0/16, external 10.71.0.0/16" in ended.err
    said = {"status": "False", "reason": "InvalidRemoteCIDRs", "message": "10.201.0.0/16 is not to be"}
    sites.rome.rejection = said  # type: ignore[attr-defined]
    ranges = ("--remote-pod-cidr", "10.99.0.0/16", *RANGES[2:])
    told = failure(await sites.alone("create", "configuration", *ranges, *OF_MILAN, "--wait"))
    assert told.startswith(
        f"rome does not accept the address ranges in Configuration {HERE}/milan: 10.201.0.0/16 is not to be"
    )


async def test_gateways_are_waited_for(sites: Duo) -> None:
    server = (
        "create",
        "gatewayserver",
        "gate",
        "--service-type",
        "NodePort",
        "--node-port",
        "31000",
        *OF_MILAN,
    )
    ended = await sites.alone(*server, "--mtu", "1300", "--wait")
    assert (ended.code, ended.out) == (0, "gateway server gate for milan is there\n"), ended.err
    assert "Address of the gateway server: 192.0.2.2:31000/UDP" in ended.err
    spec = made(sites, "gatewayservers", "gate")["spec"]
    assert (spec["mtu"], spec["endpoint"]) == (
        1300,
        {"port": 51840, "serviceType": "NodePort", "nodePort": 31000},
    )
    client = (
        "create",
        "gatewayclient",
        *OF_MILAN,
        "--addresses",
        "milan.example,203.0.113.7",
        "--port",
        "4000",
    )
    ended = await sites.alone(*client, "--wait")
    assert (ended.code, ended.out) == (0, "gateway client milan for milan is there\n"), ended.err
    endpoint = made(sites, "gatewayclients")["spec"]["endpoint"]
    assert endpoint == {"addresses": ["milan.example", "203.0.113.7"], "port": 4000, "protocol": "UDP"}


async def test_a_gateway_that_does_not_run_is_told(sites: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_connect, "REFUSAL_PATIENCE", 0.0)
    sites.rome.refusal = "template liqo/wireguard-client is not there"  # type: ignore[attr-defined]
    client = ("create", "gatewayclient", *OF_MILAN, "--addresses", "203.0.113.7", "--port", "4000")
    told = failure(await sites.alone(*client, "--wait"))
    assert "Refused: template liqo/wireguard-client is not there" in told


async def test_the_flags_of_a_server_that_contradict_each_other(sites: Duo) -> None:
    told = failure(
        await sites.alone("create", "gatewayserver", *OF_MILAN, "--load-balancer-ip", "1.2.3"), code=2
    )
    assert told == "--load-balancer-ip: '1.2.3' is not a valid IPv4 address: write for instance 10.1.2.3"
    assert sites.journal == []


async def test_a_tenant_namespace_by_name(duo: Duo) -> None:
    key = ("create", "publickey", *OF_MILAN, "--public-key", KEY, "--tenant-namespace", "guests")
    assert (await duo.alone(*key)).code == 0
    assert duo.rome.get("publickeies", "guests", "milan") is not None
    told = failure(await duo.alone(*key[:-1], "others"))
    assert told == '--tenant-namespace "others": the tenant namespace of milan is guests: leave it out'


SLICE = ("create", "virtualnode", *OF_MILAN, "--resource-slice-name", "milan")


def place_slice(duo: Duo, **status: Any) -> None:
    duo.consumer.idle.add("resourceslices")
    tenant_namespace(duo.rome, "milan")
    labels = {"liqo.io/replication": "true", "liqo.io/remoteID": "milan", PEER: "milan"}
    metadata = {"namespace": HERE, "name": "milan", "labels": labels}
    spec = {"class": "default", "providerClusterID": "milan"}
    duo.rome.create("resourceslices", {"metadata": metadata, "spec": spec, "status": status})


def place_kubeconfig(duo: Duo, name: str) -> None:
    data = {"kubeconfig": encode("a kubeconfig")}
    duo.rome.create("secrets", {"metadata": {"namespace": HERE, "name": name}, "data": data})


async def test_a_virtual_node_of_a_granted_slice(duo: Duo) -> None:
    place_slice(duo, conditions=conditions("Accepted"), resources=OFFERED)
    told = failure(await duo.alone(*SLICE))
    assert told.startswith(
        f"Secret {HERE}/kubeconfig-resourceslice-milan with key kubeconfig is not in the local"
    )
    place_kubeconfig(duo, "kubeconfig-resourceslice-milan")
    ended = await duo.alone(*SLICE, "--cpu", "2", "--labels", "tier=test")
    assert (ended.code, ended.out) == (0, "virtual node milan of milan is there\n"), ended.err
    found = duo.rome.get("virtualnodes", HERE, "milan")
    assert found["spec"]["resourceQuota"]["hard"] == OFFERED | {"cpu": "2"}
    assert found["spec"]["labels"]["tier"] == "test"
    assert found["spec"]["kubeconfigSecretRef"] == {"name": "kubeconfig-resourceslice-milan"}
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], "controller" in owner) == ("ResourceSlice", "milan", False)
    duo.rome.delete("resourceslices", HERE, "milan")
    assert duo.rome.get("virtualnodes", HERE, "milan") is None


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            None,
            "has no such slice in liqo-tenant-milan: run isthmus create resourceslice milan --remote-cluster-id milan",
        ),
        ({}, "milan has not granted it: see isthmus get resourceslice --remote-cluster-id milan"),
        ({"conditions": conditions("Denied")}, "milan has not granted it"),
    ],
)
async def test_a_virtual_node_of_a_slice_that_is_not_granted(
    duo: Duo, status: Json | None, said: str
) -> None:
    if status is None:
        tenant_namespace(duo.rome, "milan")
    else:
        place_slice(duo, **status)
    told = failure(await duo.alone(*SLICE))
    assert told.startswith('--resource-slice-name "milan": ')
    assert said in told
    assert duo.journal == []


async def test_a_virtual_node_of_a_kubeconfig_one_brought(duo: Duo) -> None:
    tenant_namespace(duo.rome, "milan")
    words = ("create", "virtualnode", "abroad", *OF_MILAN, "--kubeconfig-secret-name", "mine")
    told = failure(await duo.alone(*words))
    assert told.endswith("create it, or name another with --kubeconfig-secret-name")
    place_kubeconfig(duo, "mine")
    ended = await duo.alone(*words, "-o", "json", "--create-node=false")
    shown = json.loads(ended.out)
    assert shown["spec"] == {
        "clusterID": "milan",
        "kubeconfigSecretRef": {"name": "mine"},
        "resourceQuota": {"hard": {"cpu": "2", "memory": "4Gi", "pods": "110"}},
        "createNode": False,
    }
    assert duo.journal == []
    duo.consumer.idle.add("virtualnodes")
    ended = await duo.alone(*words, "--create-node=false")
    assert (ended.code, ended.out) == (0, "virtual node abroad of milan is there\n"), (
        "without a Node none is waited for"
    )
    ended = await duo.alone(*words, "--wait=false", "--disable-network-check", "--memory", "1Gi")
    assert ended.code == 0
    spec = duo.rome.get("virtualnodes", HERE, "abroad")["spec"]
    assert (spec["disableNetworkCheck"], spec["resourceQuota"]["hard"]["memory"]) == (True, "1Gi")
    told = failure(await duo.alone(*words, "--timeout", "3s"))
    assert told.startswith(
        'virtual node abroad of the local cluster "rome" did not become Ready within 3.0 s'
    )

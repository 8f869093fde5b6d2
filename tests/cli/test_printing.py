"""`isthmus generate` and `isthmus get`: what the other operator is to apply, and what is shown of this cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
import yaml

from tests.apiserver import Json
from tests.cli.played import HERE, NONCE, PEER, THERE, Duo, conditions, failure, tenant_namespace

OF_MILAN = ("--remote-cluster-id", "milan")
SIGN = ("generate", "tenant", *OF_MILAN, "--nonce", base64.b64decode(NONCE).decode())


async def test_address_ranges_for_the_other_cluster(sites: Duo) -> None:
    ended = await sites.alone("generate", "configuration")
    assert yaml.safe_load(ended.out) == {
        "apiVersion": "networking.liqo.io/v1beta1",
        "kind": "Configuration",
        "metadata": {"name": "rome", "labels": {PEER: "rome"}},
        "spec": {"remote": {"cidr": {"pod": ["10.200.0.0/16"], "external": ["10.70.0.0/16"]}}},
    }
    assert "· (rome) apply it in the other cluster: kubectl apply -n liqo-tenant-rome -f FILE" in ended.err
    ended = await sites.alone(
        "generate", "configuration", "--remote-tenant-namespace", "guests", "-o", "json"
    )
    assert json.loads(ended.out)["metadata"]["namespace"] == "guests"
    assert "kubectl apply -f FILE" in ended.err
    sites.rome.delete("networks", "liqo", "pod-cidr")
    told = failure(await sites.alone("generate", "configuration"))
    assert told.startswith('the local cluster "rome" has no networking module, so no address ranges to tell')


async def test_the_key_of_a_gateway_for_the_other_cluster(sites: Duo) -> None:
    words = ("generate", "publickey", "--gateway-type", "client", "--gateway-name")
    told = failure(await sites.alone(*words, "milan"))
    assert told == '--gateway-name "milan": the local cluster "rome" has no such GatewayClient: there is none'
    await sites("network", "connect", "--gw-server-service-type", "NodePort", "--disable-sharing-keys")
    told = failure(await sites.alone(*words, "turin"))
    assert told.endswith(f"there is {HERE}/milan")
    ended = await sites.alone(*words, "milan")
    shown = yaml.safe_load(ended.out)
    secret = sites.rome.get("secrets", HERE, "gw-milan")
    assert (shown["kind"], shown["spec"]["publicKey"]) == ("PublicKey", secret["data"]["publicKey"])
    assert "apply it in cluster milan: kubectl apply -n liqo-tenant-rome" in ended.err
    sites.rome.create("gatewayclients", {"metadata": {"namespace": "other", "name": "milan"}, "spec": {}})
    told = failure(await sites.alone(*words, "milan"))
    assert (
        told
        == f'--gateway-name "milan": there is one in each of {HERE}, other: say which with --tenant-namespace'
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda duo: duo.rome.merge("secrets", HERE, "gw-milan", {"data": {"publicKey": None}}),
            "told no key of its gateway within 1 min 0 s (Secret gw-milan has no public key yet)",
        ),
        (
            lambda duo: duo.rome.merge(
                "gatewayclients", HERE, "milan", {"status": {"secretRef": {"name": ""}}}
            ),
            f"(GatewayClient {HERE}/milan names no key Secret yet): look at the status of GatewayClient {HERE}/milan",
        ),
        (
            lambda duo: duo.rome.merge("secrets", HERE, "gw-milan", {"data": {"publicKey": "c2hvcnQ="}}),
            "has a public key that is not 32 bytes long: delete the Secret that",
        ),
    ],
)
async def test_a_key_that_is_not_there(sites: Duo, spoil: Callable[[Duo], object], said: str) -> None:
    await sites("network", "connect", "--gw-server-service-type", "NodePort", "--disable-sharing-keys")
    sites.rome.store.listeners.clear()
    spoil(sites)
    told = failure(
        await sites.alone("generate", "publickey", "--gateway-type", "client", "--gateway-name", "milan")
    )
    assert said in told


async def test_a_tenant_for_the_provider_with_the_signed_nonce(duo: Duo) -> None:
    ended = await duo.alone(*SIGN, "--proxy-url", "http://p:8118", "--remote-tenant-namespace", THERE)
    assert ended.code == 0, ended.err
    shown = yaml.safe_load(ended.out)
    assert (shown["kind"], shown["metadata"]) == (
        "Tenant",
        {"name": "rome", "namespace": THERE, "labels": {PEER: "rome"}},
    )
    signed = duo.rome.get("secrets", HERE, "liqo-signed-nonce")["data"]
    assert (shown["spec"]["signature"], signed["nonce"]) == (signed["signedNonce"], NONCE)
    assert shown["spec"]["proxyURL"] == "http://p:8118"
    assert "PRIVATE" not in ended.out
    assert duo.journal == [
        f"rome: create namespaces {HERE}",
        f"rome: create secrets {HERE}/liqo-signed-nonce",
    ]
    again = await duo.alone(*SIGN[:4], "--remote-tenant-namespace", THERE)
    assert yaml.safe_load(again.out)["spec"]["signature"] == shown["spec"]["signature"], (
        "the nonce signed before"
    )


async def test_a_tenant_without_any_nonce(duo: Duo) -> None:
    told = failure(await duo.alone(*SIGN[:4]))
    assert told == (
        'no nonce of milan was signed in the local cluster "rome" before: give it with --nonce; isthmus get nonce '
        "--remote-cluster-id rome prints it in milan"
    )
    assert duo.journal == []


async def test_two_operators_peer_by_what_they_send_each_other(duo: Duo) -> None:
    """Each runs commands in a cluster of their own only."""
    assert (await duo.alone("create", "nonce", "--remote-cluster-id", "rome", where="milan")).code == 0
    nonce = (await duo.alone("get", "nonce", "--remote-cluster-id", "rome", where="milan")).out
    told = failure(await duo.alone("generate", "identity", "--remote-cluster-id", "rome", where="milan"))
    assert told.endswith("apply what isthmus generate tenant --remote-cluster-id milan printed in rome")
    tenant = (await duo.alone(*SIGN[:4], "--nonce", nonce)).out
    duo.milan.create(
        "tenants", {**(shown := yaml.safe_load(tenant)), "metadata": shown["metadata"] | {"namespace": THERE}}
    )
    ended = await duo.alone("generate", "identity", "--remote-cluster-id", "rome", where="milan")
    assert "apply it in cluster rome: kubectl apply -n liqo-tenant-milan -f FILE" in ended.err
    identity = yaml.safe_load(ended.out)
    assert (identity["kind"], identity["metadata"]["name"]) == ("Identity", "controlplane-milan")
    assert (identity["spec"]["namespace"], identity["spec"]["authParams"]["apiServer"]) == (
        THERE,
        duo.milan.url,
    )
    told = failure(await duo.alone("get", "kubeconfig", *OF_MILAN))
    assert told.endswith(
        "this cluster is not authenticated with milan: see isthmus peer and isthmus authenticate"
    )
    duo.rome.create("identities", {**identity, "metadata": identity["metadata"] | {"namespace": HERE}})
    assert (await duo.alone("get", "kubeconfig", *OF_MILAN)).out == "a kubeconfig\n"
    assert (await duo.alone("create", "resourceslice", *OF_MILAN)).code == 0


async def test_a_tenant_that_is_not_admitted_is_told_why(duo: Duo) -> None:
    duo.provider.idle.add("tenants")
    tenant_namespace(duo.milan, "rome")
    made = duo.milan.create("tenants", {"metadata": {"namespace": THERE, "name": "rome"}, "spec": {}})
    event: Json = {
        "metadata": {"namespace": THERE, "name": "refusal"},
        "type": "Warning",
        "reason": "Refused",
    }
    about = {"involvedObject": {"uid": made["metadata"]["uid"]}, "message": "another nonce was signed"}
    duo.milan.create("events", event | about)
    words = ("generate", "identity", "--remote-cluster-id", "rome", "--timeout", "3s")
    told = failure(await duo.alone(*words, where="milan"))
    assert told.startswith(
        f'the local cluster "milan" did not admit Tenant {THERE}/rome within 3.0 s (Refused: another nonce was signed)'
    )


async def test_slices_are_shown_to_people_and_programs(duo: Duo) -> None:
    ended = await duo.alone("get", "resourceslice")
    assert ended.out == "no resource slices\n"
    await duo("peer", "--networking-disabled", "--cpu", "2")
    refused = {"conditions": conditions("Denied", reason="TooMuch", message="4 CPUs at most")}
    metadata = {
        "namespace": HERE,
        "name": "gpu",
        "labels": {"liqo.io/replicated": "true", "liqo.io/originID": "turin"},
    }
    spec = {"class": "gold", "consumerClusterID": "turin"}
    duo.consumer.idle.add("resourceslices")
    duo.rome.create("resourceslices", {"metadata": metadata, "spec": spec, "status": refused})
    lines = [line.split("   ") for line in (await duo.alone("get", "resourceslice")).out.splitlines()]
    table = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert table[0] == ["NAME", "PEER", "ACTION", "ACCEPTED", "CLASS", "RESOURCES", "ALERT"]
    denied = "; ".join(f"{kind} Denied: TooMuch 4 CPUs at most" for kind in ("Authentication", "Resources"))
    assert table[1:] == [
        ["gpu", "turin", "Providing", "no", "gold", "-", denied],
        ["milan", "milan", "Consuming", "yes", "default", "cpu=2, memory=8Gi, pods=110", "-"],
    ]
    ended = await duo.alone("get", "resourceslice", *OF_MILAN, "-o", "json")
    (report,) = json.loads(ended.out)
    assert (report["name"], report["accepted"], report["peer"]) == ("milan", True, "milan")
    assert (await duo.alone("get", "resourceslice", "--get", "milan.resources.cpu")).out == "2\n"
    told = failure(await duo.alone("get", "resourceslice", "--get", "turin.accepted"), code=2)
    assert told == '--get "turin.accepted": there is no such field: at the top there is gpu, milan'
    ended = await duo.alone("get", "resourceslice", "--remote-cluster-id", "naples")
    assert ended.out == "no resource slices of naples\n"

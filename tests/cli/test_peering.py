"""`isthmus peer` from its first look to the virtual node, without the tunnel."""

from __future__ import annotations

import asyncio

import pytest

from isthmus.cli import authentication
from isthmus.kube.certificates import generate_key, make_request, read_request
from isthmus.peering.secret_data import decode, encode, encode_all
from tests.apiserver import Admission, StatusError
from tests.cli.played import HERE, PEER, THERE, Duo, conditions, failure

PEERING = ("peer", "--networking-disabled")


async def test_a_peering_is_made_in_order_and_each_step_is_told(duo: Duo) -> None:
    ended = await duo(*PEERING, "--cpu", "2", "--memory", "4Gi")
    assert (ended.code, ended.out) == (0, "rome is peered with milan\n"), ended.err
    assert duo.journal == [
        f"rome: create namespaces {HERE}",
        f"milan: create namespaces {THERE}",
        f"milan: create secrets {THERE}/liqo-nonce",
        f"rome: create secrets {HERE}/liqo-signed-nonce",
        f"milan: create tenants {THERE}/rome",
        f"rome: create identities {HERE}/controlplane-milan",
        f"rome: create resourceslices {HERE}/milan",
    ]
    steps = [line.split("  ")[0].removeprefix("✓ ") for line in ended.err.splitlines()]
    assert steps == [
        "rome (v1.36.3) and milan (v1.36.3) answer",
        "(rome) Controller ready",
        "(milan) Controller ready",
        "(rome) Key pair of the cluster",
        "Pre-flight checks passed",
        f"(rome) Tenant namespace {HERE}",
        f"(milan) Tenant namespace {THERE}",
        "(milan) Nonce to sign",
        "(rome) Signature over the nonce",
        "(milan) Tenant rome and its certificate",
        "(rome) Identity controlplane-milan and its kubeconfig",
        "(rome) Resource slice milan",
        "(rome) Virtual node milan Ready",
    ]
    spec = duo.rome.list("resourceslices")[0]["spec"]
    assert (spec["resources"], spec["class"]) == ({"cpu": "2", "memory": "4Gi"}, "default")
    labels = duo.milan.get("namespaces", "", THERE)["metadata"]["labels"]
    assert (labels["liqo.io/tenant-namespace"], labels[PEER]) == ("true", "rome")


async def test_the_tenant_carries_the_key_a_request_by_it_and_the_signature(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "make_request", make_request)
    keys = await generate_key()
    data = encode_all({"privateKey": keys.private, "publicKey": keys.public})
    duo.rome.merge("secrets", "liqo", "authentication-keys", {"data": data})
    assert (await duo(*PEERING, "--proxy-url", "http://milan:8118")).code == 0
    spec = duo.milan.list("tenants")[0]["spec"]
    request = await read_request(decode(spec.pop("csr")).decode())
    assert (request.common_name, request.organizations, request.valid) == ("rome", ["liqo.io"], True)
    assert request.public == keys.public
    signed = duo.rome.get("secrets", HERE, "liqo-signed-nonce")["data"]
    assert signed["nonce"] == duo.milan.get("secrets", THERE, "liqo-nonce")["data"]["nonce"]
    assert spec == {
        "clusterID": "rome",
        "authzPolicy": "KeysExchange",
        "publicKey": encode(keys.public),
        "signature": signed["signedNonce"],
        "tenantCondition": "Active",
        "proxyURL": "http://milan:8118",
    }


async def test_running_it_again_changes_nothing_but_what_is_asked_for(duo: Duo) -> None:
    await duo(*PEERING, "--cpu", "2")
    before = (dict(duo.rome.objects), dict(duo.milan.objects))
    duo.journal.clear()
    assert (await duo(*PEERING, "--cpu", "2")).code == 0
    assert (duo.journal, (duo.rome.objects, duo.milan.objects)) == ([], before)
    assert (await duo(*PEERING, "--cpu", "3")).code == 0
    assert duo.journal == [f"rome: update resourceslices {HERE}/milan"]
    spec = duo.rome.list("resourceslices")[0]["spec"]
    assert (spec["resources"], spec["consumerClusterID"]) == ({"cpu": "3"}, "rome"), (
        "what others filled in stays"
    )


async def test_what_was_broken_off_goes_on_where_it_ended(duo: Duo) -> None:
    duo.provider.idle.add("tenants")
    assert "did not give tenant rome a certificate" in failure(await duo(*PEERING, "--timeout", "10s"))
    duo.provider.idle.clear()
    duo.journal.clear()
    duo.milan.merge("tenants", THERE, "rome", {"metadata": {"labels": {"touched": "true"}}})
    assert (await duo(*PEERING)).code == 0
    assert duo.journal == [
        f"rome: create identities {HERE}/controlplane-milan",
        f"rome: create resourceslices {HERE}/milan",
    ]


@pytest.mark.parametrize(
    ("who", "kind", "said"),
    [
        ("provider", "secrets", f'the remote cluster "milan" did not fill Secret {THERE}/liqo-nonce'),
        (
            "consumer",
            "secrets",
            f'the local cluster "rome" did not sign the nonce in Secret {HERE}/liqo-signed-nonce',
        ),
        ("provider", "tenants", 'the remote cluster "milan" did not give tenant rome a certificate'),
        ("consumer", "identities", f'rome" did not make a kubeconfig of Identity {HERE}/controlplane-milan'),
        ("consumer", "resourceslices", f"cluster milan did not decide on resource slice {HERE}/milan"),
        ("consumer", "virtualnodes", 'virtual node milan of the local cluster "rome" did not become Ready'),
    ],
)
async def test_a_controller_that_does_nothing_is_named_with_what_it_did_not_do(
    duo: Duo, who: str, kind: str, said: str
) -> None:
    getattr(duo, who).idle.add(kind)
    told = failure(await duo(*PEERING, "--timeout", "10s"))
    assert said in told
    assert "within 10 s" in told
    assert "look at the log" in told


def refuse_tenants(duo: Duo) -> None:
    """Have milan's controller refuse each Tenant, with an event."""
    duo.provider.idle.add("tenants")

    def refuse(change: object) -> None:
        for tenant in duo.milan.list("tenants"):
            if not duo.milan.list("events"):
                duo.milan.create("events", event(tenant["metadata"]["uid"]))

    def event(uid: str) -> dict[str, object]:
        metadata = {"namespace": THERE, "name": "refusal"}
        about = {"involvedObject": {"uid": uid}, "type": "Warning", "reason": "Refused"}
        return {"metadata": metadata, **about, "message": "the signature is of another key"}

    duo.milan.on_change(refuse)


async def test_a_refused_tenant_is_told_in_the_providers_words(duo: Duo) -> None:
    refuse_tenants(duo)
    assert failure(await duo(*PEERING)) == (
        'the remote cluster "milan" refuses tenant rome: Refused: the signature is of another key: fix this and run '
        "peer again, or isthmus unpeer to undo what was made"
    )


async def test_a_refusal_that_passes_is_waited_for(duo: Duo) -> None:
    refuse_tenants(duo)
    running = asyncio.create_task(duo(*PEERING))
    await duo.milan.until(lambda: len(duo.milan.asked("list", "events")) > 3)
    duo.provider.idle.clear()
    duo.milan.merge("tenants", THERE, "rome", {"metadata": {"labels": {"mended": "true"}}})
    assert (await running).code == 0


async def test_a_slice_of_a_class_of_ones_own_may_be_decided_on_later(duo: Duo) -> None:
    assert (await duo(*PEERING, "--create-resource-slice=false")).code == 0
    duo.consumer.idle.add("resourceslices")
    gold = (*PEERING, "--resource-slice-class", "gold")
    failure(await duo(*gold, "--timeout", "3s"))
    duo.rome.merge("resourceslices", HERE, "milan", {"status": {"conditions": conditions("Accepted")[:1]}})
    ended = await duo(*gold)
    assert (ended.code, ended.out) == (0, "rome is peered with milan\n"), "and no virtual node is waited for"
    assert 'class "gold": its controller in milan has not decided yet' in ended.err


async def test_a_nonce_of_an_ended_peering_is_signed_no_more(duo: Duo) -> None:
    metadata = {"namespace": HERE, "name": "liqo-signed-nonce"}
    old = {"nonce": encode(encode(b"o" * 64)), "signedNonce": encode("old")}
    duo.rome.create("secrets", {"metadata": metadata, "data": old})
    assert (await duo(*PEERING)).code == 0
    assert f"rome: delete secrets {HERE}/liqo-signed-nonce" in duo.journal
    signed = duo.rome.get("secrets", HERE, "liqo-signed-nonce")["data"]
    assert signed["nonce"] == duo.milan.get("secrets", THERE, "liqo-nonce")["data"]["nonce"]
    assert duo.milan.list("tenants")[0]["spec"]["signature"] == signed["signedNonce"] != old["signedNonce"]


async def test_a_nonce_that_is_none_is_not_signed(duo: Duo) -> None:
    metadata = {"namespace": THERE, "name": "liqo-nonce"}
    duo.milan.create("secrets", {"metadata": metadata, "data": {"nonce": encode("POST /api HTTP/1.1")}})
    told = failure(await duo(*PEERING))
    assert "cluster milan gave an unusable nonce" in told
    assert not duo.rome.get("secrets", HERE, "liqo-signed-nonce")


async def test_certificates_of_an_ended_peering_are_removed_before_the_tenant_asks_anew(duo: Duo) -> None:
    for name in ("liqo-remote-certificate", "liqo-remote-certificate-milan", "mine"):
        duo.milan.create("secrets", {"metadata": {"namespace": THERE, "name": name}})
    assert (await duo(*PEERING)).code == 0
    removed = [f"milan: delete secrets {THERE}/liqo-remote-certificate{more}" for more in ("", "-milan")]
    assert duo.wrote("delete", "tenants") == [*removed, f"milan: create tenants {THERE}/rome"]


async def test_a_cordoned_tenant_stays_so_and_the_user_is_warned(duo: Duo) -> None:
    await duo(*PEERING)
    duo.milan.merge("tenants", THERE, "rome", {"spec": {"tenantCondition": "Cordoned"}})
    ended = await duo(*PEERING)
    assert ended.code == 0
    assert "! (milan) the tenant is Cordoned: nothing new is accepted until it is activated" in ended.err
    assert duo.milan.list("tenants")[0]["spec"]["tenantCondition"] == "Cordoned"


async def test_no_slice_no_virtual_node(duo: Duo) -> None:
    assert (await duo(*PEERING, "--create-resource-slice=false")).code == 0
    assert duo.rome.named("identities") == {"controlplane-milan"}
    assert not duo.rome.list("resourceslices")
    assert (await duo(*PEERING, "--create-virtual-node=false")).code == 0
    assert duo.rome.named("resourceslices") == {"milan"}
    assert not duo.rome.list("virtualnodes")


async def test_networks_stay_apart_with_a_word_where_no_cluster_can_join_them(duo: Duo) -> None:
    ended = await duo("peer")
    assert (ended.code, ended.out) == (0, "rome is peered with milan\n")
    assert "the pod networks are not joined: neither rome nor milan has the networking module" in ended.err
    told = failure(await duo("peer", "--mtu", "1300"))
    assert told.startswith(
        "--mtu: neither rome nor milan has the networking module: leave it out, or install"
    )


async def test_marks_are_on_everything_that_is_made(duo: Duo) -> None:
    marks = ("--global-labels", "team=a", "--global-annotations", "by=${kind}")
    assert (await duo(*PEERING, *marks)).code == 0
    made = [
        duo.rome.get("namespaces", "", HERE),
        duo.milan.get("secrets", THERE, "liqo-nonce"),
        duo.milan.list("tenants")[0],
        duo.rome.list("identities")[0],
        duo.rome.list("resourceslices")[0],
    ]
    for one in made:
        assert one["metadata"]["labels"]["team"] == "a"
        assert one["metadata"]["annotations"]["by"] == one["kind"]


async def test_what_a_webhook_says_against_it_is_told(duo: Duo) -> None:
    def refuse(review: Admission) -> None:
        if review.place.plural == "tenants":
            said = 'admission webhook "tenant.validate.liqo.io" denied the request: the id "rome" is taken'
            raise StatusError(403, "Forbidden", said)

    duo.milan.admission.append(refuse)
    told = failure(await duo(*PEERING))
    assert 'in the remote cluster "milan" is not allowed' in told
    assert 'denied the request: the id "rome" is taken' in told
    assert not duo.rome.list("identities")


async def test_an_identity_alone(duo: Duo) -> None:
    ended = await duo("authenticate")
    assert (ended.code, ended.out) == (0, "rome has an identity on milan\n")
    assert duo.rome.get("identities", HERE, "controlplane-milan")["status"]["kubeconfigSecretRef"]
    assert not duo.rome.list("resourceslices")
    duo.journal.clear()
    assert (await duo("authenticate")).code == 0
    assert duo.journal == []
    told = failure(await duo("authenticate", "--in-band", "--proxy-url", "http://x:1"), code=2)
    assert told == "--in-band and --proxy-url http://x:1: each names a way to the provider: give one"
    told = failure(await duo("authenticate", "--in-band"))
    assert told.startswith('--in-band: the remote cluster "milan" has no IP liqo/api-server-proxy')

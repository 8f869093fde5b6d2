"""Peering users: the kubeconfig that `isthmus generate peering-user` prints, and how it is taken back."""

from __future__ import annotations

import json

import pytest

from isthmus.cli import peering_users
from isthmus.kube.certificates import KeyPair
from isthmus.kube.credentials import parse_kubeconfig
from isthmus.peering.secret_data import decode, encode
from tests.apiserver import Change, Json, Outcome
from tests.cli.played import THERE, Duo, failure

USER = ("generate", "peering-user", "--consumer-cluster-id", "rome")
DELETE = ("delete", "peering-user", "--consumer-cluster-id", "rome")
CSR = ("certificatesigningrequests", "", "liqo-peer-user-rome")
SIGNED = {"certificate": encode("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n")}


@pytest.fixture
def roles(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> Duo:
    """What an installation has for peering users, and the cluster's signer."""

    async def key(kind: str) -> KeyPair:
        return KeyPair(f"-----BEGIN PRIVATE KEY-----\n{kind}\n", "")

    async def request(private: str, name: str, organizations: list[str]) -> str:
        return f"{name} in {organizations}"

    def sign(change: Change) -> None:
        approved = change.type != "DELETED" and change.new.get("status", {}).get("conditions")
        if change.place == CSR and approved:
            duo.milan.merge(*CSR, {"status": SIGNED if len(approved) == 1 else {}})

    labels = {"app.kubernetes.io/component": "peering-user"}
    duo.milan.create("roles", {"metadata": {"namespace": "liqo", "name": "reader", "labels": labels}})
    duo.milan.create("clusterroles", {"metadata": {"name": "writer", "labels": labels}})
    duo.milan.on_change(sign)
    monkeypatch.setattr(peering_users, "generate_key", key)
    monkeypatch.setattr(peering_users, "make_request", request)
    return duo


async def run(duo: Duo, *words: str) -> Outcome:
    return await duo.alone(*words, where="milan")


async def test_a_peering_user_is_made_and_taken_back(roles: Duo) -> None:
    ended = await run(roles, *USER, "--api-server-url", "https://milan.example:6443")
    assert ended.code == 0, ended.err
    assert parse_kubeconfig(ended.out.encode(), source="the test").server == "https://milan.example:6443"
    config = json.loads(ended.out)
    assert config["contexts"][0]["context"]["namespace"] == THERE
    assert "Ed25519" in decode(config["users"][0]["user"]["client-key-data"]).decode()
    name = "liqo-peer-user-rome"
    assert roles.journal == [
        f"milan: create namespaces {THERE}",
        f"milan: create certificatesigningrequests {name}",
        f"milan: update certificatesigningrequests/approval {name}",
        f"milan: create rolebindings liqo/{name}-liqo-ns-reader",
        f"milan: create rolebindings {THERE}/{name}-tenant-ns-writer",
    ]
    (user,) = {one["subjects"][0]["name"] for one in roles.milan.list("rolebindings")}
    assert decode(roles.milan.get(*CSR)["spec"]["request"]).decode() == f"{user} in ['liqo.io']"
    told = failure(await run(roles, *USER))
    assert "has a peering user for rome already; its kubeconfig is not stored" in told
    assert "take it back with isthmus delete peering-user --consumer-cluster-id rome" in told
    ended = await run(roles, *DELETE)
    assert (ended.code, ended.out) == (0, "peering user of rome deleted; its kubeconfig no longer works\n"), (
        ended.err
    )
    assert (roles.milan.list("rolebindings"), roles.milan.get(*CSR)) == ([], None)
    assert (await run(roles, *DELETE)).out == "rome had no peering user: nothing to do\n"


@pytest.mark.parametrize(
    ("mode", "own", "kind"),
    [
        ("auto", "RSA-2048", "RSA-2048"),
        ("auto", "Ed25519", "Ed25519"),
        ("true", "Ed25519", "RSA-2048"),
        ("false", "RSA-2048", "Ed25519"),
    ],
)
async def test_the_kind_of_its_key_is_the_clusters_own_unless_it_is_said(
    roles: Duo, mode: str, own: str, kind: str
) -> None:
    told = {"key_type": own, "api_server_address": "milan.example:6443", "api_server_ca": "an authority"}
    value = [{"name": "ISTHMUS_OPTIONS", "value": json.dumps(told)}]
    spec: Json = {"template": {"spec": {"containers": [{"image": "isthmus", "env": value}]}}}
    roles.milan.merge("deployments", "liqo", "liqo-controller-manager", {"spec": spec})
    ended = await run(roles, *USER, "--tls-compatibility-mode", mode)
    config = json.loads(ended.out)
    assert kind in decode(config["users"][0]["user"]["client-key-data"]).decode()
    cluster = config["clusters"][0]["cluster"]
    assert cluster["server"] == "https://milan.example:6443", "as peers are told"
    assert decode(cluster["certificate-authority-data"]) == b"an authority"


async def test_an_installation_without_its_roles(roles: Duo) -> None:
    roles.milan.delete("clusterroles", "", "writer")
    told = failure(await run(roles, *USER))
    assert (
        "has 0 ClusterRole objects labelled app.kubernetes.io/component=peering-user instead of one" in told
    )
    assert told.endswith("run isthmus install there again")
    assert roles.journal == []


async def test_a_signer_that_refuses_is_told_with_the_way_back(roles: Duo) -> None:
    def deny(change: Change) -> None:
        found = change.new.get("status", {}).get("conditions", [])
        if change.type != "DELETED" and change.place == CSR and len(found) == 1:
            said = {"type": "Failed", "reason": "Policy", "message": "no clients today"}
            roles.milan.merge(*CSR, {"status": {"certificate": None, "conditions": [*found, said]}})

    roles.milan.on_change(deny)
    told = failure(await run(roles, *USER))
    assert "signer kubernetes.io/kube-apiserver-client: Failed (Policy): no clients today" in told
    assert told.endswith("then run isthmus delete peering-user --consumer-cluster-id rome and this again")
    assert not roles.milan.list("rolebindings")
    assert (await run(roles, *DELETE)).out == "peering user of rome deleted; its kubeconfig no longer works\n"


async def test_two_at_once_are_told_apart(roles: Duo) -> None:
    roles.milan.fail(409, "AlreadyExists", "it exists", verb="create", plural="certificatesigningrequests")
    told = failure(await run(roles, *USER))
    assert told == "another peering user for rome is being made at this moment: wait, then run this again"

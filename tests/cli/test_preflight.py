"""What is told before a peering is made: each ends with one error, and nothing was written anywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isthmus.api import names
from isthmus.cli import preflight
from isthmus.peering.secret_data import encode
from tests.apiserver import Json
from tests.cli.played import HERE, KEYS, PEER, THERE, Duo, failure, tenant_namespace

PEERING = ("peer", "--networking-disabled")
CONFIG_MAP = ("configmaps", "liqo", "liqo-clusterid-configmap")
CONTROLLER = ("deployments", "liqo", "liqo-controller-manager")


async def refused(duo: Duo, *words: str) -> str:
    """The error of a peering that is refused before anything is written."""
    told = failure(await duo(*(words or PEERING)))
    assert duo.journal == []
    return told


def rename(duo: Duo, rome: str) -> None:
    duo.rome.merge(*CONFIG_MAP, {"data": {"CLUSTER_ID": rome}})


def place_tenant(duo: Duo, key: str) -> None:
    tenant_namespace(duo.milan, "rome")
    spec = {"clusterID": "rome", "publicKey": encode(key)}
    duo.milan.create("tenants", {"metadata": {"namespace": THERE, "name": "rome"}, "spec": spec})


def place_identity(duo: Duo, server: str) -> None:
    tenant_namespace(duo.rome, "milan")
    metadata = {"namespace": HERE, "name": "controlplane-milan", "labels": {PEER: "milan"}}
    spec = {"clusterID": "milan", "authParams": {"apiServer": server, "ca": encode("another")}}
    duo.rome.create("identities", {"metadata": metadata, "spec": spec})


def withdraw(duo: Duo, plural: str) -> None:
    duo.milan.kinds.drop(plural)


CASES: list[tuple[Callable[[Duo], object], str, str]] = [
    (
        lambda duo: duo.milan.delete(*CONFIG_MAP),
        'Isthmus is not installed in the remote cluster at http://127.0.0.1:{port}: namespace "liqo" has no ConfigMap',
        "run isthmus install there, or say with --remote-namespace where it is",
    ),
    (
        lambda duo: rename(duo, "Rome_1"),
        'the id "Rome_1" of the local cluster (CLUSTER_ID in ConfigMap liqo/liqo-clusterid-configmap) is '
        "not a valid DNS label",
        "reinstall it with --cluster-id",
    ),
    (lambda duo: rename(duo, "milan"), 'both clusters have the id "milan"', "with another --cluster-id"),
    (
        lambda duo: rename(duo, "r" * 51),
        "of the local cluster has 51 characters",
        "names made from it allow 50: reinstall it with a shorter --cluster-id",
    ),
    (
        lambda duo: withdraw(duo, "shadowpods"),
        "does not have the CRDs of Isthmus (missing: shadowpods.offloading.liqo.io)",
        "run isthmus install there first",
    ),
    (
        lambda duo: duo.milan.delete(*CONTROLLER),
        'namespace "liqo" of the remote cluster "milan" has no controller Deployment',
        "run isthmus install there again",
    ),
    (
        lambda duo: duo.rome.merge(*CONTROLLER, {"status": {"readyReplicas": 0}}),
        'the controller of the local cluster "rome" did not become ready within 30 s (Deployment '
        "liqo/liqo-controller-manager has no ready pod)",
        "look at its pods in namespace liqo",
    ),
    (
        lambda duo: duo.rome.delete("secrets", "liqo", "authentication-keys"),
        'the controller of the local cluster "rome" did not make Secret authentication-keys within 30 s',
        "look at the log of the controller in namespace liqo",
    ),
    (
        lambda duo: duo.rome.merge("secrets", "liqo", "authentication-keys", {"data": {"publicKey": "eA=="}}),
        'the local cluster "rome": Secret liqo/authentication-keys: publicKey is not PEM',
        "restore it, or delete the Secret to have new keys made",
    ),
    (
        lambda duo: duo.milan.create("namespaces", {"metadata": {"name": THERE}}),
        f'namespace "{THERE}" of the remote cluster "milan" exists but is not the tenant namespace of rome',
        "label it liqo.io/tenant-namespace=true and liqo.io/remote-cluster-id=rome, or delete it",
    ),
    (
        lambda duo: place_identity(duo, "https://192.0.2.9:6443"),
        'is peered with another cluster called "milan", at https://192.0.2.9:6443',
        "or run isthmus unpeer with the first one's kubeconfig",
    ),
    (
        lambda duo: duo.rome.create("nodes", {"metadata": {"name": "milan"}}),
        'the local cluster "rome" has a node "milan" of its own',
        "or use --create-virtual-node=false",
    ),
]


@pytest.mark.parametrize(("spoil", "problem", "mend"), CASES, ids=[case[1][:40] for case in CASES])
async def test_what_stands_in_the_way_is_told_before_anything_is_written(
    duo: Duo, spoil: Callable[[Duo], object], problem: str, mend: str
) -> None:
    spoil(duo)
    told = await refused(duo)
    assert problem.format(port=duo.milan.url.rpartition(":")[2]) in told
    assert mend in told


async def test_the_same_cluster_twice_is_told_with_both_addresses(duo: Duo) -> None:
    milan = str(duo.folder / "milan")
    told = failure(await duo.alone(*PEERING, "--remote-kubeconfig", milan, where="milan"))
    assert told.startswith("the local and the remote kubeconfig lead to the same cluster (http://127.0.0.1:")


@pytest.mark.parametrize(("same", "code"), [(False, 1), (True, 0)])
async def test_a_tenant_with_another_key_is_another_cluster(
    duo: Duo, monkeypatch: pytest.MonkeyPatch, same: bool, code: int
) -> None:
    async def same_key(one: bytes, other: bytes) -> bool:
        assert {one, other} == {b"a key", KEYS["publicKey"].format("rome").encode()}
        return same

    monkeypatch.setattr(preflight, "same_key", same_key)
    place_tenant(duo, "a key")
    if not same:
        told = await refused(duo)
        assert 'has a tenant rome with another key: either another cluster is also called "rome"' in told
        assert "give one of them another --cluster-id, or run isthmus unpeer first" in told
    else:
        assert (await duo(*PEERING)).code == code


async def test_another_address_of_the_same_provider_is_no_other_provider(duo: Duo) -> None:
    place_identity(duo, "https://milan.example:6443")
    tenant_namespace(duo.milan, "rome")
    for api, namespace, name in ((duo.milan, THERE, "liqo-nonce"), (duo.rome, HERE, "liqo-signed-nonce")):
        data = {"nonce": encode(encode(b"n" * 64))}
        api.create("secrets", {"metadata": {"namespace": namespace, "name": name}, "data": data})
    assert (await duo(*PEERING)).code == 0, "both hold the same nonce"


def deny(*verbs_and_plurals: str) -> Callable[[Json], Json]:
    """An access review that refuses these, such as `create tenants`."""

    def review(asked: Json) -> Json:
        attributes = asked["spec"]["resourceAttributes"]
        return {"allowed": f"{attributes['verb']} {attributes['resource']}" not in verbs_and_plurals}

    return review


async def test_all_that_a_user_may_not_is_told_at_once(duo: Duo) -> None:
    duo.milan.reviews["selfsubjectaccessreviews"] = deny(
        "create tenants", "update tenants", "create namespaces"
    )
    told = await refused(duo)
    assert told == (
        "the user of --remote-kubeconfig may not create namespaces, create tenants in namespace "
        f'{THERE}, update tenants in namespace {THERE} in the remote cluster "milan": use the kubeconfig of an '
        "administrator, or of a peering user made for it"
    )


async def test_a_peering_user_who_may_look_at_little_can_peer(duo: Duo) -> None:
    tenant_namespace(duo.milan, "rome")
    duo.milan.fail(403, "Forbidden", times=None, plural="namespaces", name="kube-system")
    for plural in ("namespaces", "deployments"):
        duo.milan.fail(403, "Forbidden", times=None, verb="list", plural=plural)
    duo.milan.fail(
        403, "Forbidden", times=None, when=lambda request: request.path.endswith("selfsubjectaccessreviews")
    )
    ended = await duo(*PEERING)
    assert ended.code == 0, ended.err
    assert duo.milan.named("tenants") == {"rome"}


async def test_who_may_not_list_namespaces_has_the_one_of_the_usual_name(duo: Duo) -> None:
    duo.milan.fail(403, "Forbidden", times=None, verb="list", plural="namespaces")
    assert (await duo("authenticate")).code == 0
    assert duo.milan.get("tenants", THERE, "rome") is not None


async def test_a_tenant_namespace_of_another_name_is_found_by_its_labels(duo: Duo) -> None:
    tenant_namespace(duo.milan, "rome", "guests")
    duo.consumer.idle.add("resourceslices")
    failure(await duo(*PEERING, "--timeout", "3s"))
    assert duo.milan.get("tenants", "guests", "rome") is not None
    assert duo.milan.get("namespaces", "", THERE) is None
    identity = duo.rome.get("identities", HERE, names.control_plane_identity("milan"))
    assert identity is not None
    assert identity["spec"]["namespace"] == "guests"


async def test_a_cluster_that_does_not_answer_is_named_with_its_flag(duo: Duo) -> None:
    await duo.milan.stop()
    told = await refused(duo)
    assert f"the remote cluster at {duo.milan.url} cannot be reached" in told
    assert "check the server of --remote-kubeconfig, and that the API server runs" in told
    await duo.milan.start()
    duo.milan.fail(401, "Unauthorized", times=None)
    told = await refused(duo)
    assert told == (
        f"the remote cluster at {duo.milan.url} does not accept the credentials: check the user of "
        "--remote-kubeconfig; its certificate or token may have expired"
    )


async def test_a_server_that_fails_while_it_is_waited_for_is_asked_again(duo: Duo) -> None:
    fault = duo.milan.fail(
        500,
        "InternalError",
        "etcd is gone",
        times=5,
        plural="tenants",
        when=lambda _: duo.milan.list("tenants"),
    )
    ended = await duo("authenticate")
    assert (ended.code, fault.hits) == (0, 5), ended.err


async def test_a_server_that_fails_before_is_told(duo: Duo) -> None:
    duo.milan.fail(501, "NotImplemented", "no tenants today", verb="get", plural="tenants")
    told = await refused(duo)
    assert told.startswith('reading the tenant in the remote cluster "milan" failed: ')
    assert "no tenants today" in told

"""`isthmus offload` and `isthmus unoffload`: which namespaces, what is written, what is waited for and told."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.apiserver import Change, Json
from tests.cli.played import Duo, failure

OFFLOAD = ("offload", "namespace")
UNOFFLOAD = ("unoffload", "namespace", "--skip-confirm")


def ready(status: str = "True", reason: str = "", message: str = "") -> Json:
    return {"milan": [{"type": "Ready", "status": status, "reason": reason, "message": message}]}


READY = {
    "offloadingPhase": "Ready",
    "remoteNamespaceName": "shop-rome",
    "remoteNamespacesConditions": ready(),
}
REFUSED = {
    "offloadingPhase": "AllFailed",
    "remoteNamespacesConditions": ready("False", "CreationLoopBackOff", "the name is in use"),
}


def play(duo: Duo, status: Json) -> None:
    """Have the controller say this of every NamespaceOffloading, as soon as it has looked at it."""

    def tell(change: Change) -> None:
        if change.place.plural == "namespaceoffloadings" and change.type != "DELETED":
            seen = {"observedGeneration": change.new["metadata"]["generation"]}
            duo.rome.merge(*change.place, {"status": status | seen})

    duo.rome.on_change(tell)


def spec(duo: Duo, namespace: str = "shop") -> Json:
    found = duo.rome.get("namespaceoffloadings", namespace, "offloading")
    assert found is not None
    return dict(found["spec"])


async def test_a_namespace_is_extended_and_its_twin_named(duo: Duo) -> None:
    play(duo, READY)
    ended = await duo.alone(*OFFLOAD, "shop", "--selector", "region=eu")
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert ended.err.startswith("✓ (rome) Namespace shop is shop-rome on milan")
    assert duo.journal == ["rome: create namespaceoffloadings shop/offloading"]
    term = {"matchExpressions": [{"key": "region", "operator": "In", "values": ["eu"]}]}
    assert spec(duo) == {
        "podOffloadingStrategy": "LocalAndRemote",
        "clusterSelector": {"nodeSelectorTerms": [term]},
    }
    duo.journal.clear()
    assert (await duo.alone("offload", "ns", "shop", "--selector", "region=eu")).code == 0
    assert duo.journal == []


async def test_what_can_be_changed_is_and_the_rest_is_refused_before(duo: Duo) -> None:
    play(duo, READY)
    mapping = ("--namespace-mapping-strategy", "SelectedName", "--remote-namespace-name", "market")
    await duo.alone(*OFFLOAD, "shop", *mapping)
    assert (await duo.alone(*OFFLOAD, "shop", "--pod-offloading-strategy", "Remote")).code == 0
    assert spec(duo) == {
        "podOffloadingStrategy": "Remote",
        "namespaceMappingStrategy": "SelectedName",
        "remoteNamespaceName": "market",
    }
    duo.journal.clear()
    told = failure(await duo.alone(*OFFLOAD, "shop", "--namespace-mapping-strategy", "EnforceSameName"))
    assert told == (
        '--namespace-mapping-strategy "EnforceSameName": namespace "shop" is offloaded with "SelectedName" already, '
        "and this cannot be changed: isthmus unoffload namespace shop, then offload it anew"
    )
    told = failure(await duo.alone(*OFFLOAD, "shop", *mapping[:-1], "bazaar"))
    assert told.startswith(
        '--remote-namespace-name "bazaar": namespace "shop" is offloaded with "market" already'
    )
    assert duo.journal == []


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ((), "none is peered"),
        (("--selector", "region=eu"), "no provider has labels that --selector asks for"),
    ],
)
async def test_without_a_provider_it_stays_marked(duo: Duo, selector: tuple[str, ...], said: str) -> None:
    play(duo, {"offloadingPhase": "NoClusterSelected"})
    ended = await duo.alone(*OFFLOAD, "shop", *selector)
    assert ended.code == 0
    assert "✓ (rome) Namespace shop marked for offloading" in ended.err
    assert (
        f'! (rome) namespace "shop" is extended to no cluster yet: {said}; it will be as soon as' in ended.err
    )


async def test_what_a_provider_has_against_it_is_told_at_the_end_of_the_time(duo: Duo) -> None:
    play(duo, REFUSED)
    told = failure(await duo.alone(*OFFLOAD, "shop"))
    assert told == (
        'namespace "shop" of the local cluster "rome" was not Ready everywhere within 20 s (milan: '
        "CreationLoopBackOff: the name is in use): see kubectl describe namespaceoffloading -n shop"
    )


async def test_a_provider_that_comes_just_now_is_not_missed(duo: Duo) -> None:
    said = {"offloadingPhase": "NoClusterSelected"}
    play(duo, said)
    running = duo.start(*OFFLOAD, "shop")
    await duo.rome.until(lambda: len(duo.rome.asked("get", "namespaceoffloadings")) > 3)
    said.update(READY)
    duo.rome.merge(
        "namespaceoffloadings", "shop", "offloading", {"metadata": {"labels": {"looked": "again"}}}
    )
    assert "Namespace shop is shop-rome on milan" in (await running).err


async def test_an_answer_about_what_was_before_is_none(duo: Duo) -> None:
    told = failure(await duo.alone(*OFFLOAD, "shop", "--timeout", "3s"))
    assert "was not Ready everywhere within 3.0 s: see" in told, "no controller has looked at it"
    seen = READY | {"observedGeneration": 1}
    duo.rome.merge("namespaceoffloadings", "shop", "offloading", {"status": seen})
    assert (await duo.alone(*OFFLOAD, "shop")).code == 0
    told = failure(await duo.alone(*OFFLOAD, "shop", "--pod-offloading-strategy", "Local", "--timeout", "3s"))
    assert "was not Ready everywhere" in told, "nor at what is said now"


async def test_namespaces_by_their_labels(duo: Duo) -> None:
    play(duo, READY)
    for name in ("red", "blue"):
        duo.rome.create("namespaces", {"metadata": {"name": name, "labels": {"team": "a"}}})
    assert (await duo.alone(*OFFLOAD, "--ns-selector", "team=a")).code == 0
    assert [one.split()[-1] for one in duo.journal] == ["blue/offloading", "red/offloading"]
    told = failure(await duo.alone(*OFFLOAD, "--ns-selector", "team=b"))
    assert told == '--ns-selector "team=b": no namespace of the local cluster "rome" has such labels'
    mapping = ("--namespace-mapping-strategy", "SelectedName", "--remote-namespace-name", "x")
    told = failure(await duo.alone(*OFFLOAD, "red", "blue", *mapping))
    assert (
        told
        == '--remote-namespace-name "x" cannot be the name of 2 namespaces (red, blue): offload one at a time'
    )
    ended = await duo.alone("unoffload", "ns", "--ns-selector", "team=a", "--skip-confirm")
    assert ended.code == 0, ended.err
    assert not duo.rome.list("namespaceoffloadings")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "give the names of namespaces, or --ns-selector"),
        (("shop", "--ns-selector", "a=b"), 2, "give the names of namespaces, or --ns-selector, not both"),
        (("Shop",), 2, '"Shop" cannot be the name of a namespace: it is not a valid DNS label'),
        (
            ("market",),
            1,
            'namespace "market" does not exist in the local cluster "rome": kubectl create namespace market',
        ),
        (("kube-system",), 1, 'namespace "kube-system" cannot be offloaded: it belongs to Kubernetes'),
        (("liqo",), 1, 'namespace "liqo" cannot be offloaded: Isthmus itself lives there'),
        (("guests",), 1, 'namespace "guests" cannot be offloaded: it is the tenant namespace of a peering'),
        (("leaving",), 1, 'namespace "leaving" is being deleted: create it anew once it is gone'),
        (("shop", "market"), 1, 'namespace "market" does not exist'),
    ],
)
async def test_namespaces_that_cannot_be_extended_are_told_before_any_is_touched(
    duo: Duo, words: tuple[str, ...], code: int, said: str
) -> None:
    duo.rome.create(
        "namespaces", {"metadata": {"name": "guests", "labels": {"liqo.io/tenant-namespace": "true"}}}
    )
    duo.rome.create("namespaces", {"metadata": {"name": "leaving"}})
    metadata = {"namespace": "leaving", "name": "stays", "finalizers": ["test/stay"]}
    duo.rome.create("configmaps", {"metadata": metadata})
    duo.rome.delete("namespaces", "", "leaving")
    assert failure(await duo.alone(*OFFLOAD, *words), code=code).startswith(said)
    assert duo.journal == []


async def test_manifests_instead(duo: Duo) -> None:
    duo.rome.create("namespaces", {"metadata": {"name": "market"}})
    ended = await duo.alone(*OFFLOAD, "shop", "-o", "yaml", "--global-labels", "team=a")
    shown = yaml.safe_load(ended.out)
    assert (shown["kind"], shown["metadata"]["namespace"]) == ("NamespaceOffloading", "shop")
    assert shown["metadata"]["labels"] == {"team": "a"}
    ended = await duo.alone(*OFFLOAD, "shop", "market", "-o", "json")
    shown = json.loads(ended.out)
    assert (shown["kind"], [one["metadata"]["namespace"] for one in shown["items"]]) == (
        "List",
        ["shop", "market"],
    )
    assert duo.journal == []


async def test_a_namespace_is_taken_back_when_its_twins_are_gone(duo: Duo) -> None:
    ended = await duo.alone(*UNOFFLOAD, "shop")
    assert (ended.code, ended.err) == (0, '· (rome) namespace "shop" is not offloaded\n')
    play(duo, READY)
    await duo.alone(*OFFLOAD, "shop")
    duo.journal.clear()
    told = failure(await duo.alone(*UNOFFLOAD[:2], "shop"), code=2)
    assert '"Delete what namespace shop has in other clusters?"' in told
    assert duo.journal == []
    duo.rome.merge(
        "namespaceoffloadings", "shop", "offloading", {"metadata": {"finalizers": ["liqo.io/twins"]}}
    )
    told = failure(await duo.alone(*UNOFFLOAD, "shop", "--timeout", "3s"))
    assert told == (
        'the twins of namespace "shop" were not gone within 3.0 s (waiting for the controller): look at the providers '
        "named, or give more time with --timeout; it goes on without this command"
    )
    failed = ready("False", "Terminating", "milan does not answer")
    status = {"status": {"remoteNamespacesConditions": failed}}
    duo.rome.store.listeners.pop()
    duo.rome.merge("namespaceoffloadings", "shop", "offloading", status)
    told = failure(await duo.alone(*UNOFFLOAD, "shop", "--timeout", "3s"))
    assert "(milan: Terminating: milan does not answer)" in told
    duo.rome.merge("namespaceoffloadings", "shop", "offloading", {"metadata": {"finalizers": None}})
    ended = await duo.alone(*UNOFFLOAD, "shop")
    assert ended.code == 0
    assert duo.rome.get("namespaces", "", "shop") is not None

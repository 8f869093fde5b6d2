"""`isthmus force unpeer`: what is left here of a cluster that is gone for good."""

from __future__ import annotations

import pytest

from tests.apiserver import Json
from tests.cli.played import HERE, PEER, Duo, failure, tenant_namespace

FORCE = ("force", "unpeer", "milan", "--skip-confirm")
OF_MILAN = {PEER: "milan"}


def foreign(status: str) -> Json:
    conditions = [{"type": "APIServerStatus", "status": status}]
    return {
        "metadata": {"name": "milan"},
        "spec": {"clusterID": "milan"},
        "status": {"conditions": conditions},
    }


@pytest.fixture
async def abandoned(duo: Duo) -> Duo:
    """Rome after milan is gone, with everything a peering in both directions leaves."""
    assert (await duo("peer", "--networking-disabled")).code == 0
    for plural in ("tenants", "gatewayclients", "configurations", "publickeies"):
        duo.rome.create(
            plural, {"metadata": {"namespace": HERE, "name": "milan", "labels": OF_MILAN}, "spec": {}}
        )
    wished = OF_MILAN | {"liqo.io/replication": "true", "liqo.io/remoteID": "milan"}
    duo.rome.create("namespacemaps", {"metadata": {"namespace": HERE, "name": "milan", "labels": wished}})
    duo.rome.create("foreignclusters", foreign("Error"))
    duo.rome.on_change(lambda _: let_go(duo))
    duo.journal.clear()
    await duo.milan.stop()
    return duo


def let_go(duo: Duo) -> None:
    """What the controller of ForeignClusters does once nothing of the peer is left."""
    if ("namespaces", "", HERE) not in duo.rome.objects and duo.rome.get("foreignclusters", "", "milan"):
        duo.rome.delete("foreignclusters", "", "milan")


async def test_everything_about_it_goes_marked_as_gone_first_its_namespace_last(abandoned: Duo) -> None:
    ended = await abandoned.alone(*FORCE)
    assert (ended.code, ended.out) == (0, "nothing of milan is left in rome\n"), ended.err
    first, *_, last = abandoned.journal
    assert (first, last) == ("rome: update foreignclusters milan", f"rome: delete namespaces {HERE}")
    kinds = [one.split()[2] for one in abandoned.journal[1:-1]]
    assert kinds == [
        "resourceslices",
        "namespacemaps",
        "identities",
        "tenants",
        "gatewayclients",
        "publickeies",
        "configurations",
    ], "virtual nodes go with their slices, kubeconfigs with their identities"
    assert not [place for place in abandoned.rome.objects if place[1] == HERE]
    assert abandoned.rome.named("nodes") == set()


async def test_the_mark_tells_controllers_to_wait_for_nobody(abandoned: Duo) -> None:
    abandoned.rome.merge(
        "identities", HERE, "controlplane-milan", {"metadata": {"finalizers": ["liqo.io/tell"]}}
    )
    told = failure(await abandoned.alone(*FORCE, "--timeout", "5s"))
    assert told == (
        f"not everything was gone within 5.0 s (left: rome: Identity {HERE}/controlplane-milan): look at the log of "
        "the controller in namespace liqo, then run this again"
    )
    marks = abandoned.rome.get("foreignclusters", "", "milan")["metadata"]["annotations"]
    assert marks == {"liqo.io/foreign-cluster-permanently-unreachable": "true"}
    abandoned.rome.merge("identities", HERE, "controlplane-milan", {"metadata": {"finalizers": None}})
    assert (await abandoned.alone(*FORCE)).code == 0


async def test_what_stays_of_it_elsewhere_is_waited_for(abandoned: Duo) -> None:
    twin = {
        "name": "shop-milan",
        "labels": OF_MILAN,
        "annotations": {"liqo.io/managed-by-namespace-map": "x"},
    }
    abandoned.rome.create("namespaces", {"metadata": twin})
    told = failure(await abandoned.alone(*FORCE, "--timeout", "5s"))
    assert "(left: rome: Namespace shop-milan)" in told


@pytest.mark.parametrize(
    ("status", "more"),
    [
        ("Error", ""),
        ("Established", " Its API server answered a moment ago: isthmus unpeer would also clean up there."),
    ],
)
async def test_the_question_says_what_is_lost_and_whether_there_is_a_better_way(
    abandoned: Duo, status: str, more: str
) -> None:
    abandoned.rome.put("foreignclusters", foreign(status))
    metadata = {"namespace": "shop", "name": "web"}
    abandoned.rome.create("pods", {"metadata": metadata, "spec": {"nodeName": "milan"}})
    told = failure(await abandoned.alone(*FORCE[:3]), code=2)
    assert f'"Give milan up for good, with 1 pods offloaded to it?{more}"' in told
    assert abandoned.journal == []


async def test_a_cluster_that_is_not_known(duo: Duo) -> None:
    told = failure(await duo.alone(*FORCE))
    assert told == 'the local cluster "rome" has nothing to do with "milan": see isthmus info for its peers'
    told = failure(await duo.alone("force", "unpeer", "rome"), code=2)
    assert told.startswith('--remote-cluster-id "rome" is the id of the local cluster "rome" itself')


async def test_a_broken_off_run_is_finished_without_the_foreign_cluster(duo: Duo) -> None:
    tenant_namespace(duo.rome, "milan")
    assert (await duo.alone(*FORCE)).code == 0
    assert duo.journal == [f"rome: delete namespaces {HERE}"]

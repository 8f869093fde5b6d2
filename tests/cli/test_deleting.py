"""`isthmus delete`: objects of a peering by name or by peer, until they are gone."""

from __future__ import annotations

import pytest

from tests.cli.played import HERE, PEER, Duo, failure

DELETE = ("delete", "virtualnode", "--skip-confirm")


@pytest.fixture
def nodes(duo: Duo) -> Duo:
    """Two virtual nodes of milan, one of turin, and something that is no peering's."""
    duo.consumer.idle.add("virtualnodes")
    for name, peer in (("milan", "milan"), ("gpu", "milan"), ("turin", "turin")):
        metadata = {"namespace": f"liqo-tenant-{peer}", "name": name, "labels": {PEER: peer}}
        duo.rome.create("virtualnodes", {"metadata": metadata, "spec": {}})
    duo.rome.create("virtualnodes", {"metadata": {"namespace": "shop", "name": "mine"}, "spec": {}})
    return duo


async def test_by_name_or_all_of_a_peer(nodes: Duo) -> None:
    ended = await nodes.alone(*DELETE, "turin")
    assert (ended.code, ended.out) == (0, "VirtualNode liqo-tenant-turin/turin is deleted\n"), ended.err
    assert nodes.rome.named("virtualnodes") == {"milan", "gpu", "mine"}
    ended = await nodes.alone(*DELETE, "--remote-cluster-id", "milan")
    assert ended.out == f"VirtualNode {HERE}/gpu, {HERE}/milan is deleted\n"
    assert nodes.rome.named("virtualnodes") == {"mine"}


async def test_what_is_not_there_is_told_and_nothing_goes(nodes: Duo) -> None:
    told = failure(await nodes.alone(*DELETE, "gpu", "naples", "mine"))
    assert told == (
        'the local cluster "rome" has no VirtualNode mine, naples: see kubectl get '
        "virtualnodes.offloading.liqo.io --all-namespaces"
    )
    told = failure(await nodes.alone(*DELETE, "gpu", "--remote-cluster-id", "turin"))
    assert "has no VirtualNode gpu of turin: see" in told
    told = failure(await nodes.alone(*DELETE, "--remote-cluster-id", "naples"))
    assert "has no VirtualNode of naples: see" in told
    told = failure(await nodes.alone("delete", "virtualnode", "gpu"), code=2)
    assert f'"Delete VirtualNode {HERE}/gpu? The pods on it are evicted."' in told
    assert nodes.journal == []


async def test_one_that_does_not_go_is_named(nodes: Duo) -> None:
    nodes.rome.merge("virtualnodes", HERE, "gpu", {"metadata": {"finalizers": ["liqo.io/drain"]}})
    told = failure(await nodes.alone(*DELETE, "--remote-cluster-id", "milan", "--timeout", "5s"))
    assert told == (
        f"not everything was gone within 5.0 s (left: rome: VirtualNode {HERE}/gpu): see its events and finalizers, "
        "then run this again"
    )


async def test_one_that_another_object_took_the_place_of_stays(nodes: Duo) -> None:
    held = nodes.rome.hold(verb="delete", plural="virtualnodes")
    running = nodes.start(*DELETE, "gpu", "--timeout", "5s")
    await nodes.rome.until(lambda: held.hits)
    old = nodes.rome.get("virtualnodes", HERE, "gpu")
    nodes.rome.delete("virtualnodes", HERE, "gpu")
    nodes.rome.create("virtualnodes", {"metadata": {**old["metadata"], "resourceVersion": ""}, "spec": {}})
    nodes.rome.faults.end(held)
    failure(await running)
    assert nodes.rome.get("virtualnodes", HERE, "gpu") is not None

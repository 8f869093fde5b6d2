"""Asking a provider for resources by `isthmus create resourceslice`, and what is told where it does not answer."""

from __future__ import annotations

import json

import pytest

from tests.apiserver import Json
from tests.cli.played import HERE, Duo, conditions, failure, tenant_namespace

SLICE = ("create", "resourceslice", "--remote-cluster-id", "milan")


@pytest.fixture(autouse=True)
def _authenticated(duo: Duo) -> None:
    tenant_namespace(duo.rome, "milan")


async def test_a_slice_is_granted_and_its_node_ready(duo: Duo) -> None:
    ended = await duo.alone(*SLICE, "gpu", "--resource", "nvidia.com/gpu=2", "--pods", "10")
    assert (ended.code, ended.out) == (0, "resource slice gpu of milan is granted\n"), ended.err
    assert "✓ (rome) Virtual node gpu Ready" in ended.err
    spec = duo.rome.get("resourceslices", HERE, "gpu")["spec"]
    assert spec["resources"] == {"pods": "10", "nvidia.com/gpu": "2"}
    assert duo.journal == [f"rome: create resourceslices {HERE}/gpu"]


async def test_a_denied_slice_is_told_in_the_providers_words(duo: Duo) -> None:
    duo.consumer.denial = {"reason": "TooMuch", "message": "this cluster gives 4 CPUs at most"}
    assert failure(await duo.alone(*SLICE, "--cpu", "64")) == (
        "cluster milan denied the authentication of slice milan: TooMuch this cluster gives 4 CPUs at most: ask its "
        "administrator; isthmus unpeer undoes what was made, milan keeps nothing of it"
    )


async def test_a_provider_that_grants_less_is_believed_after_a_while(duo: Duo) -> None:
    duo.consumer.grants = {"cpu": "4"}
    assert (await duo.alone(*SLICE, "--cpu", "64")).code == 0
    assert duo.rome.get("resourceslices", HERE, "milan")["status"]["resources"] == {"cpu": "4"}


async def test_what_the_provider_said_so_far_is_told_at_the_end_of_the_time(duo: Duo) -> None:
    duo.consumer.idle.add("resourceslices")
    told = failure(await duo.alone(*SLICE, "--timeout", "5s"))
    assert "did not decide on resource slice liqo-tenant-milan/milan within 5.0 s (no answer yet)" in told
    said = {"status": {"conditions": conditions("Accepted")[:1]}}
    duo.rome.merge("resourceslices", HERE, "milan", said)
    told = failure(await duo.alone(*SLICE, "--timeout", "5s"))
    assert told.startswith(
        "cluster milan did not decide on the resources of slice milan within 5.0 s (Authentication Accepted)"
    )


async def test_a_class_of_ones_own_is_not_waited_for_to_the_end(duo: Duo) -> None:
    duo.consumer.idle.add("resourceslices")
    await duo.alone(*SLICE, "--class", "gold", "--wait=false")
    duo.rome.merge("resourceslices", HERE, "milan", {"status": {"conditions": conditions("Accepted")[:1]}})
    ended = await duo.alone(*SLICE, "--class", "gold")
    assert (ended.code, ended.out) == (0, "resource slice milan of milan is asked for\n")
    assert '! (rome) class "gold": its controller in milan has not decided yet' in ended.err


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (None, "(KubeletRefused: milan lets nobody in)"),
        ([], "(NotReady)"),
        (
            [{"type": "Ready", "status": "False", "reason": "NoTunnel", "message": "the tunnel is down"}],
            "(NotReady: NoTunnel the tunnel is down)",
        ),
    ],
)
async def test_why_a_virtual_node_is_not_ready_is_told(duo: Duo, node: list[Json] | None, said: str) -> None:
    duo.consumer.idle.add("virtualnodes")
    why = [{"type": "Node", "status": "None", "reason": "KubeletRefused", "message": "milan lets nobody in"}]
    metadata = {"namespace": HERE, "name": "milan"}
    duo.rome.create("virtualnodes", {"metadata": metadata, "spec": {}, "status": {"conditions": why}})
    if node is not None:
        duo.rome.create("nodes", {"metadata": {"name": "milan"}, "status": {"conditions": node}})
    told = failure(await duo.alone(*SLICE, "--timeout", "3s"))
    assert f'virtual node milan of the local cluster "rome" did not become Ready within 3.0 s {said}' in told


async def test_a_slice_is_printed_instead_of_made(duo: Duo) -> None:
    ended = await duo.alone(*SLICE, "--cpu", "2", "-o", "json", "--no-virtual-node")
    shown = json.loads(ended.out)
    assert (shown["kind"], shown["metadata"]["namespace"]) == ("ResourceSlice", HERE)
    assert shown["spec"] == {"class": "default", "providerClusterID": "milan", "resources": {"cpu": "2"}}
    assert shown["metadata"]["annotations"] == {"liqo.io/create-virtual-node": "false"}
    assert duo.journal == []


async def test_a_slice_without_waiting(duo: Duo) -> None:
    duo.consumer.idle.add("resourceslices")
    ended = await duo.alone(*SLICE, "--wait=false")
    assert (ended.code, ended.out) == (0, "resource slice milan of milan is asked for\n")


async def test_a_slice_of_a_cluster_that_is_no_provider(duo: Duo) -> None:
    told = failure(await duo.alone("create", "resourceslice", "--remote-cluster-id", "turin"))
    assert told.startswith(
        'the local cluster "rome" has no tenant namespace for "turin": check --remote-cluster-id'
    )
    told = failure(await duo.alone("create", "resourceslice", "--remote-cluster-id", "rome"), code=2)
    assert told.startswith('--remote-cluster-id "rome" is the id of the local cluster "rome" itself')


async def test_a_slice_that_is_being_deleted_is_waited_for_and_made_anew(duo: Duo) -> None:
    await duo.alone(*SLICE, "--no-virtual-node")
    duo.rome.merge("resourceslices", HERE, "milan", {"metadata": {"finalizers": ["liqo.io/tidy"]}})
    duo.rome.delete("resourceslices", HERE, "milan")
    told = failure(await duo.alone(*SLICE, "--timeout", "2s"))
    assert f"ResourceSlice {HERE}/milan could not be written within 2.0 s: it is being deleted" in told
    asked = len(duo.rome.asked("get", "resourceslices"))

    def tidy() -> bool:
        if len(duo.rome.asked("get", "resourceslices")) > asked + 1:
            duo.rome.merge("resourceslices", HERE, "milan", {"metadata": {"finalizers": None}})
            return True
        return False

    running = duo.start(*SLICE, "--no-virtual-node")
    await duo.rome.until(tidy)
    assert (await running).code == 0
    assert "deletionTimestamp" not in duo.rome.get("resourceslices", HERE, "milan")["metadata"]

"""`isthmus cordon|uncordon|drain|activate`: what a provider does about a consumer."""

from __future__ import annotations

from functools import partial

import pytest

from isthmus.api import names
from tests.apiserver import Json, Outcome
from tests.cli.played import PEER, THERE, Duo, failure

QUOTA = names.resource_slice_user("milan", "rome")
BINDING = "liqo-binding-liqo-remote-controlplane"


@pytest.fixture
async def peered(duo: Duo) -> Duo:
    """Rome consumes milan."""
    assert (await duo("peer", "--networking-disabled")).code == 0
    duo.journal.clear()
    return duo


async def run(duo: Duo, *words: str) -> Outcome:
    return await duo.alone(*words, where="milan")


def state(duo: Duo) -> tuple[str, bool]:
    """The tenant's condition, and whether the Quota of its slice takes nothing new."""
    (tenant,) = duo.milan.list("tenants")
    return tenant["spec"]["tenantCondition"], duo.milan.get("quotas", THERE, QUOTA)["spec"]["cordoned"]


async def test_a_cordoned_consumer_gets_nothing_new_until_it_is_uncordoned(peered: Duo) -> None:
    ended = await run(peered, "cordon", "tenant", "rome")
    assert (ended.code, ended.out) == (
        0,
        "rome gets no new resources and no new pods; what runs stays\n",
    ), ended.err
    assert state(peered) == ("Cordoned", True)
    assert (await run(peered, "cordon", "tenant", "rome")).code == 0, "again"
    assert peered.journal == [f"milan: update tenants {THERE}/rome"]
    ended = await run(peered, "uncordon", "tenant", "rome")
    assert (ended.code, ended.out) == (0, "rome may use what it was granted\n")
    assert state(peered) == ("Active", False)


async def test_a_drained_consumer_has_nothing_here_until_it_is_activated(peered: Duo) -> None:
    told = failure(await run(peered, "drain", "tenant", "rome"), code=2)
    assert (
        'there is no terminal to ask on: "Put rome out of milan? 1 slices and 0 namespaces of it go' in told
    )
    assert peered.journal == []
    ended = await run(peered, "drain", "tenant", "rome", "--skip-confirm")
    assert (ended.code, ended.out) == (0, "rome has nothing here any more\n")
    assert "✓ (milan) Everything it placed here removed" in ended.err
    assert (peered.milan.named("resourceslices"), peered.milan.named("rolebindings")) == (set(), set())
    for verb in ("cordon", "uncordon"):
        told = failure(await run(peered, verb, "tenant", "rome"))
        assert "is Drained, and only Active or Cordoned ones can be" in told
        assert "isthmus activate tenant lets it in again" in told
    ended = await run(peered, "activate", "tenant", "rome")
    assert (ended.code, ended.out) == (0, "rome is let in\n")
    assert peered.milan.named("rolebindings") == {BINDING}


async def test_what_a_drain_waits_for_is_named(peered: Duo) -> None:
    keep = {"metadata": {"finalizers": ["liqo.io/tidy"]}}
    peered.milan.merge("resourceslices", THERE, "milan", keep)
    twin = {
        "name": "shop-rome",
        "labels": {PEER: "rome"},
        "annotations": {"liqo.io/managed-by-namespace-map": "x"},
    }
    peered.milan.create("namespaces", {"metadata": twin})
    peered.milan.merge("rolebindings", THERE, BINDING, keep)
    told = failure(await run(peered, "drain", "tenant", "rome", "--skip-confirm", "--timeout", "5s"))
    assert told == (
        'the remote cluster "milan" did not drain tenant rome in full within 5.0 s (left: milan: ResourceSlice '
        f"{THERE}/milan, milan: Namespace shop-rome, its permissions): look at the log of the controller in "
        "namespace liqo, then run this again"
    ).replace("remote", "local")


async def test_what_a_cordon_waits_for_is_named(peered: Duo) -> None:
    peered.provider.idle.add("tenants")
    told = failure(await run(peered, "cordon", "tenant", "rome", "--timeout", "3s"))
    assert "did not cordon tenant rome in full within 3.0 s (slice milan is not told yet)" in told
    peered.provider.idle = {"quotas"}
    told = failure(await run(peered, "cordon", "tenant", "rome", "--timeout", "3s"))
    assert "(slice milan is not told yet)" in told
    mark = {"metadata": {"annotations": {"liqo.io/cordon-tenant": "true"}}}
    peered.milan.merge("resourceslices", THERE, "milan", mark)
    told = failure(await run(peered, "cordon", "tenant", "rome", "--timeout", "3s"))
    assert f"(Quota {THERE}/{QUOTA} does not follow yet)" in told


async def test_why_a_consumer_is_not_let_in_is_told(peered: Duo) -> None:
    await run(peered, "drain", "tenant", "rome", "--skip-confirm")
    peered.provider.idle.add("tenants")
    told = failure(await run(peered, "activate", "tenant", "rome", "--timeout", "3s"))
    assert "(its permissions are not back yet)" in told
    metadata = {"namespace": THERE, "name": "refusal"}
    about = {"uid": peered.milan.list("tenants")[0]["metadata"]["uid"]}
    event: Json = {"metadata": metadata, "involvedObject": about, "type": "Warning", "reason": "Refused"}
    peered.milan.create("events", event | {"message": "its signature is not of its key"})
    told = failure(await run(peered, "activate", "tenant", "rome", "--timeout", "3s"))
    assert "(Refused: its signature is not of its key)" in told


async def test_a_change_of_somebody_else_meanwhile_is_not_undone(peered: Duo) -> None:
    drain = partial(peered.milan.merge, "tenants", THERE, "rome", {"spec": {"tenantCondition": "Drained"}})
    held = peered.milan.hold(verb="patch", plural="tenants")
    running = peered.start("cordon", "tenant", "rome", where="milan")
    await peered.milan.until(lambda: held.hits)
    drain()
    peered.milan.faults.end(held)
    assert "is Drained, and only Active or Cordoned ones can be cordoned" in failure(await running)
    assert peered.milan.list("tenants")[0]["spec"]["tenantCondition"] == "Drained"


async def test_a_change_of_something_else_meanwhile_is_kept(peered: Duo) -> None:
    held = peered.milan.hold(verb="patch", plural="tenants")
    running = peered.start("cordon", "tenant", "rome", where="milan")
    await peered.milan.until(lambda: held.hits)
    peered.milan.merge("tenants", THERE, "rome", {"metadata": {"labels": {"team": "a"}}})
    peered.milan.faults.end(held)
    assert (await running).code == 0
    (tenant,) = peered.milan.list("tenants")
    assert (tenant["metadata"]["labels"]["team"], tenant["spec"]["tenantCondition"]) == ("a", "Cordoned")


async def test_one_slice_is_cordoned_alone(peered: Duo) -> None:
    flags = ("resourceslice", "milan", "--remote-cluster-id", "rome")
    ended = await run(peered, "cordon", *flags)
    assert (ended.code, ended.out) == (0, "slice milan of rome takes no new pods; what runs stays\n"), (
        ended.err
    )
    assert state(peered) == ("Active", True)
    ended = await run(peered, "uncordon", *flags)
    assert (ended.code, ended.out) == (0, "slice milan of rome takes pods again\n")
    assert state(peered) == ("Active", False)
    peered.provider.idle.add("quotas")
    told = failure(await run(peered, "cordon", *flags, "--timeout", "3s"))
    assert told.startswith(
        f"the Quota of slice {THERE}/milan did not follow within 3.0 s (Quota {THERE}/{QUOTA} does"
    )


async def test_who_is_not_there_is_told_with_those_who_are(peered: Duo) -> None:
    told = failure(await run(peered, "cordon", "tenant", "turin"))
    assert told == 'the local cluster "milan" has no tenant "turin": its tenants are rome'
    told = failure(await peered.alone("drain", "tenant", "turin"))
    assert told == 'the local cluster "rome" has no tenant "turin": no cluster consumes it'
    flags = ("resourceslice", "gpu", "--remote-cluster-id")
    told = failure(await run(peered, "cordon", *flags, "rome"))
    assert told == 'the local cluster "milan" has no resource slice "gpu" of rome: its slices are milan'
    told = failure(await run(peered, "cordon", *flags, "turin"))
    assert told.endswith("check --remote-cluster-id turin")

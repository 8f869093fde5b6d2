"""`isthmus unpeer` and `isthmus unauthenticate`: what goes in which order, what is waited for, what stays."""

from __future__ import annotations

import asyncio
import io
import signal
import sys

import pytest

from tests.apiserver import ApiServer, Json
from tests.cli.played import HERE, PEER, THERE, Duo, failure, tenant_namespace

UNPEER = ("unpeer", "--skip-confirm")
GATEWAY = {"networking.liqo.io/component": "gateway"}


@pytest.fixture
async def peered(duo: Duo) -> Duo:
    """Rome and milan, rome a consumer of milan."""
    assert (await duo("peer", "--networking-disabled")).code == 0
    duo.journal.clear()
    return duo


def place_pod(duo: Duo, name: str, node: str) -> None:
    metadata = {"namespace": "shop", "name": name}
    duo.rome.create("pods", {"metadata": metadata, "spec": {"nodeName": node}})


def about_the_peer(api: ApiServer) -> set[str]:
    """What is left of a peering besides the tenant namespaces."""
    own = ("liqo", "kube-system", "shop", "")
    return {f"{plural}/{name}" for plural, namespace, name in api.objects if namespace not in own}


async def test_everything_goes_in_an_order_that_keeps_every_clean_up_possible(peered: Duo) -> None:
    ended = await peered(*UNPEER)
    assert (ended.code, ended.out) == (0, "rome is no longer peered with milan\n"), ended.err
    assert peered.journal == [
        f"rome: update resourceslices {HERE}/milan",
        f"rome: delete virtualnodes {HERE}/milan",
        f"rome: delete resourceslices {HERE}/milan",
        f"rome: delete identities {HERE}/controlplane-milan",
        f"milan: delete tenants {THERE}/rome",
        f"rome: delete secrets {HERE}/liqo-signed-nonce",
        f"milan: delete secrets {THERE}/liqo-nonce",
    ]
    assert about_the_peer(peered.rome) == set()
    assert about_the_peer(peered.milan) == {"rolebindings/liqo-binding-liqo-remote-controlplane"}
    assert peered.rome.get("namespaces", "", HERE) is not None


async def test_the_network_tests_own_namespace_goes_along(peered: Duo) -> None:
    marks = {"app.kubernetes.io/managed-by": "isthmus-test-network"}
    for api in (peered.rome, peered.milan):
        api.create("namespaces", {"metadata": {"name": "isthmus-test-network", "labels": marks}})
    peered.journal.clear()
    ended = await peered(*UNPEER)
    assert ended.code == 0, ended.err
    assert peered.journal[:2] == [
        "rome: delete namespaces isthmus-test-network",
        "milan: delete namespaces isthmus-test-network",
    ]
    assert all(
        api.get("namespaces", "", "isthmus-test-network") is None for api in (peered.rome, peered.milan)
    )
    assert "Namespace isthmus-test-network removed" in ended.err


async def test_a_namespace_of_somebody_elses_with_the_network_tests_name_stays(peered: Duo) -> None:
    peered.milan.create("namespaces", {"metadata": {"name": "isthmus-test-network"}})
    assert (await peered(*UNPEER)).code == 0
    assert peered.milan.get("namespaces", "", "isthmus-test-network") is not None


async def test_who_may_see_no_namespaces_may_unpeer_all_the_same(peered: Duo) -> None:
    peered.milan.fail(403, "Forbidden", verb="get", name="isthmus-test-network", times=None)
    ended = await peered(*UNPEER)
    assert ended.code == 0, ended.err
    assert peered.milan.asked("get", name="isthmus-test-network")


async def test_a_second_time_there_is_nothing_to_do(peered: Duo) -> None:
    await peered(*UNPEER)
    peered.journal.clear()
    ended = await peered(*UNPEER)
    assert (ended.code, ended.out) == (0, "rome was not peered with milan: nothing to do\n")
    assert peered.journal == []


async def test_tenant_namespaces_go_when_asked_for(peered: Duo) -> None:
    ended = await peered(*UNPEER, "--delete-namespaces")
    assert ended.code == 0, ended.err
    assert peered.journal[-2:] == [f"rome: delete namespaces {HERE}", f"milan: delete namespaces {THERE}"]
    assert peered.rome.get("namespaces", "", HERE) is None
    assert peered.milan.get("namespaces", "", THERE) is None


async def test_nothing_goes_without_a_yes(peered: Duo) -> None:
    for name in ("web", "db"):
        place_pod(peered, name, "milan")
    place_pod(peered, "home", "worker")
    assert failure(await peered("unpeer"), code=2) == (
        'there is no terminal to ask on: "End the peering in which rome uses milan? Virtual node milan goes, with 2 '
        'offloaded pods on it.": answer yes with --skip-confirm'
    )
    assert peered.journal == []


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "code", "said", "left"),
    [
        ("y\n", 0, "rome is no longer peered with milan", 0),
        ("n\n", 1, "error: not confirmed: nothing was changed", 1),
        ("", 130, "error: interrupted", 1),  # Ctrl-D
    ],
)
async def test_on_a_terminal_it_is_asked(
    peered: Duo, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, said: str, left: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended = await peered("unpeer")
    assert (ended.code, len(peered.milan.list("tenants"))) == (code, left)
    assert "End the peering in which rome uses milan? Virtual node milan goes" in ended.err
    assert said in (ended.out if code == 0 else ended.err.splitlines()[-1])


async def test_the_other_direction_stays_with_its_tunnel(peered: Duo) -> None:
    for api, namespace, peer in ((peered.rome, HERE, "milan"), (peered.milan, THERE, "rome")):
        metadata = {"namespace": namespace, "name": peer, "labels": {PEER: peer}}
        api.create("configurations", {"metadata": metadata, "spec": {}})
    metadata = {"namespace": HERE, "name": "milan", "labels": {PEER: "milan"}}
    peered.rome.create("tenants", {"metadata": metadata, "spec": {"clusterID": "milan"}})
    told = failure(await peered(*UNPEER, "--delete-namespaces"), code=2)
    assert told.startswith(
        "--delete-namespaces: milan also consumes rome, in the same namespaces: leave it out"
    )
    assert peered.journal == []
    assert (await peered(*UNPEER)).code == 0
    assert peered.rome.named("tenants") == {"milan"}
    assert peered.rome.named("configurations") == {"milan"}


async def test_the_tunnel_goes_with_the_last_direction(peered: Duo) -> None:
    def place(api: ApiServer, namespace: str, peer: str, *plurals: str) -> None:
        for plural in plurals:
            metadata = {"namespace": namespace, "name": peer, "labels": {PEER: peer}}
            api.create(plural, {"metadata": metadata, "spec": {}})

    place(peered.rome, HERE, "milan", "configurations", "gatewayclients", "publickeies")
    place(peered.milan, THERE, "rome", "configurations", "gatewayservers", "publickeies")
    made = {"namespace": THERE, "name": "gw-rome", "labels": GATEWAY, "finalizers": ["test/slow"]}
    peered.milan.create("deployments", {"metadata": made})
    peered.milan.delete("deployments", THERE, "gw-rome")
    told = failure(await peered(*UNPEER, "--timeout", "5s"))
    assert f"not everything was gone within 5.0 s (left: milan: Deployment {THERE}/gw-rome)" in told
    assert "look at the controllers of rome and milan, then run unpeer again" in told
    assert peered.journal[-6:] == [
        f"rome: delete gatewayclients {HERE}/milan",
        f"milan: delete gatewayservers {THERE}/rome",
        f"rome: delete publickeies {HERE}/milan",
        f"milan: delete publickeies {THERE}/rome",
        f"rome: delete configurations {HERE}/milan",
        f"milan: delete configurations {THERE}/rome",
    ]
    assert failure(await peered(*UNPEER, "--timeout", "5s")) == told, "a second run waits for it too"
    peered.milan.merge("deployments", THERE, "gw-rome", {"metadata": {"finalizers": None}})
    assert (await peered(*UNPEER)).out == "rome was not peered with milan: nothing to do\n"


async def test_pods_that_cannot_be_evicted_are_told_and_nothing_else_goes(peered: Duo) -> None:
    place_pod(peered, "web", "milan")
    peered.rome.merge("virtualnodes", HERE, "milan", {"metadata": {"finalizers": ["liqo.io/drain"]}})
    told = failure(await peered(*UNPEER, "--timeout", "5s"))
    assert told == (
        "the virtual nodes were not gone within 5.0 s (milan with 1 pods): look for pods that cannot be evicted "
        "(PodDisruptionBudget, finalizers), then run unpeer again"
    )
    assert peered.rome.named("resourceslices") == {"milan"}
    assert peered.rome.named("identities") == {"controlplane-milan"}
    peered.journal.clear()
    assert failure(await peered(*UNPEER, "--timeout", "5s")) == told
    assert peered.wrote("delete") == [], "what is going is not deleted again"


async def test_a_controller_that_is_absent_is_told_before_it_is_waited_for(peered: Duo) -> None:
    peered.milan.merge("deployments", "liqo", "liqo-controller-manager", {"status": {"readyReplicas": 0}})
    peered.rome.merge(
        "identities", HERE, "controlplane-milan", {"metadata": {"finalizers": ["liqo.io/tell"]}}
    )
    ended = await peered(*UNPEER, "--timeout", "5s")
    assert "! (milan) no controller is ready in namespace liqo: this has to wait for it" in ended.err
    assert "(rome) no controller" not in ended.err
    assert failure(ended).startswith(
        f"not everything was gone within 5.0 s (left: rome: Identity {HERE}/controlplane-milan): look at"
    )
    assert peered.milan.named("tenants") == {"rome"}, "what lets the identity be used goes last"


async def test_copies_that_nobody_takes_back_are_removed(peered: Duo) -> None:
    peered.consumer.idle |= {"resourceslices"}
    copied = {"liqo.io/replicated": "true", "liqo.io/originID": "rome"}
    peered.milan.create("namespacemaps", {"metadata": {"namespace": THERE, "name": "rome", "labels": copied}})
    foreign = {"liqo.io/replicated": "true", "liqo.io/originID": "turin"}
    peered.milan.create(
        "namespacemaps", {"metadata": {"namespace": THERE, "name": "turin", "labels": foreign}}
    )
    assert (await peered(*UNPEER)).code == 0
    assert peered.wrote("milan: delete resourceslices", "milan: delete namespacemaps") == [
        f"milan: delete resourceslices {THERE}/milan",
        f"milan: delete namespacemaps {THERE}/rome",
    ]
    assert peered.milan.named("namespacemaps") == {"turin"}


async def test_twins_that_stay_behind_are_waited_for_only_when_asked(peered: Duo) -> None:
    def twin(name: str, owner: str) -> Json:
        made = {"liqo.io/managed-by-namespace-map": owner}
        return {"metadata": {"name": name, "labels": {PEER: "rome"}, "annotations": made}}

    peered.milan.create("namespaces", twin("shop-rome", f"{THERE}/rome"))
    peered.milan.create("namespaces", twin("shop-turin", "liqo-tenant-turin/turin"))
    told = failure(await peered(*UNPEER, "--timeout", "5s"))
    assert "(left: milan: Namespace shop-rome)" in told
    assert (await peered(*UNPEER, "--wait=false")).code == 0


async def test_a_provider_that_is_gone_leads_to_force_unpeer(peered: Duo) -> None:
    await peered.milan.stop()
    told = failure(await peered(*UNPEER))
    assert f"the remote cluster at {peered.milan.url} cannot be reached" in told
    assert told.endswith("where the provider is gone for good, run isthmus force unpeer ID")
    assert peered.journal == []
    await peered.milan.start()


async def test_a_peering_user_who_sees_little_unpeers_what_it_sees(peered: Duo) -> None:
    for plural in ("namespaces", "quotas", "deployments", "renews"):
        peered.milan.fail(403, "Forbidden", times=None, verb="list", plural=plural)
    assert (await peered(*UNPEER)).code == 0
    assert not peered.milan.list("tenants")


async def test_an_interrupted_run_says_so_and_the_next_one_finishes(peered: Duo) -> None:
    held = peered.rome.hold(verb="delete", plural="identities")
    paths = {"--kubeconfig": "rome", "--remote-kubeconfig": "milan"}
    flags = [word for flag, name in paths.items() for word in (flag, str(peered.folder / name))]
    program = (sys.executable, "-c", "from isthmus.cli import main; main()")
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    child = await asyncio.create_subprocess_exec(*program, *UNPEER, *flags, **pipes)
    await peered.rome.until(lambda: held.hits)
    child.send_signal(signal.SIGINT)
    out, err = (text.decode() for text in await child.communicate())
    peered.rome.faults.end(held)
    assert (child.returncode, out) == (130, "")
    assert "✗ (rome) Identities removed" in err
    assert err.splitlines()[-1] == "error: interrupted"
    assert (await peered(*UNPEER)).code == 0
    assert about_the_peer(peered.rome) == set()


async def test_an_identity_is_given_up_when_nothing_uses_it(peered: Duo) -> None:
    told = failure(await peered("unauthenticate", "--skip-confirm"))
    assert told == (
        'the local cluster "rome" still asks milan for resources (ResourceSlice milan): run isthmus delete '
        "resourceslice milan first, or isthmus unpeer"
    )
    assert peered.journal == []
    peered.rome.delete("resourceslices", HERE, "milan")
    told = failure(await peered("unauthenticate"), code=2)
    assert told.startswith('there is no terminal to ask on: "Give up the identity of rome on milan?"')
    ended = await peered("unauthenticate", "--skip-confirm")
    assert (ended.code, ended.out) == (0, "rome has no identity on milan any more\n")
    assert peered.journal == [
        f"rome: delete identities {HERE}/controlplane-milan",
        f"milan: delete tenants {THERE}/rome",
        f"rome: delete secrets {HERE}/liqo-signed-nonce",
        f"milan: delete secrets {THERE}/liqo-nonce",
    ]
    ended = await peered("unauthenticate", "--skip-confirm")
    assert (ended.code, ended.out) == (0, "rome had no identity on milan: nothing to do\n")


async def test_clusters_that_never_met(duo: Duo) -> None:
    tenant_namespace(duo.rome, "milan", "guests")
    ended = await duo(*UNPEER)
    assert (ended.code, ended.out) == (0, "rome was not peered with milan: nothing to do\n")
    milan = str(duo.folder / "milan")
    told = failure(await duo.alone(*UNPEER, "--remote-kubeconfig", milan, where="milan"))
    assert "lead to the same cluster" in told

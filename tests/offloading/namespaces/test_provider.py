"""A consumer's NamespaceMap becomes twin namespaces it may work in, and never touches what is not its own."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.namespaces import twins
from isthmus.offloading.namespaces.provider import DELETION_BOUND, RETRY, TwinController
from tests.apiserver import Admission, ApiServer, Json, StatusError, running
from tests.apiserver.clock import VIRTUAL_TIME, Clock

pytestmark = VIRTUAL_TIME
TNS = "liqo-tenant-rome"
OWNED = "liqo.io/managed-by-namespace-map"


def provider(manager: Manager, options: Options) -> None:
    manager.add(TwinController(manager, Options(cluster_id="milan")).controller())


def tenant(api: ApiServer, consumer: str = "rome") -> None:
    """The namespace of a peer."""
    marks = {"liqo.io/remote-cluster-id": consumer, "liqo.io/tenant-namespace": "true"}
    api.create("namespaces", {"metadata": {"name": f"liqo-tenant-{consumer}", "labels": marks}})


def wish(api: ApiServer, consumer: str = "rome", **mapping: str) -> None:
    """The map of a consumer as it is replicated here."""
    meta: Json = {"name": "milan", "namespace": f"liqo-tenant-{consumer}"}
    meta["labels"] = {"liqo.io/originID": consumer, "liqo.io/replicated": "true"}
    api.create("namespacemaps", {"metadata": meta, "spec": {"desiredMapping": mapping}})


def ask(api: ApiServer, **mapping: str | None) -> None:
    """Change what the consumer asks for."""
    api.merge("namespacemaps", TNS, "milan", {"spec": {"desiredMapping": mapping}})


def outcome(api: ApiServer, consumer: str = "rome") -> dict[str, str]:
    """The phase of each local namespace, as the consumer is told."""
    map_ = api.get("namespacemaps", f"liqo-tenant-{consumer}", "milan") or {}
    current: Json = map_.get("status", {}).get("currentMapping", {})
    return {local: one["phase"] for local, one in current.items()}


def binding(api: ApiServer, twin: str = "demo-rome") -> Json:
    return api.get("rolebindings", twin, TNS) or {}


async def test_a_twin_namespace_is_made_and_the_consumer_let_in() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        twin = api.get("namespaces", "", "demo-rome")
        assert twin
        assert twin["metadata"]["labels"]["liqo.io/remote-cluster-id"] == "rome"
        assert binding(api)["roleRef"]["name"] == "liqo-virtual-kubelet-remote"
        assert [one["name"] for one in binding(api)["subjects"]] == ["rome"]


async def test_what_the_consumer_no_longer_asks_for_goes() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome", other="other-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted", "other": "Accepted"})
        api.merge("namespaces", "", "other-rome", {"metadata": {"finalizers": ["example.com/slow"]}})
        ask(api, other=None)
        await api.until(lambda: outcome(api) == {"demo": "Accepted", "other": "Terminating"})
        api.merge("namespaces", "", "other-rome", {"metadata": {"finalizers": None}})
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        assert "other-rome" not in api.named("namespaces")


@pytest.mark.parametrize("name", ["kube-system", "default", "liqo", "liqo-tenant-rome", "Bad_Name"])
async def test_names_of_the_system_are_refused_and_cost_the_others_nothing(name: str) -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome", evil=name)
        await api.until(lambda: outcome(api) == {"demo": "Accepted", "evil": "CreationLoopBackOff"})
        await api.until(lambda: api.events("NamespaceRefused"))
        assert name in api.events("NamespaceRefused")[0]
        assert binding(api, name) == {}


async def test_a_namespace_of_somebody_else_is_not_taken_until_it_is_gone(clock: Clock) -> None:
    api = ApiServer()
    tenant(api)
    api.create("namespaces", {"metadata": {"name": "demo-rome"}})
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "CreationLoopBackOff"})
        assert binding(api) == {}
        begun = clock.monotonic()
        api.delete("namespaces", "", "demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        assert clock.monotonic() - begun <= RETRY + 1


async def test_a_twin_whose_label_somebody_took_away_is_adopted_again() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        before = api.get("namespaces", "", "demo-rome")
        api.merge(
            "namespaces", "", "demo-rome", {"metadata": {"labels": {"liqo.io/remote-cluster-id": None}}}
        )

        def labelled() -> bool:
            found = api.get("namespaces", "", "demo-rome")
            return found is not None and "liqo.io/remote-cluster-id" in found["metadata"]["labels"]

        await api.until(labelled)
        after = api.get("namespaces", "", "demo-rome")
        assert before
        assert after
        assert before["metadata"]["uid"] == after["metadata"]["uid"]
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})


async def test_a_twin_that_somebody_deletes_comes_back() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        before = binding(api)["metadata"]["uid"]
        api.delete("namespaces", "", "demo-rome")
        await api.until(lambda: binding(api))
        assert binding(api)["metadata"]["uid"] != before
        assert "demo-rome" in api.named("namespaces")


async def test_a_twin_that_is_going_is_told_as_such_and_made_anew() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        api.merge("namespaces", "", "demo-rome", {"metadata": {"finalizers": ["example.com/slow"]}})
        api.delete("namespaces", "", "demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Terminating"})
        api.merge("namespaces", "", "demo-rome", {"metadata": {"finalizers": None}})
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})


async def test_the_consumers_rights_are_restored_and_nobody_elses_kept() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        evil = [{"kind": "User", "name": "evil", "apiGroup": "rbac.authorization.k8s.io"}]
        api.merge("rolebindings", "demo-rome", TNS, {"subjects": evil})
        await api.until(lambda: [one["name"] for one in binding(api)["subjects"]] == ["rome"])
        api.delete("rolebindings", "demo-rome", TNS)
        await api.until(lambda: binding(api))


def immutable_roles(review: Admission) -> None:
    """RBAC's own rule."""
    if review.place.plural == "rolebindings" and review.operation == "UPDATE":
        assert review.object is not None
        assert review.old is not None
        if review.object["roleRef"] != review.old["roleRef"]:
            raise StatusError(422, "Invalid", "roleRef: Invalid value: cannot change roleRef")


@pytest.mark.parametrize("ours", [True, False])
async def test_a_binding_of_another_role_is_replaced_where_it_was_made_for_the_map(ours: bool) -> None:
    api = ApiServer()
    tenant(api)
    marks = {"annotations": {OWNED: f"{TNS}/milan"}} if ours else {}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    api.create(
        "rolebindings", {"metadata": {"name": TNS, "namespace": "demo-rome", **marks}, "roleRef": role}
    )
    api.admission.append(immutable_roles)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        if ours:
            await api.until(lambda: outcome(api) == {"demo": "Accepted"})
            assert binding(api)["roleRef"]["name"] == "liqo-virtual-kubelet-remote"
        else:
            with pytest.raises(TimeoutError):
                await api.until(lambda: outcome(api).get("demo") == "Accepted", 60)
            assert binding(api)["roleRef"] == role


async def test_an_api_server_that_refuses_a_namespace_costs_only_that_one() -> None:
    api = ApiServer()
    tenant(api)

    def policy(review: Admission) -> None:
        if review.place == ("namespaces", "", "bad-rome"):
            raise StatusError(403, "Forbidden", "policy: no such names")

    api.admission.append(policy)
    async with running(api, provider):
        wish(api, bad="bad-rome", demo="demo-rome")
        await api.until(lambda: outcome(api) == {"bad": "CreationLoopBackOff", "demo": "Accepted"})
        await api.until(lambda: any("no such names" in one for one in api.events("NamespaceRefused")))


async def test_a_map_outside_its_consumers_tenant_namespace_is_ignored() -> None:
    api = ApiServer()
    tenant(api, "turin")
    async with running(api, provider):
        meta = {"name": "milan", "namespace": "liqo-tenant-turin"}
        copy: dict[str, Any] = {"labels": {"liqo.io/originID": "rome", "liqo.io/replicated": "true"}}
        spec = {"desiredMapping": {"demo": "demo-rome"}}
        api.create("namespacemaps", {"metadata": {**meta, **copy}, "spec": spec})
        await api.until(lambda: api.events("TenantNamespaceMismatch"))
        assert "demo-rome" not in api.named("namespaces")
        tenant(api)
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})


async def test_a_map_is_served_once_its_tenant_namespace_is_labelled() -> None:
    api = ApiServer()
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: api.events("TenantNamespaceMismatch"))
        tenant(api)
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})


async def test_two_consumers_do_not_get_each_others_namespaces() -> None:
    api = ApiServer()
    for consumer in ("rome", "turin"):
        tenant(api, consumer)
    async with running(api, provider):
        wish(api, "rome", demo="shared")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        wish(api, "turin", demo="shared")
        await api.until(lambda: outcome(api, "turin") == {"demo": "CreationLoopBackOff"})
        api.delete("namespacemaps", "liqo-tenant-turin", "milan")
        await api.until(lambda: api.get("namespacemaps", "liqo-tenant-turin", "milan") is None)
        assert "shared" in api.named("namespaces")


async def test_a_consumer_does_not_get_more_namespaces_than_the_cluster_can_bear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(twins, "MOST_TWINS", 2)
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, a="a-rome", b="b-rome")
        await api.until(lambda: outcome(api) == {"a": "Accepted", "b": "Accepted"})
        ask(api, c="c-rome")
        await api.until(lambda: outcome(api).get("c") == "CreationLoopBackOff")
        await api.until(lambda: any("2 are possible" in one for one in api.events("NamespaceRefused")))


async def test_the_end_of_a_map_takes_its_twins_along_and_waits_for_them() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        api.merge("namespaces", "", "demo-rome", {"metadata": {"finalizers": ["example.com/slow"]}})
        api.delete("namespacemaps", TNS, "milan")
        await api.until(lambda: outcome(api) == {"demo": "Terminating"})
        api.merge("namespaces", "", "demo-rome", {"metadata": {"finalizers": None}})
        await api.until(lambda: api.get("namespacemaps", TNS, "milan") is None, 2 * RETRY)
        assert "demo-rome" not in api.named("namespaces")


async def test_a_twin_that_never_ends_holds_the_map_up_for_ten_minutes_only(clock: Clock) -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        api.merge("namespaces", "", "demo-rome", {"metadata": {"finalizers": ["example.com/never"]}})
        begun = clock.monotonic()
        api.delete("namespacemaps", TNS, "milan")
        await api.until(lambda: api.get("namespacemaps", TNS, "milan") is None, DELETION_BOUND + 20)
        assert clock.monotonic() - begun >= DELETION_BOUND - 2


async def test_a_manager_that_is_killed_half_way_is_carried_on_by_the_next() -> None:
    api = ApiServer()
    tenant(api)
    async with running(api, provider):
        wish(api, demo="demo-rome")
        with api.failing(500, verb="apply", plural="rolebindings") as fault:
            await api.until(lambda: fault.hits)
    assert "demo-rome" in api.named("namespaces")
    api.lose_answer(verb="apply", plural="rolebindings")
    api.fail(409, "Conflict", verb="patch", plural="namespacemaps")
    async with running(api, provider):
        await api.until(lambda: outcome(api) == {"demo": "Accepted"})
        api.delete("namespacemaps", TNS, "milan")
        await api.until(lambda: "demo-rome" not in api.named("namespaces"))
    async with running(api, provider):
        await api.until(lambda: api.get("namespacemaps", TNS, "milan") is None)

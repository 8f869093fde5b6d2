"""Taking an installation away: what is in use stays, everything of ours goes and nothing else, and every wait ends."""

from __future__ import annotations

import asyncio

import pytest

from isthmus.api import labels
from isthmus.install.errors import InstallError
from isthmus.install.removal import CLEANUP_PATIENCE, is_anything_left
from tests.apiserver import ApiServer, Change, connected
from tests.apiserver.requests import Request
from tests.install.cluster import Told, cluster, installed, removed, standing

pytestmark = pytest.mark.looptime

TNS = "liqo-tenant-milan"
THEIRS = "example.com/theirs"
TENANT = {labels.TENANT_NAMESPACE: labels.TRUE, labels.REMOTE_CLUSTER_ID: "milan"}


def foreign(api: ApiServer) -> None:
    """What others have here, some of it under names and labels that look like ours."""
    like = {"app.kubernetes.io/instance": "liqo"}
    api.create("clusterroles", {"metadata": {"name": "liqo-theirs", "labels": like}})
    api.create("configmaps", {"metadata": {"name": "settings", "namespace": "default"}})
    api.create("secrets", {"metadata": {"name": "key", "namespace": "default", "finalizers": [THEIRS]}})
    api.create(
        "clusterrolebindings", {"metadata": {"name": "theirs", "labels": {labels.APP_MANAGED_BY: "liqo"}}}
    )
    api.create("certificatesigningrequests", {"metadata": {"name": "theirs"}})


def without_kinds(api: ApiServer) -> dict[object, object]:
    return {place: one for place, one in api.objects.items() if place[0] != "customresourcedefinitions"}


@pytest.mark.parametrize("purge", [False, True])
async def test_a_cluster_is_left_as_it_was_found(purge: bool) -> None:
    api = cluster()
    foreign(api)
    before = dict(api.objects)
    await installed(api)
    kinds = api.named("customresourcedefinitions")
    told = await removed(api, purge=purge)
    assert without_kinds(api) == before
    assert api.named("customresourcedefinitions") == (set() if purge else kinds)
    assert told.titles[:7] == [
        "Kubernetes v1.36.3, no peering, no extended namespace",
        "Webhooks removed",
        "What the controller made is removed",
        "The controller has ended",
        "The network is taken off the nodes",
        "Cluster-wide objects removed",
        "Namespace liqo removed",
    ]
    deleted = [one.plural for one in api.asked("delete")]
    assert deleted.index("mutatingwebhookconfigurations") < deleted.index("deployments")
    assert deleted.index("deployments") < deleted.index("clusterroles") < deleted.index("namespaces")


async def test_a_second_removal_finds_nothing() -> None:
    api = await standing()
    async with connected(api) as client:
        assert await is_anything_left(client, "liqo", False)
        await removed(api)
        assert not await is_anything_left(client, "liqo", False)
        assert await is_anything_left(client, "liqo", True)
        await removed(api, purge=True)
        assert not await is_anything_left(client, "liqo", True)
        before = api.version
        await removed(api, purge=True)
    assert api.version == before


@pytest.mark.parametrize(
    ("kind", "marks", "said", "mend"),
    [
        (
            "identities",
            {},
            r"clusters that this one uses: milan \(Identity\)",
            "isthmus unpeer --remote-kubeconfig",
        ),
        ("tenants", {}, r"consumers of this cluster: milan \(Tenant\)", "isthmus unpeer, run there"),
        (
            "resourceslices",
            {labels.REPLICATED: "true"},
            r"consumers of this cluster: milan \(ResourceSlice granted to it\)",
            "isthmus unpeer, run there",
        ),
        ("gatewayclients", {}, r"joined networks: milan \(GatewayClient\)", "isthmus network reset"),
    ],
)
async def test_a_peering_is_not_pulled_away(kind: str, marks: dict[str, str], said: str, mend: str) -> None:
    api = await standing()
    metadata = {"name": "one", "namespace": TNS, "labels": {labels.REMOTE_CLUSTER_ID: "milan", **marks}}
    api.create(kind, {"metadata": metadata})
    before = api.version
    for purge in (False, True):
        with pytest.raises(InstallError, match=f"Isthmus is in use: {said}") as refused:
            await removed(api, purge=purge)
        assert mend in refused.value.mend
    assert api.version == before


async def test_an_extended_namespace_is_not_pulled_away() -> None:
    api = await standing()
    api.create("namespaceoffloadings", {"metadata": {"name": "offloading", "namespace": "demo"}})
    with pytest.raises(
        InstallError, match="namespaces extended to other clusters: demo: isthmus unoffload namespace demo"
    ):
        await removed(api)


def left_by_a_network_test(api: ApiServer, owner: str = "isthmus-test-network") -> None:
    """What `isthmus test network` leaves for the next time: its namespace, offloaded."""
    space = {"name": "isthmus-test-network", "labels": {labels.APP_MANAGED_BY: owner}}
    api.create("namespaces", {"metadata": space})
    offloading = {"name": "offloading", "namespace": "isthmus-test-network", "finalizers": ["x.liqo.io/f"]}
    api.create("namespaceoffloadings", {"metadata": offloading})


@pytest.mark.parametrize("purge", [False, True])
@pytest.mark.parametrize("controller", ["works", "is dead"])
async def test_the_network_tests_own_namespace_goes_along(purge: bool, controller: str) -> None:
    api = await standing()
    left_by_a_network_test(api)
    if controller == "works":
        api.on_change(lambda change: let_go_of_offloading(api, change))
    told = await removed(api, purge=purge)
    assert api.get("namespaces", "", "isthmus-test-network") is None
    waited = told.waited_for("What the controller made is removed")
    assert waited == ([] if controller == "works" else ["isthmus-test-network is still there"])


def let_go_of_offloading(api: ApiServer, change: Change) -> None:
    """What a controller does with a NamespaceOffloading that is deleted, once there are no twins."""
    metadata = change.new["metadata"]
    if (
        change.place.plural == "namespaceoffloadings"
        and metadata.get("finalizers")
        and "deletionTimestamp" in metadata
    ):
        release = {"metadata": {"finalizers": []}}
        asyncio.get_running_loop().call_soon(lambda: api.merge(*change.place, release))


async def test_a_namespace_that_only_has_the_network_tests_name_is_not_pulled_away() -> None:
    api = await standing()
    left_by_a_network_test(api, owner="somebody")
    with pytest.raises(InstallError, match="namespaces extended to other clusters: isthmus-test-network"):
        await removed(api)
    assert api.get("namespaces", "", "isthmus-test-network") is not None


async def test_stock_liqo_is_not_removed() -> None:
    api = await standing()
    api.merge(
        "deployments",
        "liqo",
        "liqo-controller-manager",
        {"metadata": {"labels": {labels.APP_MANAGED_BY: "Helm"}}},
    )
    before = api.version
    with pytest.raises(InstallError, match="was installed by Helm"):
        await removed(api)
    assert api.version == before


def leave_behind(api: ApiServer) -> None:
    """What a controller that was killed left: objects that only it would have let go."""
    api.create("foreignclusters", {"metadata": {"name": "milan", "finalizers": ["x.liqo.io/finalizer"]}})
    api.create(
        "ips", {"metadata": {"name": "api-server", "namespace": "liqo", "finalizers": ["x.liqo.io/f"]}}
    )
    api.create("networks", {"metadata": {"name": "late", "namespace": "liqo", "finalizers": ["x.liqo.io/f"]}})
    bound = {labels.APP_MANAGED_BY: "liqo", labels.REMOTE_CLUSTER_ID: "milan"}
    api.create("clusterrolebindings", {"metadata": {"name": "of-milan", "labels": bound}})
    api.create(
        "certificatesigningrequests", {"metadata": {"name": "csr", "labels": {labels.REMOTE_TENANT_CSR: "x"}}}
    )
    api.create(
        "nodes", {"metadata": {"name": "milan", "labels": {labels.NODE_TYPE: labels.NODE_TYPE_VIRTUAL}}}
    )
    place = {
        "name": "shadow",
        "namespace": "twin",
        "labels": {labels.MANAGED_BY: labels.MANAGED_BY_SHADOW_POD},
    }
    api.create("pods", {"metadata": {**place, "finalizers": ["offloading.liqo.io/record", THEIRS]}})


async def test_without_a_controller_what_only_it_would_let_go_is_let_go_at_once() -> None:
    api = cluster()
    foreign(api)
    before = dict(api.objects)
    await installed(api)
    api.merge("deployments", "liqo", "liqo-controller-manager", {"status": {"readyReplicas": 0}})
    leave_behind(api)
    start = asyncio.get_running_loop().time()
    await removed(api)
    assert asyncio.get_running_loop().time() - start < 2
    pod = api.get("pods", "twin", "shadow")
    assert pod is not None
    assert pod["metadata"]["finalizers"] == [THEIRS]
    api.merge("pods", "twin", "shadow", {"metadata": {"finalizers": None}})
    api.delete("pods", "twin", "shadow")
    assert without_kinds(api) == before


async def test_a_controller_that_runs_cleans_up_behind_itself_while_it_may() -> None:
    api = await standing()
    leave_behind(api)
    told = Told()
    cleaned: list[str] = []

    def clean(change: Change) -> None:
        is_ending = change.type == "MODIFIED" and "deletionTimestamp" in change.new["metadata"]
        if change.place.plural == "foreignclusters" and is_ending and not cleaned:
            cleaned.append(change.place.name)
            asyncio.get_running_loop().call_later(
                5, api.merge, *change.place, {"metadata": {"finalizers": None}}
            )

    api.on_change(clean)
    await removed(api, told=told)
    assert told.waited_for("What the controller made") == [
        "milan is still there",
        "api-server is still there",
    ]
    order = [one.plural for one in api.asked("delete")]
    assert order.index("foreignclusters") < order.index("deployments")


async def test_a_controller_that_does_not_clean_up_is_not_waited_for_any_longer() -> None:
    api = await standing()
    leave_behind(api)
    start = asyncio.get_running_loop().time()
    await removed(api)
    assert CLEANUP_PATIENCE <= asyncio.get_running_loop().time() - start < CLEANUP_PATIENCE + 2
    assert not api.named("foreignclusters")
    assert api.get("namespaces", "", "liqo") is None


async def test_a_controllers_pod_that_does_not_end_is_named_and_the_rest_is_for_the_next_run() -> None:
    api = await standing(graceful_pods=True)
    began = asyncio.get_running_loop().time()
    with pytest.raises(InstallError) as refused:
        await removed(api, timeout=300)
    assert 90 <= asyncio.get_running_loop().time() - began < 95
    assert str(refused.value) == (
        "the controller's pod did not end: pod liqo-controller-manager-one is still there: "
        "look at its node, or kubectl delete pod --force in liqo, then run this again"
    )
    assert "liqo-controller-manager" in api.named("clusterroles")
    for name in sorted(api.named("pods")):
        api.delete("pods", "liqo", name)
    told = await removed(api)
    assert told.warnings == []
    assert api.get("namespaces", "", "liqo") is None


async def test_a_namespace_that_somebody_else_holds_is_told_with_what_holds_it() -> None:
    api = await standing()
    api.create("secrets", {"metadata": {"name": "theirs", "namespace": "liqo", "finalizers": [THEIRS]}})
    content = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": f"{THEIRS} in 1 resource"}
    gone = {"type": "NamespaceContentRemaining", "status": "False", "message": "nothing"}

    def explain(change: Change) -> None:
        is_ending = "deletionTimestamp" in change.new["metadata"] and change.type == "MODIFIED"
        if change.place.name == "liqo" and is_ending and "conditions" not in change.new["status"]:
            api.merge("namespaces", "", "liqo", {"status": {"conditions": [content, gone]}})

    api.on_change(explain)
    with pytest.raises(InstallError) as refused:
        await removed(api, timeout=30)
    assert str(refused.value) == (
        f"namespace liqo is still there ({THEIRS} in 1 resource) after 30 s: mend that, then run this again"
    )
    api.merge("secrets", "liqo", "theirs", {"metadata": {"finalizers": None}})
    await removed(api)
    assert not api.list("secrets", "liqo")


async def test_a_purge_takes_tenant_namespaces_and_every_object_of_ours_wherever_it_is() -> None:
    api = await standing()
    api.create("namespaces", {"metadata": {"name": TNS, "labels": TENANT}})
    identity = {"labels": {labels.IDENTITY_TYPE: "ControlPlane"}, "finalizers": ["x.liqo.io/finalizer"]}
    api.create("secrets", {"metadata": {"name": "kubeconfig", "namespace": TNS, **identity}})
    api.create(
        "connections", {"metadata": {"name": "milan", "namespace": TNS, "finalizers": ["x.liqo.io/f"]}}
    )
    api.create(
        "renews", {"metadata": {"name": "late", "namespace": "default", "finalizers": ["x.liqo.io/f"]}}
    )
    told = await removed(api, purge=True)
    assert told.titles[-2:] == ["Tenant namespaces removed", "The kinds and all their objects are removed"]
    assert api.get("namespaces", "", TNS) is None
    assert not api.named("customresourcedefinitions")


async def test_tenant_namespaces_stay_without_a_purge() -> None:
    api = await standing()
    api.create("namespaces", {"metadata": {"name": TNS, "labels": TENANT}})
    await removed(api)
    assert TNS in api.named("namespaces")


async def test_an_object_of_ours_that_somebody_else_holds_ends_a_purge_with_its_kind() -> None:
    api = await standing()
    held = {"metadata": {"name": "held", "namespace": "default", "finalizers": ["x.liqo.io/f", THEIRS]}}
    api.create("shadowpods", held)
    with pytest.raises(InstallError) as refused:
        await removed(api, purge=True, timeout=40)
    assert str(refused.value) == (
        "CustomResourceDefinition shadowpods.offloading.liqo.io is still there after 40 s: "
        "look at the finalizers of its objects; then run this again"
    )
    kept = api.get("shadowpods", "default", "held")
    assert kept is not None
    assert kept["metadata"]["finalizers"] == [THEIRS]


async def test_what_changes_while_it_is_let_go_is_looked_at_again() -> None:
    api = await standing()
    leave_behind(api)
    api.merge("deployments", "liqo", "liqo-controller-manager", {"status": {"readyReplicas": 0}})

    def touch(request: Request) -> bool:
        late = api.get("networks", "liqo", "late")
        if late is not None and "annotations" not in late["metadata"]:
            api.merge("networks", "liqo", "late", {"metadata": {"annotations": {"touched": "yes"}}})
        return False

    api.fail(500, verb="patch", plural="networks", when=touch)
    await removed(api)
    codes = [one.code for one in api.asked("patch", "networks") if one.name == "late"]
    assert codes == [409, 200]


async def test_a_removal_that_was_cut_off_anywhere_is_finished_by_the_next() -> None:
    api = cluster()
    foreign(api)
    before = dict(api.objects)
    await installed(api)
    for plural in (
        "validatingwebhookconfigurations",
        "deployments",
        "daemonsets",
        "clusterroles",
        "namespaces",
    ):
        with (
            api.failing(422, "Invalid", "cut", verb="delete", plural=plural),
            pytest.raises(Exception, match="cut"),
        ):
            await removed(api, purge=True)
    await removed(api, purge=True)
    assert dict(api.objects) == before
